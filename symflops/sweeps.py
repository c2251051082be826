"""Integer programs over NumPy arrays: in blocks that stay in the cache, each step into a buffer that is used again.

Exact sweeps are int64 where no step of a block can overflow, and Python's integers elsewhere. NumPy is imported only
when a sweep runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

from symflops.emit.program import EXACT, Program
from symflops.errors import SizeError
from symflops.sizes import LIMIT, Sizes, sizes_of_sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values = Callable[..., int | Fraction]

_BLOCK = 16_384
UFUNCS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "max": "maximum",
    "min": "minimum",
    "floordiv": "floor_divide",
    "less": "less",
}
"""The function of NumPy that each operation of a program is."""


def sweep(program: Program, exact: Values, bound: Values, arrays: Mapping[str, Any]) -> NDArray[Any]:
    """The exact values over sizes that broadcast, as int64, or as objects (int, Fraction) where one does not fit.

    `exact` computes one value in Python's integers, and `bound` a bound on the magnitude of every step (see `peak`).
    Raises `SizeError` and `UnknownName` for sizes that are missing, not positive integers, or do not broadcast.

    >>> from symflops.evaluate import compiled
    >>> from symflops.notation import n_layer, n_seq
    >>> compiled(6 * n_layer * n_seq).sweep(n_layer=405 * 10**9, n_seq=[1, 15 * 10**12]).tolist()
    [2430000000000, 36450000000000000000000000]
    """
    import numpy as np

    sizes = sizes_of_sweep(program.arguments, arrays, exact_integers=True)
    if not sizes.varying:
        return _uniform(sizes, exact)
    plan = _plan(program, sizes, np.int64)
    out = np.empty(prod(sizes.shape), np.int64)
    start = 0
    with np.errstate(divide="raise"):
        for blocks in _blocks(sizes):
            stop = start + len(next(iter(blocks.values())))
            if not _in_int64(plan, sizes, bound, blocks, out[start:stop]):
                out = _stored(out, start, [exact(*row) for row in sizes.rows(blocks)])
            start = stop
    return out.reshape(sizes.shape)


def sweep_float64(program: Program, arrays: Mapping[str, Any]) -> NDArray[Any]:
    """The values over sizes that broadcast, in float64. What is uniform is computed exactly, then rounded once.

    Raises as `sweep` does, and `SizeError` where a step leaves the range of float64.

    >>> from symflops.evaluate import compiled
    >>> from symflops.notation import n_seq
    >>> compiled(n_seq / 2).sweep_float64(n_seq=[1, 2])
    array([0.5, 1. ])
    """
    import numpy as np

    sizes = sizes_of_sweep(program.arguments, arrays, exact_integers=False)
    plan = _plan(program, sizes, np.float64)
    out = np.empty(prod(sizes.shape), np.float64)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        try:
            _run_float64(plan, sizes, out)
        except FloatingPointError as error:
            raise SizeError(f"float64 cannot hold this ({error}); use the exact sweep") from None
    return out.reshape(sizes.shape)


def _run_float64(plan: _Plan, sizes: Sizes, out: NDArray[Any]) -> None:
    import numpy as np

    if not sizes.varying:
        plan.run({}, out, np.true_divide)
    floors, equal = np.empty(_BLOCK), np.empty((len(sizes.varying), _BLOCK), np.bool_)
    start = 0
    for blocks in _blocks(sizes, np.float64):
        part = out[start : start + len(next(iter(blocks.values())))]
        sizes.check_floats(blocks, floors[: len(part)], equal[:, : len(part)])
        plan.run(blocks, part, np.true_divide)
        if not np.maximum.reduce(part) < np.inf:
            sizes.refuse_fractions(blocks)
        start += len(part)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A program over blocks: uniform values, where blocks go, and steps (ufunc, left, right, place, buffer)."""

    values: tuple[Any, ...]
    inputs: tuple[tuple[int, int], ...]
    steps: tuple[tuple[Callable[..., Any], int, int, int, int], ...]
    buffers: tuple[NDArray[Any], ...]
    numerator: int
    denominator: int
    divides: bool
    whole: bool

    def run(self, blocks: Mapping[int, Any], out: NDArray[Any], divide: Callable[..., Any]) -> tuple[Any, Any]:
        """Computes a block into `out` and gives what was divided by what."""
        length = len(out)
        buffers = [*(buffer[:length] for buffer in self.buffers), out]
        values = list(self.values)
        for place, argument in self.inputs:
            values[place] = blocks[argument]
        for ufunc, left, right, place, buffer in self.steps:
            values[place] = ufunc(values[left], values[right], out=buffers[buffer])
        top, bottom = values[self.numerator], values[self.denominator]
        if self.divides:
            divide(top, bottom, out=out)
        elif top is not out:
            out[:] = top
        return top, bottom


def _plan(program: Program, sizes: Sizes, dtype: Any) -> _Plan:
    import numpy as np

    exact = _uniform_values(program, sizes.uniform)
    values = [_rounded(value, float if dtype is np.float64 else int) for value in exact]
    inputs = [(p, node.left) for p, node in enumerate(program.nodes) if node.op == "size" and exact[p] is None]
    places = [p for p, node in enumerate(program.nodes) if node.operands and exact[p] is None]
    buffers = _buffers(program, places)
    count = 1 + max(buffers.values(), default=-1)
    if buffers and not program.divides:
        buffers[places[-1]] = count  # The last step writes where the result goes.
    steps = [
        (getattr(np, UFUNCS[node.op]), node.left, node.right, place, buffers[place])
        for place, node in ((place, program.nodes[place]) for place in places)
    ]
    scratch = tuple(np.empty((count, _BLOCK), dtype))
    ends = (program.numerator, program.denominator)
    return _Plan(tuple(values), tuple(inputs), tuple(steps), scratch, *ends, program.divides, program.whole)


def _uniform_values(program: Program, uniform: Mapping[int, int]) -> list[int | None]:
    """The exact value of each node that is the same everywhere, else None."""
    values: list[int | None] = []
    for node in program.nodes:
        if not node.operands:
            values.append(uniform.get(node.left) if node.op == "size" else node.left)
            continue
        left, right = values[node.left], values[node.right]
        values.append(None if left is None or right is None else EXACT[node.op](left, right))
    return values


def _rounded(value: int | None, number: type[int] | type[float]) -> Any:
    try:
        return None if value is None else number(value)
    except OverflowError:
        raise SizeError("float64 cannot hold this (a step exceeds 1.8e308); use the exact sweep") from None


def _buffers(program: Program, places: Sequence[int]) -> dict[int, int]:
    """A buffer for each step; one whose value has been read for the last time is used again."""
    last = {operand: place for place in places for operand in program.nodes[place].operands}
    last |= dict.fromkeys((program.numerator, program.denominator), len(program.nodes))
    free: list[int] = []
    taken: dict[int, int] = {}
    for place in places:
        free += [taken[o] for o in dict.fromkeys(program.nodes[place].operands) if o in taken and last[o] == place]
        taken[place] = free.pop() if free else len(set(taken.values()))
    return taken


def _blocks(sizes: Sizes, dtype: Any = None) -> Iterator[dict[int, Any]]:
    import numpy as np

    places, arrays = list(sizes.varying), list(sizes.varying.values())
    if not arrays:
        return
    walk = np.nditer(
        arrays,
        flags=["external_loop", "buffered", "zerosize_ok", "refs_ok"],
        op_flags=[["readonly"]] * len(arrays),
        op_dtypes=[dtype or array.dtype for array in arrays],
        order="C",
        casting="same_kind",
        buffersize=_BLOCK,
    )
    for found in walk:
        blocks = found if isinstance(found, tuple) else (found,)
        if len(blocks[0]):
            yield dict(zip(places, blocks, strict=True))


def _in_int64(plan: _Plan, sizes: Sizes, bound: Values, blocks: Mapping[int, Any], out: NDArray[Any]) -> bool:
    """Computes a block in int64, or says that it cannot: a step might overflow, or a value is not whole."""
    sizes.check(blocks)
    highs = [int(blocks[p].max()) if p in blocks else sizes.uniform[p] for p in range(len(sizes.names))]
    if max(highs) >= LIMIT or bound(*highs) >= LIMIT:
        return False
    import numpy as np

    try:
        narrow = {place: block.astype(np.int64, copy=False) for place, block in blocks.items()}
        top, bottom = plan.run(narrow, out, np.floor_divide)
    except FloatingPointError:
        return False
    return not plan.divides or plan.whole or bool((out * bottom == top).all())


def _stored(out: NDArray[Any], start: int, values: Sequence[int | Fraction]) -> NDArray[Any]:
    """The array with values from a place on; as objects from the first that int64 does not hold."""
    import numpy as np

    fits = all(type(value) is int and -LIMIT <= value < LIMIT for value in values)
    wide = out if fits or out.dtype == object else out.astype(object)
    block = np.empty(len(values), dtype=object)
    block[:] = values
    wide[start : start + len(values)] = block
    return wide


def _uniform(sizes: Sizes, exact: Values) -> NDArray[Any]:
    import numpy as np

    value = exact(*(sizes.uniform[place] for place in range(len(sizes.names))))
    return _stored(np.empty(1, np.int64), 0, [value]).reshape(sizes.shape)
