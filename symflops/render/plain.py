"""Text, Markdown and JSON: expressions in the ASCII notation, as Python and sympy read them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from symflops.derivation import Derivation, Step

HEAD = ("Operation", "Parameters", "FLOPs per token")
_WIDTH = 110


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns, the first left, as text.

    >>> print(columns(["size", "value"], [["n_layer", "12"]]))
    size     value
    -------  -----
    n_layer  12
    """
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def table_cells(derivation: Derivation) -> list[list[str]]:
    """The rows and the total, as ASCII."""
    rows = [[row.name, str(row.params) if row.params != 0 else "-", str(row.flops)] for row in derivation.rows]
    return [*rows, ["Total", f"N = {derivation.N}", f"C_forward = {derivation.C_terms}"]]


def unit_note(derivation: Derivation) -> str:
    """One line that says what the table counts."""
    chosen = derivation.convention
    left_out = f"; the total leaves out {', '.join(sorted(chosen.left_out))}" if chosen.left_out else ""
    return f"convention {chosen.name}: {chosen.title}, in {chosen.unit}s{left_out}; N leaves out embeddings"


def step_text(step: Step) -> str:
    """``C_forward = 2*N + …  (why)``; an approximation has ``~`` and names what was dropped."""
    sign = "=" if step.dropped == 0 else "~"
    shown = step.expression if step.terms is None else f"{step.terms} = {step.expression}"
    dropped = "" if step.dropped == 0 else f"; dropped: {step.dropped}"
    return f"{step.quantity} {sign} {shown}   [{step.why}{dropped}]"


def text(derivation: Derivation) -> str:
    """Plain text for a terminal."""
    parts = [
        derivation.title,
        derivation.citation,
        unit_note(derivation),
        "",
        columns(HEAD, table_cells(derivation)),
        "",
    ]
    parts += ["Steps, each checked:", *(f"  {step_text(step)}" for step in derivation.steps)]
    if derivation.notes:
        parts += ["", "On the printed table:", *(_wrapped(f"{note.about}: {note.text}") for note in derivation.notes)]
    return "\n".join(parts)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def markdown(derivation: Derivation) -> str:
    """Markdown, expressions as code."""
    lines = [f"# {derivation.title}", "", f"{derivation.citation}. {unit_note(derivation)}.", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join([row[0], *(_code(cell) for cell in row[1:])]) + " |" for row in table_cells(derivation)]
    lines += ["", "Each step is checked by machine:", "", *(f"1. `{step_text(step)}`" for step in derivation.steps)]
    return "\n".join([*lines, "", *(f"- **{note.about}**: {note.text}" for note in derivation.notes)]).rstrip()


def _code(cell: str) -> str:
    return cell if cell == "-" else f"`{cell}`"


def as_json(derivation: Derivation) -> dict[str, Any]:
    """The derivation as plain values, expressions as text in the ASCII notation."""
    return {
        "name": derivation.name,
        "title": derivation.title,
        "citation": derivation.citation,
        "convention": derivation.convention.name,
        "unit": derivation.convention.unit,
        "per": "token",
        "operations": [
            {"name": row.name, "params": str(row.params), "flops": str(row.flops)} for row in derivation.rows
        ],
        "N": str(derivation.N),
        "C_forward": str(derivation.C_forward),
        "steps": [_step_json(step) for step in derivation.steps],
        "notes": [f"{note.about}: {note.text}" for note in derivation.notes],
    }


def _step_json(step: Step) -> dict[str, str]:
    terms = {} if step.terms is None else {"terms": str(step.terms)}
    dropped = {} if step.dropped == 0 else {"dropped": str(step.dropped)}
    return {"quantity": step.quantity, "expression": str(step.expression), "why": step.why, **terms, **dropped}


def json_text(derivation: Derivation) -> str:
    """The derivation as JSON."""
    return json.dumps(as_json(derivation), indent=2)
