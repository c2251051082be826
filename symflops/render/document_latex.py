r"""A document as LaTeX that compiles as it stands, with amsmath, booktabs and longtable, and no line too long.

Formulas break between factors and at signs, also inside parentheses: a closed form has no bound on its length.

>>> from symflops.notation import d_model, n_layer
>>> print(breakable(12 * n_layer * d_model))
12 \,\allowbreak{} d_{\mathrm{model}} \,\allowbreak{} n_{\mathrm{layer}}
"""

from __future__ import annotations

import re

from sympy import Basic, Expr, latex

from symflops.notation import latex_names
from symflops.render.document import Block, Cell, Code, Document, Facts, Forms, Prose, Table, division
from symflops.render.document_text import NONE
from symflops.render.latex import QUANTITIES, prose, verbatim

_NAMES = {**QUANTITIES, "params": r"\mathrm{params}", "saved_bytes": r"\mathrm{saved\ bytes}"}
_HEAD = (
    r"\documentclass{article}", r"\usepackage[margin=2cm]{geometry}", r"\usepackage{amsmath,booktabs,longtable,array}",
    r"\usepackage[T1]{fontenc}", r"\setlength{\parindent}{0pt}\setlength{\parskip}{6pt}", r"\begin{document}",
    r"\raggedright\sloppy",
)  # fmt: skip
_LETTERS, _TYPEWRITER, _FORMULA = 84, 1.25, 0.75
"""Letters of a line of a table, and how wide a letter of code and one of an ASCII formula are, in letters of a text."""


def article(document: Document) -> str:
    """A whole article."""
    blocks = (_block(block) for block in document.blocks)
    return "\n\n".join(["\n".join(_HEAD), rf"\section*{{{prose(document.title)}}}", *blocks, r"\end{document}"])


def fragment(document: Document) -> str:
    """The closed forms alone, one below the other, for a notebook."""
    forms = [form for block in document.blocks if isinstance(block, Forms) for form in block.forms]
    lines = r" \\ ".join(rf"{_NAMES.get(name, name)} &= {breakable(form)}" for name, form in forms)
    return rf"$\displaystyle \begin{{aligned}} {lines} \end{{aligned}}$"


def breakable(expression: Basic) -> str:
    """An expression in the notation's LaTeX that may break between any two factors or terms."""
    shown = str(latex(expression, symbol_names=latex_names(), mul_symbol=r" \,\allowbreak{} "))
    return shown.replace(r"\left(", "(").replace(r"\right)", ")")


def _block(block: Block) -> str:
    match block:
        case Prose(text=said):
            return prose(said)
        case Forms(forms=forms):
            return "\n\n".join(_form(name, form) for name, form in forms)
        case Table():
            return _table(block)
        case Facts(title=title, items=items):
            return rf"\textbf{{{prose(title)}}}: {', '.join(map(_cell, items)) or NONE}"


def _form(name: str, form: Expr) -> str:
    return rf"\hangindent=2em ${_NAMES.get(name, prose(name))} = {breakable(form)}$"


def _table(table: Table) -> str:
    lines = (" & ".join(map(_cell, row)) + r" \\" for row in table.rows)
    title = [rf"\textbf{{{prose(table.title)}}}\nopagebreak", ""] if table.title else []
    head = " & ".join(map(prose, table.head)) + r" \\"
    start = [rf"\begin{{longtable}}{{{_columns(table)}}}", r"\toprule", head, r"\midrule", r"\endhead"]
    return "\n".join([r"{\small", *title, *start, *lines, r"\bottomrule", r"\end{longtable}}"])


def _columns(table: Table) -> str:
    """Paragraphs, each wide enough for its longest word; what the page leaves goes to where the text is longest."""
    columns = list(zip(table.head, *table.rows, strict=True))
    least = [max(map(_longest_word, column)) for column in columns]
    asked = [max(map(_width, column)) - fewest for column, fewest in zip(columns, least, strict=True)]
    share = min(max(_LETTERS - sum(least), 0) / (sum(asked) or 1), 1)
    widths = [fewest + each * share for fewest, each in zip(least, asked, strict=True)]
    line = max(_LETTERS, sum(widths))
    gaps = rf"\dimexpr\linewidth-{2 * len(columns)}\tabcolsep\relax"
    return "".join(rf">{{\raggedright\arraybackslash}}p{{{each / line:.3f}{gaps}}}" for each in widths)


def _width(cell: Cell) -> float:
    """About how many letters of a line a cell takes."""
    if isinstance(cell, Basic):
        return _FORMULA * len(str(cell))
    return _TYPEWRITER * len(cell.text) if isinstance(cell, Code) else len(cell)


def _longest_word(cell: Cell) -> float:
    """About how wide the widest part is that does not break; a name of the notation in a sentence is set as code."""
    if isinstance(cell, Basic):
        return _FORMULA * max(map(len, re.split(r"[-+*() ]+", str(cell))))
    if isinstance(cell, Code):
        return _TYPEWRITER * (1 + max(map(len, re.split(r"[*./:_]", cell.text))))
    return max((_TYPEWRITER if "_" in word else 1.1) * len(word) for word in re.split(r"[\s*/]", cell))


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return prose(cell)
    if isinstance(cell, Code):
        return verbatim(cell.text)
    divided = division(cell)
    return f"${breakable(cell)}$" if divided is None else rf"${breakable(divided[0])} \mid {breakable(divided[1])}$"
