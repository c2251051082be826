"""Polynomials of one unknown size with exact coefficients, and the whole numbers at which they are not negative.

A polynomial is a tuple of coefficients, the constant first; a number is a polynomial of one.

>>> times((1, 1), (2, 3)), plus((1,), (0, 2))
((2, 5, 3), (1, 2))
>>> not_negative((-7, 2)), not_negative((12, -7, 1)), not_negative((5, 0))
(((4, None),), ((1, None),), ((1, None),))
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise, zip_longest
from math import ceil
from typing import TypeAlias

Polynomial: TypeAlias = tuple[int | Fraction, ...]
Ranges: TypeAlias = tuple[tuple[int, int | None], ...]
"""Ranges of positive integers in order, ends included; None is without an end."""
EVERY: Ranges = ((1, None),)


def plus(left: Polynomial, right: Polynomial) -> Polynomial:
    """The sum."""
    if len(left) == len(right) == 1:
        return (left[0] + right[0],)
    return tuple(a + b for a, b in zip_longest(left, right, fillvalue=0))


def scaled(factor: int | Fraction, polynomial: Polynomial) -> Polynomial:
    """A number times a polynomial."""
    return tuple(factor * each for each in polynomial)


def whole(polynomial: Polynomial) -> Polynomial:
    """The same, with integers as such, which are faster than fractions.

    >>> whole((Fraction(6, 3), Fraction(1, 2)))
    (2, Fraction(1, 2))
    """
    return tuple(each.numerator if each.denominator == 1 else each for each in polynomial)


def times(left: Polynomial, right: Polynomial) -> Polynomial:
    """The product."""
    if len(left) == 1:
        return scaled(left[0], right)
    if len(right) == 1:
        return scaled(right[0], left)
    found: list[int | Fraction] = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            found[i + j] += a * b
    return tuple(found)


def power(base: Polynomial, exponent: int) -> Polynomial | None:
    """A whole power; None for a negative one of what is no number."""
    if exponent < 0:
        return (Fraction(base[0]) ** exponent,) if len(base) == 1 and base[0] else None
    found: Polynomial = (1,)
    for _ in range(exponent):
        found = times(found, base)
    return found


def at(polynomial: Polynomial, number: int) -> int | Fraction:
    """The value at a number."""
    found: int | Fraction = 0
    for each in reversed(polynomial):
        found = found * number + each
    return found


def not_negative(polynomial: Polynomial) -> Ranges:
    """The positive integers at which a polynomial is not negative."""
    trimmed = _trimmed(polynomial)
    if len(trimmed) <= 1:
        return EVERY if not trimmed or trimmed[0] >= 0 else ()
    end = _beyond_roots(trimmed)
    found = []
    for first, after in pairwise([*_pieces(trimmed, end), end + 1]):
        found += _of_piece(trimmed, first, after - 1)
    if found and found[-1][1] == end and trimmed[-1] > 0:
        found[-1] = (found[-1][0], None)
    return tuple(_joined(found))


def _trimmed(polynomial: Polynomial) -> Polynomial:
    length = next((size for size in range(len(polynomial), 0, -1) if polynomial[size - 1] != 0), 0)
    return polynomial[:length]


def _beyond_roots(polynomial: Polynomial) -> int:
    """A number beyond all roots, by Cauchy's bound."""
    return 2 + ceil(max(abs(Fraction(each) / Fraction(polynomial[-1])) for each in polynomial[:-1]))


def _pieces(polynomial: Polynomial, end: int) -> list[int]:
    """Where the pieces of 1 … end start on which a polynomial and all its derivatives only rise or only fall."""
    if len(polynomial) <= 2:
        return [1]
    slope = tuple(power_ * each for power_, each in enumerate(polynomial))[1:]
    starts = _pieces(slope, end)
    turns = [_turn(slope, first, after - 1) for first, after in pairwise([*starts, end + 1])]
    return sorted({*starts, *(each for each in turns if each is not None)})


def _turn(polynomial: Polynomial, first: int, last: int) -> int | None:
    """The first number of a piece at which the sign is another than at the piece's start."""
    start = at(polynomial, first) >= 0
    if (at(polynomial, last) >= 0) == start:
        return None
    low, high = first, last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (at(polynomial, middle) >= 0) == start else (low, middle)
    return high


def _of_piece(polynomial: Polynomial, first: int, last: int) -> list[tuple[int, int | None]]:
    turn = _turn(polynomial, first, last)
    if at(polynomial, first) >= 0:
        return [(first, last if turn is None else turn - 1)]
    return [] if turn is None else [(turn, last)]


def both(left: Ranges, right: Ranges) -> Ranges:
    """What lies in both.

    >>> both(((1, 5), (8, None)), ((3, 9),))
    ((3, 5), (8, 9))
    """
    return tuple(_joined(_overlaps(left, right)))


def _overlaps(left: Ranges, right: Ranges) -> Iterable[tuple[int, int | None]]:
    for low, high in left:
        for start, end in right:
            first, last = max(low, start), high if end is None else end if high is None else min(high, end)
            if last is None or first <= last:
                yield first, last


def _joined(ranges: Iterable[tuple[int, int | None]]) -> Iterable[tuple[int, int | None]]:
    """Ranges that touch as one.

    >>> list(_joined([(1, 3), (4, 6), (8, None)]))
    [(1, 6), (8, None)]
    """
    kept: tuple[int, int | None] | None = None
    for first, last in ranges:
        if kept is not None and kept[1] is not None and first <= kept[1] + 1:
            kept = (kept[0], last)
            continue
        if kept is not None:
            yield kept
        kept = (first, last)
    if kept is not None:
        yield kept
