"""What a matmul's shape wastes: its result is computed in tiles, and tiles in waves of as many as there are processors.

A tile at the edge costs as much as a whole one, and the last wave as much as a full one: tile and wave quantisation
(NVIDIA, Matrix multiplication background user's guide, 2023, section 4).

>>> tiles = Tiles(128, 256, processors=132)
>>> [round(float(tiles.waste([Shape(1, rows, 11 * 256, 4096)])), 4) for rows in (12 * 128, 12 * 128 + 1)]
[1.0, 1.9987]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from symflops.operations import Contraction
from symflops.timing.samples import Sample


@dataclass(frozen=True)
class Shape:
    """``batch`` products of a matrix of rows x depth with one of depth x columns."""

    batch: int
    rows: int
    columns: int
    depth: int


@dataclass(frozen=True)
class Tiles:
    """The tile of a result that one processor computes at a time, in rows and columns, and how many processors."""

    rows: int
    columns: int
    processors: int

    def waves(self, shape: Shape) -> int:
        """How often all processors take a tile each."""
        tiles = shape.batch * -(-shape.rows // self.rows) * -(-shape.columns // self.columns)
        return -(-tiles // self.processors)

    def waste(self, shapes: Sequence[Shape]) -> Fraction:
        """What is computed for each entry that is asked for, 1 or more; of several products, their mean."""
        each = [
            Fraction(self.waves(one) * self.processors * self.rows * self.columns, one.batch * one.rows * one.columns)
            for one in shapes
        ]
        return sum(each, Fraction(0)) / len(each) if each else Fraction(1)


def shapes(of: Contraction, phase: str, sizes: Mapping[str, int]) -> tuple[Shape, ...]:
    """The matrix products of a phase, from what the contraction declares: backward one for each operand's gradient.

    ``sizes`` are numbers by axis, or by the name of the symbol of a closed form; nothing where one is missing.

    >>> from symflops.notation import d_ff, d_model
    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": d_model, "f": d_ff})
    >>> shapes(up, "forward", {"d_model": 2, "d_ff": 3})
    (Shape(batch=1, rows=5, columns=3, depth=2),)
    """
    numbers = {axis: sizes.get(axis) or _number(of, axis, sizes) for axis in of.sizes}
    if None in numbers.values():
        return ()
    left, right = (frozenset(factor.axes) for factor in of.sentence.factors)
    result = frozenset(of.sentence.result.axes)
    parts = ((left & right & result), (left - right), (right - left), (left & right) - result)
    batch, rows, columns, depth = (prod(numbers[axis] or 1 for axis in part) for part in parts)
    if phase == "forward":
        return (Shape(batch, rows, columns, depth),)
    gradients = (Shape(batch, rows, depth, columns), Shape(batch, depth, columns, rows))
    wanted = (factor.name not in of.constants for factor in of.sentence.factors)
    return tuple(each for each, want in zip(gradients, wanted, strict=True) if want)


def _number(of: Contraction, axis: str, sizes: Mapping[str, int]) -> int | None:
    size = of.sizes[axis]
    value = size.subs({each: sizes[each.name] for each in size.free_symbols if each.name in sizes})
    return int(value) if value.is_Integer else None


def shapes_of(sample: Sample, known: Mapping[str, Contraction]) -> tuple[Shape, ...]:
    """The products of a sample, by the declaration of its operation; nothing where there is none."""
    of = known.get(sample.operation)
    return () if of is None else shapes(of, sample.phase, sample.sizes)
