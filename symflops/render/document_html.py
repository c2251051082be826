"""A document as HTML with MathML: a whole page, well-formed as XML, which needs no network and no script.

>>> from symflops.notation import d_model
>>> blocks((Forms((("N", d_model),)),))
['<p><math><mi>N</mi></math> = <math><msub><mi>d</mi><mi>model</mi></msub></math></p>']
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympy import Expr

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
    division,
    pieces,
)
from symflops.render.document_text import listed
from symflops.render.html import STYLE, formula, quantity, words
from symflops.render.wording import chains, reason, spelled
from symflops.steps import Step


def page(document: Document) -> str:
    """A whole page."""
    title = words(document.title)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>',
            f'<meta name="viewport" content="width=device-width"/><title>{title}</title>',
            f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>",
            *blocks(document.blocks),
            "</body></html>",
        ]
    )


def blocks(shown: Iterable[Block]) -> list[str]:
    """Each block as an element."""
    return [_block(each) for each in shown]


def _block(block: Block) -> str:
    match block:
        case Heading(text=said, level=level):
            return f"<h{level + 1}>{words(said)}</h{level + 1}>"
        case Prose(text=said):
            return f"<p>{inline(said)}</p>"
        case Forms(forms=forms):
            return "\n".join(f"<p>{_form(name, form)}</p>" for name, form in forms)
        case Steps(steps=steps):
            return _steps(steps)
        case Table():
            return _table(block)
        case Facts(title=title, items=items):
            return f"<p><b>{words(title)}</b>: {inline(listed(items))}</p>"
        case Remarks(remarks=remarks):
            return _remarks(remarks)
        case Listing(text=said):
            return f"<pre><code>{words(said)}</code></pre>"


def inline(cell: Cell) -> str:
    """A cell as elements of a line."""
    return "".join(map(_piece, pieces(cell)))


def _piece(piece: Piece) -> str:
    if isinstance(piece, str):
        return "".join(_code(part) if isinstance(part, Code) else words(part) for part in spelled(piece))
    if isinstance(piece, Code):
        return _code(piece)
    divided = division(piece)
    return formula(piece) if divided is None else f"{formula(divided[0])} divides {formula(divided[1])}"


def _code(code: Code) -> str:
    return f"<code>{words(code.text)}</code>"


def _form(name: str, form: Expr) -> str:
    return f"{quantity(name)} = {formula(form)}" if name else formula(form)


def _steps(steps: tuple[Step, ...]) -> str:
    lines = "".join(_step(quantity, step) for quantity, step in chains(steps))
    return _scrolling(f'<table class="steps"><tbody>{lines}</tbody></table>') if steps else ""


def _step(name: str, step: Step) -> str:
    sign = "=" if step.dropped == 0 else "≈"
    terms = "" if step.terms is None else f"{formula(step.terms)} = "
    why = f'<span class="why">{inline(reason(step))}</span>'
    shown = f"{terms}{formula(step.expression)}{why}"
    return f"\n<tr><td>{quantity(name) if name else ''}</td><td>{sign}</td><td>{shown}</td></tr>"


def _table(table: Table) -> str:
    caption = f"<caption>{words(table.title)}</caption>" if table.title else ""
    head = "".join(f'<th scope="col">{inline(name)}</th>' for name in table.head)
    rows = "".join(f"\n<tr>{_cells(row)}</tr>" for row in table.rows)
    total = f'\n<tr class="total">{_cells(table.total)}</tr>' if table.total else ""
    body = f"\n<tbody>{rows}{total}</tbody>" if rows or total else ""
    return _scrolling(f"<table>{caption}<thead><tr>{head}</tr></thead>{body}</table>")


def _cells(row: Sequence[Cell]) -> str:
    return "".join(f"<td>{inline(cell)}</td>" for cell in row)


def _scrolling(table: str) -> str:
    return f'<div class="scroll">{table}</div>'


def _remarks(remarks: tuple[tuple[str, Cell], ...]) -> str:
    items = (f"\n<li>{f'<b>{words(about)}</b>: ' if about else ''}{inline(said)}</li>" for about, said in remarks)
    return f"<ul>{''.join(items)}</ul>" if remarks else ""
