"""Closed forms as source text in other languages, exact or refusing.

One lowering makes an integer program of a formula; each language is a small printer of such programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from symflops.emit.in_c import c_code
from symflops.emit.in_javascript import javascript_code
from symflops.emit.in_latex import latex_code
from symflops.emit.in_numpy import numpy_code
from symflops.emit.in_python import python_code
from symflops.emit.lowering import lower
from symflops.emit.program import Program, UnsupportedFormula
from symflops.errors import SizeError, UnknownName

__all__ = ["LANGUAGES", "UnsupportedFormula", "emit"]

_PRINTERS: Mapping[str, Callable[[Program, str, str], str]] = MappingProxyType(
    {"c": c_code, "javascript": javascript_code, "numpy": numpy_code, "python": python_code}
)

LANGUAGES = (*_PRINTERS, "latex")
"""The languages `emit` writes."""


def emit(expression: Any, language: str, name: str = "cost") -> str:
    """Source text that computes a closed form: one function `name` of its sizes in alphabetical order.

    Every rational coefficient is kept exact. ``python`` and ``javascript`` (BigInt) are exact at any magnitude;
    ``numpy`` and ``c`` report an overflow instead of wrapping; ``latex`` is the formula as a display.
    Raises `UnknownName` for another language, `UnsupportedFormula` for a part that is not exact integer arithmetic and
    `SizeError` for a name that the language reserves.

    >>> from symflops.notation import n_head, n_seq
    >>> print(emit(n_head * n_seq * (n_seq + 1) / 2, "python", "pairs"), end="")
    def pairs(n_head, n_seq):
        \"\"\"n_head*n_seq*(n_seq + 1)/2
    <BLANKLINE>
        n_head: query heads, in heads
        n_seq: tokens in a sequence, in tokens
        \"\"\"
        return (n_head * n_seq * (n_seq + 1)) // 2
    >>> emit(n_seq, "fortran")
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown language 'fortran' (known: c, javascript, latex, numpy, python)
    """
    if language not in LANGUAGES:
        raise UnknownName("language", language, LANGUAGES)
    program = lower(expression)
    if not (name.isidentifier() and name.isascii()):
        raise SizeError(f"{name!r} cannot name a function; give an ASCII identifier")
    return latex_code(expression, name) if language == "latex" else _PRINTERS[language](program, name, str(expression))
