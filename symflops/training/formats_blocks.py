"""Formats of blocks: elements of few bits that share a scale, which costs a fraction of a bit for each.

>>> from symflops.training.formats_known import number_format
>>> {name: number_format(name).bits for name in ("mxfp8", "mxfp4", "nvfp4")}
{'mxfp8': Fraction(33, 4), 'mxfp4': Fraction(17, 4), 'nvfp4': Fraction(9, 2)}
>>> number_format("mxfp4").round_block((Fraction(3), Fraction(1, 3), Fraction(1, 100)))
(Fraction(3, 1), Fraction(1, 4), Fraction(0, 1))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sympy import Expr, Integer, Rational, ceiling, sympify

from symflops.training.formats import FloatFormat, IntegerFormat, floor_log2


@dataclass(frozen=True)
class BlockFormat:
    """Elements of one format, of which ``block`` share a ``scale``, and all of a tensor another where there is one.

    A number is element times scale times the tensor's scale. A scale of powers of two is chosen as the OCP Microscaling
    Formats 1.0 (2023), section 6.3, have it: the largest of a block gets the largest exponent of the elements; another
    so that the largest of a block becomes the largest element. What then is too large becomes the largest element.
    """

    name: str
    title: str
    element: FloatFormat | IntegerFormat
    scale: FloatFormat
    block: int
    tensor_scale: FloatFormat | None = None
    aliases: tuple[str, ...] = ()
    citation: str = ""
    overflow: str = "the largest"

    @property
    def bits(self) -> Fraction:
        """Bits of an element and its part of the block's scale; a tensor's scale is not in it."""
        return self.element.bits + self.overhead

    @property
    def overhead(self) -> Fraction:
        """Bits of a scale for each element."""
        return self.scale.bits / self.block

    @property
    def bytes(self) -> Fraction:
        """Bytes of an element and its part of the block's scale."""
        return self.bits / 8

    @property
    def layout(self) -> str:
        """Bits of an element, and of the scale of how many."""
        return f"{self.element.layout}, {self.scale.name} of {self.block}"

    @property
    def bias(self) -> int | None:
        """What is taken from an element's stored exponent."""
        return self.element.bias

    @property
    def largest(self) -> Fraction:
        """The largest number, at a tensor's scale of 1."""
        return self.element.largest * self.scale.largest

    @property
    def lowest(self) -> Fraction:
        """The smallest number of all, at a tensor's scale of 1."""
        return self.element.lowest * self.scale.largest

    @property
    def smallest_normal(self) -> Fraction:
        """The smallest number of full precision, at a tensor's scale of 1."""
        return self.element.smallest_normal * self.scale.smallest

    @property
    def smallest(self) -> Fraction:
        """The smallest number above zero, at a tensor's scale of 1."""
        return self.element.smallest * self.scale.smallest

    @property
    def epsilon(self) -> Fraction:
        """How far the next number after 1 is, in a block whose scale is 1."""
        return self.element.epsilon

    def round_block(self, numbers: Sequence[Fraction]) -> tuple[Fraction, ...]:
        """What the numbers of a block become; the block is taken for the whole tensor."""
        peak = max(map(abs, numbers), default=Fraction(0))
        scale = self._scale(peak) if peak else Fraction(0)
        return tuple(self.element.saturated(each / scale) * scale if scale else Fraction(0) for each in numbers)

    def round_to(self, number: Fraction) -> Fraction:
        """What a number becomes in a block of which it is the largest."""
        return self.round_block((number,))[0]

    def survives(self, number: Fraction) -> bool:
        """Whether a number that is not zero becomes a number that is not zero, where it is the largest of its block."""
        return self.round_to(number) != 0

    def bytes_of(self, elements: Expr | int) -> Expr:
        """Bytes of a tensor of so many elements: a block that is not full has a scale too."""
        count = sympify(elements, strict=True)
        scales = ceiling(count / self.block) * Integer(self.scale.bits)
        tensor = self.tensor_scale.bits if self.tensor_scale else 0
        return (count * Rational(self.element.bits) + scales + Integer(tensor)) / 8

    def _scale(self, peak: Fraction) -> Fraction:
        if self.scale.mantissa == 0:
            exponent = floor_log2(peak) - floor_log2(self.element.largest)
            return min(max(Fraction(2) ** exponent, self.scale.smallest), self.scale.largest)
        whole = Fraction(1)
        if self.tensor_scale:
            whole = self.tensor_scale.saturated(peak / (self.element.largest * self.scale.largest))
        return whole * self.scale.saturated(peak / self.element.largest / whole) if whole else Fraction(0)
