"""NumPy: a function of integer arrays that never overflows silently."""

from __future__ import annotations

from dataclasses import replace
from textwrap import indent

from symflops.emit import in_python
from symflops.emit.infix import check_names, listing
from symflops.emit.program import Program, peak

_STYLE = replace(
    in_python.STYLE,
    templates={**in_python.STYLE.templates, "max": "np.maximum({0}, {1})", "min": "np.minimum({0}, {1})",
               "less": "np.multiply({0} < {1}, 1)"},
)  # fmt: skip
_RESERVED = in_python.RESERVED | {"np", "sizes", "size", "any", "int", "object", "peak"}

_GUARD = """\
sizes = [np.asarray(size) for size in ({names},)]
for size in sizes:
    if size.dtype.kind not in "iuO":
        raise TypeError("sizes are integers; got " + str(size.dtype))
    if not np.all(size > 0):
        raise ValueError("sizes are at least 1")
if any(size.dtype == object for size in sizes):
    {names}, = [size.astype(object) for size in sizes]
else:
    # No step exceeds this, in Python's integers and with every size at its largest.
    {names}, = [int(np.max(size, initial=1)) for size in sizes]
{peak}
    if peak >= 2**63:
        raise OverflowError("this needs integers beyond int64; pass arrays of dtype object for exact results")
    {names}, = [size.astype(np.int64) for size in sizes]
"""


def numpy_code(program: Program, name: str, formula: str) -> str:
    """A module with one function over arrays that broadcast: exact in int64, or `OverflowError`, never wrong.

    Given an array of dtype object it computes in Python's integers, at any magnitude. A value that is not whole raises
    `ValueError`.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> space = {}
    >>> exec(numpy_code(lower(6 * Symbol("n") * Symbol("d")), "cost", "6*n*d"), space)
    >>> space["cost"]([1, 2], 7).tolist()
    [42, 84]
    >>> space["cost"]([405 * 10**9], 15 * 10**12)
    Traceback (most recent call last):
    OverflowError: this needs integers beyond int64; pass arrays of dtype object for exact results
    """
    check_names(program, name, _RESERVED, "NumPy")
    guard = _guard(program) if program.arguments else ""
    inner = indent(f'"""{in_python.description(program, formula)}\n"""\n{guard}{_body(program)}\n', "    ")
    return f"import numpy as np\n\n\ndef {name}({', '.join(program.arguments)}):\n{inner}"


def _guard(program: Program) -> str:
    bound = listing(peak(program), in_python.STYLE)
    steps = [*(f"{name} = {text}" for name, text in bound.steps), f"peak = {bound.numerator}"]
    return _GUARD.format(names=", ".join(program.arguments), peak=indent("\n".join(steps), "    "))


def _body(program: Program) -> str:
    fractional = program.divides and not program.whole
    parts = listing(program, _STYLE, named_ends=fractional)
    lines = [f"{name} = {text}" for name, text in parts.steps]
    if fractional:
        lines += [f"if np.any({parts.numerator} % {parts.denominator}):", '    raise ValueError("not a whole number")']
    quotient = f"({parts.numerator}) // {parts.denominator}" if program.divides else parts.numerator
    lines.append(f"return np.asarray({quotient})")
    if not program.may_divide_by_zero:
        return "\n".join(lines)
    return 'with np.errstate(divide="raise"):\n' + indent("\n".join(lines), "    ")
