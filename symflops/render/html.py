"""HTML with MathML: formulas show in a browser without a network or a script."""

from __future__ import annotations

import re
from html import escape, unescape

from sympy import Basic
from sympy.printing.mathml import mathml

from symflops.derivation import Derivation, Step
from symflops.render.plain import unit_note

# Characters that sympy names, such as the invisible times, written out: well-formed XML too.
_NAMED = re.compile(r"&(?!lt;|gt;|amp;|quot;)\w+;")
STYLE = (
    "body{font-family:serif;max-width:60em;margin:2em auto;line-height:1.5}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
    "th{border-bottom:1px solid;text-align:left}td,th{padding:.3em .8em}tr.total td{border-top:1px solid}"
    ".why{color:#555;margin-left:1em}caption{text-align:left;font-weight:bold;padding:.6em 0}"
)
"""The style of every page."""


def formula(expression: Basic) -> str:
    """An expression as inline MathML.

    >>> from symflops.notation import d_model
    >>> formula(d_model)
    '<math><msub><mi>d</mi><mi>model</mi></msub></math>'
    """
    shown = mathml(expression, printer="presentation")
    return f"<math>{_NAMED.sub(lambda entity: unescape(entity.group()), shown)}</math>"


def page(derivation: Derivation) -> str:
    """A whole page."""
    title = escape(derivation.title)
    return "\n".join(
        [
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            f"<style>{STYLE}</style></head><body><h1>{title}</h1>",
            f"<p>{escape(derivation.citation)}; {escape(unit_note(derivation))}.</p>",
            *_table(derivation),
            "<p>Each step is checked by machine:</p><ol>",
            *(f"<li>{_step(step)}</li>" for step in derivation.steps),
            "</ol><dl>",
            *(f"<dt>{escape(note.about)}</dt><dd>{escape(note.text)}</dd>" for note in derivation.notes),
            "</dl></body></html>",
        ]
    )


def _table(derivation: Derivation) -> list[str]:
    rows = [
        f"<tr><td>{escape(row.name)}</td><td>{formula(row.params) if row.params != 0 else '–'}</td>"
        f"<td>{formula(row.flops)}</td></tr>"
        for row in derivation.rows
    ]
    total = (
        f'<tr class="total"><td>Total</td><td><i>N</i> = {formula(derivation.N)}</td>'
        f"<td><i>C</i><sub>forward</sub> = {formula(derivation.C_terms)}</td></tr>"
    )
    return ["<table><tr><th>Operation</th><th>Parameters</th><th>FLOPs per token</th></tr>", *rows, total, "</table>"]


def _step(step: Step) -> str:
    sign = "=" if step.dropped == 0 else "≈"
    shown = "" if step.terms is None else f"{formula(step.terms)} = "
    why = escape(step.why)
    return f"{quantity(step.quantity)} {sign} {shown}{formula(step.expression)} <span class='why'>{why}</span>"


def quantity(text: str) -> str:
    """The name of a quantity, what follows its first ``_`` set below.

    >>> quantity("C_forward")
    '<i>C</i><sub>forward</sub>'
    """
    name, _, below = text.partition("_")
    return f"<i>{escape(name)}</i>" + (f"<sub>{escape(below)}</sub>" if below else "")
