"""LaTeX that compiles as it stands, with nothing but amsmath, booktabs and graphicx."""

from __future__ import annotations

import re

from sympy import Add, Expr, Symbol, expand, latex

from symflops.derivation import Derivation, Step
from symflops.notation import TERMS, latex_names
from symflops.render.plain import unit_note

_SPECIAL = {
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_TERMS_PER_LINE = 3
_LONG = 190
QUANTITIES = {
    "N": "N",
    "C": "C",
    "C_forward": r"C_{\mathrm{forward}}",
    "C_backward": r"C_{\mathrm{backward}}",
}
"""How quantities are set."""
# An ASCII formula inside a sentence: a name of the notation, and what is joined to it by operators.
_FORMULA = re.compile(r"[\w*/+()^.]*(?:" + "|".join(map(re.escape, TERMS)) + r")\b[\w*/+()^.]*(?: [+-] [\w*/+()^]+)*")


def formula(expression: Expr) -> str:
    """An expression in the notation's LaTeX.

    >>> from symflops.notation import d_model
    >>> formula(4 * d_model)
    '4 d_{\\\\mathrm{model}}'
    """
    names = {**latex_names(), **{Symbol(name): shown for name, shown in QUANTITIES.items()}}
    return str(latex(expression, symbol_names=names))


def document(derivation: Derivation) -> str:
    """A whole article: the table, the chain of steps, the remarks."""
    body = [
        r"\documentclass{article}", r"\usepackage[margin=2cm]{geometry}", r"\usepackage{amsmath,booktabs,graphicx}",
        r"\usepackage[T1]{fontenc}", r"\setlength{\parindent}{0pt}\sloppy", r"\begin{document}",
        rf"\section*{{{prose(derivation.title)}}}",
        prose(f"{derivation.citation}; {unit_note(derivation)}.") + r"\par\medskip",
        *_table(derivation), r"\par\medskip", "Each step is checked by machine:",
    ]  # fmt: skip
    body += [_step(step) for step in derivation.steps]
    if derivation.notes:
        items = [rf"\item[{prose(note.about)}] {prose(note.text)}" for note in derivation.notes]
        body += [r"\begin{description}", *items, r"\end{description}"]
    return "\n".join([*body, r"\end{document}"])


def _table(derivation: Derivation) -> list[str]:
    rows = [rf"{prose(row.name)} & {_cell(row.params)} & ${formula(row.flops)}$ \\" for row in derivation.rows]
    total = rf"Total & {_total('N', derivation.N)} & {_total('C_forward', derivation.C_terms)} \\"
    fitted = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
    return [
        r"\sbox0{\begin{tabular}{lll}", r"\toprule", r"Operation & Parameters & FLOPs per token \\", r"\midrule", *rows,
        r"\midrule", total, r"\bottomrule", r"\end{tabular}}", fitted,
    ]  # fmt: skip


def _total(quantity: str, expression: Expr) -> str:
    """A total, if it fits into the table; the steps below show it in any case."""
    shown, name = formula(expression), QUANTITIES[quantity]
    return f"${name} = {shown}$" if len(shown) <= _LONG else f"${name}$, see below"


def _cell(expression: Expr) -> str:
    return f"${formula(expression)}$" if expression != 0 else "--"


def _step(step: Step) -> str:
    sign = "=" if step.dropped == 0 else r"\approx"
    quantity = QUANTITIES.get(step.quantity, prose(step.quantity))
    lines = [] if step.terms is None else [f"{sign} {_broken(step.terms)}"]
    lines.append(f"{'=' if lines else sign} {_broken(step.expression)}")
    body = r" \\ ".join(f"&{line}" for line in lines)
    return rf"\begin{{align*}} {quantity} {body} \end{{align*}}" + "\n" + rf"\hfill({prose(step.why)})\par"


def _broken(expression: Expr) -> str:
    """A long sum over several lines; a product that is too long for one is expanded first."""
    whole = formula(expression)
    if len(whole) <= _LONG:
        return whole
    terms = Add.make_args(expand(expression))
    chunks = [terms[start : start + _TERMS_PER_LINE] for start in range(0, len(terms), _TERMS_PER_LINE)]
    lines = [formula(Add(*chunk)) for chunk in chunks]
    return r" \\ &\quad ".join([lines[0], *(line if line.startswith("-") else f"+ {line}" for line in lines[1:])])


def prose(text: str) -> str:
    """A sentence with its special characters escaped; names of the notation are set in typewriter.

    >>> prose("5% of d_model*n_ctx")
    '5\\\\% of \\\\texttt{d\\\\_model*\\\\allowbreak{}n\\\\_ctx}'
    """
    parts, end = [], 0
    for match in _FORMULA.finditer(text):
        parts += [_escaped(text[end : match.start()]), rf"\texttt{{{_breakable(match.group())}}}"]
        end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def _breakable(text: str) -> str:
    return _escaped(text).replace("*", r"*\allowbreak{}")


def verbatim(text: str) -> str:
    """Text in typewriter, letter by letter, that may break after ``*``, ``.``, ``/``, ``:`` and ``_``.

    >>> verbatim("mlp.up_proj")
    '\\\\texttt{mlp.\\\\allowbreak{}up\\\\_\\\\allowbreak{}proj}'
    """
    return r"\texttt{" + re.sub(r"(\*|\.|/|:|\\_)", r"\1\\allowbreak{}", _escaped(text)) + "}"


def _escaped(text: str) -> str:
    return "".join(
        _SPECIAL.get(letter, letter) for letter in text.replace("\\", "/").replace("{", "(").replace("}", ")")
    )
