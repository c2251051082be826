"""Integer programs over a part of a grid: each step over the axes that it depends on, and no others.

Steps are in int64 where a bound proves that none overflows, and in Python's integers elsewhere.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from sympy import Expr

from symflops.emit.lowering import lower
from symflops.emit.program import EXACT, Program, peak
from symflops.errors import SizeError
from symflops.sizes import LIMIT
from symflops.sweeps import UFUNCS

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["int64", "integer", "fraction", "float64"]
"""What a column holds: int64; integers of any size; integers and fractions; or what is rounded once to float64."""
_EXACT_FLOATS = 2**53


@dataclass(frozen=True)
class Form:
    """A closed form that is compiled for grids.

    >>> import numpy as np
    >>> from symflops.notation import n_layer, n_seq
    >>> form = Form.of(n_layer * n_seq * (n_seq + 1) / 2)
    >>> sizes = {"n_layer": np.array([[1], [10**18]]), "n_seq": np.array([[1, 2, 3]])}
    >>> form.values({**sizes, "n_layer": sizes["n_layer"][:1]}, "int64")
    array([[1, 3, 6]])
    >>> form.values(sizes, "integer").tolist()
    [[1, 3, 6], [1000000000000000000, 3000000000000000000, 6000000000000000000]]
    """

    program: Program
    bound: Program

    @classmethod
    def of(cls, expression: Expr) -> Form:
        """The form of an expression in sizes. Raises `UnsupportedFormula` for what is no exact arithmetic."""
        program = lower(expression)
        return cls(program, peak(program))

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The names of its sizes."""
        return frozenset(self.program.arguments)

    @property
    def whole(self) -> bool:
        """Whether every value is proved to be an integer."""
        return self.program.whole or not self.program.divides

    def highest(self, sizes: Mapping[str, int]) -> int:
        """A bound on the magnitude of every step for sizes up to these."""
        return int(_run(self.bound, [sizes[name] for name in self.bound.arguments], {})[0])

    def values(self, sizes: Mapping[str, Any], kind: Kind) -> NDArray[Any]:
        """The values over sizes that broadcast, in the shape of those that the form has.

        ``int64`` raises `SizeError` where a step could overflow. Other kinds hold any value; ``integer`` gives int64
        where that holds every step.
        """
        import numpy as np

        bound = self._bound(sizes)
        if kind == "int64" and bound >= LIMIT:
            raise SizeError(f"a step may reach {bound}, which int64 does not hold; ask for integers")
        rounding = kind == "float64" and self.program.divides  # Both ends exact in float64, their quotient rounds once.
        top, bottom = self._ends(sizes, bound < (_EXACT_FLOATS if rounding else LIMIT))
        with _one_line():
            if kind == "float64":
                return np.asarray(np.true_divide(top, bottom) if rounding else top).astype(np.float64)
            if not self.program.divides:
                return np.asarray(top)
            return np.asarray(top // bottom) if self.program.whole else _quotients(top, bottom)

    def compared(self, sizes: Mapping[str, Any], holds: Callable[[Any, int], Any]) -> NDArray[Any]:
        """Whether the value compares with zero as it should: its numerator does, as denominators are positive."""
        import numpy as np

        return np.asarray(holds(self._ends(sizes, self._bound(sizes) < LIMIT)[0], 0)).astype(np.bool_)

    def _bound(self, sizes: Mapping[str, Any]) -> int:
        return self.highest({name: int(sizes[name].max()) for name in self.program.arguments})

    def _ends(self, sizes: Mapping[str, Any], narrow: bool) -> tuple[Any, Any]:
        import numpy as np

        wanted = np.dtype(np.int64 if narrow else object)
        given = [sizes[name].astype(wanted, copy=False) for name in self.program.arguments]
        ufuncs: dict[str, Callable[..., Any]] = {name: getattr(np, ufunc) for name, ufunc in UFUNCS.items()}
        # NumPy compares to booleans, which it would add as such.
        ufuncs["less"] = lambda left, right: np.less(left, right).astype(np.int64).astype(wanted)
        with _one_line():
            return _run(self.program, given, ufuncs)


@contextmanager
def _one_line() -> Iterator[None]:
    """Says in one line what NumPy or Python raises."""
    import numpy as np

    try:
        with np.errstate(divide="raise", invalid="raise"):
            yield
    except (ZeroDivisionError, FloatingPointError):
        raise SizeError(
            "a form divides by zero at a point of the grid; leave that point out with a condition"
        ) from None
    except OverflowError:
        raise SizeError("float64 does not hold a value of the grid; ask for exact numbers") from None


def _run(program: Program, given: Sequence[Any], ufuncs: Mapping[str, Callable[..., Any]]) -> tuple[Any, Any]:
    """Numerator and denominator."""
    values: list[Any] = []
    last = _last_reads(program)
    for place, node in enumerate(program.nodes):
        if not node.operands:
            values.append(given[node.left] if node.op == "size" else node.left)
            continue
        left, right = values[node.left], values[node.right]
        if type(left) is int and type(right) is int:
            values.append(EXACT[node.op](left, right))
        elif node.op == "less":
            values.append(ufuncs[node.op](left, right))
        else:
            free = [values[each] for each in node.operands if last[each] == place and program.nodes[each].operands]
            values.append(ufuncs[node.op](left, right, out=_reused(free, left, right)))
    return values[program.numerator], values[program.denominator]


@cache
def _last_reads(program: Program) -> tuple[int, ...]:
    """The place of the node that reads each node last; beyond all for those that are the result."""
    last = [0] * len(program.nodes)
    for place, node in enumerate(program.nodes):
        for each in node.operands:
            last[each] = place
    last[program.numerator] = last[program.denominator] = len(last)
    return tuple(last)


def _reused(free: Sequence[Any], left: Any, right: Any) -> Any:
    """An array that nothing reads again and that has the result's shape: new memory costs more than the arithmetic."""
    for each in free:
        if type(each) is not int and _fits(each, left) and _fits(each, right):
            return each
    return None


def _fits(into: Any, operand: Any) -> bool:
    if type(operand) is int or operand is into:
        return True
    return operand.ndim <= into.ndim and all(map(operator.le, operand.shape[::-1], into.shape[::-1]))


def _quotients(top: Any, bottom: Any) -> NDArray[Any]:
    """The exact quotients: int64 where all are whole and it holds them, else integers and fractions."""
    import numpy as np

    found = np.asarray(top // bottom)
    if bool((found * bottom == top).all()):
        return found
    return np.asarray(np.frompyfunc(_quotient, 2, 1)(*(np.asarray(each).astype(object) for each in (top, bottom))))


def _quotient(top: int, bottom: int) -> int | Fraction:
    found = Fraction(top, bottom)
    return int(found) if found.denominator == 1 else found
