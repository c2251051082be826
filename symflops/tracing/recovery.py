"""Which sizes of a model can be symbols in its code, and runs at several numbers for those that cannot.

What drives a loop (layers, experts) is a number from the start. Where code turns another size into a number, that size
becomes one too, and the dependence on it is recovered from runs at several of its values.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from os import sep
from typing import Any

from symflops.errors import SymflopsError
from symflops.tracing.conditions import common
from symflops.tracing.internals.fake_kernels import DataDependent
from symflops.tracing.merging import Merged
from symflops.tracing.rules import UnpricedOperator
from symflops.tracing.runs import Model, NotSymbolic, Runs
from symflops.tracing.sampling import Domain
from symflops.tracing.symbolic import Traced

Stage = Callable[[str, int, int], None]


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


__all__ = ["Family", "Model", "NotSymbolic", "Recovered", "Stage", "family"]
