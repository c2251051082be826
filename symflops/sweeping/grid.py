"""The product of axes, in chunks that are products themselves: each a range of every axis.

>>> from symflops.sweeping.axes import axes
>>> grid = Grid(axes({"n_layer": "1:4", "d_model": "64:512:64", "seq": [128, 256]}))
>>> grid.shape, grid.points
((4, 8, 2), 64)
>>> [grid.shape_of(chunk) for chunk in grid.chunks(most=10)][:3]
[(1, 5, 2), (1, 3, 2), (1, 5, 2)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TypeAlias

from symflops.sweeping.axes import Axis

Chunk: TypeAlias = tuple[slice, ...]
"""A range of each axis."""
MOST_POINTS = 131_072
"""Points of a chunk: few enough that what is computed of them stays in a core's cache."""


@dataclass(frozen=True)
class Grid:
    """Every combination of the axes' values, the last axis fastest.

    A chunk has one value of each of the first ``leading`` axes.
    """

    axes: tuple[Axis, ...]
    leading: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each axis."""
        return tuple(map(len, self.axes))

    @property
    def points(self) -> int:
        """Combinations in all."""
        return prod(self.shape)

    def chunks(self, most: int = MOST_POINTS) -> Iterator[Chunk]:
        """Ranges that make up the grid in order, of at most so many points."""
        shape = self.shape
        cut, inside = len(shape), 1
        while cut > self.leading and inside * shape[cut - 1] <= most:
            cut -= 1
            inside *= shape[cut]
        whole = tuple(slice(0, length) for length in shape[cut:])
        if cut == self.leading:
            yield from ((*each, *whole) for each in _ones(shape[:cut]))
            return
        step = most // inside
        for first in _ones(shape[: cut - 1]):
            for start in range(0, shape[cut - 1], step):
                yield (*first, slice(start, min(start + step, shape[cut - 1])), *whole)

    def shape_of(self, chunk: Chunk) -> tuple[int, ...]:
        """How many values of each axis a chunk has."""
        return tuple(part.stop - part.start for part in chunk)

    def points_of(self, chunk: Chunk) -> int:
        """How many points a chunk has."""
        return prod(self.shape_of(chunk))

    def variant(self, chunk: Chunk) -> int:
        """The number of the chunk's combination of the leading axes' values."""
        place = 0
        for part, length in zip(chunk[: self.leading], self.shape, strict=False):
            place = place * length + part.start
        return place


def _ones(shape: tuple[int, ...]) -> Iterator[Chunk]:
    return (tuple(slice(at, at + 1) for at in each) for each in product(*map(range, shape)))
