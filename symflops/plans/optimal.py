"""The best model for a budget by scaling laws: parameters, tokens, loss, and what a model of another size costs.

>>> found = optimal(Optimal(budget=Fraction("5.76e23")))
>>> [str(found.result(name)) for name in ("params", "tokens", "tokens_per_param", "loss")]
['7.225e+10 parameters', '1.329e+12 tokens', '18.39', '1.974 nats']
>>> off = optimal(Optimal(params=Fraction(8 * 10**9), tokens=Fraction(15 * 10**12)))
>>> str(off.result("C")), str(off.result("size")), str(off.result("waste"))
('7.200e+23 FLOP', '0.09876', '5.513')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from sympy import Expr, Symbol

from symflops.arithmetic import DIGITS, Value
from symflops.claims.shown import plain
from symflops.documents import Document, Heading, Remarks
from symflops.notation import n_device
from symflops.plans.optimal_tables import beside, brief, by_law
from symflops.plans.plan import Plan
from symflops.plans.quantities import DAYS, MFU, PEAK, Number, Quantity, number
from symflops.plans.quantities import C as BUDGET
from symflops.plans.relations import PlanError, at
from symflops.plans.splits import Split, best, budget_step, other
from symflops.plans.train import TIME
from symflops.steps import Step
from symflops.training.hardware import Device
from symflops.training.scaling import Law, law, laws, rational
from symflops.training.scaling_forms import SIX, C, D, N
from symflops.training.scaling_off import off

DEFAULT = "besiroglu2024"
"""The law that is meant where none is named: it is fitted to Hoffmann et al.'s runs and near their other approaches."""
_MOST = Fraction(10**40)
_FLAGS = {"C": "--flops", "N": "--params", "D": "--tokens"}
_LABELS = {"C": ("training FLOPs", "FLOP"), "N": ("parameters", "parameters"), "D": ("tokens", "tokens")}
_LETTERS = (
    ("C", "training FLOPs"), ("N", "parameters, as the law counts them"), ("D", "tokens"),
    ("k", "parameters over the best number of them"),
)  # fmt: skip
_NAMES = {"C": "C", "N": "params", "D": "tokens"}


@dataclass(frozen=True)
class Optimal:
    """One of ``budget`` in FLOPs, ``params`` and ``tokens``, or two of them, of which the law says how good they are.

    Instead of a budget, ``days`` on ``count`` devices at a utilisation ``mfu`` of their peak for a ``form``.
    """

    budget: Fraction | None = None
    params: Fraction | None = None
    tokens: Fraction | None = None
    device: Device | None = None
    count: int | None = None
    mfu: Fraction | None = None
    days: Fraction | None = None
    form: str = "bf16"
    law: str = DEFAULT


@dataclass(frozen=True)
class Brief(Quantity):
    """A quantity that is shown to few digits."""

    def __str__(self) -> str:
        return f"{brief(Fraction(self.value))} {self.unit}".removesuffix(" 1")


@dataclass(frozen=True)
class Rounded(Brief):
    """A quantity that is irrational, and kept to 50 digits."""

    def as_json(self) -> dict[str, Any]:
        """As of any quantity, with its digits instead of a fraction."""
        found = super().as_json()
        return {**{key: each for key, each in found.items() if key != "exact"}, "digits": self.digits}

    @property
    def digits(self) -> str:
        """The value to 50 digits."""
        return plain(Fraction(self.value), DIGITS)


@dataclass(frozen=True)
class BestPlan(Plan):
    """A plan with the word of every law, by its name, and the ``constants`` of the law that is asked for."""

    laws: Mapping[str, Split] = field(default_factory=dict)
    constants: Mapping[str, Fraction] = field(default_factory=dict)

    def symbolic(self) -> Document:
        """As of any plan, with the letters of the law."""
        page = super().symbolic()
        values = tuple((name, plain(value, DIGITS)) for name, value in self.constants.items())
        letters = Remarks((*_LETTERS, *values))
        return replace(page, blocks=(*page.blocks, Heading("Letters and constants"), letters))

    def as_json(self) -> dict[str, Any]:
        """As of any plan, with what each law says as numbers."""
        return {**super().as_json(), "laws": {name: _numbers(split) for name, split in self.laws.items()}}


def optimal(asked: Optimal) -> BestPlan:
    """The plan of a budget, by the law that is asked for and beside it by all others.

    Raises `PlanError` where nothing or too much is given, `UnknownName` for an unknown law.
    """
    chosen, given = law(asked.law), _given(asked)
    split_of = best if len(given) == 1 else other
    splits = {name: split_of(each, given) for name, each in laws().items()}
    own = splits[chosen.name]
    found = _best if len(given) == 1 else _off
    return BestPlan(
        "optimal",
        "The best model for a budget" if len(given) == 1 else "A model against the best one for its budget",
        (*_time_inputs(asked), *(_quantity(name, value) for name, value in given.items())),
        (*found(own), *_days(asked, own)),
        f"compute, C = 6*N*D, split by {chosen.name}: {chosen.title}; N counts {chosen.counts}",
        tuple(_steps(chosen, given)),
        {"law": chosen.name, **({} if asked.device is None else {"device": asked.device.name, "dtype": asked.form})},
        (by_law(splits, len(given)), *beside(own)),
        (
            f"{chosen.name} was fitted to {chosen.fitted}; beyond them it is carried on",
            *(f"{each.name}: {each.note}" for each in laws().values() if each.note),
        ),
        (*(each.citation for each in laws().values()), *([] if asked.device is None else [asked.device.source])),
        laws=splits,
        constants=chosen.constants,
    )


def _given(asked: Optimal) -> dict[str, Value]:
    named = {"C": asked.budget, "N": asked.params, "D": asked.tokens}
    budget = _of_time(asked)
    if budget is not None and asked.budget is not None:
        raise PlanError("--flops and --days both say what the budget is; leave one of them out")
    given = {name: each for name, each in {**named, "C": asked.budget or budget}.items() if each is not None}
    if not given:
        raise PlanError(
            "nothing is given; give one of --flops, --params and --tokens, or --days with --device, --count and --mfu"
        )
    if len(given) == len(named):
        raise PlanError(f"nothing is open: {', '.join(_FLAGS.values())} are all given; leave one of them out")
    for name, each in given.items():
        if not 1 <= each <= _MOST:
            raise PlanError(f"{_FLAGS[name]} is {brief(each)}; a law says something from 1 to {float(_MOST):.0e}")
    return dict(given)


def _known(asked: Optimal) -> dict[Symbol, Fraction]:
    """What is known of devices and time. Raises `PlanError` for a part of it that says nothing."""
    if asked.mfu is not None and not 0 < asked.mfu <= 1:
        raise PlanError(f"--mfu is {float(asked.mfu):g}; it is a share of the peak, above 0 and at most 1")
    peak = None if asked.device is None else Fraction(asked.device.peak(asked.form))
    count = None if asked.count is None else Fraction(asked.count)
    parts = {"--device": (PEAK, peak), "--count": (n_device, count), "--mfu": (MFU, asked.mfu)}
    missing = [flag for flag, (_, value) in parts.items() if value is None]
    if missing and (len(missing) < len(parts) or asked.days is not None):
        raise PlanError(f"a time takes --device, --count and --mfu; give {' and '.join(missing)} too")
    days = {} if asked.days is None else {DAYS: asked.days}
    return {**{symbol: value for symbol, value in parts.values() if value is not None}, **days}


def _of_time(asked: Optimal) -> Fraction | None:
    """The FLOPs of so many days, where they are given."""
    known = _known(asked)
    return at(TIME.right, known) if DAYS in known else None


def _time_inputs(asked: Optimal) -> Iterator[Quantity]:
    labels = {PEAK: ("peak", "peak of a device", "FLOP/s"), n_device: ("count", "devices", "devices"),
              MFU: ("mfu", "MFU", "1"), DAYS: ("days", "days", "days")}  # fmt: skip
    for symbol, value in _known(asked).items():
        name, label, unit = labels[symbol]
        yield Quantity(name, label, number(value), unit)


def _days(asked: Optimal, own: Split) -> Iterator[Quantity]:
    """How long the training takes, where the devices are given and the days are not."""
    known = _known(asked)
    if known and DAYS not in known:
        form = TIME.form(DAYS)
        yield _rounded("days", "days", at(form, {**known, BUDGET: rational(own.budget)}), "days", form)


def _quantity(name: str, value: Value, form: Expr | None = None) -> Quantity:
    label, unit = _LABELS[name]
    if isinstance(value, Fraction) and form is None:
        return Quantity(_NAMES[name], label, number(value), unit)
    return _rounded(_NAMES[name], label, value, unit, form)


def _rounded(name: str, label: str, value: Value, unit: str = "1", form: Expr | None = None) -> Quantity:
    kind = Brief if isinstance(value, Fraction) else Rounded
    return kind(name, label, number(rational(value)), unit, form)


def _best(own: Split) -> Iterator[Quantity]:
    """What the law says of what is not given."""
    for name, form in own.forms.items():
        yield _quantity(name, {"C": own.budget, "N": own.params, "D": own.tokens}[name], form)
    yield _rounded("tokens_per_param", "tokens for each parameter", own.ratio, form=D / N)
    if own.loss is not None:
        yield _rounded("loss", "loss", own.loss, "nats", own.law.form.least)
    exponent = own.law.form.exponent
    yield _rounded("exponent", "parameters grow with the budget to the power of", own.law.at(exponent), form=exponent)


def _off(own: Split) -> Iterator[Quantity]:
    """How far what is given is from the best, and what that costs."""
    for name, form in own.forms.items():
        yield _quantity(name, {"C": own.budget, "N": own.params, "D": own.tokens}[name], form)
    yield _rounded("tokens_per_param", "tokens for each parameter", own.ratio, form=D / N)
    yield _rounded("best_params", "best parameters for that budget", own.law.best(own.budget), "parameters",
                   own.law.form.best)  # fmt: skip
    yield _rounded("size", "size over the best size", own.size, form=N / own.law.form.best)
    if own.loss is not None and own.least is not None and own.waste is not None:
        yield _rounded("loss", "loss", own.loss, "nats", own.law.form.loss)
        yield _rounded("least_loss", "least loss of that budget", own.least, "nats", own.law.form.least)
        yield _rounded("waste", "budget over what that loss needs", own.waste, form=off().waste)


def _steps(chosen: Law, given: Mapping[str, Value]) -> Iterator[Step]:
    yield Step("C", SIX, "2 for each parameter and token forward, 4 backward (Kaplan et al. 2020, section 2.1)")
    yield from chosen.form.steps
    yield from (budget_step(chosen, name) for name in given if name != "C" and len(given) == 1)
    yield Step("D", C / 6 / N, "what the budget leaves")
    if chosen.form.loss is not None:
        yield from off().steps


def _numbers(split: Split) -> dict[str, Number | float | str | None]:
    figures = {"C": split.budget, "params": split.params, "tokens": split.tokens, "tokens_per_param": split.ratio,
               "size": split.size, "loss": split.loss, "least_loss": split.least, "waste": split.waste,
               "exponent": split.law.at(split.law.form.exponent)}  # fmt: skip
    found = {name: None if each is None else float(each) for name, each in figures.items()}
    return {"counts": split.law.counts, **found}


__all__ = ["DEFAULT", "BestPlan", "Brief", "Optimal", "Rounded", "optimal"]
