"""JavaScript: an exact function of BigInt."""

from __future__ import annotations

from textwrap import indent

from symflops.emit.infix import Style, check_names, listing, meanings
from symflops.emit.program import Program

_STYLE = Style(
    {
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "mul": "{0} * {1}",
        "floordiv": "(({0} - (({0} % {1}) + {1}) % {1}) / {1})",
        "max": "({0} > {1} ? {0} : {1})",
        "min": "({0} < {1} ? {0} : {1})",
        "less": "BigInt({0} < {1})",
    },
    integer="{}n".format,
    calls=frozenset({"max", "min", "less", "floordiv"}),
)
_KEYWORDS = (
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends "
    "false finally for function if implements import in instanceof interface let new null package private protected "
    "public return static super switch this throw true try typeof var void while with yield BigInt RangeError"
)
_RESERVED = frozenset(_KEYWORDS.split())


def javascript_code(program: Program, name: str, formula: str) -> str:
    """A module that exports one function of BigInts (or numbers that are safe integers), exact at any magnitude.

    A value that is not whole throws a `RangeError`.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> print(javascript_code(lower(6 * Symbol("n_seq")), "cost", "6*n_seq"), end="")
    // cost = 6*n_seq
    //   n_seq: tokens in a sequence, in tokens
    export function cost(n_seq) {
      n_seq = BigInt(n_seq);
      return 6n * n_seq;
    }
    """
    check_names(program, name, _RESERVED, "JavaScript")
    heading = [f"{name} = {formula}", *(f"  {argument}: {meaning}" for argument, meaning in meanings(program))]
    lines = [f"{argument} = BigInt({argument});" for argument in program.arguments]
    inner = indent("\n".join([*lines, *_body(program)]), "  ")
    signature = f"export function {name}({', '.join(program.arguments)})"
    return "".join(f"// {line}\n" for line in heading) + f"{signature} {{\n{inner}\n}}\n"


def _body(program: Program) -> list[str]:
    fractional = program.divides and not program.whole
    parts = listing(program, _STYLE, named_ends=fractional)
    lines = [f"const {name} = {text};" for name, text in parts.steps]
    if fractional:
        problem = f'new RangeError("{program.arguments} give no whole number")'.replace("'", "")
        lines.append(f"if ({parts.numerator} % {parts.denominator} !== 0n) throw {problem};")
    quotient = f"({parts.numerator}) / {parts.denominator}" if program.divides else parts.numerator
    return [*lines, f"return {quotient};"]
