"""Conditions that points of a grid meet: those of the family, such as heads that divide the width, and those asked for.

>>> from symflops.notation import symbol
>>> left, relation = read("d_model / n_head <= 128", symbol)
>>> left, relation
(d_model/n_head - 128, '<=')
>>> read("d_model % n_head == 0", symbol)
(Mod(d_model, n_head), '==')
>>> read("d_model", symbol)
Traceback (most recent call last):
symflops.errors.SizeError: 'd_model' is no condition; write one comparison, such as 'd_model % n_head == 0' or ...
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sympy import Expr, Mod

from symflops.arithmetic import as_expression
from symflops.errors import SizeError
from symflops.grammar import parse
from symflops.sweeping.running import Form

if TYPE_CHECKING:
    from numpy.typing import NDArray

RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
)


class Nowhere(SizeError):
    """A condition that no point of the grid meets."""

    def __init__(self, text: str) -> None:
        super().__init__(f"no point of the grid is left: {text} nowhere holds")
        self.text = text


@dataclass(frozen=True)
class Condition:
    """``form`` compared with zero; ``text`` says which, for readers."""

    text: str
    form: Form
    relation: str

    def holds(self, sizes: Mapping[str, Any]) -> NDArray[Any]:
        """Where it holds, over sizes that broadcast."""
        return self.form.compared(sizes, RELATIONS[self.relation])


def condition(text: str, left: Expr, relation: str) -> Condition | None:
    """The condition that an expression compares with zero; None where that holds whatever the sizes.

    Raises `Nowhere` where it holds for none.
    """
    if left.is_number:
        if not RELATIONS[relation](left, 0):
            raise Nowhere(text)
        return None
    return Condition(text, Form.of(left), relation)


def read(text: str, resolve: Callable[[str], Expr]) -> tuple[Expr, str]:
    """What a condition compares with zero, and how: ``LEFT RELATION RIGHT``, each a formula or ``A % B``.

    Raises `SizeError` for text that is no comparison, and what ``resolve`` raises for a name.
    """
    parts = re.split(r"(==|!=|<=|>=|<|>)", text)
    if len(parts) != 3 or len(text) > 1000:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        raise SizeError(
            f"{shown!r} is no condition; write one comparison, such as 'd_model % n_head == 0' or 'days <= 30'"
        )
    left, relation, right = parts
    return _side(left, resolve) - _side(right, resolve), relation


def _side(text: str, resolve: Callable[[str], Expr]) -> Expr:
    formulas = [as_expression(parse(part), resolve) for part in text.split("%", 1)]
    return formulas[0] if len(formulas) == 1 else Mod(*formulas)
