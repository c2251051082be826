"""Runs on symbolic sizes brought together: numbered layers merged and counted, numbers recovered as formulas in sizes.

What drives a loop in Python, such as the number of layers, is a number in each run. From runs at several such numbers
follows how often each thing comes and how large it is, as polynomials that further runs confirm.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sympy import Add, Expr, Integer, Mul, expand

from symflops.tracing.interpolation import Interpolation, MorePoints
from symflops.tracing.records import Call, Item, Record, Run, Size, Stored
from symflops.tracing.rules import axes

Each = TypeVar("Each", bound=Item)
Counted = Mapping[Each, Expr]
Runs = Sequence[tuple[Mapping[str, int], Run]]
_Slot = tuple[Item, int]
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


class Unexplained(MorePoints):
    """Something whose number or size no polynomial gives at all runs; further runs may tell more."""


@dataclass(frozen=True)
class Merged:
    """Records, parameters and so on with ``*`` for numbers in module paths, and how many of each there are.

    ``unexplained`` says, in a line for each, which calls have no closed form: then bytes moved have none.
    """

    records: Counted[Record]
    parameters: Counted[Stored]
    saved: Counted[Stored]
    calls: Counted[Call]
    unexplained: tuple[str, ...] = ()

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

    def bytes_read(self, *phases: str) -> Expr | None:
        """Bytes that all calls in these phases read, each operand once for each call; None where not known."""
        return self._moved(phases, lambda call: call.read)

    def bytes_written(self, *phases: str) -> Expr | None:
        """Bytes that all calls in these phases write; None where not known."""
        return self._moved(phases, lambda call: call.written)

    def _moved(self, phases: tuple[str, ...], amount: Callable[[Call], Size]) -> Expr | None:
        if self.unexplained:
            return None
        return expand(Add(*(times * amount(each) for each, times in self.calls.items() if each.phase in phases)))

    def at(self, values: Mapping[Expr, Expr]) -> Merged:
        """With other expressions for some sizes."""
        return Merged(
            _at(self.records, values),
            _at(self.parameters, values),
            _at(self.saved, values),
            _at(self.calls, values),
            self.unexplained,
        )


def _at(counted: Counted[Each], values: Mapping[Expr, Expr]) -> dict[Each, Expr]:
    def one(size: Size) -> Expr:
        return expand((Integer(1) * size).subs(values))

    return {each.at(tuple(map(one, each.values))): one(times) for each, times in counted.items()}


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


def merged_family(runs: Runs) -> Merged:
    """Several runs of one family as one, in the symbols of what they differ in.

    Each run comes with what was a number in it, by the notation's names, ``{"n_layer": 3}``. Raises `Unexplained` where
    these runs do not determine, or do not confirm, how often a contraction, parameter or saved tensor comes or how
    large it is; calls of which that is so are listed in the result.

    >>> def at(n):
    ...     ups = [Record(f"h.{i}.up", "aten.mm", "forward", "m k, k n -> m n", (2, 3, 5)) for i in range(n)]
    ...     return {"n_layer": n}, Run(tuple(ups), ())
    >>> merged_family([at(2), at(3), at(4), at(5)]).flops("forward")
    60*n_layer
    """
    fit = _Fit([numbers for numbers, _ in runs])
    each = [run for _, run in runs]
    calls, unexplained = fit([run.calls for run in each])
    return Merged(
        records=fit.all([run.records for run in each]),
        parameters=fit.all([tuple(_nameless(run.parameters)) for run in each]),
        saved=fit.all([tuple(map(_by_length, run.saved)) for run in each]),
        calls=calls,
        unexplained=tuple(map(str, unexplained)),
    )


def _nameless(parameters: Iterable[Stored]) -> Iterable[Stored]:
    """Parameters of a list of parameters have numbers for names."""
    return (replace(each, name="*") if each.name.isdigit() else each for each in parameters)


def _by_length(saved: Stored) -> Stored:
    """A saved tensor by how many elements it has: views of one storage have many shapes."""
    return saved.at((expand(Mul(*saved.shape)),))


class _Fit:
    """Polynomials for the things of several runs; interpolations are kept, for most things have the same runs."""

    def __init__(self, points: Sequence[Mapping[str, int]]) -> None:
        self._points = tuple(points)
        self._interpolations: dict[tuple[int, ...], Interpolation] = {}

    def all(self, runs: Sequence[tuple[Each, ...]]) -> dict[Each, Expr]:
        """As a call, but what has no formula is an error."""
        found, unexplained = self(runs)
        if unexplained:
            raise unexplained[0]
        return found

    def __call__(self, runs: Sequence[tuple[Each, ...]]) -> tuple[dict[Each, Expr], list[Unexplained]]:
        """Each thing at its recovered sizes, and how often it comes; and what was not explained."""
        seen = [_slots(each) for each in runs]
        total: dict[Each, list[Expr]] = defaultdict(list)
        unexplained = []
        for slot in dict.fromkeys(slot for each in seen for slot in each):
            found = {number: each[slot] for number, each in enumerate(seen) if slot in each}
            try:
                times, item = self._explained(slot[0], found)
                total[item].append(times)
            except Unexplained as error:
                unexplained.append(error)
        return {item: Add(*times) for item, times in total.items()}, unexplained

    def _explained(self, item: Each, found: Mapping[int, tuple[int, tuple[Size, ...]]]) -> tuple[Expr, Each]:
        """How often something comes, and the thing with its sizes, which are asked of the runs that have it."""
        runs = tuple(range(len(self._points)))
        try:
            times = self._through(runs, [found[run][0] if run in found else 0 for run in runs])
            columns = zip(*(values for _, values in found.values()), strict=True)
            return times, item.at(tuple(self._through(tuple(found), column) for column in columns))
        except MorePoints as error:
            raise Unexplained(f"{_what(item)}: {error}") from error

    def _through(self, runs: tuple[int, ...], values: Iterable[Size]) -> Expr:
        known = self._interpolations
        if runs not in known:
            known[runs] = Interpolation([self._points[run] for run in runs])
        return known[runs].polynomial([Integer(1) * each for each in values])


def _slots(items: Iterable[Each]) -> dict[tuple[Each, int], tuple[int, tuple[Size, ...]]]:
    """Things of one run by what they are and, where their sizes differ, which of them: how many, and their sizes."""
    tally: Tally[Each] = Tally()
    for each in items:
        tally[replace(each, module=pattern(each.module), times=1)] += each.number  # type: ignore[call-arg]
    return dict(_numbered(tally))


def _numbered(tally: Mapping[Each, int]) -> Iterator[tuple[tuple[Each, int], tuple[int, tuple[Size, ...]]]]:
    alike: Tally[Each] = Tally()
    for each, times in tally.items():
        nameless = each.at(tuple(Integer(0) for _ in each.values))
        yield (nameless, alike[nameless]), (times, each.values)
        alike[nameless] += 1


def _what(item: Item) -> str:
    said = [str(getattr(item, name)) for name in ("operator", "phase", "name") if hasattr(item, name)]
    return " ".join([*said, f"of {item.module or 'the model'}"])


__all__ = ["Call", "Merged", "Record", "Runs", "Stored", "Unexplained", "macs", "merged", "merged_family", "sizes"]
