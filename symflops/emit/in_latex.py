"""LaTeX: the formula as a display, in the notation's own letters and without packages."""

from __future__ import annotations

from typing import Any

from sympy import latex

from symflops.notation import latex_names

_PLAIN = (
    (r"\begin{cases}", r"\left\{\begin{array}{ll}"),
    (r"\end{cases}", r"\end{array}\right."),
    (r"\text{", r"\mbox{"),
)
"""What sympy writes with amsmath, as LaTeX alone has it."""


def latex_code(expression: Any, name: str) -> str:
    r"""A displayed equation that any article can include.

    >>> from symflops.notation import n_seq
    >>> print(latex_code(6 * n_seq, "cost"))
    \[ \mathrm{cost} = 6 n_{\mathrm{seq}} \]
    """
    formula = latex(expression, symbol_names=latex_names())
    for amsmath, plain in _PLAIN:
        formula = formula.replace(amsmath, plain)
    title = name.replace("_", r"\_")
    return rf"\[ \mathrm{{{title}}} = {formula} \]"
