"""Which sizes of a model can be symbols in its code, and runs at several numbers for those that cannot.

What drives a loop (layers, experts) is a number from the start. Where code turns another size into a number, that size
becomes one too, and the dependence on it is recovered from runs at several of its values.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from os import sep
from typing import Any

from symflops.errors import SymflopsError
from symflops.tracing.conditions import common
from symflops.tracing.fake_kernels import DataDependent
from symflops.tracing.interpolation import CONFIRMING
from symflops.tracing.merging import Merged, Unexplained, merged_family
from symflops.tracing.records import Run
from symflops.tracing.rules import UnpricedOperator
from symflops.tracing.sampling import Domain, EmptyDomain, draw
from symflops.tracing.symbolic import Traced
from symflops.tracing.translation import Dictionary, Unknown

RunAt = Callable[[Mapping[str, int], Mapping[str, int]], Traced]
"""From numbers and from hints of symbols, by the notation's names, to a run."""
Stage = Callable[[str, int, int], None]
MOST_RUNS = 40
MORE_RUNS = 6
"""Runs that are added for the sake of bytes moved alone."""
_FEWEST_LAYERS = 2
_LAYERS = 6
_LARGEST = 24


class NotSymbolic(SymflopsError):
    """Code whose dependence on its sizes was not found: it does not run on symbols, or follows no polynomial."""


@dataclass(frozen=True)
class Recovered:
    """A size that was a number in every run: why, in how many runs, and the highest power in which it was found."""

    size: str
    why: str
    runs: int
    degree: int

    def __str__(self) -> str:
        return f"{self.size}: {self.why}; recovered from {self.runs} runs, of degree {self.degree}"


@dataclass(frozen=True)
class Family:
    """Runs of a model as one. ``conditions`` and ``generic`` are those of `Domain`; ``symbolic`` names what was one."""

    merged: Merged
    conditions: Domain
    generic: Domain
    symbolic: tuple[str, ...]
    recovered: tuple[Recovered, ...]
    notes: tuple[str, ...]


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


def family(model: Model, stage: Stage) -> Family:
    """Run a model at as many numbers as it takes to determine, and to confirm, how everything depends on them.

    Raises `NotSymbolic`.
    """
    why, first = _symbols(model, stage)
    runs = Runs(model, why, first)
    while (found := runs.merged()) is None:
        stage("running the code on symbols", len(runs.known), max(len(runs.known) + 1, runs.least))
        runs.extend()
    conditions, unexplained = common([(numbers, each.domain.conditions) for numbers, each in runs.symbolic])
    generic, _ = common([(numbers, each.domain.generic) for numbers, each in runs.symbolic])
    notes = [f"bytes moved follow no polynomial: {each}" for each in found.unexplained[:1]]
    notes += [f"{unexplained} further conditions are not expressed in recovered sizes"] if unexplained else []
    return Family(
        merged=found,
        conditions=conditions,
        generic=generic,
        symbolic=tuple(name for name in model.hints if name not in why),
        recovered=tuple(Recovered(name, why[name], len(runs.known), _degree(found, name)) for name in why),
        notes=tuple(notes),
    )


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
        self._keep({name: model.hints[name] for name in names}, first)

    def merged(self) -> Merged | None:
        """The runs as one where they tell enough. Raises `NotSymbolic` where no more runs are worth while."""
        if len(self.known) < self.least or (self._others and len(self.symbolic) < len(self._others) + 1 + CONFIRMING):
            return None
        try:
            found = merged_family(self.known)
        except Unexplained as error:
            if len(self.known) >= MOST_RUNS or not (self._layers or self._others):
                raise NotSymbolic(f"no formula was found after {len(self.known)} runs: {error}") from error
            return None
        return None if found.unexplained and len(self.known) < self.least + MORE_RUNS else found

    def extend(self) -> None:
        """One run more: on numbers where the last run on symbols was not yet followed by such, else on symbols."""
        if not self._others or (self._layers and len(self.known) < 2 * len(self.symbolic)):
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
        for _ in range(MOST_RUNS):
            try:
                drawn = draw(ranges, self._model.domain, self._source)
            except EmptyDomain as error:
                raise NotSymbolic(str(error)) from error
            numbers = {name: drawn[name] for name in (*self._layers, *self._others)}
            apart = {numbers[name] for name in self._others}
            if len(apart - hints) == len(self._others) and not any(numbers == each for each, _ in self.known):
                return numbers
        raise NotSymbolic(f"no further numbers of {', '.join(free)} to run at, after {len(self.known)} runs")

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


def _range(name: str, hint: int) -> tuple[int, int]:
    """Layers of a kind may be one; of all kinds together there are at least two, as of everything else."""
    if name.startswith("n_layer"):
        return min(hint, _FEWEST_LAYERS), _LAYERS
    return min(_FEWEST_LAYERS, hint), max(_LARGEST, hint)


def _symbols(model: Model, stage: Stage) -> tuple[dict[str, str], Traced]:
    """The sizes that have to be numbers, each with its reason, and the run at the hints in which only they are."""
    why = dict.fromkeys(sorted(model.structural), "drives a loop of the code")
    while True:
        stage("finding which sizes the code keeps symbolic", 0, 1)
        try:
            traced = model.at({name: model.hints[name] for name in why})
        except (DataDependent, UnpricedOperator) as error:
            error.args = (f"{error} (at {_line_of(error)})",)
            raise
        except SymflopsError:
            raise
        except Exception as error:
            _refuse_data(error)
            why = _demoted(model, why, error)
            continue
        lost = {name: str(each) for each in reversed(traced.specialised) for name in each.symbols}
        if not lost:
            return why, traced
        why |= lost


def _demoted(model: Model, why: dict[str, str], error: Exception) -> dict[str, str]:
    """Code failed on symbols: the first size that has to be a number for it to run, or else all of them."""
    reason = f"the code fails on a symbol ({said(error)})"
    names = [name for name in model.hints if name not in why]
    for tried in [*([name] for name in names), names]:
        more = why | dict.fromkeys(tried, reason)
        try:
            model.at({name: model.hints[name] for name in more})
        except SymflopsError:
            raise
        except Exception as again:
            error = again
            continue
        return more
    raise NotSymbolic(f"the code does not run: {said(error)}") from error


_DATA = frozenset({"DataDependentOutputException", "DynamicOutputShapeException", "GuardOnDataDependentSymNode"})


def _refuse_data(error: Exception) -> None:
    """Raises `DataDependent` for what torch raises where code asks for the values of tensors."""
    if type(error).__name__ in _DATA:
        raise DataDependent(
            f"data-dependent control flow: {said(error)}; a closed form needs sizes alone: give inputs, or a model, "
            "that do not go this way"
        ) from error


def said(error: Exception) -> str:
    """An error of the model's code in one line, with the place that it came from."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text} at {_line_of(error)}"


def _line_of(error: Exception) -> str:
    """File and line of the model's code where an error came from: the innermost that is neither torch's nor ours."""
    inner = (f"{sep}torch{sep}", f"{sep}symflops{sep}tracing{sep}", f"{sep}sympy{sep}")
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if not any(part in each.filename for part in inner)
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"


def _degree(found: Merged, name: str) -> int:
    """The highest power of a size in anything that was found."""
    every = (found.records, found.parameters, found.saved, found.calls)
    forms = {form for each in every for item, times in each.items() for form in (times, *item.values)}
    return max((_power(form, name) for form in forms), default=0)


def _power(form: Any, name: str) -> int:
    symbols = {each.name: each for each in getattr(form, "free_symbols", ())}
    if name not in symbols:
        return 0
    poly = form.as_poly(symbols[name])
    return int(poly.degree()) if poly is not None else 1
