"""A page as a plain value: what every format prints, whoever fills it.

>>> from symflops.notation import d_model, n_layer
>>> page = Document("A model", (Forms((("N", 12 * n_layer * d_model**2),)),), {"N": "12*d_model**2*n_layer"})
>>> [type(block).__name__ for block in page.blocks]
['Forms']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sympy import Add, Basic, Eq, Expr, Mod, Mul, collect, expand, factor_terms


@dataclass(frozen=True)
class Code:
    """Text that stands in code letter by letter, such as a module's path."""

    text: str


Cell: TypeAlias = "str | Code | Basic"
"""A sentence, code, or a formula or condition."""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Forms:
    """Closed forms, each a quantity's name and its expression."""

    forms: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True)
class Table:
    """Rows under a head; every row has as many cells as the head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Facts:
    """Things of one kind, in one list."""

    title: str
    items: tuple[Cell, ...]


Block: TypeAlias = Prose | Forms | Table | Facts


@dataclass(frozen=True)
class Document:
    """A title, what follows it in order, and the same as plain values for JSON."""

    title: str
    blocks: tuple[Block, ...]
    data: Mapping[str, Any]


def readable(expression: Expr) -> Expr:
    """The same expression, in the shortest of a few ways to write it; what comes in each layer stands together.

    >>> from symflops.notation import d_ff, d_model, n_layer, n_vocab
    >>> readable(3 * d_ff * d_model * n_layer + 2 * d_model * n_layer + d_model * n_vocab)
    d_model*(n_layer*(3*d_ff + 2) + n_vocab)
    """
    expanded = expand(expression)
    return min((factor_terms(expanded), _by_layers(expanded), expanded), key=lambda each: len(str(each)))


def _by_layers(expanded: Expr) -> Expr:
    """What all terms share taken out, and the rest as multiples of the numbers of layers."""
    factors = Mul.make_args(factor_terms(expanded))
    layers = sorted((each for each in expanded.free_symbols if each.name.startswith("n_layer")), key=str)
    sums = (collect(expand(each), layers, factor_terms) for each in factors if isinstance(each, Add))
    return Mul(*(each for each in factors if not isinstance(each, Add)), *sums)


def division(condition: Basic) -> tuple[Basic, Basic] | None:
    """Of a condition that one size divides another, the divisor and what it divides.

    >>> from symflops.notation import n_head, n_kv_head
    >>> division(Eq(Mod(n_head, n_kv_head), 0))
    (n_kv_head, n_head)
    """
    if isinstance(condition, Eq) and isinstance(condition.lhs, Mod) and condition.rhs == 0:
        return condition.lhs.args[1], condition.lhs.args[0]
    return None
