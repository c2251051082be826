"""Number formats by their bits: what a format holds follows from sign, exponent, mantissa and special values.

Everything is an exact fraction, computed, never typed. All formats by name: `symflops.training.formats_known`.

>>> half, small = FloatFormat("fp16", "float16", 5, 10), FloatFormat("e4m3", "float8 E4M3", 4, 3, "fn")
>>> half.largest, small.largest, half.epsilon
(Fraction(65504, 1), Fraction(448, 1), Fraction(1, 1024))
>>> half.round_to(Fraction(1, 10**8)), half.survives(Fraction(1, 10**7)), small.round_to(Fraction(500))
(Fraction(0, 1), True, <Special.NAN: 'nan'>)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, TypeAlias

from sympy import Expr, Rational

from symflops.errors import SizeError


class Special(Enum):
    """A value of a format that is no number."""

    INFINITY = "inf"
    NEGATIVE_INFINITY = "-inf"
    NAN = "nan"


Value: TypeAlias = Fraction | Special
"""What a pattern of bits stands for; both zeros are 0."""
Specials = Literal["ieee", "fn", "fnuz", "none", "scale"]
_OF_LARGEST: Mapping[Specials, Callable[[int, int], int]] = MappingProxyType(
    {
        "ieee": lambda exponent, mantissa: (((1 << exponent) - 1) << mantissa) - 1,
        "fn": lambda exponent, mantissa: (1 << exponent + mantissa) - 2,
        "fnuz": lambda exponent, mantissa: (1 << exponent + mantissa) - 1,
        "none": lambda exponent, mantissa: (1 << exponent + mantissa) - 1,
        "scale": lambda exponent, mantissa: (1 << exponent + mantissa) - 2,
    }
)
"""The pattern of the largest number, sign left out: patterns above it are infinity and NaN."""


@dataclass(frozen=True)
class FloatFormat:
    """A binary float: ``sign`` bits (1 or 0), ``exponent`` bits, ``mantissa`` bits after the leading one.

    ``specials`` says what is no number: ``ieee``: the largest exponent is for infinities and NaNs (IEEE 754);
    ``fn``: one NaN, all bits set, and no infinity (Micikevicius et al. 2022, arXiv:2209.05433); ``fnuz``: negative zero
    is the one NaN, and the bias is larger by one (Noune et al. 2022, arXiv:2206.02915); ``none``: all are numbers;
    ``scale``: powers of two and one NaN, without a zero (OCP Microscaling Formats, 2023). ``container`` is how many
    bits memory holds of each, where that is more.
    """

    name: str
    title: str
    exponent: int
    mantissa: int
    specials: Specials = "ieee"
    sign: int = 1
    container: int = 0
    aliases: tuple[str, ...] = ()
    citation: str = ""

    @property
    def bits(self) -> Fraction:
        """Bits of a number."""
        return Fraction(self.sign + self.exponent + self.mantissa)

    @property
    def bytes(self) -> Fraction:
        """Bytes of a number in memory, formats under 8 bits packed."""
        return Fraction(self.container or self.bits) / 8

    @property
    def layout(self) -> str:
        """Bits of sign, exponent and mantissa.

        >>> FloatFormat("bf16", "bfloat16", 8, 7).layout
        '1 + 8 + 7'
        """
        return f"{self.sign} + {self.exponent} + {self.mantissa}"

    @property
    def bias(self) -> int:
        """What is taken from a stored exponent."""
        return (1 << self.exponent - 1) - (0 if self.specials == "fnuz" else 1)

    @property
    def largest(self) -> Fraction:
        """The largest number.

        >>> FloatFormat("fp32", "float32", 8, 23).largest == (2 - Fraction(1, 2**23)) * 2**127
        True
        """
        return self._magnitude(self._last)

    @property
    def lowest(self) -> Fraction:
        """The smallest number of all: minus the largest, or what is above zero where there is no sign."""
        return -self.largest if self.sign else self.smallest

    @property
    def smallest_normal(self) -> Fraction:
        """The smallest number of full precision."""
        return self.smallest if self.specials == "scale" else Fraction(2) ** (1 - self.bias)

    @property
    def smallest(self) -> Fraction:
        """The smallest number above zero."""
        return self._magnitude(0 if self.specials == "scale" else 1)

    @property
    def epsilon(self) -> Fraction:
        """How far the next number after 1 is."""
        return Fraction(1, 1 << self.mantissa)

    @property
    def overflow(self) -> str:
        """What a number becomes that is too large."""
        return {"ieee": "infinity", "none": "the largest"}.get(self.specials, "NaN")

    def decode(self, pattern: int) -> Value:
        """What a pattern of bits stands for.

        >>> FloatFormat("e5m2", "float8 E5M2", 5, 2).decode(0b1_01111_10)
        Fraction(-3, 2)

        Raises `SizeError` for a pattern of more bits than the format has.
        """
        if not 0 <= pattern < 1 << int(self.bits):
            raise SizeError(
                f"{pattern} is no pattern of {self.name}; give an integer from 0 to {2 ** int(self.bits) - 1}"
            )
        negative, rest = divmod(pattern, 1 << self.exponent + self.mantissa)
        if self.specials == "fnuz" and negative and not rest:
            return Special.NAN
        if rest > self._last:
            infinite = self.specials == "ieee" and rest == self._last + 1
            return (Special.INFINITY, Special.NEGATIVE_INFINITY)[negative] if infinite else Special.NAN
        return -self._magnitude(rest) if negative else self._magnitude(rest)

    def round_to(self, number: Fraction) -> Value:
        """The nearest value, ties to even; what is too large becomes infinity, NaN, or the largest: see `overflow`."""
        if number < 0 and not self.sign:
            return Special.NAN
        pattern = self._nearest(abs(number))
        if pattern > self._last:
            infinity = Special.INFINITY if number > 0 else Special.NEGATIVE_INFINITY
            return {"infinity": infinity, "NaN": Special.NAN}.get(self.overflow) or self.saturated(number)
        return -self._magnitude(pattern) if number < 0 else self._magnitude(pattern)

    def saturated(self, number: Fraction) -> Fraction:
        """The nearest number, ties to even; what is too large becomes the largest."""
        size = self._magnitude(min(self._nearest(abs(number)), self._last))
        return -size if number < 0 and self.sign else size

    def survives(self, number: Fraction) -> bool:
        """Whether a number that is not zero becomes a number that is not zero."""
        found = self.round_to(number)
        return isinstance(found, Fraction) and found != 0

    def bytes_of(self, elements: Expr | int) -> Expr:
        """Bytes of a tensor of so many elements."""
        return elements * Rational(self.bytes)

    @property
    def _last(self) -> int:
        return _OF_LARGEST[self.specials](self.exponent, self.mantissa)

    def _magnitude(self, pattern: int) -> Fraction:
        """The number of a pattern without its sign: below the first exponent they lie evenly, from zero on."""
        exponent, mantissa = divmod(pattern, 1 << self.mantissa)
        if self.specials == "scale":
            return Fraction(2) ** (exponent - self.bias)
        leading = 1 << self.mantissa if exponent else 0
        return (leading + mantissa) * Fraction(2) ** (max(exponent, 1) - self.bias - self.mantissa)

    def _nearest(self, size: Fraction) -> int:
        """The pattern that is nearest, as if the exponents never ended: patterns count up as numbers do."""
        if size < self.smallest_normal:
            return 0 if self.specials == "scale" else round(size / self.smallest)
        exponent = floor_log2(size)
        steps = round(size / Fraction(2) ** (exponent - self.mantissa))
        stored = exponent + self.bias
        return (stored << self.mantissa) + steps - (1 << self.mantissa)


@dataclass(frozen=True)
class IntegerFormat:
    """Integers of some bits, in two's complement where there is a ``sign`` bit, each worth ``unit``."""

    name: str
    title: str
    width: int
    sign: int = 1
    unit: Fraction = Fraction(1)
    container: int = 0
    aliases: tuple[str, ...] = ()
    citation: str = ""
    overflow: str = "the largest"

    @property
    def bits(self) -> Fraction:
        """Bits of a number."""
        return Fraction(self.width)

    @property
    def bytes(self) -> Fraction:
        """Bytes of a number in memory, formats under 8 bits packed."""
        return Fraction(self.container or self.width) / 8

    @property
    def layout(self) -> str:
        """Bits of sign and of the rest."""
        return f"{self.sign} + {self.width - self.sign}"

    @property
    def bias(self) -> None:
        """None: there is no exponent."""

    @property
    def largest(self) -> Fraction:
        """The largest number.

        >>> IntegerFormat("int8", "int8", 8).largest, IntegerFormat("int8", "int8", 8).lowest
        (Fraction(127, 1), Fraction(-128, 1))
        """
        return ((1 << self.width - self.sign) - 1) * self.unit

    @property
    def lowest(self) -> Fraction:
        """The smallest number of all."""
        return -(1 << self.width - 1) * self.unit if self.sign else Fraction(0)

    @property
    def smallest(self) -> Fraction:
        """The smallest number above zero."""
        return self.unit

    smallest_normal = epsilon = smallest

    def decode(self, pattern: int) -> Fraction:
        """What a pattern of bits stands for. Raises `SizeError` for a pattern of more bits than the format has."""
        if not 0 <= pattern < 1 << self.width:
            raise SizeError(f"{pattern} is no pattern of {self.name}; give an integer from 0 to {2**self.width - 1}")
        negative = self.sign and pattern >> self.width - 1
        return (pattern - (1 << self.width if negative else 0)) * self.unit

    def round_to(self, number: Fraction) -> Fraction:
        """The nearest number, ties to even; what is too large becomes the largest."""
        return min(max(round(number / self.unit) * self.unit, self.lowest), self.largest)

    saturated = round_to

    def survives(self, number: Fraction) -> bool:
        """Whether a number that is not zero becomes a number that is not zero."""
        return self.round_to(number) != 0

    def bytes_of(self, elements: Expr | int) -> Expr:
        """Bytes of a tensor of so many elements."""
        return elements * Rational(self.bytes)


def floor_log2(size: Fraction) -> int:
    """The exponent of the largest power of two that is no larger than a positive number.

    >>> floor_log2(Fraction(5)), floor_log2(Fraction(1, 3)), floor_log2(Fraction(1, 4))
    (2, -2, -2)
    """
    guess = size.numerator.bit_length() - size.denominator.bit_length()
    return guess if Fraction(2) ** guess <= size else guess - 1
