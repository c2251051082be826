"""What every part of a network is: a sympy expression that adds and scales, and refuses anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Expr, Tuple, sympify
from sympy.core.symbol import Str

from symflops.declarations import Sentence
from symflops.errors import NotLinearError, SizeError
from symflops.masks import AttendedPairs


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


def sizes_of(sizes: Mapping[str, Any] | Tuple) -> dict[str, Expr]:
    """The size of each axis, from a mapping or from an operation's own argument; `SizeError` for what is no size."""
    pairs = sizes.items() if isinstance(sizes, Mapping) else [(axis.name, size) for axis, size in sizes]
    return {axis: _size(axis, size) for axis, size in pairs}


def _size(axis: str, size: Any) -> Expr:
    """A size as a sympy expression; a number must be a positive integer."""
    known = not isinstance(size, bool | str) and size is not None
    value = sympify(size, strict=True) if known else size
    if not isinstance(value, Expr) or value.has(Node) or (value.is_number and not (value.is_Integer and value > 0)):
        raise SizeError(f"the size of axis {axis!r} is {size!r}; it must be a positive integer, or symbols for one")
    return value


def axis_table(name: str, sentence: Sentence, given: dict[str, Expr], mask: Any) -> Tuple:
    """The size of each axis of a sentence: as given, and for query and key as the mask has it."""
    paired = {"query": mask.n_query, "key": mask.n_key} if isinstance(mask, AttendedPairs) else {}
    known = paired | given
    if any(known[axis] != size for axis, size in paired.items()):
        raise SizeError(f"operation {name}: the sizes of query and key are not those of its mask {mask}")
    missing = ", ".join(axis for axis in sentence.axes if axis not in known)
    if missing:
        raise SizeError(f"operation {name}: no size given for the axes {missing} of {sentence.text}")
    return Tuple(*(Tuple(Str(axis), known[axis]) for axis in sorted(sentence.axes)))
