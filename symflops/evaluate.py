"""Closed forms as numbers: one exact value at any magnitude, or sweeps over NumPy arrays.

`compiled` makes a plain Python function of a formula, from source that symflops prints itself. It checks its sizes and
is about as fast as the same formula written by hand. Its `sweep` and `sweep_float64` take arrays of sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from textwrap import indent
from typing import TYPE_CHECKING, Any, Protocol, cast

from symflops.emit import in_python
from symflops.emit.infix import check_names
from symflops.emit.lowering import lower
from symflops.emit.program import Program, peak
from symflops.sizes import ordered, positive_integers
from symflops.sweeps import sweep, sweep_float64

if TYPE_CHECKING:
    from numpy.typing import NDArray

Exact = int | Fraction
"""A value without rounding: an int, or a Fraction where the value is not whole."""

# A conditional is twice as fast as a call of max.
_FAST = replace(
    in_python.STYLE,
    templates={
        **in_python.STYLE.templates,
        "max": "({0} if {0} > {1} else {1})",
        "min": "({0} if {0} < {1} else {1})",
        "less": "(1 if {0} < {1} else 0)",
    },
)

_RESERVED = in_python.RESERVED | {"type", "int", "checked"}


class Compiled(Protocol):
    """A formula as a function: a plain Python function that also carries what it was made from."""

    __name__: str
    expression: Any
    """The formula."""
    arguments: tuple[str, ...]
    """The names of its sizes, in the order of the positional arguments."""
    source: str
    """The Python text that was compiled."""
    program: Program
    """The integer program behind it."""

    def __call__(self, *args: int, **sizes: int) -> Exact:
        """The exact value at these sizes, positive integers of any magnitude.

        Raises `SizeError` for a size that is missing or is no positive integer, `ZeroDivisionError` where the formula
        divides by zero, and, as any Python function does, `TypeError` for a keyword it does not have; `value` names
        what is known instead.
        """
        ...

    def sweep(self, **arrays: Any) -> NDArray[Any]:
        """The exact values over integers and arrays of them, which broadcast.

        The result is int64, or of dtype object (int and Fraction) where a value does not fit; a block in which any
        step could overflow is computed in Python's integers instead. Arrays of whole floats are taken at their value.
        Raises `SizeError` and `UnknownName` for sizes that are missing, not positive integers, or do not broadcast.
        """
        ...

    def sweep_float64(self, **arrays: Any) -> NDArray[Any]:
        """The values over integers and arrays of them in float64, rounded at each step; what is uniform is exact.

        Raises as `sweep` does, and `SizeError` where a step leaves the range of float64.
        """
        ...


def compiled(expression: Any, arguments: Sequence[str] | None = None) -> Compiled:
    """The formula as a fast exact function of its sizes, in the order of `arguments` (by default alphabetical).

    Raises `UnsupportedFormula` for a formula that is not exact integer arithmetic.

    >>> import numpy as np
    >>> from symflops.notation import n_batch, n_seq
    >>> pairs = compiled(n_batch * n_seq * (n_seq + 1) / 2)
    >>> pairs(8, 2048), pairs(n_seq=10**30, n_batch=2)
    (16785408, 1000000000000000000000000000001000000000000000000000000000000)
    >>> pairs.sweep(n_batch=2, n_seq=np.array([1, 2, 3]))
    array([ 2,  6, 12])
    >>> pairs.sweep(n_batch=1, n_seq=np.array([1, 10**18]))
    array([1, 500000000000000000500000000000000000], dtype=object)
    >>> pairs.sweep_float64(n_batch=1, n_seq=np.array([1, 10**18]))
    array([1.e+00, 5.e+35])
    >>> pairs(8)
    Traceback (most recent call last):
    symflops.errors.SizeError: size n_seq is missing; give a positive integer
    """
    program = lower(expression, arguments)
    source = _guarded_source(program)
    function = _function(source, checked=partial(positive_integers, program.arguments))
    bound = _function(_source(peak(program)))
    carried = {"expression": expression, "arguments": program.arguments, "source": source, "program": program}
    carried["sweep"] = lambda **arrays: sweep(program, function, bound, arrays)
    carried["sweep_float64"] = lambda **arrays: sweep_float64(program, arrays)
    for name, value in carried.items():
        setattr(function, name, value)
    return cast(Compiled, function)


def value(expression: Any, **sizes: int) -> Exact:
    """The exact value of a formula at these sizes.

    Raises `UnknownName` for a size that the formula does not have, else as `Compiled` does.

    >>> from symflops.notation import d_model, n_head
    >>> value(d_model / n_head, d_model=768, n_head=12), value(d_model / n_head, d_model=3, n_head=2)
    (64, Fraction(3, 2))
    >>> value(6 * d_model, d_modle=1)
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown size 'd_modle'; did you mean 'd_model'? (known: d_model)
    """
    function = compiled(expression)
    return function(*ordered(function.arguments, sizes))


def _source(program: Program, first: str = "") -> str:
    check_names(program, "cost", _RESERVED, "Python")
    parameters = ", ".join(f"{name}=None" for name in program.arguments)
    return f"def cost({parameters}):\n{indent(first + in_python.body(program, _FAST), '    ')}\n"


def _guarded_source(program: Program) -> str:
    # A comparison for each size costs a fraction of the formula, and keeps floats and NumPy's integers, which
    # round and wrap, out of it.
    names = program.arguments
    tests = [*(f"type({name}) is int" for name in names), *(f"{name} > 0" for name in names)]
    guard = f"if not ({' and '.join(tests)}):\n    {', '.join(names)}, = checked({', '.join(names)})\n"
    return _source(program, guard if names else "")


def _function(source: str, **known: Any) -> Callable[..., Exact]:
    """The function of a text that `_source` printed; it sees nothing but what such a text may call."""
    space: dict[str, Any] = {"__builtins__": {}, "type": type, "int": int, "Fraction": Fraction, **known}
    exec(compile(source, "<symflops formula>", "exec"), space)
    return cast("Callable[..., Exact]", space["cost"])
