"""Quantities with units: the symbols that plans relate, and how their values are shown.

>>> shown(Fraction(1130 * 10**9), "bytes"), shown(Fraction(63, 10) * 10**24, "FLOP"), shown(1024, "devices")
('1.130 TB', '6.300e+24 FLOP', '1,024 devices')
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy import Expr, Rational, Symbol

from symflops.arithmetic import fraction
from symflops.claims.shown import plain, scientific

Number = int | Fraction


def _measure(name: str) -> Symbol:
    return Symbol(name, positive=True)


C, C_TOKEN, C_RUN = _measure("C"), _measure("C_token"), _measure("C_run")
"""FLOPs of a whole training, of one token of it, and of one token with what is computed again."""
PEAK, MFU = _measure("peak"), _measure("MFU")
"""FLOP/s of a device in dense work, and the share of it that is the model's FLOPs."""
C_STEP, T_STEP = _measure("C_step"), _measure("t_step")
"""FLOPs of the model in one training step, and the seconds that a record of timings predicts for it."""
DAYS = _measure("days")
SECONDS_A_DAY = 86400

_PREFIXES: tuple[tuple[int, str], ...] = (
    (10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"),
)  # fmt: skip
_PREFIXED = {"bytes": "B", "bytes/s": "B/s", "FLOP/s": "FLOP/s", "Wh": "Wh", "W": "W"}
_SMALL = ((Fraction(1), ""), (Fraction(1, 10**3), "m"), (Fraction(1, 10**6), "µ"), (Fraction(1, 10**9), "n"))
_DIGITS = 4
_FLOATS = 10**300
"""Up to here a float holds a number."""


@dataclass(frozen=True)
class Quantity:
    """A value with its unit: ``name`` in JSON, ``label`` for readers, and, of a result, the closed form it follows."""

    name: str
    label: str
    value: Number
    unit: str
    formula: Expr | None = None
    note: str = ""

    def __str__(self) -> str:
        return shown(self.value, self.unit)

    def as_json(self) -> dict[str, Any]:
        """The value as a number, exact in text where it is no integer, its unit, and its formula."""
        value = self.value if isinstance(self.value, int) or self.value > _FLOATS else float(self.value)
        value = value if isinstance(value, float) else round(value)
        exact = {} if isinstance(self.value, int) else {"exact": str(self.value)}
        formula = {} if self.formula is None else {"formula": str(self.formula)}
        return {"value": value, **exact, "unit": self.unit, **formula, **({"note": self.note} if self.note else {})}


def number(value: Any) -> Number:
    """A sympy number or a fraction as an integer where it is one."""
    found = fraction(value) if isinstance(value, Rational) else Fraction(value)
    return int(found) if found.denominator == 1 else found


def shown(value: Number, unit: str) -> str:
    """A value with its unit as one reads it: decimal prefixes for bytes, four digits for what is not whole."""
    if unit in _PREFIXED:
        size, prefix = _prefix(max(value, -value))
        return f"{_rounded(Fraction(value) / size)} {prefix}{_PREFIXED[unit]}"
    if unit == "s":
        small, letter = next((each for each in _SMALL if value >= each[0]), _SMALL[-1])
        return f"{_rounded(value / small)} {letter}s"
    if unit == "FLOP":
        return f"{scientific(Fraction(value), _DIGITS)} FLOP"
    return f"{_grouped(value)} {unit}".rstrip() if unit != "1" else _grouped(value)


def _prefix(magnitude: Number) -> tuple[int, str]:
    for size, letter in _PREFIXES:
        if magnitude >= size:
            return size, letter
    return 1, ""


def _grouped(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value, _DIGITS) if value < 10**6 else f"{round(value):,}"


def _rounded(value: Fraction) -> str:
    if value.denominator == 1 and value < 1000:
        return str(value)
    return plain(value, _DIGITS) if value >= 1000 else _fixed(value)


def _fixed(value: Fraction) -> str:
    return f"{float(value):.{max(0, _DIGITS - len(str(int(value))))}f}"
