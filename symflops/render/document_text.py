"""A document as text for a terminal, as Markdown and as JSON: expressions in the ASCII notation.

>>> from symflops.notation import n_head, n_kv_head
>>> from sympy import Eq, Mod
>>> text(Document("A model", (Facts("holds where", (Eq(Mod(n_head, n_kv_head), 0),)),), {}))
'A model\\n\\nholds where: n_kv_head divides n_head\\n'
"""

from __future__ import annotations

import json

from sympy import Eq
from sympy.core.relational import Relational

from symflops.render.document import Block, Cell, Code, Document, Facts, Forms, Prose, Table, division
from symflops.render.plain import columns

NONE = "none"
"""What an empty list of facts says."""


def text(document: Document) -> str:
    """Plain text for a terminal."""
    return "\n\n".join([document.title, *map(_block, document.blocks)]) + "\n"


def markdown(document: Document) -> str:
    """Markdown, expressions as code."""
    return "\n\n".join([f"# {document.title}", *map(_marked_block, document.blocks)]) + "\n"


def json_text(document: Document) -> str:
    """The document's plain values as JSON."""
    return json.dumps(document.data, indent=2)


def plain(cell: Cell) -> str:
    """A cell in ASCII; conditions as a reader says them.

    >>> from symflops.notation import n_ctx, n_seq
    >>> plain(n_seq + 2 <= n_ctx), plain(Eq(n_ctx, 3)), plain(Code("lm_head"))
    ('n_seq + 2 <= n_ctx', 'n_ctx = 3', 'lm_head')
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Code):
        return cell.text
    divided = division(cell)
    if divided is not None:
        return f"{divided[0]} divides {divided[1]}"
    if isinstance(cell, Relational):
        sign = "=" if isinstance(cell, Eq) else cell.rel_op
        return f"{cell.lhs} {sign} {cell.rhs}"
    return str(cell)


def _block(block: Block) -> str:
    match block:
        case Prose(text=said):
            return said
        case Forms(forms=forms):
            return "\n".join(f"{name} = {form}" for name, form in forms)
        case Table(title=title, head=head, rows=rows):
            shown = columns(head, [[plain(cell) for cell in row] for row in rows])
            return f"{title}:\n{shown}" if title else shown
        case Facts(title=title, items=items):
            return f"{title}: {', '.join(map(plain, items)) or NONE}"


def _marked_block(block: Block) -> str:
    match block:
        case Prose(text=said):
            return said
        case Forms(forms=forms):
            return "\n".join(f"- `{name} = {form}`" for name, form in forms)
        case Table(title=title, head=head, rows=rows):
            lines = [" | ".join(head), "|".join(["---"] * len(head)), *(" | ".join(map(_marked, row)) for row in rows)]
            return "\n".join([*([f"**{title}**", ""] if title else []), *(f"| {line} |" for line in lines)])
        case Facts(title=title, items=items):
            return f"**{title}**: {', '.join(map(_marked, items)) or NONE}"


def _marked(cell: Cell) -> str:
    return cell.replace("|", "\\|") if isinstance(cell, str) else f"`{plain(cell)}`"
