r"""A document as LaTeX that compiles as it stands, with amsmath, booktabs and longtable, and no line too long.

Formulas break between factors and at signs, also inside parentheses: a closed form has no bound on its length.

>>> from symflops.notation import d_model, n_layer
>>> print(breakable(12 * n_layer * d_model))
12 \allowbreak{} d_{\mathrm{model}} \allowbreak{} n_{\mathrm{layer}}
"""

from __future__ import annotations

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
_BETWEEN = 2
"""Of the space between two columns, in units of ``\\tabcolsep``."""


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
    shown = str(latex(expression, symbol_names=latex_names(), mul_symbol=r" \allowbreak{} "))
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
    return "\n".join([*title, *start, *lines, r"\bottomrule", r"\end{longtable}"])


def _columns(table: Table) -> str:
    """Paragraphs as wide as their longest cell asks for, together no wider than the page."""
    longest = [max(len(_wide(cell)) for cell in column) for column in zip(table.head, *table.rows, strict=True)]
    asked = [min(max(width, 6), 50) for width in longest]
    gaps = rf"\dimexpr\linewidth-{_BETWEEN * len(asked)}\tabcolsep\relax"
    return "".join(rf">{{\raggedright\arraybackslash}}p{{{each / sum(asked):.3f}{gaps}}}" for each in asked)


def _wide(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text if isinstance(cell, Code) else str(cell)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return prose(cell)
    if isinstance(cell, Code):
        return verbatim(cell.text)
    divided = division(cell)
    return f"${breakable(cell)}$" if divided is None else rf"${breakable(divided[0])} \mid {breakable(divided[1])}$"
