"""A total: a closed form that knows what it counts, in which unit, and under whose convention.

>>> from symflops.conventions import EXACT, KAPLAN
>>> from symflops.notation import n_layer
>>> from sympy import Integer
>>> n_layer * Total(Integer(6), EXACT) + Total(Integer(1), EXACT)
6*n_layer + 1 FLOP (exact)
>>> Total(Integer(6), EXACT) + Total(Integer(1), KAPLAN)
Traceback (most recent call last):
symflops.errors.ConventionMismatch: cannot combine FLOP (exact) with FLOP (kaplan); use .expr of each if meant
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import Any

from sympy import Expr, SympifyError, expand, latex, sympify

from symflops.conventions import Convention
from symflops.errors import ConventionMismatch, SymflopsError
from symflops.notation import latex_names
from symflops.proof import equal


@dataclass(frozen=True, eq=False)
class Total:
    """A closed form or a number, with its convention. Totals of one convention add, subtract, compare and divide.

    ``expr`` is the bare sympy expression. A total scales by numbers and symbols. A plain number it is compared with is
    taken to be in the same unit. Adding anything but a total of the same convention raises `ConventionMismatch`.
    """

    expr: Expr
    convention: Convention

    @property
    def unit(self) -> str:
        """``FLOP`` or ``MAC``."""
        return self.convention.unit

    def subs(self, *args: Any) -> Total:
        """Substitution in the closed form, as in sympy."""
        return Total(self.expr.subs(*args), self.convention)

    def expand(self) -> Total:
        """The expanded closed form."""
        return Total(expand(self.expr), self.convention)

    @property
    def free_symbols(self) -> set[Any]:
        """The sizes that are still open."""
        return set(self.expr.free_symbols)

    def _sympy_(self) -> Expr:
        """Not sympy's: sympy would take the bare number and lose the unit."""
        raise SympifyError(self)

    def __add__(self, other: Any) -> Total:
        return Total(self.expr + self._same(other), self.convention)

    def __sub__(self, other: Any) -> Total:
        return Total(self.expr - self._same(other), self.convention)

    def __neg__(self) -> Total:
        return Total(-self.expr, self.convention)

    def __radd__(self, other: Any) -> Total:
        if isinstance(other, int) and other == 0:  # the start of sum()
            return self
        return self.__add__(other)

    def __mul__(self, factor: Any) -> Total:
        if isinstance(factor, Total):
            raise ConventionMismatch(f"a product of two totals ({self._label} and {factor._label}) has no unit here")
        return Total(self.expr * _number(factor), self.convention)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Total | Expr:
        if isinstance(other, Total):
            return self.expr / self._same(other)
        return Total(self.expr / _number(other), self.convention)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Total):
            return self.convention == other.convention and equal(self.expr, other.expr)
        return isinstance(other, Number | Expr) and equal(self.expr, sympify(other, strict=True))

    def __lt__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a < b)

    def __le__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a <= b)

    def __gt__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a > b)

    def __ge__(self, other: Any) -> bool:
        return self._compare(other, lambda a, b: a >= b)

    def __hash__(self) -> int:
        return hash(expand(self.expr))

    def __int__(self) -> int:
        if not self.expr.is_Integer:
            raise TypeError(f"{self} is not an integer; substitute all its sizes first")
        return int(self.expr)

    __index__ = __int__

    def __float__(self) -> float:
        return float(self.expr)

    def __format__(self, spec: str) -> str:
        if not spec or self.free_symbols:
            return format(str(self), spec)
        return format(int(self) if self.expr.is_Integer and spec[-1] not in "eEfFgG%" else float(self), spec)

    def _compare(self, other: Any, holds: Callable[[Any, Any], Any]) -> bool:
        number = self._same(other) if isinstance(other, Total) else sympify(other, strict=True)
        return bool(holds(self.expr, number))

    def _same(self, other: Any) -> Expr:
        if not isinstance(other, Total):
            raise ConventionMismatch(
                f"cannot combine {self._label} with the bare {other}; use .expr where that is meant"
            )
        if other.convention != self.convention:
            raise ConventionMismatch(f"cannot combine {self._label} with {other._label}; use .expr of each if meant")
        return other.expr

    @property
    def _label(self) -> str:
        return f"{self.unit} ({self.convention.name})"

    def __repr__(self) -> str:
        return f"{self.expr} {self._label}"

    def _repr_latex_(self) -> str:
        label = rf"\;\mathrm{{{self.unit}}}\;\text{{({self.convention.name})}}"
        return rf"$\displaystyle {latex(self.expr, symbol_names=latex_names())}{label}$"


def _number(value: Any) -> Expr:
    """What a total scales by: a number or an expression in sizes."""
    try:
        return sympify(value, strict=True)
    except SympifyError:
        raise SymflopsError(f"a total scales by numbers and sizes, not by {value!r}") from None
