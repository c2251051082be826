"""Formats of numbers by their bits: what a float of some exponent and mantissa bits can hold, computed, not typed.

>>> {each.name: int(each.largest) for each in (FLOAT16, E4M3, E5M2)}
{'float16': 65504, 'float8 E4M3': 448, 'float8 E5M2': 57344}
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal


@dataclass(frozen=True)
class Format:
    """A binary float: a bit of sign, ``exponent`` bits, ``mantissa`` bits after the leading one.

    ``top`` says what the largest exponent is for: ``infinities`` and NaNs alone, as IEEE 754 has it, or numbers but for
    one NaN, all bits set, as E4M3 (Micikevicius et al. 2022, arXiv:2209.05433).
    """

    name: str
    exponent: int
    mantissa: int
    top: Literal["infinities", "numbers"] = "infinities"

    @property
    def bits(self) -> int:
        """Bits of a number, its sign among them."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        """What is taken from a stored exponent."""
        return (1 << self.exponent - 1) - 1

    @property
    def largest(self) -> Fraction:
        """The largest finite number.

        >>> FLOAT32.largest == (2 - Fraction(1, 2**23)) * 2**127
        True
        """
        last = Fraction(1, 1 << self.mantissa)
        if self.top == "numbers":
            return (2 - 2 * last) * (1 << self.bias + 1)
        return (2 - last) * (1 << self.bias)

    @property
    def smallest_normal(self) -> Fraction:
        """The smallest number of full precision."""
        return Fraction(1, 1 << self.bias - 1)

    @property
    def smallest(self) -> Fraction:
        """The smallest number above zero."""
        return self.smallest_normal / (1 << self.mantissa)

    def underflows(self, number: Fraction) -> bool:
        """Whether a positive number is rounded to zero, ties to even.

        >>> FLOAT16.underflows(Fraction(1, 10**8)), BFLOAT16.underflows(Fraction(1, 10**8))
        (True, False)
        """
        return number <= self.smallest / 2


FLOAT32 = Format("float32", 8, 23)
FLOAT16 = Format("float16", 5, 10)
BFLOAT16 = Format("bfloat16", 8, 7)
E4M3 = Format("float8 E4M3", 4, 3, "numbers")
E5M2 = Format("float8 E5M2", 5, 2)
FORMATS = (FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2)
