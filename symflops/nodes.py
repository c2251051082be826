"""What every part of a network is: a sympy expression that adds and scales, and refuses anything else."""

from __future__ import annotations

from typing import Any

from sympy import Expr
from sympy.core.symbol import Str

from symflops.errors import NotLinearError


class Node(Expr):
    """Whatever a network is made of: an operation, or an operation on a network. Adds and scales, nothing else."""

    is_commutative = True

    def __mul__(self, other: Any) -> Expr:
        if isinstance(other, Expr) and other.has(Node):
            raise NotLinearError(f"{self}*{other} is a product of operations; a network is a sum of multiples of them")
        return super().__mul__(other)

    def _eval_power(self, exponent: Expr) -> Expr:
        raise NotLinearError(f"{self}**({exponent}) is not linear; a network is a sum of multiples of operations")


def operator_latex(name: str) -> str:
    """A name set upright, as an operator."""
    escaped = name.replace("_", r"\_").replace(" ", r"\ ")
    return rf"\operatorname{{{escaped}}}"


def as_str(value: Any) -> Str:
    """A name as a sympy argument."""
    return value if isinstance(value, Str) else Str(str(value))
