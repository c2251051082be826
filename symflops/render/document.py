"""A page as a plain value: what every format prints, whoever fills it.

>>> from symflops.notation import d_model, n_layer
>>> page = Document("A model", (Forms((("N", 12 * n_layer * d_model**2),)),), {"N": "12*d_model**2*n_layer"})
>>> [type(block).__name__ for block in page.blocks]
['Forms']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sympy import Add, Basic, Eq, Expr, Mod, Mul, expand, factor_terms


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

    >>> from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head, n_layer, n_vocab
    >>> layer = 3 * d_ff * d_model + 2 * d_head * d_model * n_head + 2 * d_head * d_model * n_kv_head
    >>> readable(n_layer * layer + d_model * n_vocab)
    d_model*(n_layer*(3*d_ff + 2*d_head*(n_head + n_kv_head)) + n_vocab)
    """
    expanded = expand(expression)
    return min((_nested(expanded), factor_terms(expanded), expanded), key=lambda each: len(str(each)))


def _nested(expanded: Expr) -> Expr:
    """What all terms share taken out; terms that share a size apart from the others, numbers of layers first."""
    if not isinstance(expanded, Add):
        return expanded
    factors = Mul.make_args(factor_terms(expanded))
    outside = [each for each in factors if not isinstance(each, Add)]
    sums = [_split(expand(each)) for each in factors if isinstance(each, Add)]
    # A number times a sum would be multiplied out.
    return Mul(*outside, *sums, evaluate=not (len(outside) == 1 and outside[0].is_number))


def _split(total: Expr) -> Expr:
    terms = Add.make_args(total)
    counts = Counter(each for term in terms for each in _bases(term) if each.is_Symbol)
    shared = [each for each, count in counts.items() if 1 < count < len(terms)]
    if not shared:
        return total
    chosen = max(sorted(shared, key=str), key=lambda each: (each.name.startswith("n_layer"), counts[each]))
    having = [term for term in terms if chosen in _bases(term)]
    return _nested(Add(*having)) + _nested(Add(*(term for term in terms if term not in having)))


def _bases(term: Expr) -> set[Expr]:
    return {factor.as_base_exp()[0] for factor in Mul.make_args(term)}


def division(condition: Basic) -> tuple[Basic, Basic] | None:
    """Of a condition that one size divides another, the divisor and what it divides.

    >>> from symflops.notation import n_head, n_kv_head
    >>> division(Eq(Mod(n_head, n_kv_head), 0))
    (n_kv_head, n_head)
    """
    if isinstance(condition, Eq) and isinstance(condition.lhs, Mod) and condition.rhs == 0:
        return condition.lhs.args[1], condition.lhs.args[0]
    return None
