r"""A document as Markdown that GitHub renders: expressions as code, and nothing else in the text a sign of Markdown.

>>> from symflops.notation import d_model
>>> print(markdown(Document("A model", (Prose(("2*3 is less than ", 7 * d_model)),), {})))
# A model
<BLANKLINE>
2\*3 is less than `7*d_model`
<BLANKLINE>
"""

from __future__ import annotations

import re

from symflops.documents import (
    Block,
    Cell,
    Code,
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
from symflops.render.document_text import listed, step_text
from symflops.render.wording import printable, reason, spelled

_SIGN = re.compile(r"[\\`*\[\]<|$~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
_START = re.compile(r"^(\s*)([#>+-]|\d+(?=[.)]\s)|=)")


def markdown(document: Document) -> str:
    """Markdown of the whole document."""
    return printable("\n\n".join([f"# {escaped(document.title)}", *map(_block, document.blocks)])) + "\n"


def escaped(text: str) -> str:
    r"""Words of which none is a sign of Markdown.

    >>> print(escaped("a_b * <b> |x| _y_ R&D &lt;"))
    a_b \* \<b> \|x\| \_y\_ R&D \&lt;
    """
    return _SIGN.sub(r"\\\g<0>", " ".join(text.split("\n")))


def _block(block: Block) -> str:
    match block:
        case Heading(text=said, level=level):
            return f"{'#' * (level + 1)} {escaped(said)}"
        case Prose(text=said):
            return _paragraph(said)
        case Forms(forms=forms):
            return "\n".join(f"- {code(f'{name} = {form}' if name else str(form))}" for name, form in forms)
        case Steps(steps=steps):
            return "\n".join(f"1. {code(step_text(step))} ({marked(reason(step))})" for step in steps)
        case Table():
            return _table(block)
        case Facts(title=title, items=items):
            return f"**{escaped(title)}**: {marked(listed(items))}"
        case Remarks(remarks=remarks):
            return "\n".join(_remark(about, said) for about, said in remarks)
        case Listing(text=said):
            return "\n".join(["```text", said.replace("```", "'''"), "```"])


def _remark(about: str, said: Cell) -> str:
    return f"- **{escaped(about)}**: {marked(said)}" if about else f"- {_paragraph(said)}"


def _paragraph(cell: Cell) -> str:
    """A cell that does not begin a list, a heading or a quotation."""
    return _START.sub(_held, marked(cell))


def _held(start: re.Match[str]) -> str:
    return f"{start[1]}{start[2]}\\" if start[2].isdigit() else f"{start[1]}\\{start[2]}"


def marked(cell: Cell) -> str:
    """A cell in Markdown, in one line."""
    return "".join(map(_marked, pieces(cell)))


def _marked(piece: Piece) -> str:
    if isinstance(piece, str):
        return "".join(code(part.text) if isinstance(part, Code) else escaped(part) for part in spelled(piece))
    return code(plain(piece))


def code(text: str) -> str:
    """Code, fenced by more backticks than it has in a row.

    >>> code("a"), code("a`b")
    ('`a`', '`` a`b ``')
    """
    ticks = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (ticks + 1)
    return f"{fence} {text} {fence}" if ticks else f"{fence}{text}{fence}"


def _table(block: Table) -> str:
    rows = [*block.rows, *([block.total] if block.total else [])]
    head, *body = (f"| {' | '.join(map(_in_table, row))} |" for row in [block.head, *rows])
    title = [f"**{escaped(block.title)}**", ""] if block.title else []
    return "\n".join([*title, head, f"|{'---|' * len(block.head)}", *body])


def _in_table(cell: Cell) -> str:
    """A cell whose bars, in code too, do not end it."""
    return re.sub(r"(?<!\\)\|", r"\\|", marked(cell))
