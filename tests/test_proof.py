"""Proofs: what is proved holds at every point tried, what is refuted is false there, and a certificate can be wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Eq, Expr, Integer, Max, Min, Mod, Symbol

from symflops.errors import SymflopsError
from symflops.notation import d_model, n_head, n_kv_head, n_layer, n_seq, n_window, symbol
from symflops.proof import prove
from symflops.proof.domains import holds_at, parametrised

SIZES = (n_seq, n_window)
n_prefix = symbol("n_prefix")


def polynomial(terms: list[tuple[int, int, int]]) -> Expr:
    """A sum of terms ``c * n_seq**i * n_window**j``."""
    return sum((c * n_seq**i * n_window**j for c, i, j in terms), start=Integer(0))


POLYNOMIALS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4
).map(polynomial)  # fmt: skip
DOMAINS = st.sampled_from([[], [n_window <= n_seq], [n_seq >= 3], [Eq(Mod(n_seq, n_window), 0)], [n_window < n_seq]])


@settings(deadline=None, max_examples=60)
@given(POLYNOMIALS, POLYNOMIALS, DOMAINS, st.booleans())
def test_no_answer_says_more_than_is_true(left: Expr, right: Expr, domain: list[Expr], strict: bool) -> None:
    claim = left < right if strict else left <= right
    found = prove(claim, domain)
    points = [dict(zip(SIZES, map(Integer, values), strict=True)) for values in product(range(1, 9), repeat=2)]
    true_at = (
        [bool(claim.xreplace(each)) for each in points if holds_at(domain, each)] if claim not in (True, False) else []
    )
    if found:
        assert all(true_at) and all(each.holds() for each in found.certificates)
    if found.outcome == "counterexample" and found.point:
        point = {size: Integer(value) for size, value in found.point.items()}
        assert not bool(claim.xreplace(point)) and holds_at(domain, point)


@pytest.mark.parametrize(
    "domain", [[n_window <= n_seq], [Eq(Mod(n_seq, n_window), 0)], [n_seq >= 4], [n_window < n_seq]]
)
def test_every_point_of_a_domain_is_reached(domain: list[Expr]) -> None:
    written = parametrised(set(SIZES), domain)
    new = sorted({each for form in written.values() for each in form.free_symbols}, key=str)
    reached = set()
    for values in product(range(9), repeat=len(new)):
        at = dict(zip(new, map(Integer, values), strict=True))
        reached.add(tuple(int(written[size].xreplace(at)) for size in SIZES))
    inside = [
        values
        for values in product(range(1, 9), repeat=2)
        if holds_at(domain, dict(zip(SIZES, map(Integer, values), strict=True)))
    ]
    assert set(inside) <= reached


TRUE = (
    (n_seq * (n_seq + 1) / 2 <= n_seq**2, []),
    (n_kv_head * d_model <= n_head * d_model, [Eq(Mod(n_head, n_kv_head), 0)]),
    (Min(n_seq, n_window) * n_layer <= n_seq * n_layer, []),
    (Max(n_seq, n_window) >= n_window, []),
    (n_prefix**2 + n_seq <= n_window**2 + n_seq, [n_prefix <= n_seq, n_seq <= n_window]),
    (2 * n_seq / (n_window + 1) <= 2 * n_seq / 2, []),
    (n_seq < n_window + n_layer, [n_seq <= n_window]),
    (Eq((n_seq + 1) ** 2, n_seq**2 + 2 * n_seq + 1), []),
)


@pytest.mark.parametrize(("claim", "domain"), TRUE)
def test_what_is_true_is_proved_and_its_certificate_can_be_checked(claim: Expr, domain: list[Expr]) -> None:
    found = prove(claim, domain)
    assert found and all(each.holds() for each in found.certificates) and "proved" in repr(found)


@pytest.mark.parametrize(
    ("claim", "domain", "point"),
    [
        (n_kv_head <= n_head, [], {n_kv_head: 2, n_head: 1}),
        (n_seq**2 <= 1000 * n_seq, [], {n_seq: 1024}),
        (n_window < n_seq, [n_window <= n_seq], {n_window: 1, n_seq: 1}),
        (Eq(n_seq + n_window, 2 * n_seq), [], {n_seq: 1, n_window: 2}),
        (Min(n_seq, n_window) >= n_seq, [], {n_seq: 2, n_window: 1}),
    ],
)
def test_what_is_false_is_refuted_by_the_smallest_point(
    claim: Expr, domain: list[Expr], point: dict[Symbol, int]
) -> None:
    found = prove(claim, domain)
    assert found.outcome == "counterexample" and found.point == point and not found


def test_what_is_neither_is_open() -> None:
    assert prove(2 * n_seq * n_window <= n_seq**2 + n_window**2).outcome == "open"
    circle = [n_seq <= n_window, n_window <= n_seq]
    assert prove(Eq(n_seq, n_window), circle).outcome == "open"


def test_a_forged_certificate_is_noticed() -> None:
    (certificate,) = prove(n_window <= n_seq, [n_window <= n_seq]).certificates
    assert certificate.holds()
    assert not replace(certificate, polynomial=certificate.polynomial + 1).holds()
    assert not replace(certificate, sizes={n_seq: n_window}).holds()
    assert not replace(certificate, claim=n_seq <= n_window).holds()


@pytest.mark.parametrize("given_", [n_seq, n_seq + 1])
def test_what_is_no_claim_or_condition_is_refused(given_: Expr) -> None:
    with pytest.raises(SymflopsError):
        prove(given_)
    with pytest.raises(SymflopsError):
        prove(n_seq <= n_window, [given_])


def test_what_is_false_when_it_is_written_is_said_to_be() -> None:
    found = prove(n_seq + 1 <= n_seq)
    assert not found and repr(found) == "counterexample: it is false for all sizes"
