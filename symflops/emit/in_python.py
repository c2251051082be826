"""Python: an exact function of integers."""

from __future__ import annotations

import keyword
from textwrap import indent

from symflops.emit.infix import Style, check_names, listing, meanings
from symflops.emit.program import Program

STYLE = Style(
    {
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "mul": "{0} * {1}",
        "floordiv": "{0} // {1}",
        "max": "max({0}, {1})",
        "min": "min({0}, {1})",
        "less": "({0} < {1})",
    }
)
RESERVED = frozenset(keyword.kwlist) | {"Fraction", "max", "min"}


def body(program: Program, style: Style = STYLE) -> str:
    """The lines that compute a program and return its value: an int, or a Fraction where it is not whole."""
    fractional = program.divides and not program.whole
    parts = listing(program, style, named_ends=fractional)
    lines = [f"{name} = {text}" for name, text in parts.steps]
    if fractional:
        top, bottom = parts.numerator, parts.denominator
        lines.append(f"return Fraction({top}, {bottom}) if {top} % {bottom} else {top} // {bottom}")
        return "\n".join(lines)
    top = f"({parts.numerator}) // {parts.denominator}" if program.divides else parts.numerator
    return "\n".join([*lines, f"return {top}"])


def description(program: Program, formula: str) -> str:
    """The docstring's text: the formula, then what each argument means."""
    return "\n".join([formula, "", *(f"{name}: {meaning}" for name, meaning in meanings(program))]).rstrip()


def python_code(program: Program, name: str, formula: str) -> str:
    """A module with one function, exact at any magnitude.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> print(python_code(lower(6 * Symbol("n_seq")), "cost", "6*n_seq"), end="")
    def cost(n_seq):
        \"\"\"6*n_seq
    <BLANKLINE>
        n_seq: tokens in a sequence, in tokens
        \"\"\"
        return 6 * n_seq
    """
    check_names(program, name, RESERVED, "Python")
    text = description(program, formula)
    inner = indent(f'"""{text}\n"""\n{body(program)}\n', "    ")
    header = "from fractions import Fraction\n\n\n" if "Fraction(" in inner else ""
    return f"{header}def {name}({', '.join(program.arguments)}):\n{inner}"
