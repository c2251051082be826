"""A document as HTML with MathML.

>>> from symflops.notation import d_model
>>> blocks((Forms((("N", d_model),)),))
['<p><i>N</i> = <math><msub><mi>d</mi><mi>model</mi></msub></math></p>']
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from symflops.render.document import Block, Cell, Code, Document, Facts, Forms, Prose, Table, division
from symflops.render.document_text import NONE
from symflops.render.html import STYLE, formula, quantity


def page(document: Document) -> str:
    """A whole page, which needs no network and no script."""
    title = escape(document.title)
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    return "\n".join(
        [head, f"<style>{STYLE}</style></head><body><h1>{title}</h1>", *blocks(document.blocks), "</body></html>"]
    )


def blocks(shown: Iterable[Block]) -> list[str]:
    """Each block as an element."""
    return [_block(each) for each in shown]


def _block(block: Block) -> str:
    match block:
        case Prose(text=said):
            return f"<p>{escape(said)}</p>"
        case Forms(forms=forms):
            return "\n".join(f"<p>{quantity(name)} = {formula(form)}</p>" for name, form in forms)
        case Table(title=title, head=head, rows=rows):
            names = "".join(f"<th>{escape(name)}</th>" for name in head)
            lines = ("".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows)
            caption = f"<caption>{escape(title)}</caption>" if title else ""
            return f"<table>{caption}<tr>{names}</tr>" + "".join(f"\n<tr>{line}</tr>" for line in lines) + "</table>"
        case Facts(title=title, items=items):
            return f"<p><b>{escape(title)}</b>: {', '.join(map(_cell, items)) or NONE}</p>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, Code):
        return f"<code>{escape(cell.text)}</code>"
    divided = division(cell)
    return formula(cell) if divided is None else f"{formula(divided[0])} divides {formula(divided[1])}"
