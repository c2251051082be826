"""Compiled formulas against sympy's own substitution, and sweeps against exact calls."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Max, Min, Mod, Piecewise, Pow, Rational, ceiling, exp, floor, sqrt

from symflops.emit.lowering import lower
from symflops.emit.program import EXACT, UnsupportedFormula, peak
from symflops.emit.whole import proved_whole
from symflops.errors import SizeError, UnknownName
from symflops.evaluate import compiled, value
from symflops.notation import d_model, n_head, n_layer, n_seq, n_window

SYMBOLS = (n_seq, n_window, n_head)
NAMES = tuple(symbol.name for symbol in SYMBOLS)

rationals = st.fractions(min_value=-5, max_value=5, max_denominator=6).map(
    lambda f: Rational(f.numerator, f.denominator)
)
sizes = st.tuples(*[st.integers(1, 40)] * 3)


def _polynomials(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            pairs.map(lambda p: p[0] + p[1]),
            pairs.map(lambda p: p[0] * p[1]),
            st.tuples(inner, st.integers(1, 3)).map(lambda p: p[0] ** p[1]),
            pairs.map(lambda p: Max(*p)),
            pairs.map(lambda p: Min(*p)),
            inner.map(floor),
            inner.map(lambda e: ceiling(e / 3)),
            inner.map(lambda e: Mod(e, 4)),
            inner.map(Abs),
            pairs.map(lambda p: Piecewise((p[0], n_seq > n_window), (p[1], True))),
            pairs.map(lambda p: p[0] / (n_head + 1) + p[1] / n_seq),
        )

    return st.recursive(leaves, grown, max_leaves=7)


formulas = _polynomials(st.one_of(rationals, st.sampled_from(SYMBOLS)))


def substituted(formula: Any, point: tuple[int, ...]) -> int | Fraction:
    """The value by sympy alone."""
    found = formula.subs(dict(zip(SYMBOLS, point, strict=True))) if formula.free_symbols else formula
    assert found.is_Rational, found
    return Fraction(int(found.p), int(found.q)) if found.q != 1 else int(found.p)


def disagreement(formula: Any, function: Any, points: Sequence[tuple[int, ...]]) -> str | None:
    """The first point at which a function is not the formula."""
    for point in points:
        found, right = function(*point), substituted(formula, point)
        if found != right or type(found) is not type(right):
            return f"{formula} at {point} is {right}, not {found!r}"
    return None


@settings(max_examples=300, deadline=None)
@given(formulas, st.lists(sizes, min_size=1, max_size=4))
def test_random_formulas_are_exact(formula: Any, points: list[tuple[int, ...]]) -> None:
    assert disagreement(formula, compiled(formula, NAMES), points) is None


@settings(max_examples=150, deadline=None)
@given(formulas, sizes)
def test_the_peak_bounds_every_step(formula: Any, point: tuple[int, ...]) -> None:
    program = lower(formula, NAMES)
    assert max(map(abs, _run(program, point))) <= max(1, _run(peak(program), point)[-1])


def _run(program: Any, point: tuple[int, ...]) -> list[int]:
    values: list[int] = []
    for node in program.nodes:
        if node.operands:
            values.append(EXACT[node.op](values[node.left], values[node.right]))
        else:
            values.append(point[node.left] if node.op == "size" else node.left)
    return [*values[: program.numerator], *values[program.numerator + 1 :], values[program.numerator]]


@settings(max_examples=150, deadline=None)
@given(formulas, st.lists(sizes, min_size=2, max_size=6))
def test_sweeps_equal_calls(formula: Any, points: list[tuple[int, ...]]) -> None:
    function = compiled(formula, NAMES)
    arrays = dict(zip(NAMES, map(np.array, zip(*points, strict=True)), strict=True))
    right = [function(*point) for point in points]
    assert function.sweep(**arrays).tolist() == right
    floats = function.sweep_float64(**arrays)
    # float64 floors may fall on the other side of a rounded integer, so only their order of size is compared there.
    if not formula.has(floor, ceiling, Mod, Piecewise):
        scale = float(_run(peak(function.program), tuple(int(a.max()) for a in arrays.values()))[-1])
        np.testing.assert_allclose(floats, [float(v) for v in right], rtol=1e-9, atol=1e-9 * scale)


def test_a_wrong_formula_is_noticed() -> None:
    right, wrong = n_seq * (n_seq + 1) / 2, n_seq * (n_seq - 1) / 2
    points = [(n, 1, 1) for n in (1, 2, 3)]
    assert disagreement(right, compiled(right, NAMES), points) is None
    assert disagreement(right, compiled(wrong, NAMES), points) is not None
    assert disagreement(right, lambda *point: float(substituted(right, point)), points) is not None


@pytest.mark.parametrize(
    ("formula", "whole"),
    [
        (n_seq * (n_seq + 1) / 2, True),
        (n_seq**2 / 2, False),
        (n_seq * (n_seq + 1) * (2 * n_seq + 1) / 6, True),
        (n_seq * (n_seq + 1) * n_window / 4, False),
        ((n_seq**7 - n_seq) / 7, True),
        (Max(0, n_seq - n_window) * (Max(0, n_seq - n_window) + 1) / 2, True),
        (floor(n_seq / 2) * (floor(n_seq / 2) + 1) / 2, True),
        (Max(n_seq / 2, n_window), False),
        (d_model / n_head, False),
        (Rational(1, 2), False),
    ],
)
def test_wholeness_is_proved(formula: Any, whole: bool) -> None:
    assert proved_whole(formula) is whole
    assert lower(formula).whole is whole


def test_exact_at_any_magnitude() -> None:
    huge = 10**30
    assert compiled(6 * n_seq * n_layer)(huge, huge + 1) == 6 * huge * (huge + 1)
    assert compiled(n_seq * (n_seq + 1) / 2)(huge) == huge * (huge + 1) // 2
    assert compiled(n_seq / 3)(huge) == Fraction(huge, 3)
    scalar: Any = np.int64(2**40)
    assert compiled(n_seq**2)(scalar) == 2**80


def test_division_by_zero_is_an_error() -> None:
    function = compiled(n_head / (n_seq - n_window))
    assert function(n_head=6, n_seq=1, n_window=4) == -2
    with pytest.raises(ZeroDivisionError):
        function(n_head=6, n_seq=4, n_window=4)
    with pytest.raises(ZeroDivisionError):
        function.sweep(n_head=6, n_seq=np.array([4, 5]), n_window=4)
    with pytest.raises(SizeError):
        function.sweep_float64(n_head=6, n_seq=np.array([4, 5]), n_window=4)


@pytest.mark.parametrize("bad", [0, -3, 1.5, 4096.0, True, None, "7", np.array([1, 2])])
def test_bad_sizes_are_refused(bad: Any) -> None:
    with pytest.raises(SizeError, match="n_seq"):
        compiled(6 * n_seq)(bad)


def test_bad_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'n_seq'"):
        value(6 * n_seq, n_sek=2)
    with pytest.raises(SizeError, match="missing"):
        value(6 * n_seq * n_head, n_seq=2)
    with pytest.raises(SizeError, match="leave out"):
        compiled(n_seq, ["n_head"])
    with pytest.raises(UnknownName):
        compiled(6 * n_seq).sweep(n_sek=[1])


@pytest.mark.parametrize("formula", [sqrt(n_seq), exp(n_seq), 0.5 * n_seq, 2**n_seq, "6*n_seq", Pow(n_seq, n_head)])
def test_what_is_not_exact_is_refused(formula: Any) -> None:
    with pytest.raises(UnsupportedFormula):
        compiled(formula)


def test_huge_powers_are_not_multiplied_out() -> None:
    formula = (n_seq + n_head + n_window) ** 400
    assert compiled(formula)(1, 1, 1) == 3**400
    assert lower(formula).cost < 20


# The trap: 6*N*D of 405e9 parameters at 15e12 tokens exceeds int64, which wraps silently.

PARAMETERS, TOKENS = 405 * 10**9, 15 * 10**12
SIX_N_D = 6 * n_layer * n_seq


def test_the_405b_trap() -> None:
    tokens = np.array([TOKENS, TOKENS + 1])
    wrapped = 6 * np.array([PARAMETERS]) * tokens
    found = compiled(SIX_N_D).sweep(n_layer=PARAMETERS, n_seq=tokens)
    right = [6 * PARAMETERS * TOKENS, 6 * PARAMETERS * (TOKENS + 1)]
    assert wrapped.tolist() != right
    assert found.dtype == object and found.tolist() == right


def test_float64_is_off_on_odd_sizes_and_exact_is_not() -> None:
    odd = {"n_layer": np.array([PARAMETERS + 1] * 2), "n_seq": np.array([TOKENS + 1, TOKENS + 3])}
    function = compiled(SIX_N_D)
    right = [6 * (PARAMETERS + 1) * (TOKENS + 1), 6 * (PARAMETERS + 1) * (TOKENS + 3)]
    assert function.sweep(**odd).tolist() == right
    floats = function.sweep_float64(**odd)
    assert [int(v) for v in floats] != right
    np.testing.assert_allclose(floats, [float(v) for v in right], rtol=1e-15)


def test_only_the_block_that_overflows_leaves_int64(monkeypatch: pytest.MonkeyPatch) -> None:
    import symflops.sweeps as sweeps

    fallen: list[int] = []
    stored = sweeps._stored

    def noted(out: Any, start: int, values: Any) -> Any:
        fallen.append(start)
        return stored(out, start, values)

    monkeypatch.setattr(sweeps, "_stored", noted)
    count = 3 * sweeps._BLOCK + 7
    tokens = np.arange(1, count + 1)
    tokens[sweeps._BLOCK + 5] = TOKENS
    found = compiled(SIX_N_D).sweep(n_layer=PARAMETERS, n_seq=tokens)
    assert fallen == [sweeps._BLOCK]
    assert found.dtype == object
    assert found.tolist() == [6 * PARAMETERS * token for token in tokens.tolist()]


def test_a_step_may_exceed_int64_where_the_value_fits() -> None:
    n = np.array([2**32 - 2, 2**32 - 1])
    found = compiled(n_seq * (n_seq + 1) / 2).sweep(n_seq=n)
    assert found.dtype == np.int64
    assert found.tolist() == [k * (k + 1) // 2 for k in n.tolist()]


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.uint64, np.float32, np.float64, object])
def test_narrow_arrays_do_not_wrap(dtype: Any) -> None:
    n = np.array([100, 120], dtype=dtype)
    function = compiled(n_seq**6)
    assert function.sweep(n_seq=n).tolist() == [100**6, 120**6]
    assert function.sweep(n_seq=n).dtype == np.int64
    assert function.sweep_float64(n_seq=n).tolist() == [100**6, 120**6]


def test_sizes_beyond_int64() -> None:
    function = compiled(n_seq + n_head)
    huge = [10**30, 5]
    assert function.sweep(n_seq=huge, n_head=1).tolist() == [10**30 + 1, 6]
    assert function.sweep(n_seq=np.array([2**64 - 1, 1], np.uint64), n_head=1).tolist() == [2**64, 2]
    assert function.sweep(n_seq=np.array([2.0**70, 1]), n_head=1).tolist() == [2**70 + 1, 2]
    assert function.sweep(n_seq=np.array([1, 2]), n_head=10**30).tolist() == [10**30 + 1, 10**30 + 2]
    assert function.sweep_float64(n_seq=huge, n_head=1).tolist() == [1e30, 6.0]
    assert function.sweep(n_seq=10**30, n_head=1).item() == 10**30 + 1


def test_values_that_are_not_whole_are_fractions() -> None:
    found = compiled(d_model / n_head).sweep(d_model=np.array([4, 3]), n_head=2)
    assert found.tolist() == [2, Fraction(3, 2)]
    assert compiled(d_model / n_head).sweep_float64(d_model=np.array([4, 3]), n_head=2).tolist() == [2.0, 1.5]


def test_broadcasting_in_any_order() -> None:
    function = compiled(n_seq * n_head + n_window)
    rows, columns = np.arange(1, 400)[:, None], np.arange(1, 300)[::-1]
    grid = np.asfortranarray(rows + 7 * columns)
    given_ = {"n_seq": rows, "n_head": columns, "n_window": grid}
    np.testing.assert_array_equal(function.sweep(**given_), rows * columns + grid)
    np.testing.assert_array_equal(function.sweep_float64(**given_), rows * columns + grid)
    assert function.sweep(n_seq=[[2]], n_head=[3], n_window=4).shape == (1, 1)
    assert function.sweep(n_seq=np.empty((0, 3), int), n_head=1, n_window=1).shape == (0, 3)
    assert function.sweep_float64(n_seq=2, n_head=3, n_window=4).item() == 10


@pytest.mark.parametrize(
    "bad",
    [[1.5, 2.0], [math.nan, 1.0], [math.inf, 1.0], [0, 1], [-1, 2], [-1.0, 2.0], [True, False], ["a", "b"], [None, 1]],
)
def test_bad_arrays_are_refused(bad: Any) -> None:
    for sweep in (compiled(6 * n_seq * n_head).sweep, compiled(6 * n_seq * n_head).sweep_float64):
        with pytest.raises(SizeError, match="n_seq"):
            sweep(n_seq=np.array(bad), n_head=2)


def test_shapes_and_names_of_sweeps() -> None:
    function = compiled(6 * n_seq * n_head)
    with pytest.raises(SizeError, match=r"n_head \(2,\), n_seq \(3,\)"):
        function.sweep(n_seq=[1, 2, 3], n_head=[1, 2])
    with pytest.raises(SizeError, match="n_head is missing"):
        function.sweep_float64(n_seq=[1, 2, 3])
    with pytest.raises(SizeError, match="float64"):
        compiled(n_seq**9).sweep_float64(n_seq=np.array([1e60, 2.0]))


def test_numpy_is_imported_only_to_sweep() -> None:
    text = "import sys, symflops.evaluate; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0
