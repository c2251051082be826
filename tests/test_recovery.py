"""Sizes that code turns into numbers: found exactly where a polynomial gives them, and refused where none does."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Eq, Expr, Integer, Mod, Ne, expand

from symflops.notation import d_ff, d_model, n_batch, n_expert, n_head, n_kv_head, n_layer, n_seq, symbol
from symflops.tracing.conditions import common
from symflops.tracing.interpolation import CONFIRMING, Interpolation, MorePoints
from symflops.tracing.merging import Unexplained, merged, merged_family
from symflops.tracing.records import Call, Record, Run, Stored
from symflops.tracing.sampling import EmptyDomain, distinct, draw, holds, multiples
from symflops.tracing.translation import Dictionary, Unknown

SPEC = "m k, k n -> m n"


def points(count: int, *names: str) -> list[dict[str, int]]:
    source = random.Random(count)
    return [{name: source.randint(2, 30) for name in names} for _ in range(count)]


def at(form: Expr, numbers: Mapping[str, int]) -> Expr:
    return expand(form.subs({symbol(name): value for name, value in numbers.items()}))


# --- interpolation ----------------------------------------------------------------------------------------------------

FORMS = [
    Integer(7),
    3 * n_layer + 1,
    n_layer * n_expert,
    n_layer * n_expert * n_head + n_expert,
    n_head**2 / 2 + n_head / 2,
    n_head**3,
    (n_layer - 1) * n_seq * d_model + n_expert * n_batch,
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_polynomial_is_found_exactly(form: Expr) -> None:
    at_points = points(14, "n_layer", "n_expert", "n_head")
    found = Interpolation(at_points).polynomial([at(form, each) for each in at_points])
    assert expand(found - form) == 0


@given(st.integers(0, 13), st.integers(1, 5))
def test_one_value_that_is_off_is_never_explained_by_the_formula_itself(place: int, off: int) -> None:
    """The planted fault: a single run that differs. Nothing small runs through all points then."""
    at_points = points(14, "n_layer", "n_expert")
    values = [at(3 * n_layer * n_expert + n_layer, each) for each in at_points]
    values[place] += off
    with pytest.raises(MorePoints, match="no polynomial through"):
        Interpolation(at_points).polynomial(values)


def test_a_form_is_confirmed_by_further_points_or_not_given() -> None:
    at_points = [{"n_layer": n} for n in (2, 3, 5, 7, 9)]
    values = [Integer(each["n_layer"] ** 2) for each in at_points]
    assert Interpolation(at_points).polynomial(values) == n_layer**2
    for fewer in range(2, 3 + CONFIRMING):
        with pytest.raises(MorePoints):
            Interpolation(at_points[:fewer]).polynomial(values[:fewer])


def test_what_is_no_polynomial_is_refused() -> None:
    at_points = [{"n_head": n} for n in range(2, 20)]
    for value in (lambda n: n.bit_length(), lambda n: n % 3, lambda n: max(n, 7), lambda n: n // 2):
        with pytest.raises(MorePoints):
            Interpolation(at_points).polynomial([Integer(value(each["n_head"])) for each in at_points])


# --- runs of a family -------------------------------------------------------------------------------------------------


def experts(numbers: Mapping[str, int], routed: Any = n_seq) -> Run:
    """A model with looped experts: one product for each expert of each layer, and a router over them."""
    layers, count = numbers["n_layer"], numbers["n_expert"]
    looped = [
        Record(f"h.{layer}.experts.{expert}", "aten.mm", "forward", SPEC, (routed, d_model, d_ff))
        for layer in range(layers)
        for expert in range(count)
    ]
    routers = [Record(f"h.{i}.router", "aten.mm", "forward", SPEC, (n_seq, d_model, count)) for i in range(layers)]
    owned = [Stored(f"h.{layer}.experts", "weight", (count, d_model, d_ff)) for layer in range(layers)]
    return Run((*looped, *routers), tuple(owned))


def test_counts_and_sizes_are_recovered_together() -> None:
    found = merged_family([(each, experts(each)) for each in points(12, "n_layer", "n_expert")])
    assert found.params == n_layer * n_expert * d_model * d_ff
    assert expand(found.flops("forward") - 2 * n_layer * n_expert * n_seq * d_model * (d_ff + 1)) == 0


def test_a_run_that_is_unlike_the_others_is_refused() -> None:
    """The planted fault: one run lacks a product."""
    runs = [(each, experts(each)) for each in points(12, "n_layer", "n_expert")]
    numbers, run = runs[5]
    runs[5] = (numbers, Run(run.records[1:], run.parameters))
    with pytest.raises(Unexplained, match="no polynomial"):
        merged_family(runs)


def test_bytes_that_no_formula_gives_are_not_given() -> None:
    def at_heads(heads: int) -> Run:
        table = Call("alibi", "aten.full", "forward", "fill", 0, 0, 4 * heads.bit_length())
        return Run((), (), (), (table,))

    found = merged_family([({"n_head": heads}, at_heads(heads)) for heads in range(2, 14)])
    assert found.bytes_written("forward") is None and "aten.full forward of alibi" in found.unexplained[0]
    even = merged_family([({"n_head": heads}, at_heads(4)) for heads in range(2, 14)])
    assert even.bytes_written("forward") == 12


# --- numbers read in symbols ------------------------------------------------------------------------------------------


def test_runs_on_numbers_are_read_with_a_run_on_symbols() -> None:
    hints = {"n_seq": 13, "d_model": 48, "d_ff": 88}
    known = Dictionary(experts({"n_layer": 2, "n_expert": 3}), {**hints, "n_expert": 3})
    plain = experts({"n_layer": 5, "n_expert": 3})
    numbers = Run(
        tuple(each.at(tuple(int(at(Integer(1) * size, hints)) for size in each.sizes)) for each in plain.records),
        tuple(each.at(tuple(int(at(Integer(1) * size, hints)) for size in each.shape)) for each in plain.parameters),
    )
    assert merged(known.translated(numbers)).flops("forward") == merged(plain).flops("forward")


def test_what_the_run_on_symbols_lacks_or_has_twice_is_not_guessed() -> None:
    one = Record("up", "aten.mm", "forward", SPEC, (n_seq, d_model, d_ff))
    other = Record("up", "aten.mm", "forward", SPEC, (n_seq, d_model, d_model))
    hints = {"n_seq": 5, "d_model": 8, "d_ff": 8}
    for run in (Run((), ()), Run((one, other), ())):
        with pytest.raises(Unknown, match="no expression, or two"):
            Dictionary(run, hints).translated(Run((one.at((5, 8, 8)),), ()))
    assert Dictionary(Run((one, other), ()), {**hints, "d_ff": 9}).translated(Run((one.at((5, 8, 9)),), ()))


# --- conditions and random sizes --------------------------------------------------------------------------------------


def test_numbers_in_conditions_become_sizes_again() -> None:
    runs = [({"n_kv_head": kv}, (Eq(Mod(n_head, kv), 0), Ne(n_head, 3 * kv))) for kv in (2, 3, 5, 7)]
    assert common(runs) == ((Eq(Mod(n_head, n_kv_head), 0), Ne(n_head, 3 * n_kv_head)), 0)
    odd = [({"n_kv_head": kv}, (n_head > kv.bit_length(),)) for kv in (2, 3, 5, 9, 17)]
    assert common(odd) == ((), 1)


def test_sizes_are_drawn_inside_the_domain() -> None:
    domain = (Eq(Mod(n_head, n_kv_head), 0), n_seq + 2 <= symbol("n_ctx"), n_expert >= 3)
    ranges = dict.fromkeys(("n_head", "n_kv_head", "n_seq", "n_ctx", "n_expert"), (2, 20))
    for seed in range(20):
        drawn = draw(ranges, domain, random.Random(seed))
        assert all(holds(each, drawn) for each in domain)
    with pytest.raises(EmptyDomain, match="no random sizes lie in the domain"):
        draw({"n_head": (2, 2), "n_kv_head": (3, 3)}, domain[:1], random.Random(0))


def test_hints_are_apart_and_so_are_their_quotients() -> None:
    domain = (Eq(Mod(n_head, n_kv_head), 0),)
    found = distinct({"n_kv_head": 2, "n_head": 4, "n_batch": 3}, ("n_kv_head", "n_head", "n_batch"), domain)
    assert multiples(domain) == {"n_head": "n_kv_head"}
    quotient = Fraction(found["n_head"], found["n_kv_head"])
    assert quotient.denominator == 1 and len({*found.values(), int(quotient)}) == 4
