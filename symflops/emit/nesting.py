"""Polynomials as few integer operations: greedy Horner over several variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd

from symflops.emit.program import Builder

Terms = Mapping[tuple[int, ...], int]
"""Integer coefficients by the exponents of the factors."""


def nested(build: Builder, terms: Terms, factors: Sequence[int]) -> int:
    """The node of a polynomial in the nodes `factors`.

    What all terms share goes outside, then what most of the rest share, and so on inwards.

    >>> build = Builder(["x", "y"])
    >>> place = nested(build, {(1, 1): 6, (1, 0): 4}, [build.size("x"), build.size("y")])
    >>> build.program(place, build.integer(1)).cost     # 2*x*(3*y + 2)
    4
    """
    sign, place = _nest(build, terms, factors)
    return place if sign > 0 else negative(build, place)


def negative(build: Builder, place: int) -> int:
    """The node of minus another."""
    return build.apply("sub", build.integer(0), place)


def power(build: Builder, base: int, exponent: int) -> int:
    """The node of a power, by repeated squaring."""
    if exponent == 0:
        return build.integer(1)
    half = power(build, base, exponent // 2)
    squared = build.apply("mul", half, half)
    return build.apply("mul", squared, base) if exponent % 2 else squared


def _nest(build: Builder, terms: Terms, factors: Sequence[int]) -> tuple[int, int]:
    """The sign and the node of a sum of terms. The sign is apart so that a sum of such can subtract."""
    if not any(terms.values()):
        return 1, build.integer(0)
    sign = -1 if all(value < 0 for value in terms.values()) else 1
    content = gcd(*terms.values())
    shared = [min(column) for column in zip(*terms, strict=True)]
    powers = [power(build, factor, exponent) for factor, exponent in zip(factors, shared, strict=True) if exponent]
    outside = reduce(lambda left, right: build.apply("mul", left, right), powers, build.integer(content))
    rest = {_less(exponents, shared): sign * value // content for exponents, value in terms.items()}
    return sign, build.apply("mul", outside, _sum(build, rest, factors))


def _less(exponents: tuple[int, ...], shared: Sequence[int]) -> tuple[int, ...]:
    return tuple(own - common for own, common in zip(exponents, shared, strict=True))


def _sum(build: Builder, terms: Terms, factors: Sequence[int]) -> int:
    """The node of terms that share no factor: those with the most common factor first, then the others."""
    if len(terms) == 1:
        return build.integer(*terms.values())
    parts: list[tuple[int, int]] = []
    while terms:
        counts = [sum(map(bool, column)) for column in zip(*terms, strict=True)]
        most = counts.index(max(counts))
        chosen = {exponents: value for exponents, value in terms.items() if exponents[most]} or terms
        parts.append(_nest(build, chosen, factors))
        terms = {exponents: value for exponents, value in terms.items() if exponents not in chosen}
    return _signed_sum(build, sorted(parts, key=lambda part: -part[0]))


def _signed_sum(build: Builder, parts: Sequence[tuple[int, int]]) -> int:
    (sign, total), *others = parts
    total = total if sign > 0 else negative(build, total)
    for sign, place in others:
        total = build.apply("add" if sign > 0 else "sub", total, place)
    return total
