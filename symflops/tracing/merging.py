"""Runs of one family made into one: numbered layers merged and counted, the counts as formulas in the layer sizes.

A loop over layers runs in Python, so the number of layers is a number in each run. From runs at several numbers follows
how often each record comes, as an affine function of them, confirmed at every further run.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sympy import Add, Expr, Integer, Matrix, Mul, expand

from symflops.errors import SymflopsError
from symflops.notation import symbol
from symflops.tracing.records import Record, Run, Stored
from symflops.tracing.rules import axes

Item = TypeVar("Item", Record, Stored)
Counted = Mapping[Item, Expr]
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


class NotAffine(SymflopsError):
    """Something whose number is not a constant plus a multiple of the numbers of layers."""


@dataclass(frozen=True)
class Merged:
    """Records, parameters and saved tensors with ``*`` for numbers in module paths, and how many of each there are."""

    records: Counted[Record]
    parameters: Counted[Stored]
    saved: Counted[Stored]

    @property
    def params(self) -> Expr:
        """Every distinct parameter."""
        return expand(Add(*(times * Mul(*each.shape) for each, times in self.parameters.items())))

    @property
    def saved_bytes(self) -> Expr:
        """Bytes of the distinct tensors saved for the backward pass."""
        return expand(Add(*(times * each.element_size * Mul(*each.shape) for each, times in self.saved.items())))

    def flops(self, *phases: str) -> Expr:
        """Two for each multiply-accumulate of every contraction in these phases, as executed."""
        return expand(Add(*(2 * times * macs(each) for each, times in self.records.items() if each.phase in phases)))


def macs(record: Record) -> Expr:
    """Multiply-accumulates of one call."""
    return Mul(*record.sizes)


def sizes(record: Record) -> dict[str, Expr]:
    """The size of each axis of a record's einsum."""
    return {axis: Integer(1) * size for axis, size in zip(axes(record.spec), record.sizes, strict=True)}


def pattern(path: str) -> str:
    """A module path with ``*`` for its numbers.

    >>> pattern("model.layers.17.mlp.experts.3.up")
    'model.layers.*.mlp.experts.*.up'
    """
    return _NUMBER.sub("*", path)


def merged(run: Run) -> Merged:
    """One run, its numbered layers together.

    >>> twice = [Record(f"h.{layer}.up", "aten.mm", "forward", "m k, k n -> m n", (2, 3, 5)) for layer in range(2)]
    >>> found = merged(Run(tuple(twice), ()))
    >>> [(record.module, times) for record, times in found.records.items()], found.flops("forward")
    ([('h.*.up', 2)], 120)
    """
    return merged_family([({}, run)])


def merged_family(runs: Sequence[tuple[Mapping[str, int], Run]]) -> Merged:
    """Several runs of one family as one, in the symbols of what they differ in.

    Each run comes with its numbers of layers by the notation's names, ``{"n_layer": 3}``. One run more than there are
    names determines the counts, and every further one confirms them: give at least two more. Raises `NotAffine` where
    a count is no affine function, or the runs do not determine it.

    >>> def at(n):
    ...     ups = [Record(f"h.{i}.up", "aten.mm", "forward", "m k, k n -> m n", (2, 3, 5)) for i in range(n)]
    ...     return {"n_layer": n}, Run(tuple(ups), ())
    >>> merged_family([at(2), at(3), at(4)]).flops("forward")
    60*n_layer
    """
    numbers = [numbers for numbers, _ in runs]
    each = [run for _, run in runs]
    return Merged(
        records=_fitted(numbers, [_tally(run.records) for run in each]),
        parameters=_fitted(numbers, [_tally(_nameless(run.parameters)) for run in each]),
        saved=_fitted(numbers, [_tally(run.saved) for run in each]),
    )


def _nameless(parameters: Iterable[Stored]) -> Iterable[Stored]:
    """Parameters of a list of parameters have numbers for names."""
    return (replace(each, name="*") if each.name.isdigit() else each for each in parameters)


def _tally(items: Iterable[Item]) -> Tally[Item]:
    found: Tally[Item] = Tally()
    for each in items:
        found[replace(each, module=pattern(each.module), times=1)] += each.times
    return found


def _fitted(numbers: Sequence[Mapping[str, int]], tallies: Sequence[Tally[Item]]) -> dict[Item, Expr]:
    fit = _fit(numbers)
    items = dict.fromkeys(item for tally in tallies for item in tally)
    return {item: fit([tally[item] for tally in tallies], item) for item in items}


def _fit(numbers: Sequence[Mapping[str, int]]) -> Callable[[Sequence[int], object], Expr]:
    """From a count in each run to its affine form."""
    names = list(numbers[0])
    rows = Matrix([[1, *(each[name] for name in names)] for each in numbers])
    chosen = rows.T.rref()[1]
    if len(chosen) < len(names) + 1:
        raise NotAffine(f"{len(numbers)} runs do not tell what depends on {', '.join(names)}; give more, all apart")
    solve = rows.extract(list(chosen), list(range(rows.cols))).inv()
    terms = Matrix([1, *(symbol(name) for name in names)])

    def fit(counts: Sequence[int], item: object) -> Expr:
        factors = solve * Matrix([counts[row] for row in chosen])
        if list(rows * factors) != list(counts):
            raise NotAffine(f"{item} comes {list(counts)} times at {[dict(each) for each in numbers]}: not affine")
        return (factors.T * terms)[0]

    return fit
