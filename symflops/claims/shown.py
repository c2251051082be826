"""Numbers as a table prints them, with two digits more.

>>> from symflops.claims.figures import figure
>>> shown(Fraction(17716740096), figure("17.7 GFLOPs")), shown(Fraction(1, 3), figure("33%"))
('17.717 GFLOPs', '33.33%')
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

from symflops.arithmetic import Value, divide
from symflops.claims.figures import Figure

_MORE = 2
_EXACT = 16
"""Digits to which an integer is written out."""


def shown(number: Value, like: Figure) -> str:
    """A number in the unit and style of a printed figure."""
    significant = max(len(like.digits.replace(".", "").lstrip("0")), 1) + _MORE
    written = plain if like.exponent is None else scientific
    return written(divide(number, like.scale), significant) + like.suffix


def scientific(number: Value, significant: int) -> str:
    """
    >>> scientific(Fraction(603) * 10**21, 4)
    '6.030e+23'
    """
    return f"{_decimal(number, significant):.{significant - 1}e}"


def plain(number: Value, significant: int) -> str:
    """A number without an exponent: an integer as it is, anything else to so many digits.

    >>> plain(Fraction(25, 2), 6), plain(Fraction(2, 3), 3), plain(Fraction(10**20), 3)
    ('12.5', '0.667', '1.00e+20')
    """
    if isinstance(number, Fraction) and number.denominator == 1 and abs(number) < 10**_EXACT:
        return str(number.numerator)
    rounded = _decimal(number, significant)
    if rounded and not -6 < rounded.adjusted() < _EXACT:
        return scientific(number, significant)
    written = f"{rounded:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _decimal(number: Value, significant: int) -> Decimal:
    context = Context(prec=significant + 2)
    if isinstance(number, Fraction):
        exact = context.divide(Decimal(number.numerator), Decimal(number.denominator))
    else:
        exact = Decimal(str(number))
    return Context(prec=significant).plus(exact)


def percent(ratio: Value) -> str:
    """A relative difference, signed.

    >>> percent(Fraction(47, 1000)), percent(Fraction(-1, 3))
    ('+4.7 %', '-33.3 %')
    """
    return f"{float(ratio) * 100:+.3g} %"


def compared(ratio: Value) -> str:
    """A relative difference in words.

    >>> compared(Fraction(47, 1000)), compared(Fraction(-1, 3))
    ('4.7 % more than', '33.3 % less than')
    """
    return f"{percent(ratio).lstrip('+-')} {'less' if ratio < 0 else 'more'} than"
