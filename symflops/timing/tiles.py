"""What a matmul's shape wastes: its result is computed in tiles, and tiles in waves of as many as there are processors.

A tile at the edge costs as much as a whole one, and the last wave as much as a full one: tile and wave quantisation
(NVIDIA, Matrix Multiplication Background User's Guide, DU-09799-001, February 2023, sections 3.1 and 3.2).

>>> tiles = Tiles(128, 256, processors=132)
>>> [round(float(tiles.waste([Product(1, rows, 11 * 256, 4096)])), 4) for rows in (12 * 128, 12 * 128 + 1)]
[1.0, 1.9987]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from symflops.operations import Contraction
from symflops.timing.samples import Phase, Product


@dataclass(frozen=True)
class Tiles:
    """The tile of a result that one processor computes at a time, in rows and columns, and how many processors."""

    rows: int
    columns: int
    processors: int

    def waves(self, of: Product) -> int:
        """How often all processors take a tile each."""
        tiles = of.batch * -(-of.rows // self.rows) * -(-of.columns // self.columns)
        return -(-tiles // self.processors)

    def waste(self, products: Sequence[Product]) -> Fraction:
        """What is computed for each entry that is asked for, 1 or more; of several products, their mean."""
        each = [
            Fraction(self.waves(one) * self.processors * self.rows * self.columns, one.batch * one.rows * one.columns)
            for one in products
        ]
        return sum(each, Fraction(0)) / len(each) if each else Fraction(1)


@dataclass(frozen=True)
class Blocks:
    """How many keys, and queries, a core under a causal mask takes at a time: a block is left out whole or not at all.

    Of blocks on the diagonal all pairs are computed (Dao 2023, section 3.1.1, arXiv:2307.08691).

    >>> [float(Blocks(512).waste([Product(1, length, length, 64)]) * (length + 1) / (2 * length))
    ...     for length in (512, 1024)]
    [1.0, 0.75]
    """

    side: int

    def waste(self, products: Sequence[Product]) -> Fraction:
        """What is computed for each pair that is attended to, 1 or more; of several products, their mean."""
        each = [Fraction(2 * self._pairs(one), one.rows * (one.rows + 1)) for one in products]
        return sum(each, Fraction(0)) / len(each) if each else Fraction(1)

    def _pairs(self, of: Product) -> int:
        starts = range(0, of.rows, self.side)
        return sum(min(self.side, of.rows - at) * min(of.columns, at + self.side) for at in starts)


def products(of: Contraction, phase: Phase) -> tuple[Product, ...]:
    """The matrix products of a phase, of a contraction whose sizes are numbers: backward one for each gradient.

    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3})
    >>> products(up, "forward")
    (Product(batch=1, rows=5, columns=3, depth=2),)
    >>> products(up, "backward")
    (Product(batch=1, rows=5, columns=2, depth=3), Product(batch=1, rows=2, columns=3, depth=5))
    """
    left, right = (frozenset(factor.axes) for factor in of.sentence.factors)
    result = frozenset(of.sentence.result.axes)
    parts = ((left & right & result), (left - right), (right - left), (left & right) - result)
    batch, rows, columns, depth = (prod(int(of.sizes[axis]) for axis in part) for part in parts)
    if phase == "forward":
        return (Product(batch, rows, columns, depth),)
    gradients = (Product(batch, rows, depth, columns), Product(batch, depth, columns, rows))
    wanted = (factor.name not in of.constants for factor in of.sentence.factors)
    return tuple(each for each, want in zip(gradients, wanted, strict=True) if want)
