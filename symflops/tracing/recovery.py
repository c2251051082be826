"""Which sizes of a model can be symbols in its code, and runs at several numbers for those that cannot.

What drives a loop (layers, experts) is a number from the start. Where code turns another size into a number, that size
becomes one too, and the dependence on it is recovered from runs at several of its values.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import sep
from typing import Any

from symflops.errors import SymflopsError
from symflops.tracing.conditions import common
from symflops.tracing.interpolation import CONFIRMING
from symflops.tracing.merging import Merged, Unexplained, merged_family
from symflops.tracing.sampling import Domain, EmptyDomain, draw
from symflops.tracing.symbolic import Traced

RunAt = Callable[[Mapping[str, int], Mapping[str, int]], Traced]
"""From numbers and from hints of symbols, by the notation's names, to a run."""
Stage = Callable[[str, int, int], None]
MOST_RUNS = 40
MORE_RUNS = 6
"""Runs that are added for the sake of bytes moved alone."""
_LAYERS = (1, 5)
_NUMBERS = (2, 24)


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


def family(run: RunAt, hints: Mapping[str, int], structural: frozenset[str], domain: Domain, stage: Stage) -> Family:
    """Run at as many numbers as it takes to determine, and to confirm, how everything depends on them.

    ``hints`` has a small value of every size, inside the ``domain``; those of ``structural`` are numbers from the
    start. Raises `NotSymbolic`.
    """
    why, first = _symbols(run, hints, dict.fromkeys(sorted(structural), "drives a loop of the code"), stage)
    ranges = {name: (hint, hint) for name, hint in hints.items()} | {name: _range(name, hints[name]) for name in why}
    source = random.Random(", ".join(hints))
    runs = [({name: hints[name] for name in why}, first)]
    while (found := _merged(runs, len(why))) is None:
        stage("running the code on symbols", len(runs), max(len(runs) + 1, len(why) + 1 + CONFIRMING))
        runs.append(_another(run, hints, ranges, domain, source, runs))
    conditions, unexplained = common([(numbers, each.domain.conditions) for numbers, each in runs])
    generic, _ = common([(numbers, each.domain.generic) for numbers, each in runs])
    notes = [f"bytes moved follow no polynomial: {each}" for each in found.unexplained[:1]]
    notes += [f"{unexplained} further conditions are not expressed in recovered sizes"] if unexplained else []
    return Family(
        merged=found,
        conditions=conditions,
        generic=generic,
        symbolic=tuple(name for name in hints if name not in why),
        recovered=tuple(Recovered(name, why[name], len(runs), _degree(found, name)) for name in why),
        notes=tuple(notes),
    )


Runs = list[tuple[dict[str, int], Traced]]


def _range(name: str, hint: int) -> tuple[int, int]:
    return _LAYERS if name.startswith("n_layer") else (min(_NUMBERS[0], hint), max(_NUMBERS[1], hint))


def _symbols(run: RunAt, hints: Mapping[str, int], why: dict[str, str], stage: Stage) -> tuple[dict[str, str], Traced]:
    """The sizes that have to be numbers, each with its reason, and the run at the hints in which only they are."""
    while True:
        stage("finding which sizes the code keeps symbolic", 0, 1)
        try:
            traced = _at(run, hints, why)
        except SymflopsError:
            raise
        except Exception as error:
            why = _demoted(run, hints, why, error)
            continue
        lost = {name: str(each) for each in reversed(traced.specialised) for name in each.symbols}
        if not lost:
            return why, traced
        why |= lost


def _at(run: RunAt, hints: Mapping[str, int], why: Mapping[str, str]) -> Traced:
    return run({name: hints[name] for name in why}, {name: hint for name, hint in hints.items() if name not in why})


def _demoted(run: RunAt, hints: Mapping[str, int], why: dict[str, str], error: Exception) -> dict[str, str]:
    """Code failed on symbols: the first size that has to be a number for it to run, or else all of them."""
    reason = f"the code fails on a symbol ({said(error)})"
    names = [name for name in hints if name not in why]
    for tried in [*([name] for name in names), names]:
        more = why | dict.fromkeys(tried, reason)
        try:
            _at(run, hints, more)
        except SymflopsError:
            raise
        except Exception as again:
            error = again
            continue
        return more
    raise NotSymbolic(f"the code does not run: {said(error)}") from error


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


def _merged(runs: Runs, numbers: int) -> Merged | None:
    """The runs as one where they tell enough."""
    least = numbers + 1 + CONFIRMING
    if numbers and len(runs) < least:
        return None
    try:
        found = merged_family([(at, each.run) for at, each in runs])
    except Unexplained as error:
        if len(runs) >= MOST_RUNS or not numbers:
            raise NotSymbolic(f"no formula was found after {len(runs)} runs: {error}") from error
        return None
    return None if found.unexplained and len(runs) < least + MORE_RUNS else found


def _another(
    run: RunAt, hints: Mapping[str, int], ranges: Any, domain: Domain, source: random.Random, runs: Runs
) -> tuple[dict[str, int], Traced]:
    """A run at numbers that no run had. Numbers that meet a symbol's hint by accident are passed over."""
    names = list(runs[0][0])
    refused: object = "no further numbers"
    for _ in range(MOST_RUNS):
        try:
            drawn = draw(ranges, domain, source)
        except EmptyDomain as error:
            raise NotSymbolic(str(error)) from error
        numbers = {name: drawn[name] for name in names}
        if any(numbers == each for each, _ in runs):
            continue
        traced = run(numbers, {name: hint for name, hint in hints.items() if name not in numbers})
        if not traced.specialised:
            return numbers, traced
        refused = traced.specialised[0]
    raise NotSymbolic(f"the code takes another way at most sizes: {refused}")


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
