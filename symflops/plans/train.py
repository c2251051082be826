"""How long a training takes, on how many devices, at which MFU, for how many tokens: whichever is not given.

>>> from symflops.training.hardware import device
>>> asked = Training(params=Fraction(70 * 10**9), tokens=Fraction(15 * 10**12), device=device("h100"), count=1024,
...     mfu=Fraction(1, 2))
>>> train(asked).result("days")
Quantity(name='days', label='days', value=Fraction(..., ...), unit='days', formula=C/(86400*MFU*n_device*peak), note='')
>>> str(train(asked).result("days")), str(train(asked).result("C"))
('144 days', '6.300e+24 FLOP')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil

from sympy import Expr, Symbol

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import TORCH, Convention
from symflops.notation import n_batch, n_device, n_param, n_seq, n_token
from symflops.plans.memory import beyond
from symflops.plans.plan import Plan
from symflops.plans.quantities import C_STEP, C_TOKEN, DAYS, MFU, PEAK, SECONDS_A_DAY, T_STEP, C, Quantity, number
from symflops.plans.relations import PlanError, Relation, Solved, solved
from symflops.plans.train_results import follow, operations, rooflines, state
from symflops.plans.train_timed import STEP_TIME, STEP_WORK, known_of, recorded, timed, timed_notes, timed_steps
from symflops.plans.training import Training, closed_form
from symflops.proof import equal
from symflops.steps import Step, WrongStep

WORK = Relation(C, C_TOKEN * n_token, "so many FLOPs for each token")
TIME = Relation(C, SECONDS_A_DAY * n_device * PEAK * MFU * DAYS, "devices compute a share of their peak all day")
SIX_N = Relation(C_TOKEN, 6 * n_param, "2 for each parameter forward, 4 backward (Kaplan et al. 2020, section 2.1)")
FLAGS: Mapping[Symbol, str] = {
    n_param: "--params", n_token: "--tokens", C: "--flops", n_device: "--count", MFU: "--mfu", DAYS: "--days",
    PEAK: "--device", C_TOKEN: "--model or --params", T_STEP: "--calibration", n_batch: "--batch", n_seq: "--seq",
}  # fmt: skip
"""How the command line calls what may be open."""
_LABELS: Mapping[Symbol, tuple[str, str]] = {
    n_param: ("parameters", "parameters"), n_token: ("tokens", "tokens"), C: ("training FLOPs", "FLOP"),
    n_device: ("devices", "devices"), MFU: ("MFU", "1"), DAYS: ("days", "days"), PEAK: ("peak of a device", "FLOP/s"),
    C_TOKEN: ("FLOPs for each token", "FLOP"), C_STEP: ("model FLOPs of a step", "FLOP"),
    n_batch: ("sequences of a step", "sequences"), n_seq: ("tokens of a sequence", "tokens"),
}  # fmt: skip
_NAMES: Mapping[Symbol, str] = {n_param: "params", n_token: "tokens", n_device: "count", MFU: "mfu"}


def train(asked: Training) -> Plan:
    """The plan of a training.

    Raises `PlanError` where nothing or too much is open, where a utilisation is not in (0, 1], and where an answer
    would take more than a device can; `DeviceError` for a peak that the device does not have.
    """
    known, relations = _known(asked), _relations(asked)
    found = _whole_devices(solved(relations, known), relations, known)
    _refuse(found, relations, known)
    rows, held = operations(asked), tuple(state(asked, found))
    least = next((each.value for each in held if each.name == "least_devices"), 1)
    holds = found.values.get(n_device, Fraction(least)) >= least
    results = (*timed(asked.step), *_solved_for(found), *follow(asked, found), *held)
    return Plan(
        "train",
        f"Training {'a model' if asked.model is None else asked.model.name}",
        tuple(_quantity(symbol, value) for symbol, value in known.items() if symbol != T_STEP),
        results,
        _binding(asked, found) if holds else f"memory: the model state alone takes {least} devices",
        _steps(asked, relations, found),
        chosen=_chosen(asked),
        sections=tuple(rooflines(rows)),
        rows=rows,
        notes=tuple(_notes(asked, found)),
        sources=tuple(_sources(asked)),
        holds=holds,
    )


def _chosen(asked: Training) -> dict[str, str | int]:
    """What was chosen by a name, for readers and for JSON."""
    device: dict[str, str | int] = {} if asked.device is None else {"device": asked.device.name, "dtype": asked.form}
    if asked.model is None:
        return device
    model: dict[str, str | int] = {"model": asked.model.name, "seq": asked.model.length(asked.seq)}
    how = {"convention": asked.convention.name, "recompute": asked.recompute.name}
    return {**model, **device, **recorded(asked.step), **how}


def _known(asked: Training) -> dict[Symbol, Fraction]:
    if asked.mfu is not None and not 0 < asked.mfu <= 1:
        raise PlanError(f"MFU is {float(asked.mfu):g}; give a share of the peak in (0, 1], such as 0.4")
    per_token = None if asked.model is None else _per_token(asked.model, asked.seq, asked.convention)
    peak = asked.peak if asked.device is None or asked.peak is not None else Fraction(asked.device.peak(asked.form))
    given = {
        n_param: asked.params, C_TOKEN: per_token, n_token: asked.tokens, C: asked.budget,
        PEAK: peak, n_device: None if asked.count is None else Fraction(asked.count), MFU: asked.mfu, DAYS: asked.days,
        **known_of(asked),
    }  # fmt: skip
    return {symbol: value for symbol, value in given.items() if value is not None}


def _per_token(model: Architecture, seq: int | None, chosen: Convention) -> Fraction:
    length = model.length(seq)
    total = model.flops(1, length, chosen, "training").expr
    return fraction(total) / length


def _relations(asked: Training) -> tuple[Relation, ...]:
    """Work, and, where anything is said of devices or time, time; first of all a step that is predicted."""
    said = any(each is not None for each in (asked.device, asked.count, asked.mfu, asked.days, asked.peak))
    step = () if asked.step is None else (STEP_WORK, STEP_TIME)
    return (*step, *(() if asked.model is not None else (SIX_N,)), WORK, *((TIME,) if said else ()))


def _whole_devices(found: Solved, relations: tuple[Relation, ...], known: Mapping[Symbol, Fraction]) -> Solved:
    """Devices come whole: where their number was solved for, the days are those of the next whole number."""
    count = found.values.get(n_device)
    if n_device in known or count is None or count.denominator == 1:
        return found
    given = {symbol: value for symbol, value in known.items() if symbol != DAYS}
    again = solved(relations, {**given, n_device: Fraction(ceil(count))})
    return replace(again, formulas={**found.formulas, **again.formulas}, by={**found.by, **again.by})


def _refuse(found: Solved, relations: tuple[Relation, ...], known: Mapping[Symbol, Fraction]) -> None:
    open_ = sorted({each for relation in relations for each in relation.symbols} - found.values.keys(), key=str)
    if open_:
        names = [FLAGS[each] for each in open_ if each not in (C, C_TOKEN)]
        raise PlanError(f"{' and '.join(names)} are open, and one can be solved for; give all but one of them")
    if found.idle:
        names = [FLAGS[each] for each in known if each in found.idle[0].symbols | {n_token, C} and each != PEAK]
        raise PlanError(f"nothing is open: {', '.join(names)} are all given; leave out the one to be solved for")
    utilisation = found.values.get(MFU)
    if utilisation is not None and utilisation > 1 and T_STEP in known:
        raise PlanError(
            f"the record predicts a step of {float(known[T_STEP]):.4g} s, an MFU of {float(utilisation):.3g}, and no "
            "device exceeds 1; give a record of this device, or the --peak of its format"
        )
    if utilisation is not None and utilisation > 1:
        least = found.values[DAYS] * utilisation
        raise PlanError(
            f"that would take an MFU of {float(utilisation):.3g}, and no device exceeds 1: at its peak it takes "
            f"{float(least):.4g} days; give more --count or more --days"
        )


def _quantity(symbol: Symbol, value: Fraction, formula: Expr | None = None) -> Quantity:
    label, unit = _LABELS[symbol]
    return Quantity(_NAMES.get(symbol, symbol.name), label, number(value), unit, formula)


def _solved_for(found: Solved) -> Iterator[Quantity]:
    for symbol, formula in found.formulas.items():
        yield _quantity(symbol, found.values[symbol], formula)


def _binding(asked: Training, found: Solved) -> str:
    if PEAK not in found.values:
        return "none: no device is named"
    what = "the peak given" if asked.device is None else f"the dense {asked.form} peak of {asked.device.name}"
    return f"compute, {what} at MFU {float(found.values[MFU]):.3g}"


def _steps(asked: Training, relations: tuple[Relation, ...], found: Solved) -> tuple[Step, ...]:
    """Each relation, and what each was solved for."""
    own = (*timed_steps(asked.step), *(() if asked.model is None else _own_steps(asked, asked.model)))
    said = tuple(Step(relation.left.name, relation.right, relation.why) for relation in relations)
    solutions = ((symbol, form, found.by[symbol]) for symbol, form in found.formulas.items())
    return (*own, *said, *(_solution(*each) for each in solutions if each[1] != each[2].right))


def _own_steps(asked: Training, model: Architecture) -> Iterator[Step]:
    yield Step("C_token", closed_form(model.network, asked.convention), f"{model.name}, {asked.convention.title}")
    run = closed_form(asked.recompute.recomputed(model.network), TORCH)
    yield Step("C_run", run, f"what runs, recomputed: {asked.recompute.name}")


def _solution(symbol: Symbol, form: Expr, by: Relation) -> Step:
    """A solution, checked by putting it back."""
    if not equal(by.left.subs(symbol, form), by.right.subs(symbol, form)):
        raise WrongStep(f"{symbol} = {form} does not solve {by.left} = {by.right}")
    return Step(symbol.name, form, f"{by.left} = {by.right} solved for {symbol}")


def _notes(asked: Training, found: Solved) -> Iterator[str]:
    if asked.model is not None:
        six = 6 * asked.model.params("active")
        yield (
            f"6 FLOPs for each of {asked.model.params('active'):,} parameters that serve a token would be "
            f"{float(six / found.values[C_TOKEN]):.4g} times as much; sequences have {asked.model.length(asked.seq)} "
            f"tokens, convention {asked.convention.name}"
        )
        yield from beyond(asked.model, asked.seq)
        yield from asked.model.notes
    yield from timed_notes(asked.step)


def _sources(asked: Training) -> Iterator[str]:
    if asked.device is not None:
        yield asked.device.source
    if asked.model is not None:
        yield asked.model.source


__all__ = ["FLAGS", "SIX_N", "TIME", "WORK", "Training", "closed_form", "train"]
