"""A page as a plain value: what every format prints, whoever fills it.

>>> from symflops.notation import d_model, n_layer
>>> page = Document("A model", (prose("It has ", 12 * n_layer * d_model**2, " parameters."),), {})
>>> [as_json(block) for block in page.blocks]
[{'kind': 'prose', 'text': 'It has 12*d_model**2*n_layer parameters.'}]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sympy import Basic, Eq, Expr, Integer, Mod
from sympy.core.relational import Relational

from symflops.steps import Step


@dataclass(frozen=True)
class Code:
    """Text that stands in code letter by letter, such as a module's path."""

    text: str


Piece: TypeAlias = "str | Code | Basic"
"""Words, code, or a formula or condition. An ASCII formula inside words is set as code."""
Cell: TypeAlias = "Piece | tuple[Piece, ...]"
"""What stands in a paragraph, a cell of a table or an item of a list: one piece or several in a row."""


@dataclass(frozen=True)
class Heading:
    """The title of a section, or of what is inside one where ``level`` is 2."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: Cell


def prose(*pieces: Piece) -> Prose:
    """A paragraph of words, code and formulas, in a row.

    >>> from symflops.notation import n_ctx
    >>> plain(prose("half of ", n_ctx / 2, ", see ", Code("mask.py")).text)
    'half of n_ctx/2, see mask.py'
    """
    return Prose(pieces)


@dataclass(frozen=True)
class Forms:
    """Closed forms, each a quantity's name and its expression."""

    forms: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True)
class Steps:
    """A chain of a derivation: quantity = expression, why, what was dropped and how large that is."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Table:
    """Rows under a head, and a last row apart from them; every row has as many cells as the head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Things of one kind, in one list that reads on."""

    title: str
    items: tuple[Cell, ...]


@dataclass(frozen=True)
class Remarks:
    """A list with an item for each remark: what it is about, which may be empty, and what it says."""

    remarks: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Listing:
    """Lines that stand as they are, such as commands and what they print."""

    text: str


Block: TypeAlias = Heading | Prose | Forms | Steps | Table | Facts | Remarks | Listing


@dataclass(frozen=True)
class Section:
    """A part of a source with its title."""

    title: str
    blocks: tuple[Block, ...]

    def shown(self) -> tuple[Block, ...]:
        """Its heading, unless the title is empty, and its blocks."""
        return (*([Heading(self.title)] if self.title else []), *self.blocks)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"title": self.title, "blocks": [as_json(block) for block in self.blocks]}


@dataclass(frozen=True)
class Document:
    """A title, what follows it in order, and the same as plain values for JSON."""

    title: str
    blocks: tuple[Block, ...]
    data: Mapping[str, Any]


def pieces(cell: Cell) -> tuple[Piece, ...]:
    """What a cell is made of."""
    return cell if isinstance(cell, tuple) else (cell,)


def plain(cell: Cell) -> str:
    """A cell in ASCII; conditions as a reader says them.

    >>> from symflops.notation import n_ctx, n_head, n_kv_head, n_seq
    >>> plain(n_seq + 2 <= n_ctx), plain(Eq(n_ctx, 3)), plain(("the ", Code("lm_head")))
    ('n_seq + 2 <= n_ctx', 'n_ctx = 3', 'the lm_head')
    >>> plain(Eq(Mod(n_head, n_kv_head), 0))
    'n_kv_head divides n_head'
    """
    return "".join(map(_plain, pieces(cell)))


def _plain(piece: Piece) -> str:
    if isinstance(piece, Code):
        return piece.text
    divided = division(piece)
    if divided is not None:
        return f"{divided[0]} divides {divided[1]}"
    if isinstance(piece, Relational):
        sign = "=" if isinstance(piece, Eq) else piece.rel_op
        return f"{piece.lhs} {sign} {piece.rhs}"
    return str(piece)


def division(condition: Piece) -> tuple[Basic, Basic] | None:
    """Of a condition that one size divides another, the divisor and what it divides.

    >>> from symflops.notation import n_head, n_kv_head
    >>> division(Eq(Mod(n_head, n_kv_head), 0))
    (n_kv_head, n_head)
    """
    if isinstance(condition, Eq) and isinstance(condition.lhs, Mod) and condition.rhs == 0:
        return condition.lhs.args[1], condition.lhs.args[0]
    return None


def as_json(block: Block) -> dict[str, Any]:
    """A block as plain values with its ``kind``: expressions as text in the ASCII notation, integers exact.

    >>> as_json(Table("", ("size", "value"), (("layers", Integer(12)),)))
    {'kind': 'table', 'title': '', 'head': ['size', 'value'], 'rows': [['layers', 12]]}
    """
    return {"kind": type(block).__name__.lower(), **_values(block)}


def _values(block: Block) -> dict[str, Any]:
    match block:
        case Heading(text=text, level=level):
            return {"text": text, "level": level}
        case Prose(text=said):
            return {"text": plain(said)}
        case Listing(text=text):
            return {"text": text}
        case Forms(forms=forms):
            return {"forms": [{"quantity": name, "expression": str(form)} for name, form in forms]}
        case Steps(steps=steps):
            return {"steps": [step.as_json() for step in steps]}
        case Table(title=title, head=head, rows=rows, total=total):
            last = {"total": _row(total)} if total else {}
            return {"title": title, "head": list(head), "rows": [_row(row) for row in rows], **last}
        case Facts(title=title, items=items):
            return {"title": title, "items": _row(items)}
        case Remarks(remarks=remarks):
            return {"remarks": [{"about": about, "text": plain(said)} for about, said in remarks]}


def _row(cells: tuple[Cell, ...]) -> list[str | int]:
    return [int(cell) if isinstance(cell, Integer) else plain(cell) for cell in cells]
