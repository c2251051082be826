"""A case of the search: sizes and shared choices fixed, so that all that is left is to add up entries of fragments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from math import lcm
from typing import TYPE_CHECKING, Any

from symflops.arithmetic import as_expression
from symflops.grammar import parse
from symflops.identify.counting import Counter, Entry, Vector, departure, per_of
from symflops.identify.intervals import at_most, counts, held_at_once, polynomials
from symflops.identify.polynomials import Polynomial, Ranges, plus
from symflops.identify.rows import Row
from symflops.notation import symbol

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1_500_000
"""Numbers that are added up at once."""
_INT64 = 2**62


@dataclass(frozen=True, eq=False)
class Case:
    """Rows, the counter of their sizes and shared choices, and each fragment's entries."""

    rows: Sequence[Row]
    counter: Counter
    tables: tuple[tuple[Entry, ...], ...]

    @property
    def departure(self) -> int:
        """How far the sizes and the shared choices are from the usual."""
        sizes = min(departure(tuple(each.values())) for each in self.counter.shape.choices)
        return sizes + departure(tuple(self.counter.outer.values()))

    @cached_property
    def base(self) -> tuple[Vector, Vector]:
        """What is counted, and divided by, before anything is added."""
        counted: Vector = ((0,),) * len(self.rows)
        if self.counter.asked.over:
            return counted, counted
        return counted, self.counter.shape.of(as_expression(parse(per_of(self.counter.outer)), symbol))

    def sums(self, entries: Sequence[Entry]) -> tuple[Vector, Vector]:
        """What is counted, and what it is divided by, of one entry of each fragment."""
        counted, divisor = self.base
        for each in entries:
            counted, divisor = _added(counted, each.counted), _added(divisor, each.divisor)
        return counted, divisor


def _added(left: Vector, right: Vector) -> Vector:
    return tuple(plus(a, b) for a, b in zip_longest(left, right, fillvalue=(0,)))


@dataclass(frozen=True, eq=False)
class Block:
    """Combinations of a case: the place in each table, and the bounds of each row."""

    case: Case
    places: NDArray[Any]
    """Combinations by tables."""
    bounds: NDArray[Any]
    """Combinations by rows, by the two bounds, by coefficients."""

    @cached_property
    def counts(self) -> NDArray[Any]:
        """How many rows each combination reproduces at once."""
        return counts(self.bounds)

    def most(self, at_least: int) -> int:
        """The most rows that one combination reproduces."""
        return int(self.counts.max(initial=0))

    def number(self, rows: int) -> int:
        """How many combinations reproduce so many rows, each reading counted."""
        return int((self.counts == rows).sum())

    def used(self, rows: int) -> tuple[tuple[Entry, ...], ...]:
        """The entries of each fragment that stand in a combination which reproduces so many rows."""
        import numpy as np

        places = map(np.unique, self.places[self.counts == rows].T)
        return tuple(
            tuple(table[place] for place in found) for table, found in zip(self.case.tables, places, strict=True)
        )

    def nearest(self, rows: int, most: int) -> Iterator[tuple[tuple[Entry, ...], frozenset[int], Ranges]]:
        """The combinations that reproduce so many rows, nearest first; which rows, at which sizes."""
        import numpy as np

        chosen = np.flatnonzero(self.counts == rows)
        places = self.places[chosen].T
        far = sum(
            np.array([each.departure for each in table])[place]
            for table, place in zip(self.case.tables, places, strict=True)
        )
        for index in np.argsort(far, kind="stable")[:most]:
            entries = tuple(table[place[index]] for table, place in zip(self.case.tables, places, strict=True))
            yield entries, *held_at_once(polynomials(self.bounds[chosen[index]]))


def blocks(case: Case, least: int) -> Iterator[Block]:
    """The combinations of a case that may reproduce ``least`` rows or more, some at once.

    Tables are added one by one, those that differ most first, and what cannot come to it whatever follows is dropped.
    """
    import numpy as np

    arrays, base, degrees = _arrays(case)
    order = sorted(range(len(arrays)), key=lambda place: -_spread(arrays[place]))
    ahead = [array.max(axis=0) for array in (arrays[place] for place in order)]
    shape = (-1, len(case.rows), 2, degrees)
    start = (base[None, :], np.zeros((1, 0), dtype=np.int32))
    for sums, places in _extended([arrays[place] for place in order], ahead, *start, shape, least):
        yield Block(case, places[:, np.argsort(order)], sums.reshape(shape))


def _spread(array: NDArray[Any]) -> float:
    return float((array.max(axis=0) - array.min(axis=0)).max())


def _extended(
    arrays: Sequence[NDArray[Any]],
    ahead: Sequence[NDArray[Any]],
    sums: NDArray[Any],
    places: NDArray[Any],
    shape: tuple[int, ...],
    least: int,
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """All sums of what there is with an entry of each table that is left, but for those that cannot come to it."""
    import numpy as np

    if shape[-1] <= 3 or not arrays:
        upper = sum(ahead, start=sums)
        kept = at_most(upper.reshape(shape)) >= least
        sums, places = sums[kept], places[kept]
    if not len(sums) or not arrays:
        yield from [(sums, places)] if len(sums) else []
        return
    first, rest = arrays[0], arrays[1:]
    at_once = max(1, _AT_ONCE // first.size)
    for start in range(0, len(sums), at_once):
        some, where = sums[start : start + at_once], places[start : start + at_once]
        more = (some[:, None, :] + first[None, :, :]).reshape(-1, sums.shape[1])
        chosen = np.tile(np.arange(len(first), dtype=np.int32), len(some))[:, None]
        yield from _extended(rest, ahead[1:], more, np.hstack([where.repeat(len(first), axis=0), chosen]), shape, least)


def _arrays(case: Case) -> tuple[list[NDArray[Any]], NDArray[Any], int]:
    """The bounds of each fragment's entries and of the base as integers, over one denominator."""
    import numpy as np

    base = case.counter.bounds(*case.base)
    every = [base, *(entry.bounds for table in case.tables for entry in table)]
    degrees = max(len(each) for bounds in every for each in bounds)
    common = lcm(*(each.denominator for one in base for each in one), *(e.denominator for t in case.tables for e in t))
    whole = [[_flat(entry.bounds, degrees, common) for entry in table] for table in case.tables]
    start = _flat(base, degrees, common)
    largest = sum(max(max(map(abs, each)) for each in table) for table in (*whole, [start]))
    kind: Any = np.int64 if largest < _INT64 else object
    return [np.array(table, dtype=kind) for table in whole], np.array(start, dtype=kind), degrees


def _flat(bounds: Sequence[Polynomial], degrees: int, common: int) -> list[int]:
    return [int(number * common) for each in bounds for number in (*each, *(0,) * (degrees - len(each)))]
