r"""A document as LaTeX that compiles as it stands, with amsmath, booktabs and longtable, and no line too long.

Formulas break between factors and at signs, also inside parentheses: a closed form has no bound on its length.

>>> from symflops.notation import d_model, n_layer
>>> print(article(Document("A model", (Forms((("N", 12 * n_layer * d_model),)),), {})).splitlines()[-3])
\hangindent=2em $N = 12 \,\allowbreak{} d_{\mathrm{model}} \,\allowbreak{} n_{\mathrm{layer}}$
"""

from __future__ import annotations

from sympy import Expr, Symbol

from symflops.documents import (
    Block,
    Cell,
    Document,
    Facts,
    Forms,
    Heading,
    Listing,
    Prose,
    Remarks,
    Steps,
    Table,
)
from symflops.render.document_text import listed
from symflops.render.latex import breakable, named, prose, quantity, verbatim
from symflops.render.latex_tables import cell, longest, longtable
from symflops.render.wording import chains, is_symbol, reason
from symflops.steps import Step

_HEAD = (
    r"\documentclass[a4paper]{article}", r"\usepackage[margin=2cm]{geometry}",
    r"\usepackage{amsmath,booktabs,longtable,array,pdflscape}", r"\usepackage[T1]{fontenc}",
    r"\setlength{\parindent}{0pt}\setlength{\parskip}{6pt}\setlength{\LTpre}{6pt}\setlength{\LTpost}{6pt}",
    r"\begin{document}", r"\raggedright\sloppy",
)  # fmt: skip
_LINE = 46
"""How wide a line of the page is, in em."""


def article(document: Document) -> str:
    """A whole article."""
    blocks = (_block(block) for block in document.blocks)
    return "\n\n".join(["\n".join(_HEAD), rf"\section*{{{prose(document.title)}}}", *blocks, r"\end{document}"])


def fragment(document: Document) -> str:
    """The closed forms alone, one below the other, for a notebook."""
    forms = [form for block in document.blocks if isinstance(block, Forms) for form in block.forms]
    lines = r" \\ ".join(rf"{named(name)} &= {breakable(form)}" for name, form in forms)
    return rf"$\displaystyle \begin{{aligned}} {lines} \end{{aligned}}$"


def _block(block: Block) -> str:
    match block:
        case Heading(text=said, level=level):
            return rf"\{'sub' * level}section*{{{prose(said)}}}"
        case Prose(text=said):
            return cell(said)
        case Forms(forms=forms):
            return "\n\n".join(_form(name, form) for name, form in forms)
        case Steps(steps=steps):
            return _steps(steps)
        case Table():
            return longtable(block)
        case Facts(title=title, items=items):
            return rf"\textbf{{{prose(title)}}}: {cell(listed(items))}"
        case Remarks(remarks=remarks):
            return _remarks(remarks)
        case Listing(text=said):
            return _listing(said)


def _form(name: str, form: Expr) -> str:
    shown = rf"${named(name)} = {breakable(form)}$" if is_symbol(name) else rf"{prose(name)} $= {breakable(form)}$"
    return rf"\hangindent=2em {shown}" if name else rf"\hangindent=2em ${breakable(form)}$"


def _steps(steps: tuple[Step, ...]) -> str:
    """Equations aligned at their signs, which break over lines and pages; below each, why it follows."""
    if not steps:
        return ""
    quantities = (Symbol(step.quantity) if is_symbol(step.quantity) else step.quantity for step in steps)
    first = max(map(longest, quantities)) / _LINE
    columns = rf"@{{}}>{{\raggedleft\arraybackslash}}p{{{first:.3f}\linewidth}}@{{\;}}c@{{\;}}"
    rest = rf">{{\raggedright\arraybackslash}}p{{{0.95 - first:.3f}\linewidth}}@{{}}"
    lines = (_step(name, step) for name, step in chains(steps))
    return "\n".join([rf"\begin{{longtable}}{{{columns}{rest}}}", *lines, r"\end{longtable}"])


def _step(name: str, step: Step) -> str:
    shown = " = ".join(breakable(each) for each in (step.terms, step.expression) if each is not None)
    sign = "=" if step.dropped == 0 else r"\approx"
    line = rf"{{}}{quantity(name) if name else ''} & ${sign}$ & ${shown}$ \\*"
    return line + "\n" + rf" & & {{\small {cell(reason(step))}}} \\[4pt]"


def _remarks(remarks: tuple[tuple[str, Cell], ...]) -> str:
    items = (
        rf"\item[{{{prose(about)}}}] {cell(said)}" if about else rf"\item[\textbullet] {cell(said)}"
        for about, said in remarks
    )
    return "\n".join([r"\begin{description}", *items, r"\end{description}"]) if remarks else ""


def _listing(said: str) -> str:
    """Lines as they are, also where one is too long: it goes on in the next."""
    lines = (_kept(line) for line in said.splitlines())
    return "{" + "\n\n".join([r"\parskip=0pt\small", *lines]) + "\n\n}"


def _kept(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return rf"\hangindent=2em \mbox{{}}\hspace*{{{0.5 * indent:g}em}}{verbatim(line.strip())}"
