"""Checks of the sizes a formula is given."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from symflops.errors import SizeError, UnknownName


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
