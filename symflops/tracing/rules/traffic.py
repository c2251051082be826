"""Bytes that one call reads and writes, from the logical sizes of the tensors it is given and gives back.

A tensor that is passed twice is read once. Strides are not looked at: an expanded tensor counts its logical elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch

Traffic: TypeAlias = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], tuple[int, int]]


def tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors among values, one level of lists and tuples deep, as operator schemas nest them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, torch.Tensor):
                    yield item


def size_of(values: Iterable[Any]) -> int:
    """Bytes of the distinct tensors among values."""
    total = 0
    seen: set[int] = set()
    for tensor in tensors(values):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            total += tensor.numel() * tensor.dtype.itemsize
    return total


def _inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Any]:
    yield from args
    for name, value in kwargs.items():
        if not name.startswith("out"):  # `out=` and `out0=` are written, not read
            yield value


def everything(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """All inputs are read, all results written. An operator that returns nothing has written its first argument."""
    return size_of(_inputs(args, kwargs)), size_of((args[0] if result is None and args else result,))


def nothing(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """A view or a query: no element moves."""
    return 0, 0


def written_only(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """A fill: inputs only lend their shape."""
    return 0, size_of((args[0] if result is None and args else result,))


def overwritten(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """The first argument is the place to write to; the others are read."""
    return size_of(_inputs(args[1:], kwargs)), size_of((args[0],))


def looked_up(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """The first argument is a table of which only the rows that come out are read, with the indices."""
    written = size_of((result,))
    return size_of(_inputs(args[1:], kwargs)) + written, written


def scattered(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Writing in place into a few rows: indices and values are read, as many bytes as the values are written."""
    moved = list(tensors(args[1:]))
    return size_of(_inputs(args[1:], kwargs)), size_of(moved[-1:])
