"""Conditions that say nothing are dropped, and those that do are kept."""

from __future__ import annotations

from sympy import Max, Mod, Ne

from symflops.notation import d_head, n_head, n_seq
from symflops.tracing.domain import domain


def test_a_remainder_and_a_maximum_of_one_are_decided() -> None:
    assert domain([Ne(Mod(1, n_head), 0)]) == domain([])
    assert domain([Ne(Max(1, n_head * d_head), 1), Ne(Mod(1, n_head) * Max(1, 2 * n_seq), 0)]) == domain([])


def test_what_may_fail_stays() -> None:
    """The planted faults: a remainder of more than the least size, and a difference that may be 0."""
    kept = [Ne(Mod(2, n_head), 0), Ne(Max(1, n_seq - d_head), 1)]
    for each in kept:
        found = domain([each])
        assert (*found.conditions, *found.generic) != ()
