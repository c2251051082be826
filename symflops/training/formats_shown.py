"""A table of number formats, and of what a number becomes in each.

>>> print(table_of(("fp16", "bf16"), Fraction(1, 10**8)).show())
Number formats
...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from symflops.derivation import Page
from symflops.documents import Block, Document, Prose, Table
from symflops.training.formats import Special, Value
from symflops.training.formats_blocks import BlockFormat
from symflops.training.formats_known import FORMATS, NumberFormat, number_format

_SAID = (
    "The columns follow from bits: sign, exponent and mantissa; the smallest number above zero; how far the next after "
    "1 is; what a number becomes that is too large. Ties are rounded to even. An E4M3 or E5M2 may also be saturated "
    "to the largest (OCP 8-bit Floating Point Specification 1.0, table 3), as torch 2.13 saturates E4M3."
)
_BLOCKS = (
    "A block's bits for each element have its scale in them, and not the scale of a whole tensor that nvfp4 has; its "
    "range is that of the block's scale. A number stands for a block of which it is the largest."
)


@dataclass(frozen=True)
class Became:
    """What a number is in a format, and the relative error, which an infinity or NaN has none of."""

    value: Value
    error: Fraction | None

    def as_json(self) -> dict[str, Any]:
        """Exact fractions as text."""
        value = self.value.value if isinstance(self.value, Special) else str(self.value)
        return {"value": value, "relative_error": None if self.error is None else str(self.error)}


@dataclass(frozen=True)
class FormatTable(Page):
    """Formats with what follows from their bits, and what a number becomes in each where one is given."""

    formats: tuple[NumberFormat, ...]
    number: Fraction | None = None

    def document(self) -> Document:
        """The tables as a page."""
        return Document("Number formats", tuple(self._blocks()), self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values, exact fractions as text."""
        given = {} if self.number is None else {"number": str(self.number)}
        return {**given, "formats": [self._json(each) for each in self.formats]}

    def _json(self, each: NumberFormat) -> dict[str, Any]:
        names = ("bits", "bytes", "largest", "lowest", "smallest_normal", "smallest", "epsilon")
        facts = {name: str(getattr(each, name)) for name in names}
        became = {} if self.number is None else {"becomes": became_of(each, self.number).as_json()}
        said = {"name": each.name, "title": each.title, "layout": each.layout, "bias": each.bias}
        return {**said, **facts, "overflow": each.overflow, "citation": each.citation, **became}

    def _blocks(self) -> list[Block]:
        head = ("format", "sign + exponent + mantissa", "bits", "bias", "largest", "smallest normal", "smallest",
                "epsilon", "too large")  # fmt: skip
        blocks: list[Block] = [Prose(_SAID), Table("", head, tuple(map(_row, self.formats)))]
        if any(isinstance(each, BlockFormat) for each in self.formats):
            blocks.append(Prose(_BLOCKS))
        if self.number is not None:
            rows = tuple(_became_row(each, became_of(each, self.number)) for each in self.formats)
            blocks.append(Table("", ("format", f"{short(self.number)} becomes", "relative error"), rows))
        return blocks


def became_of(form: NumberFormat, number: Fraction) -> Became:
    """What a number becomes in a format.

    >>> became_of(number_format("fp16"), Fraction(1, 10**8)).error, became_of(number_format("e4m3"), Fraction(500))
    (Fraction(1, 1), Became(value=<Special.NAN: 'nan'>, error=None))
    """
    value = form.round_to(number)
    if isinstance(value, Special):
        return Became(value, None)
    return Became(value, abs(value - number) / abs(number) if number else abs(value))


def table_of(names: Sequence[object] = (), number: Fraction | None = None) -> FormatTable:
    """The table of some formats, by default of all.

    Raises `UnknownName` for a format that is none.
    """
    return FormatTable(tuple(map(number_format, names)) or FORMATS, number)


def short(number: Fraction) -> str:
    """A fraction in few characters: in digits where they are few, a power of two, or five digits of it.

    >>> short(Fraction(65504)), short(Fraction(33, 4)), short(Fraction(1, 2**24)), short(Fraction(2, 3))
    ('65,504', '8.25', '2**-24', '6.6667e-1')
    """
    if number.denominator == 1 and abs(number) < 10**6:
        return f"{number.numerator:,}"
    power = number.denominator.bit_length() - 1
    if number.denominator == 1 << power and abs(number) < 10**6:
        if power < 4:
            return f"{float(number)}"
        if number.numerator == 1:
            return f"2**-{power}"
    wide = Context(prec=60, Emax=10**6, Emin=-(10**6))
    return f"{wide.divide(Decimal(number.numerator), Decimal(number.denominator)):.4e}"


def _row(each: NumberFormat) -> tuple[str, ...]:
    bias = "-" if each.bias is None else str(each.bias)
    sizes = (each.largest, each.smallest_normal, each.smallest, each.epsilon)
    return (each.name, each.layout, short(each.bits), bias, *map(short, sizes), each.overflow)


def _became_row(each: NumberFormat, became: Became) -> tuple[str, ...]:
    if isinstance(became.value, Special) or became.error is None:
        return each.name, str(getattr(became.value, "value", "-")), "-"
    error = "exact" if became.error == 0 else f"{float(became.error):.2e}"
    return each.name, short(became.value), error
