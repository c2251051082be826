"""Runs of a model at several numbers: on symbols, or on numbers and read in symbols.

Numbers are chosen so that no two things that differ look alike, and as many as it takes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sympy import expand

from symflops.errors import SymflopsError
from symflops.notation import symbol
from symflops.tracing.interpolation import CONFIRMING
from symflops.tracing.merging import Merged, Unexplained, merged, merged_family
from symflops.tracing.records import Run
from symflops.tracing.sampling import Domain, EmptyDomain, draw
from symflops.tracing.symbolic import Traced
from symflops.tracing.translation import Dictionary, Unknown

RunAt = Callable[[Mapping[str, int], Mapping[str, int]], Traced]
"""From numbers and from hints of symbols, by the notation's names, to a run."""
MOST_RUNS = 40
MORE_RUNS = 6
"""Runs that are added for the sake of bytes moved alone."""
_FEWEST_LAYERS = 2
_LAYERS = 6
_LARGEST = 24


class NotSymbolic(SymflopsError):
    """Code whose dependence on its sizes was not found: it does not run on symbols, or follows no polynomial."""


@dataclass(frozen=True)
class Model:
    """What is run: ``symbolic`` on numbers and hints of symbols, ``concrete`` on numbers alone, each by name.

    ``hints`` has a small value of every size, inside the ``domain``; those of ``structural`` are never symbols.
    """

    symbolic: RunAt
    concrete: Callable[[Mapping[str, int]], Run]
    hints: Mapping[str, int]
    structural: frozenset[str]
    domain: Domain

    def at(self, numbers: Mapping[str, int]) -> Traced:
        """A run in which all other sizes are symbols."""
        return self.symbolic(numbers, {name: hint for name, hint in self.hints.items() if name not in numbers})


class Runs:
    """Runs of a model at several numbers, on symbols or read in symbols, and where further ones are made.

    Numbers of layers only say how often things come: for each choice of the other numbers one run on symbols tells
    what the things are, and runs on numbers, at other layers, are read with its help.
    """

    def __init__(self, model: Model, names: Collection[str], first: Traced) -> None:
        self._model = model
        self._layers = [name for name in names if name.startswith("n_layer")]
        self._others = [name for name in names if name not in self._layers]
        self._source = random.Random(", ".join(model.hints))
        self.least = len(self._layers) + len(self._others) + 1 + CONFIRMING if names else 1
        self.known: list[tuple[dict[str, int], Run]] = []
        self.symbolic: list[tuple[dict[str, int], Traced]] = []
        self._unexplained = ""
        self._keep({name: model.hints[name] for name in names}, first)

    @property
    def _choices(self) -> int:
        """How many choices of the numbers that are no layers there were."""
        return len({tuple(others.items()) for others, _ in self.symbolic})

    def merged(self) -> Merged | None:
        """The runs as one where they tell enough. Raises `NotSymbolic` where no more runs are worth while."""
        if len(self.known) < self.least or (self._others and self._choices < len(self._others) + 1 + CONFIRMING):
            return None
        try:
            found = merged_family(self.known)
        except Unexplained as error:
            self._unexplained = str(error)
            apart = self._without_coincidence()
            if apart is None and (len(self.known) >= MOST_RUNS or not (self._layers or self._others)):
                raise NotSymbolic(f"no formula was found after {len(self.known)} runs: {error}") from error
            return apart
        return None if found.unexplained and len(self.known) < self.least + MORE_RUNS else found

    def _without_coincidence(self) -> Merged | None:
        """The runs as one without those at some numbers, where two different things happen to be of one size.

        Totals do not change by that, so those of the runs that are left out must be as the others say.
        """
        for others, _ in self.symbolic if self._others else ():
            kept = [(at, run) for at, run in self.known if not others.items() <= at.items()]
            left = [(at, run) for at, run in self.known if others.items() <= at.items()]
            if len(kept) < self.least:
                continue
            with suppress(Unexplained):
                found = merged_family(kept)
                if all(_same_totals(found, numbers, run) for numbers, run in left):
                    return found
        return None

    def extend(self) -> None:
        """One run more: on numbers where the last run on symbols was not yet followed by such, else on symbols."""
        if not self._others or (self._layers and len(self.known) < 2 * self._choices):
            self._read()
        else:
            self._run()

    def _read(self) -> None:
        """A run on numbers at other layers; where it cannot be read, the same on symbols."""
        others, _ = self.symbolic[-1]
        numbers = self._drawn(self._layers, others)
        try:
            self._translate(numbers)
        except Unknown:
            self._keep(numbers, self._model.at(numbers))

    def _run(self) -> None:
        """A run on symbols. Numbers that meet a symbol's hint by accident are passed over."""
        refused: object = "no further numbers"
        for _ in range(MOST_RUNS):
            numbers = self._drawn(self._others, {})
            traced = self._model.at(numbers)
            if not traced.specialised:
                self._keep(numbers, traced)
                return
            refused = traced.specialised[0]
        raise NotSymbolic(f"the code takes another way at most sizes: {refused}")

    def _drawn(self, free: Collection[str], known: Mapping[str, int]) -> dict[str, int]:
        """Numbers that no run had, new ones for ``free``; all others are as ``known``, or else as small as the hints.

        Two that are equal, or equal to the hint of a symbol, would make one of two things that differ in them.
        """
        hints = {hint for name, hint in self._model.hints.items() if name not in (*self._layers, *self._others)}
        fixed = {**self._model.hints, **known}
        ranges = {name: _range(name, size) if name in free else (size, size) for name, size in fixed.items()}
        for number in range(MOST_RUNS):
            try:
                drawn = draw(ranges, self._model.domain, self._source)
            except EmptyDomain as error:
                raise NotSymbolic(str(error)) from error
            numbers = {name: drawn[name] for name in (*self._layers, *self._others)}
            apart = {numbers[name] for name in self._others}
            again = any(numbers[name] == each[name] for name in free for each, _ in self.known)
            if again and 2 * number < MOST_RUNS:
                continue  # New values tell more, as long as there are any.
            if len(apart - hints) == len(self._others) and not any(numbers == each for each, _ in self.known):
                return numbers
        tried = f"no further numbers of {', '.join(free)} to run at, after {len(self.known)} runs"
        raise NotSymbolic(f"no formula was found: {self._unexplained or 'too few runs'}; {tried}")

    def _keep(self, numbers: dict[str, int], traced: Traced) -> None:
        """Keep a run on symbols as what it tells of the run on numbers at its hints: torch leaves out slices there that
        take everything. Where it does not tell enough, it is kept as it is.
        """
        others = {name: numbers[name] for name in self._others}
        self.symbolic.append((others, traced))
        self._dictionary = Dictionary(traced.run, {**self._model.hints, **numbers})
        try:
            self._translate(numbers)
        except Unknown:
            self.known.append((numbers, traced.run))

    def _translate(self, numbers: dict[str, int]) -> None:
        run = self._model.concrete({**self._model.hints, **numbers})
        self.known.append((numbers, self._dictionary.translated(run)))


def _same_totals(found: Merged, numbers: Mapping[str, int], run: Run) -> bool:
    """Whether a run has, in all, the parameters, FLOPs and saved bytes that a family says."""
    values = {symbol(name): value for name, value in numbers.items()}
    alone = merged(run)
    pairs = [(found.params, alone.params), (found.saved_bytes, alone.saved_bytes)]
    pairs += [(found.flops(phase), alone.flops(phase)) for phase in ("forward", "backward", "recompute")]
    return all(expand(ours.subs(values) - theirs) == 0 for ours, theirs in pairs)


def _range(name: str, hint: int) -> tuple[int, int]:
    """Layers of a kind may be one; of all kinds together there are at least two, as of everything else."""
    if name.startswith("n_layer"):
        return min(hint, _FEWEST_LAYERS), _LAYERS
    return min(_FEWEST_LAYERS, hint), max(_LARGEST, hint)
