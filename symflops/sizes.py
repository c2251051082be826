"""The sizes a formula is given: single ones, and arrays of them. NumPy is imported only where there are arrays."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from symflops.errors import SizeError, UnknownName

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMIT = 2**63
"""The first integer that int64 does not hold."""


def positive_integer(name: str, given: Any) -> int:
    """A size as a Python int: from an int, or from what is an integer exactly, such as NumPy's.

    Raises `SizeError` for anything else, a float too, as floats above 2**53 skip integers.

    >>> positive_integer("n_seq", 2048)
    2048
    >>> positive_integer("n_seq", 0.5)
    Traceback (most recent call last):
    symflops.errors.SizeError: size n_seq is 0.5; give a positive integer, or sweep over arrays of them
    """
    if given is None:
        raise SizeError(f"size {name} is missing; give a positive integer")
    try:
        size = operator.index(given)
    except TypeError:
        size = 0
    if size < 1 or isinstance(given, bool):
        shown = given if isinstance(given, (int, float)) or size else f"of type {type(given).__name__}"
        raise SizeError(f"size {name} is {shown}; give a positive integer, or sweep over arrays of them")
    return size


def positive_integers(names: Sequence[str], *given: Any) -> tuple[int, ...]:
    """Sizes by name, each checked as `positive_integer` does.

    >>> positive_integers(("n_seq", "n_head"), 2048, 64)
    (2048, 64)
    """
    return tuple(map(positive_integer, names, given))


def ordered(names: Sequence[str], sizes: Mapping[str, Any]) -> list[Any]:
    """Sizes given by name, in the order of the names.

    Raises `UnknownName` for one too many and `SizeError` for one that is missing.

    >>> ordered(("n_seq", "n_head"), {"n_head": 64, "n_seq": 2048})
    [2048, 64]
    """
    for name in sizes:
        if name not in names:
            raise UnknownName("size", name, names)
    for name in names:
        if name not in sizes:
            raise SizeError(f"size {name} is missing; give a positive integer or an array of them")
    return [sizes[name] for name in names]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a sweep, by place: ints where one value serves everywhere, arrays where it varies."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    uniform: Mapping[int, int]
    varying: Mapping[int, NDArray[Any]]

    def rows(self, blocks: Mapping[int, Any]) -> Iterator[tuple[int, ...]]:
        """Each configuration of a block as Python ints."""
        columns = [
            blocks[place].tolist() if place in blocks else repeat(self.uniform[place])
            for place in range(len(self.names))
        ]
        return zip(*columns, strict=False)

    def check(self, blocks: Mapping[int, Any]) -> None:
        """Raises `SizeError` for a size below 1, or NaN, in a block."""
        import numpy as np

        for place, block in blocks.items():
            low = np.minimum.reduce(block)
            if not low >= 1:
                raise SizeError(f"size {self.names[place]} holds {low}; give positive integers")

    def check_floats(self, blocks: Mapping[int, Any], floors: NDArray[Any], equal: NDArray[Any]) -> None:
        """Raises `SizeError` for a size in a block of floats that is below 1, NaN, or a fraction.

        `floors` is a buffer of the block's length, `equal` one of booleans with such a row for each size. One pass
        over each size while it is in the cache, and one count for all, keep the check cheaper than the formula.
        """
        import numpy as np

        lowest, floor, same = np.minimum.reduce, np.floor, np.equal
        for row, block in enumerate(blocks.values()):
            if not lowest(block) >= 1:
                self.check(blocks)
            same(floor(block, floors), block, equal[row])
        if np.count_nonzero(equal) < equal.size:
            self.refuse_fractions(blocks)

    def refuse_fractions(self, blocks: Mapping[int, Any]) -> None:
        """Raises `SizeError` for a fraction or an infinity in a block of floats."""
        for place, block in blocks.items():
            _refuse_fractions(self.names[place], block)


def sizes_of_sweep(names: tuple[str, ...], arrays: Mapping[str, Any], *, exact_integers: bool) -> Sizes:
    """The sizes given by name to a sweep, checked as far as that needs no pass over the arrays.

    With `exact_integers` arrays become int64, or objects where that does not hold them; otherwise floats will do.

    >>> found = sizes_of_sweep(("n_seq", "n_head"), {"n_head": 64, "n_seq": [1, 2]}, exact_integers=True)
    >>> found.shape, found.uniform, found.varying
    ((2,), {1: 64}, {0: array([1, 2])})
    """
    import numpy as np

    given = [_array(name, value, exact_integers) for name, value in zip(names, ordered(names, arrays), strict=True)]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in given))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, given, strict=True) if array.ndim)
        raise SizeError(f"the sizes' shapes do not broadcast: {shapes}; give arrays of one shape, or scalars") from None
    single = {place for place, array in enumerate(given) if array.size == 1}
    uniform = {place: positive_integer(names[place], _only(given[place])) for place in single}
    varying = {place: array for place, array in enumerate(given) if place not in single}
    return Sizes(names, shape, uniform, varying)


def _only(array: NDArray[Any]) -> Any:
    value = array.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _array(name: str, value: Any, exact_integers: bool) -> NDArray[Any]:
    """A size as int64, as objects where it does not fit, or as it is where floats will do."""
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind not in "iufO":
        raise SizeError(f"size {name} is of dtype {array.dtype}; give positive integers")
    if array.dtype.kind == "i":
        return array.astype(np.int64, copy=False)  # Not int32, in which NumPy would compute.
    if array.dtype.kind in "uf" and not exact_integers:
        return array
    if array.dtype.kind == "f":
        _refuse_fractions(name, array)
    if array.dtype.kind == "O":
        array = np.frompyfunc(lambda item: positive_integer(name, item), 1, 1)(array) if array.size else array
        array = np.asarray(array, dtype=object)
    if array.size and not (array.min() >= 1 and array.max() < LIMIT):
        array = np.frompyfunc(int, 1, 1)(array)
        return np.asarray(array, dtype=object if exact_integers or array.size == 1 else np.float64)
    return array.astype(np.int64)


def _refuse_fractions(name: str, array: NDArray[Any]) -> None:
    import numpy as np

    broken = array[~((np.floor(array) == array) & (np.abs(array) < np.inf))]
    if broken.size:
        raise SizeError(f"size {name} holds {broken.flat[0]}; give positive integers")
