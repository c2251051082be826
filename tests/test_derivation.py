"""Derivations: every step follows, a planted slip is caught, and Table 1 of Kaplan et al. comes out as printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks
from sympy import Add, Expr, Integer, S, Symbol, expand, fraction, together

from symflops import CONVENTIONS, SymflopsError, derive, flops, params
from symflops.architectures import architecture, presets
from symflops.derivation import (
    Derivation,
    WrongStep,
    derive_network,
    drop,
    rewrite,
    share,
    specialise,
    start,
    table,
)  # fmt: skip
from symflops.measures import flops_of_all, params_without
from symflops.notation import d_attn, d_ff, d_model, n_batch, n_ctx, n_layer, n_seq, n_vocab
from symflops.proof import at_most, equal, residual

KAPLAN = derive("kaplan2020")
N = 2 * d_model * n_layer * (2 * d_attn + d_ff)
EXAMPLES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def same(left: Expr, right: Expr) -> bool:
    """Equality by rational arithmetic at 30 points of whole sizes, which owes nothing to `equal`."""
    sizes = sorted((left - right).free_symbols, key=str)
    points = [{size: EXAMPLES[(3 * shift + place * (shift + 1)) % 11] for place, size in enumerate(sizes)}
              for shift in range(30)]  # fmt: skip
    return all(left.subs(point) == right.subs(point) for point in points)


def test_table_1_gives_n_and_c_forward_as_printed() -> None:
    """Kaplan et al. 2020, arXiv:2001.08361, Table 1, equations 2.1 and 2.2."""
    assert expand(KAPLAN.N - N) == 0
    assert expand(KAPLAN.C_forward - (2 * N + 2 * n_layer * n_ctx * d_attn)) == 0
    rows = {row.name: (row.params, row.flops) for row in KAPLAN.rows}
    printed = {
        "Embed": ((n_vocab + n_ctx) * d_model, 4 * d_model),
        "Attention: QKV": (n_layer * d_model * 3 * d_attn, 2 * n_layer * d_model * 3 * d_attn),
        "Attention: Mask": (S.Zero, 2 * n_layer * n_ctx * d_attn),
        "Attention: Project": (n_layer * d_attn * d_model, 2 * n_layer * d_attn * d_model),
        "Feedforward": (n_layer * 2 * d_model * d_ff, 2 * n_layer * 2 * d_model * d_ff),
        "De-embed": (S.Zero, 2 * d_model * n_vocab),
    }
    assert list(rows) == list(printed)
    assert all(expand(rows[name][at] - printed[name][at]) == 0 for name in rows for at in (0, 1))


def test_the_paper_ends_in_12_n_d_squared_and_6n() -> None:
    last = {step.quantity: step for step in KAPLAN.steps}
    small = 12 * n_layer * d_model**2
    assert last["N"].expression == small and last["C_forward"].expression == 2 * small
    assert last["C"].expression == 6 * small and last["C"].terms == 6 * Symbol("N")
    assert last["C"].dropped == 6 * n_layer * n_ctx * d_model
    assert share(2 * n_layer * n_ctx * d_model, 2 * small) == n_ctx / (12 * d_model)


def sums_to_totals(found: Derivation, network: Expr, tokens: Expr) -> bool:
    """Whether the rows add up to what the measures say of the whole network."""
    whole = (params(network), flops_of_all(network, found.convention).expr / tokens)
    sums = (Add(*(row.params for row in found.rows)), Add(*(row.flops for row in found.rows)))
    return all(expand(fraction(together(total - part))[0]) == 0 for total, part in zip(whole, sums, strict=True))


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("model", ["gpt2", "llama3-8b", "pythia-1b"])
def test_rows_sum_to_the_totals_under_every_convention(model: str, name: str) -> None:
    network = architecture(model).network
    found = derive(model, name)
    assert sums_to_totals(found, network, n_batch * n_seq)
    assert expand(found.N - params_without(network)) == 0
    per_token = flops(network, name).expr / (n_batch * n_seq)
    assert expand(fraction(together(found.C_forward - per_token))[0]) == 0


def _presets() -> list[object]:
    """Every preset; all but the first of each family are slow, as their networks are alike."""
    first = {str(presets()[name]["config"]["model_type"]): name for name in reversed(list(presets()))}
    kept = set(first.values())
    return [name if name in kept else pytest.param(name, marks=pytest.mark.slow) for name in presets()]


@pytest.mark.parametrize("name", _presets())
def test_every_preset_derives_and_its_steps_follow(name: str) -> None:
    found = derive(name)
    for before, after in zip(found.steps, found.steps[1:], strict=False):
        if before.quantity == after.quantity:
            assert same(before.expression, after.expression), after
    terms = {step.quantity: step.terms for step in found.steps if step.terms is not None}
    assert same(terms["C_forward"].subs(Symbol("N"), found.N), found.C_forward)


@settings(deadline=None, max_examples=25)
@given(networks, st.sampled_from(list(CONVENTIONS)))
def test_any_network_derives(network: Expr, name: str) -> None:
    found = derive_network("network", "A network", "none", network, name)
    assert sums_to_totals(found, network, n_batch * n_seq)


def test_a_row_left_out_is_seen() -> None:
    network = architecture("gpt2").network
    found = derive("gpt2")
    less = Derivation(**{**vars(found), "rows": found.rows[:-1]})
    assert sums_to_totals(found, network, n_batch * n_seq) and not sums_to_totals(less, network, n_batch * n_seq)


CHAIN = start("N", 8 * n_layer * d_model**2 + 4 * n_layer * d_model**2, "sum of the table")
SQUARE = n_layer * d_model**2
WRONG: dict[str, Callable[[], Any]] = {
    "coefficient off by one": lambda: rewrite(CHAIN, 11 * SQUARE, "a slip"),
    "term dropped": lambda: rewrite(start("C", SQUARE + n_ctx, "both"), SQUARE, "a slip"),
    "sizes exchanged": lambda: rewrite(start("C", n_seq**2 * n_ctx, "T and S"), n_ctx**2 * n_seq, "a slip"),
    "equal at one size only": lambda: rewrite(start("C", n_seq**2, "square"), n_seq, "at n_seq = 1"),
    "wrong special case": lambda: specialise(start("N", N, "the table"), {d_ff: 3 * d_model}, 12 * SQUARE, "d_ff"),
    "something else dropped": lambda: drop(start("C", SQUARE + n_ctx, "both"), n_seq, SQUARE, "a slip"),
    "terms that are not it": lambda: CHAIN[0].written(3 * Symbol("N"), N=6 * SQUARE),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_slip_is_a_wrong_step(name: str) -> None:
    with pytest.raises(WrongStep) as refusal:
        WRONG[name]()
    assert "\n" not in str(refusal.value)


def test_right_steps_follow() -> None:
    assert rewrite(CHAIN, 12 * SQUARE, "collected")[-1].expression == 12 * SQUARE
    special = specialise(start("N", N, "the table"), {d_ff: 4 * d_model, d_attn: d_model}, 12 * SQUARE, "shape")
    assert special[-1].expression == 12 * SQUARE
    assert drop(start("C", SQUARE + n_ctx, "both"), n_ctx, SQUARE, "small")[-1].dropped == n_ctx
    assert CHAIN[0].written(2 * Symbol("N"), N=6 * SQUARE).terms == 2 * Symbol("N")


polynomials = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4).map(
    lambda terms: Add(*(c * n_seq**a * d_model**b for c, a, b in terms))
)


@settings(deadline=None)
@given(polynomials, polynomials)
def test_proofs_of_equality_and_order_agree_with_numbers(left: Expr, right: Expr) -> None:
    at = [(left - right).subs({n_seq: s, d_model: d}) for s in range(1, 8) for d in range(1, 8)]
    assert equal(left, right) == all(each == 0 for each in at) == (residual(left, right) == 0)
    if at_most(left, right):
        assert max(at) <= 0
    assert equal(left / (n_seq + 1), right / (n_seq + 1)) == equal(left, right)


def test_order_is_shown_only_where_it_holds_everywhere() -> None:
    assert at_most(n_seq, n_seq**2) and at_most(Integer(2), Integer(2)) and at_most(1 / n_seq, Integer(1))
    assert not at_most(n_seq**2, 100 * n_seq) and not at_most(n_seq, d_model) and not at_most(Integer(3), Integer(2))


def test_rows_stand_in_reading_order() -> None:
    rows = table(architecture("gpt2").network, KAPLAN.convention)
    assert [row.name for row in rows][:2] == ["Embed", "Attention: QKV"] and rows[-1].name == "De-embed"


def test_unknown_names_are_refused_in_one_line() -> None:
    for wrong in (lambda: derive("kaplan2021"), lambda: derive("gpt2", "kaplen"), lambda: derive(None)):
        with pytest.raises(SymflopsError) as refusal:
            wrong()
        assert "\n" not in str(refusal.value)
