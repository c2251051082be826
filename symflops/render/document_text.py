"""A document as text for a terminal, and as JSON: expressions in the ASCII notation.

>>> from sympy import Eq, Mod
>>> from symflops.notation import n_head, n_kv_head
>>> text(Document("A model", (Facts("holds where", (Eq(Mod(n_head, n_kv_head), 0),)),), {}))
'A model\\n\\nholds where: n_kv_head divides n_head\\n'
"""

from __future__ import annotations

import json
from itertools import chain

from symflops.documents import (
    Block,
    Cell,
    Document,
    Facts,
    Forms,
    Heading,
    Listing,
    Piece,
    Prose,
    Remarks,
    Steps,
    Table,
    pieces,
    plain,
)
from symflops.render.plain import table, terminal_width, wrapped
from symflops.render.wording import NONE, printable, reason
from symflops.steps import Step


def text(document: Document, width: int | None = None) -> str:
    """Plain text of so many letters a line, by default the terminal's."""
    room = width or terminal_width()
    return printable("\n\n".join([document.title, *(_block(block, room) for block in document.blocks)])) + "\n"


def json_text(document: Document) -> str:
    """The document's plain values as JSON."""
    return json.dumps(document.data, indent=2)


def _block(block: Block, width: int) -> str:
    match block:
        case Heading(text=said, level=level):
            return f"{said}\n{('-' if level == 1 else '.') * len(said)}"
        case Prose(text=said):
            return "\n".join(wrapped(said, width))
        case Forms(forms=forms):
            return "\n".join(f"{name} = {form}" if name else f"  {form}" for name, form in forms)
        case Steps(steps=steps):
            return "\n".join(_step(step, width) for step in steps)
        case Table():
            return _table(block, width)
        case Facts(title=title, items=items):
            return "\n".join(wrapped((f"{title}: ", *listed(items)), width, further="  "))
        case Remarks(remarks=remarks):
            return "\n".join(chain.from_iterable(_remark(about, said, width) for about, said in remarks))
        case Listing(text=said):
            return "\n".join(f"    {line}".rstrip() for line in said.splitlines())


def listed(items: tuple[Cell, ...]) -> tuple[Piece, ...]:
    """Items with commas between them, in a row.

    >>> listed(("a", ("b", "c"))), listed(())
    (('a', ', ', 'b', 'c'), ('none',))
    """
    rest = ((", ", *pieces(each)) for each in items[1:])
    return (*pieces(items[0]), *chain.from_iterable(rest)) if items else (NONE,)


def step_text(step: Step) -> str:
    """``C_forward = 2*N + … = …``; an approximation has ``~``."""
    sign = "=" if step.dropped == 0 else "~"
    shown = step.expression if step.terms is None else f"{step.terms} = {step.expression}"
    return f"{step.quantity} {sign} {shown}"


def _step(step: Step, width: int) -> str:
    shown, why = f"  {step_text(step)}", ("[", *reason(step), "]")
    line = f"{shown}   {plain(why)}"
    return line if len(line) <= width else "\n".join([shown, *wrapped(why, width, "      ", "      ")])


def _table(block: Table, width: int) -> str:
    shown = table(block.head, [*block.rows, *([block.total] if block.total else [])], width)
    return f"{block.title}:\n{shown}" if block.title else shown


def _remark(about: str, said: Cell, width: int) -> list[str]:
    head = f"{about}: " if about else ""
    return wrapped((head, *pieces(said)), width, "- ", "  ")
