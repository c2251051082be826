"""Runs on numbers read in symbols, with the help of a run on symbols: what has the same value at the hints is the same.

A run on numbers takes a tenth of the time of one on symbols, and shows as well how often each thing comes. What the run
on symbols does not know, or has two expressions for, is not guessed.

>>> from symflops.notation import d_ff, d_model, n_seq
>>> from symflops.tracing.records import Record
>>> up = Record("h.0.up", "aten.mm", "forward", "m k, k n -> m n", (n_seq, d_model, d_ff))
>>> known = Dictionary(Run((up,), ()), {"n_seq": 2, "d_model": 3, "d_ff": 5})
>>> seen = Record("h.7.up", "aten.mm", "forward", "m k, k n -> m n", (2, 3, 5), times=4)
>>> known.translated(Run((seen,), ())).records[0].sizes
(n_seq, d_model, d_ff)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

from sympy import Expr, Integer, expand

from symflops.errors import SymflopsError
from symflops.notation import symbol
from symflops.tracing.merging import pattern
from symflops.tracing.records import Item, Run, Size, Stored

Each = TypeVar("Each", bound=Item)


class Unknown(SymflopsError):
    """Something in a run on numbers that a run on symbols has no expression for, or more than one."""


class Dictionary:
    """Expressions by their place and their values at the hints."""

    def __init__(self, run: Run, hints: Mapping[str, int]) -> None:
        """``run`` is on symbols; ``hints`` has the value of each of them. Two expressions for one value are kept apart
        only where nothing asks for them.
        """
        self._hints: dict[Expr, Expr] = {symbol(name): Integer(value) for name, value in hints.items()}
        self._values: dict[Size, int] = {}
        self._known: dict[Any, tuple[Size, ...] | None] = {}
        for each in _items(run):
            key = self._key(each)
            before = self._known.setdefault(key, each.values)
            if before is not None and not _same(each, before):
                self._known[key] = None

    def translated(self, run: Run) -> Run:
        """A run on numbers in symbols. Raises `Unknown`."""
        return Run(
            records=self._all(run.records),
            parameters=self._all(run.parameters),
            saved=self._all(run.saved),
            calls=self._all(run.calls),
        )

    def _all(self, items: Iterable[Each]) -> tuple[Each, ...]:
        return tuple(self._one(each) for each in items)

    def _one(self, item: Each) -> Each:
        found = self._known.get(self._key(item))
        if found is None:
            raise Unknown(f"no expression, or two, for the sizes {item.values} at {item.module or 'the model'}")
        return item.at(found)

    def _key(self, item: Item) -> Any:
        values = tuple(map(self._value, item.values))
        nameless = replace(item.at(tuple(0 for _ in values)), module=pattern(item.module), times=1)  # type: ignore[call-arg]
        return (nameless.at(()), prod(values)) if _is_saved(item) else (nameless, values)

    def _value(self, size: Size) -> int:
        if isinstance(size, int):
            return size
        if size not in self._values:
            self._values[size] = int(size.xreplace(self._hints))
        return self._values[size]


def _items(run: Run) -> Iterable[Item]:
    return (*run.records, *run.parameters, *run.saved, *run.calls)


def _is_saved(item: Item) -> bool:
    """A saved tensor may be shown by its shape or by its length: only how large it is tells."""
    return isinstance(item, Stored) and item.name == "saved"


def _same(item: Item, before: tuple[Size, ...]) -> bool:
    if _is_saved(item):
        return bool(expand(prod(item.values) - prod(before)) == 0)
    return all(expand(one - other) == 0 for one, other in zip(item.values, before, strict=True))
