"""A figure as printed: its value, and the precision that its digits claim.

>>> figure("3.14E+23").value, figure("34.6K").half
(Fraction(314000000000000000000000, 1), Fraction(50, 1))
>>> figure("28.3 GB").value, figure("52%").value, figure("~144 days").unit
(Fraction(28300000000, 1), Fraction(13, 25), 'days')
>>> figure("1.03").holds(Fraction(103499, 100000)), figure("1.03").holds(Fraction(10351, 10000))
(True, False)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from symflops.arithmetic import Value, at_most
from symflops.errors import SymflopsError
from symflops.grammar import FormulaError

_PREFIXES = {"k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21}
_SCALES = {
    "%": Fraction(1, 100),
    **{word: Fraction(10) ** power for word, power in {"K": 3, "k": 3, "M": 6, "B": 9, "G": 9, "T": 12}.items()},
    **{
        word: Fraction(10) ** power
        for word, power in {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}.items()
    },
    **{f"{prefix}iB": Fraction(1024) ** (power // 3) for prefix, power in _PREFIXES.items()},
    **{f"{prefix}B": Fraction(10) ** power for prefix, power in _PREFIXES.items()},
}
_COUNTED = (
    "FLOP",
    "FLOPs",
    "FLOPS",
    "OP",
    "OPs",
    "MAC",
    "MACs",
    "bytes",
    "bits",
    "tokens",
    "parameters",
    "params",
    "Hz",
)
_RATES = ("", "/s", "/sec", "/s/GPU", "/GPU", "/token", "/step", "/layer", "/h")
_PLAIN = ("ms", "s", "sec", "seconds", "minutes", "h", "hours", "days", "weeks", "PF-days", "GPUs", "groups",
          "elements", "steps", "x", "times", "GPU-hours", "USD", "W", "layers", "heads", "PF-days")  # fmt: skip
_ABOUT = re.compile(r"^(?:~|≈|about|approximately|around|approx\.?|roughly)\s*", re.IGNORECASE)
_FIGURE = re.compile(
    r"(?P<sign>[-−]?)\s*(?P<digits>[0-9][0-9,_]*(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE](?P<e>[-+−]?[0-9]{1,3})|\s*[x×*]\s*10\s*(?:\^|\*\*)\s*(?P<ten>[-+−]?[0-9]{1,3}))?"
    r"(?P<space>\s*)(?P<unit>.*)",
    re.DOTALL,
)
_LONGEST = 80


@dataclass(frozen=True)
class Figure:
    """What a source printed. ``half`` is half a unit of the last digit: what rounding may have taken or added."""

    text: str
    value: Fraction
    half: Fraction
    digits: str
    exponent: int | None
    """The power of ten that is printed, if one is."""
    suffix: str
    """What is printed after the number, with its space."""
    unit: str
    scale: Fraction
    """What the unit multiplies by: 10**9 for "1.5B"."""

    @property
    def plain(self) -> bool:
        """Whether it is an integer without a unit or an exponent, such as a count of layers."""
        return not self.unit and self.exponent is None and "." not in self.digits

    @property
    def low(self) -> Fraction:
        """The smallest number that is printed so."""
        return self.value - self.half

    @property
    def high(self) -> Fraction:
        """The largest."""
        return self.value + self.half

    def holds(self, low: Value, high: Value | None = None) -> bool:
        """Whether a number, or some number from ``low`` to ``high``, is printed so."""
        return at_most(low, self.high) and at_most(self.low, low if high is None else high)

    def exactly(self) -> Figure:
        """The same number, not rounded."""
        return replace(self, half=Fraction(0))

    def with_digits(self, significant: int) -> Figure:
        """The same, of which only so many digits are meant: 29600 of three digits is 29600 ± 50.

        >>> figure("29600").with_digits(3).half
        Fraction(50, 1)
        """
        return replace(self, half=max(self.half, _place_of(self.value, significant) / 2))


@lru_cache(maxsize=16_384)
def figure(text: str, unit: str = "") -> Figure:
    """The figure that a cell of a table prints; ``unit`` is what its column counts in, and goes before its own suffix.

    Raises `FigureError` for text that is no single figure, or a unit that is not known.

    >>> figure("327.82GB", "GiB").value == Fraction("327.82") * 2**30
    True
    >>> figure("34 Bilion")
    Traceback (most recent call last):
    symflops.claims.figures.FigureError: '34 Bilion' is no figure: unknown unit 'Bilion'; a figure is a number with ...
    """
    stripped = text.strip()
    match = _FIGURE.fullmatch(_ABOUT.sub("", stripped))
    if match is None or len(text) > _LONGEST:
        raise _refused(text[:_LONGEST], "it does not start with a number")
    digits = match["digits"].replace(",", "").replace("_", "")
    if match["unit"][:1] in (".", "/") and not match["unit"].startswith("/s"):
        raise _refused(text, "more than one number")
    own = match["unit"].strip()
    scale = _scale(unit or own, text) if own or unit else Fraction(1)
    if unit and own:
        _scale(own, text)  # a slip in the text is not hidden by the column's unit
    power = match["e"] or match["ten"]
    exponent = int(power.replace("−", "-")) if power else None
    factor = scale * Fraction(10) ** (exponent or 0)
    value = Fraction(digits) * factor * (-1 if match["sign"] else 1)
    place = Fraction(1, 10 ** len(digits.partition(".")[2])) * factor
    if _ABOUT.match(stripped):
        place = max(place, _last_digit(digits) * factor)
    return Figure(text, value, place / 2, digits, exponent, match["space"] + match["unit"], unit or own, scale)


class FigureError(FormulaError):
    """Text that is no figure."""


def _refused(text: str, why: str) -> SymflopsError:
    return FigureError(
        f"{text!r} is no figure: {why}; a figure is a number with at most a scale or a unit, such as 1.03, 3.14E+23, "
        "34.6K, 28.3 GB, 52%, 1.5 Trillion, 34 days"
    )


def _scale(unit: str, text: str) -> Fraction:
    """What a unit multiplies by; a plain unit, such as days, by one."""
    word, _, rest = unit.partition(" ")
    for each in (word, word.lower()):
        if each in _SCALES:
            if rest and rest not in (*_PLAIN, *_COUNTED):
                raise _refused(text, f"unknown unit {rest!r}")
            return _SCALES[each]
    for rate in _RATES:
        counted = unit.removesuffix(rate) if rate else unit
        if counted in (*_PLAIN, *_COUNTED):
            return Fraction(1)
        if counted in _SCALES and rate:
            return _SCALES[counted]
        if counted[:1] in _PREFIXES and counted[1:] in _COUNTED:
            return Fraction(10) ** _PREFIXES[counted[0]]
    raise _refused(text, f"unknown unit {unit!r}")


def _last_digit(digits: str) -> Fraction:
    """The place of the last digit that is not zero: 60 is printed in tens."""
    whole, _, decimals = digits.partition(".")
    if decimals.strip("0"):
        return Fraction(1, 10 ** len(decimals.rstrip("0")))
    return Fraction(10) ** (len(whole) - len(whole.rstrip("0")))


def _place_of(value: Fraction, significant: int) -> Fraction:
    if value == 0:
        return Fraction(0)
    size, place = abs(value), Fraction(1)
    while size >= 10 * place:
        place *= 10
    while size < place:
        place /= 10
    return place / Fraction(10) ** (significant - 1)
