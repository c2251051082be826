"""Counts of attended pairs against loops over queries and keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LENGTHS, MASKS, masks
from sympy import Expr, Symbol, expand, simplify

from symflops import SymflopsError
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.notation import n_key, n_prefix, n_query, n_window

# What each mask means, written down a second time: query i of q, key j of k, and the window or prefix e.
MEANING: dict[type[AttendedPairs], Callable[..., bool]] = {
    Full: lambda i, j, q, k: True,
    Causal: lambda i, j, q, k: (k - 1 - j) >= (q - 1 - i),
    CausalTopLeft: lambda i, j, q, k: i >= j,
    SlidingWindow: lambda i, j, q, k, e: 0 <= (k - q + i) - j < e,
    Prefix: lambda i, j, q, k, e: j < e or (k - 1 - j) >= (q - 1 - i),
}
SYMBOLIC = {SlidingWindow: (n_window,), Prefix: (n_prefix,)}


def looped(mask: AttendedPairs) -> int:
    q, k, *extra = map(int, mask.args)
    return sum(MEANING[type(mask)](i, j, q, k, *extra) for i, j in itertools.product(range(q), range(k)))


def closed_form(kind: type[AttendedPairs]) -> AttendedPairs:
    return kind(n_query, n_key, *SYMBOLIC.get(kind, ()))


@pytest.mark.parametrize("kind", MASKS)
def test_count_equals_the_loop_on_a_grid_on_both_sides_of_square(kind: type[AttendedPairs]) -> None:
    for q, k in itertools.product(range(1, 8), repeat=2):
        for extra in itertools.product(*(range(1, 10) for _ in kind.extra)):
            mask = kind(q, k, *extra)
            assert mask.doit() == looped(mask), mask
            assert mask.dense == q * k


@given(masks())
def test_symbolic_closed_form_substituted_is_the_count(mask: AttendedPairs) -> None:
    symbolic = closed_form(type(mask))
    values = dict(zip(symbolic.args, mask.args, strict=True))
    assert symbolic.doit().subs(values) == symbolic.subs(values).doit() == looped(mask)


@given(masks())
def test_the_predicate_is_the_meaning(mask: AttendedPairs) -> None:
    q, k, *extra = map(int, mask.args)
    for i, j in itertools.product(range(q), range(k)):
        assert mask.attends(i, j) == MEANING[type(mask)](i, j, q, k, *extra)


def test_a_mask_shifted_by_one_is_told_apart_by_the_loop() -> None:
    class Shifted(Causal):
        @property
        def shift(self) -> Expr:
            return super().shift - 1

    pairs = list(itertools.product(range(5), repeat=2))
    assert Causal(5, 5).doit() == sum(MEANING[Causal](i, j, 5, 5) for i, j in pairs)
    assert Shifted(5, 5).doit() != sum(MEANING[Causal](i, j, 5, 5) for i, j in pairs)


@given(masks(within_domain=True))
def test_inside_the_domain_every_query_attends_to_something(mask: AttendedPairs) -> None:
    assert all(statement == True for statement in mask.domain)  # noqa: E712 (sympy's true)
    q, k, *extra = map(int, mask.args)
    rows = [sum(MEANING[type(mask)](i, j, q, k, *extra) for j in range(k)) for i in range(q)]
    assert min(rows) >= 1


def test_the_domain_excludes_exactly_the_queries_that_see_nothing() -> None:
    for q, k in itertools.product(range(1, 6), repeat=2):
        sees = all(any(MEANING[Causal](i, j, q, k) for j in range(k)) for i in range(q))
        assert bool(Causal(q, k).domain[0]) == sees


def test_in_the_domain_the_causal_count_is_one_polynomial() -> None:
    past, new = (Symbol(name, positive=True, integer=True) for name in ("past", "new"))
    polynomial = new * past + new * (new + 1) / 2
    assert expand(Causal(new, past + new).doit() - polynomial) == 0
    window = Symbol("window", positive=True, integer=True)
    longer = SlidingWindow(window + past, window + past, window).doit()
    assert expand(longer - (window * (window + 1) / 2 + past * window)) == 0


@given(LENGTHS, LENGTHS)
def test_identities(n: int, more: int) -> None:
    causal = Causal(n, n).doit()
    assert SlidingWindow(n, n, n + more - 1).doit() == causal
    assert SlidingWindow(n, n, 1).doit() == n
    assert CausalTopLeft(n, n).doit() == causal
    assert sum(Causal(1, i).doit() for i in range(1, n + 1)) == causal
    assert Causal(n, n).doit() + Causal(more, n + more).doit() == Causal(n + more, n + more).doit()
    assert Prefix(n, n, n).doit() == Full(n, n).doit() == n * n
    assert Prefix(n, n, 1).doit() == causal
    assert causal <= Prefix(n, n, min(n, more)).doit() <= n * n


@given(st.lists(LENGTHS, min_size=1, max_size=4), st.integers(1, 10))
def test_chunked_prefill_sums_to_prefill(chunks: list[int], window: int) -> None:
    ends = list(itertools.accumulate(chunks))
    for kind, extra in ((Causal, ()), (SlidingWindow, (window,))):
        parts = [kind(chunk, end, *extra).doit() for chunk, end in zip(chunks, ends, strict=True)]
        assert sum(parts) == kind(ends[-1], ends[-1], *extra).doit()


def test_prefix_within_the_window_of_the_past_adds_nothing() -> None:
    assert Prefix(2, 10, 8).doit() == Causal(2, 10).doit()
    assert Prefix(2, 10, 10).doit() == 20


@given(masks())
def test_masks_are_sympy_objects(mask: AttendedPairs) -> None:
    assert mask.func(*mask.args) == mask and hash(mask.func(*mask.args)) == hash(mask)
    assert mask.doit() == simplify(mask.doit())
    symbolic = closed_form(type(mask))
    assert symbolic.free_symbols == set(symbolic.args)
    assert symbolic.xreplace({n_query: n_key}).n_query == n_key


@pytest.mark.parametrize("bad", [(2.5, 3), (-1, 3), ("4", 3), (None, 3), (True, 3), (3,), (3, 3, 3)])
def test_bad_lengths_are_refused_in_one_line(bad: tuple[object, ...]) -> None:
    with pytest.raises(SymflopsError) as refusal:
        Causal(*bad)
    assert "\n" not in str(refusal.value)
