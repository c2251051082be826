"""Number formats: every pattern of bits and every rounding against torch and numpy, blocks against loops."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from symflops.cli import run
from symflops.errors import SizeError, UnknownName
from symflops.grammar import FormulaError
from symflops.training.formats import FloatFormat, IntegerFormat, Special, Value, floor_log2
from symflops.training.formats_blocks import BlockFormat
from symflops.training.formats_known import (
    BF16,
    E2M1,
    E2M3,
    E3M2,
    E4M3,
    E5M2_FNUZ,
    E8M0,
    FORMATS,
    FP16,
    FP32,
    FP64,
    MXFP4,
    MXFP8,
    MXINT8,
    NVFP4,
    number_format,
)
from symflops.training.formats_shown import became_of, table_of

FLOATS = [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu",
]  # fmt: skip
SMALL = FLOATS[2:]


def floating(name: str) -> FloatFormat:
    form = number_format(name)
    assert isinstance(form, FloatFormat)
    return form


def plain(number: float) -> Value:
    """A Python float as a format's value."""
    if math.isnan(number):
        return Special.NAN
    if math.isinf(number):
        return Special.INFINITY if number > 0 else Special.NEGATIVE_INFINITY
    return Fraction(number)


def all_of_torch(dtype: torch.dtype) -> list[Value]:
    """What every pattern of a type of at most 16 bits is in torch."""
    size = torch.empty((), dtype=dtype).element_size()
    patterns = np.arange(1 << 8 * size, dtype=np.uint8 if size == 1 else np.uint16)
    return [plain(each) for each in torch.from_numpy(patterns).view(dtype).to(torch.float64).tolist()]


@pytest.mark.parametrize("name", FLOATS)
def test_ranges_are_torch_s(name: str) -> None:
    form, info = floating(name), torch.finfo(getattr(torch, name))
    assert (Fraction(info.max), Fraction(info.min)) == (form.largest, form.lowest)
    assert Fraction(info.smallest_normal) == Fraction(info.tiny) == form.smallest_normal
    assert info.bits == form.bits == 8 * form.bytes
    if form is not E5M2_FNUZ:
        assert Fraction(info.eps) == form.epsilon


def test_torch_s_epsilon_of_e5m2fnuz_is_not_what_its_numbers_have() -> None:
    dtype = torch.float8_e5m2fnuz
    one, after = torch.tensor([0x40, 0x41], dtype=torch.uint8).view(dtype).to(torch.float64).tolist()
    assert (one, after - one) == (1, 0.25) and Fraction(after - one) == E5M2_FNUZ.epsilon
    assert torch.finfo(dtype).eps == 0.125


@pytest.mark.parametrize("name", ["float64", "float32", "float16"])
def test_the_smallest_numbers_are_numpy_s(name: str) -> None:
    info = np.finfo(name)
    assert Fraction(float(info.smallest_subnormal)) == floating(name).smallest
    assert Fraction(float(info.epsneg)) == floating(name).epsilon / 2


@pytest.mark.parametrize("name", SMALL)
def test_every_pattern_is_torch_s(name: str) -> None:
    form = floating(name)
    assert [form.decode(pattern) for pattern in range(2 ** int(form.bits))] == all_of_torch(getattr(torch, name))


@pytest.mark.parametrize("fault", [{"specials": "ieee"}, {"specials": "none"}, {"exponent": 3, "mantissa": 4}])
def test_a_wrong_declaration_is_found(fault: dict[str, Any]) -> None:
    wrong = replace(E4M3, **fault)
    assert [wrong.decode(pattern) for pattern in range(256)] != all_of_torch(torch.float8_e4m3fn)


def halfway(form: FloatFormat) -> list[float]:
    """Numbers, the middles between neighbours, and what lies a little beside; above the largest too."""
    drawn = random.Random(7)
    wide = form.bits > 8
    patterns = drawn.sample(range(1 << int(form.bits)), 3000) if wide else range(1 << int(form.bits))
    numbers = [each for pattern in patterns if isinstance(each := form.decode(pattern), Fraction)]
    found = [Fraction(0), form.largest * Fraction(33, 32), form.largest * 2, form.smallest / 2, form.smallest / 3]
    for number in numbers:
        after = [number + sign * max(form.smallest, abs(number) * form.epsilon) / 2 for sign in (1, -1)]
        found += [number, *after, *(each * Fraction(2**20 + 1, 2**20) for each in after)]
    return [float(each) for each in found if form.sign or each > 0]


@pytest.mark.parametrize("name", SMALL)
def test_rounding_is_torch_s(name: str) -> None:
    """Torch 2.13 saturates in E4M3 (pytorch#178817), which the specification allows, and in no other format."""
    form = floating(name)
    numbers = torch.tensor(halfway(form), dtype=torch.float32)
    numbers = numbers[numbers.isfinite() & ((numbers == 0) | (numbers.abs() >= 2.0**-126))]
    torch_s = map(plain, numbers.to(getattr(torch, name)).to(torch.float64).tolist())
    rounded = form.saturated if form is E4M3 else form.round_to
    pairs = [(rounded(Fraction(each)), found) for each, found in zip(numbers.tolist(), torch_s, strict=True)]
    assert len(pairs) > 250 and [pair for pair in pairs if pair[0] != pair[1]] == []


def test_rounding_of_exact_fractions_is_python_s() -> None:
    """Python divides integers to the nearest float64, ties to even."""
    drawn = random.Random(11)
    for _ in range(2000):
        number = Fraction(
            drawn.getrandbits(drawn.randrange(1, 200)) + 1, drawn.getrandbits(drawn.randrange(1, 200)) + 1
        )
        assert FP64.round_to(number) == Fraction(number.numerator / number.denominator)
        assert FP32.round_to(FP64.saturated(number)) == plain(
            torch.tensor(float(number), dtype=torch.float64).float().item()
        )


@pytest.mark.parametrize("form", [E2M1, E2M3, E3M2, E8M0, E4M3])
def test_the_nearest_number_is_found_by_looking_at_all(form: FloatFormat) -> None:
    numbers = [each for pattern in range(1 << int(form.bits)) if isinstance(each := form.decode(pattern), Fraction)]
    drawn = random.Random(3)
    for _ in range(300):
        number = min(form.largest, Fraction(drawn.randrange(1, 10**6), drawn.randrange(1, 10**5)))
        distance = min(abs(each - number) for each in numbers)
        assert abs(form.saturated(number) - number) == distance


def test_the_numbers_of_four_and_six_bits_are_those_of_the_specification() -> None:
    """OCP Microscaling Formats 1.0, sections 5.3.2 and 5.3.3, by a loop of powers of two."""
    assert {E2M1.decode(pattern) for pattern in range(8)} == {0, Fraction(1, 2), 1, Fraction(3, 2), 2, 3, 4, 6}
    for form, exponents, steps in ((E2M3, range(0, 3), 8), (E3M2, range(-2, 5), 4)):
        normal = {(1 + Fraction(step, steps)) * Fraction(2) ** power for power in exponents for step in range(steps)}
        below = {Fraction(step, steps) * Fraction(2) ** exponents[0] for step in range(steps)}
        positive = {form.decode(pattern) for pattern in range(1 << int(form.bits) - 1)}
        assert positive == normal | below
        assert {form.decode(pattern) for pattern in range(1 << int(form.bits))} == positive | {
            -each for each in positive
        }
    assert (E2M3.largest, E3M2.largest) == (Fraction(15, 2), 28)


@pytest.mark.parametrize("width", [8, 16])
def test_integers_are_numpy_s(width: int) -> None:
    for prefix, kind in (("int", np.dtype(f"int{width}")), ("uint", np.dtype(f"uint{width}"))):
        if prefix == "uint" and width == 16:
            continue
        form, info = number_format(f"{prefix}{width}"), np.iinfo(kind)
        assert isinstance(form, IntegerFormat)
        patterns = np.arange(1 << width, dtype=f"uint{width}").view(kind).tolist()
        assert [form.decode(each) for each in range(1 << width)] == patterns
        assert (form.lowest, form.largest) == (info.min, info.max)
    assert number_format("bool").bytes == torch.empty((), dtype=torch.bool).element_size()


def blocks_by_a_loop(form: BlockFormat, numbers: list[float]) -> list[float]:
    """The specification's conversion (section 6.3) in floats, elements by looking at all of them."""
    element = form.element
    values = [element.decode(pattern) for pattern in range(1 << int(element.bits))]
    known = sorted({float(each) for each in values if isinstance(each, Fraction)})
    peak = max(map(abs, numbers))
    scale = 2.0 ** (math.floor(math.log2(peak)) - math.floor(math.log2(known[-1])))
    found = []
    for number in numbers:
        nearest = min(abs(each - number / scale) for each in known)
        found.append([each * scale for each in known if abs(each - number / scale) == nearest])
    return [each[0] if len(each) == 1 else math.nan for each in found]


@pytest.mark.parametrize("form", [each for each in FORMATS if isinstance(each, BlockFormat) and each is not NVFP4])
def test_blocks_are_rounded_as_the_specification_says(form: BlockFormat) -> None:
    drawn = random.Random(form.name)
    for _ in range(5):
        numbers = [drawn.uniform(-1, 1) * 10.0 ** drawn.randrange(-4, 4) for _ in range(form.block)]
        ours = form.round_block([Fraction(each) for each in numbers])
        assert [float(each) for each in ours] == blocks_by_a_loop(form, numbers)


def test_a_block_of_nvfp4_keeps_its_largest() -> None:
    numbers = [Fraction(each, 7) for each in range(-8, 8)]
    found = NVFP4.round_block(numbers)
    assert abs(found[0] - numbers[0]) < abs(numbers[0]) / 2**20 and found[8] == 0
    distance = max(abs(one - other) for one, other in zip(found, numbers, strict=True))
    assert distance <= abs(numbers[0]) / 6
    assert NVFP4.round_block([Fraction(0)] * 16) == (0,) * 16


def test_what_scales_cost_is_what_they_take_up() -> None:
    for form, elements in itertools.product([MXFP8, MXFP4, MXINT8, NVFP4], [1, 16, 31, 32, 33, 4096]):
        scales = len(range(0, elements, form.block))
        tensor = 4 if form.tensor_scale else 0
        assert form.bytes_of(elements) == Fraction(elements * int(form.element.bits), 8) + scales + tensor
    assert (MXFP8.bits, MXFP4.bits, NVFP4.bits, number_format("mxfp6").bits) == tuple(
        map(Fraction, ("8.25", "4.25", "4.5", "6.25"))
    )


def test_what_people_say() -> None:
    """1e-8 is lost in float16 and not in bfloat16; 448 and 57344 are the largest of the two float8."""
    tiny = Fraction(1, 10**8)
    assert BF16.survives(tiny) and not FP16.survives(tiny)
    for form, dtype in ((BF16, torch.bfloat16), (FP16, torch.float16)):
        assert form.survives(tiny) == (torch.tensor(1e-8, dtype=dtype).item() != 0)
    assert (E4M3.largest, number_format("e5m2").largest, FP16.largest) == (448, 57344, 65504)
    assert E4M3.round_to(Fraction(464)) == 448 and E4M3.round_to(Fraction(465)) is Special.NAN
    assert FP16.round_to(Fraction(-65520)) is Special.NEGATIVE_INFINITY and FP16.round_to(Fraction(65519)) == 65504


@pytest.mark.parametrize("name", ["bf16", "BF16", "bfloat16", "torch.bfloat16", torch.bfloat16, "b_f-16"])
def test_names(name: object) -> None:
    assert number_format(name) is BF16


def test_all_names_are_of_one_format() -> None:
    names = ["".join(name.lower().split("-")) for each in FORMATS for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))
    for name in ("fp8", "fp8-e4m3", "FP8 E4M3", "float8_e4m3fn", torch.float8_e4m3fn):
        assert number_format(name) is E4M3
    assert number_format("half") is FP16 and number_format(np.dtype("float32")) is FP32


def test_bad_input_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownName, match="did you mean 'bf16'"):
        number_format("bf15")
    with pytest.raises(SizeError, match="from 0 to 255"):
        E4M3.decode(256)
    for arguments in (["bf15"], ["--number", "x"], ["--number", "sqrt(2)"], ["--number", "1/0"], ["--format", "doc"]):
        assert run(["formats", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("symflops: ") and said.count("\n") == 1
    with pytest.raises(FormulaError):
        from symflops.cli.formats import exact

        exact("log(2)")


@pytest.mark.parametrize("number", ["1e-8", "-1e-8", "0", "448*1.1", "1e300", "2**-1074", "1/3"])
def test_the_command_says_what_becomes_of_a_number(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "--number", number, "--json"]) == 0
    given = json.loads(capsys.readouterr().out)
    exact = Fraction(given["number"])
    for each in given["formats"]:
        became = each["becomes"]
        if became["relative_error"] is not None and exact:
            error = abs(Fraction(became["value"]) - exact) / abs(exact)
            assert error == Fraction(became["relative_error"])
    for form in ("text", "markdown", "latex", "html"):
        assert table_of((), exact).show(form)


def test_the_shown_number_is_torch_s() -> None:
    for name in SMALL[:4]:
        became = became_of(number_format(name), Fraction(1, 3)).value
        assert became == Fraction(torch.tensor(1 / 3, dtype=torch.float64).to(getattr(torch, name)).item())


def test_the_exponent_below_a_number() -> None:
    for numerator, denominator in itertools.product(range(1, 70), repeat=2):
        exponent = floor_log2(Fraction(numerator, denominator))
        assert Fraction(2) ** exponent <= Fraction(numerator, denominator) < Fraction(2) ** (exponent + 1)
