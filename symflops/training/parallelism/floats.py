"""Closed forms over arrays in float64, by a walk over the formula: nothing is compiled for a form that is used once.

`symflops.evaluate.compiled` is exact, and faster for a form that many arrays are put into. Here each of hundreds of
forms meets one table; what matters in the end is computed again in fractions.

>>> import numpy as np
>>> from sympy import ceiling
>>> from symflops.notation import d_ff, n_data, n_layer
>>> over(n_layer * ceiling(d_ff / n_data), {d_ff: 10.0, n_layer: 2.0, n_data: np.array([1.0, 3.0, 4.0])})
array([20.,  8.,  6.])
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from sympy import Add, Expr, Max, Min, Mul, Pow, ceiling, floor

from symflops.errors import SizeError


def _numpy() -> Mapping[type, Callable[..., Any]]:
    import numpy as np

    return {
        Add: lambda *parts: functools.reduce(operator.add, parts),
        Mul: lambda *parts: functools.reduce(operator.mul, parts),
        Pow: operator.pow,
        Max: lambda *parts: functools.reduce(np.maximum, parts),
        Min: lambda *parts: functools.reduce(np.minimum, parts),
        ceiling: np.ceil,
        floor: np.floor,
    }


def over(form: Expr, sizes: Mapping[Expr, Any]) -> Any:
    """A form over floats and arrays of them, by symbol.

    Raises `SizeError` for a size that is missing or a function that is no arithmetic.
    """
    known = _numpy()
    done: dict[Expr, Any] = dict(sizes)

    def walk(part: Expr) -> Any:
        if part not in done:
            done[part] = float(part) if part.is_Rational else _made(part)
        return done[part]

    def _made(part: Expr) -> Any:
        if part.func not in known:
            raise SizeError(f"{part} of {form} has no value; give all sizes, and a form of sums, products and powers")
        if part.is_Pow and part.exp == -1:
            return 1.0 / walk(part.base)
        return known[part.func](*map(walk, part.args))

    return walk(form)
