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
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from sympy import Expr, Symbol, expand

from symflops.architectures import Architecture
from symflops.conventions import TORCH, Convention
from symflops.derivation import Section
from symflops.documents import Prose
from symflops.measures import flops
from symflops.notation import n_batch, n_device, n_param, n_seq, n_token
from symflops.plans.plan import Plan
from symflops.plans.quantities import C_RUN, C_TOKEN, DAYS, MFU, PEAK, SECONDS_A_DAY, C, Number, Quantity, number
from symflops.plans.relations import PlanError, Relation, Solved, at, solved
from symflops.proof import equal
from symflops.render.readable import readable
from symflops.steps import Step, WrongStep
from symflops.training.checkpoints import NONE, Scheme
from symflops.training.hardware import Device
from symflops.training.roofline import roofline, table, total

WORK = Relation(C, C_TOKEN * n_token, "so many FLOPs for each token")
TIME = Relation(C, SECONDS_A_DAY * n_device * PEAK * MFU * DAYS, "devices compute a share of their peak all day")
SIX_N = Relation(C_TOKEN, 6 * n_param, "2 for each parameter forward, 4 backward (Kaplan et al. 2020, section 2.1)")


@dataclass(frozen=True)
class Training:
    """What is asked of a training; exactly as much as follows from the rest is None.

    ``model``, or ``params`` where there is no architecture and a token takes 6 FLOPs for each; ``tokens`` in all, of
    sequences of ``seq``; ``budget`` in FLOPs; ``device``, ``count`` of them, ``mfu`` in (0, 1], ``days``; ``form`` of
    the matmuls' operands; ``peak`` in FLOP/s instead of the device's; ``recompute``; ``price`` of a device hour.
    """

    model: Architecture | None = None
    params: Fraction | None = None
    tokens: Fraction | None = None
    budget: Fraction | None = None
    device: Device | None = None
    count: int | None = None
    mfu: Fraction | None = None
    days: Fraction | None = None
    seq: int | None = None
    form: str = "bf16"
    peak: Fraction | None = None
    recompute: Scheme = NONE
    price: Fraction | None = None
    convention: Convention = TORCH


FLAGS: Mapping[Symbol, str] = {
    n_param: "--params", n_token: "--tokens", C: "--flops", n_device: "--count", MFU: "--mfu", DAYS: "--days",
    PEAK: "--device", C_TOKEN: "--model or --params",
}  # fmt: skip
"""How the command line calls what may be open."""
_LABELS: Mapping[Symbol, tuple[str, str]] = {
    n_param: ("parameters", "parameters"), n_token: ("tokens", "tokens"), C: ("training FLOPs", "FLOP"),
    n_device: ("devices", "devices"), MFU: ("MFU", "1"), DAYS: ("days", "days"), PEAK: ("peak of a device", "FLOP/s"),
    C_TOKEN: ("FLOPs for each token", "FLOP"),
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
    results = (*_solved_for(found), *_follow(asked, found))
    return Plan(
        "train",
        f"Training {'a model' if asked.model is None else asked.model.name}",
        tuple(_quantity(symbol, value) for symbol, value in known.items()),
        results,
        _binding(asked, found),
        _steps(asked, relations, found),
        chosen=_chosen(asked),
        sections=tuple(_rooflines(asked)),
        notes=tuple(_notes(asked, found)),
        sources=tuple(_sources(asked)),
    )


def _chosen(asked: Training) -> dict[str, str | int]:
    """What was chosen by a name, for readers and for JSON."""
    device: dict[str, str | int] = {} if asked.device is None else {"device": asked.device.name, "dtype": asked.form}
    if asked.model is None:
        return device
    model: dict[str, str | int] = {"model": asked.model.name, "seq": asked.model.length(asked.seq)}
    return {**model, **device, "convention": asked.convention.name, "recompute": asked.recompute.name}


def _known(asked: Training) -> dict[Symbol, Fraction]:
    if asked.mfu is not None and not 0 < asked.mfu <= 1:
        raise PlanError(f"MFU is {float(asked.mfu):g}; give a share of the peak in (0, 1], such as 0.4")
    per_token = None if asked.model is None else _per_token(asked.model, asked.seq, asked.convention)
    peak = asked.peak if asked.device is None or asked.peak is not None else Fraction(asked.device.peak(asked.form))
    given = {
        n_param: asked.params, C_TOKEN: per_token, n_token: asked.tokens, C: asked.budget,
        PEAK: peak, n_device: None if asked.count is None else Fraction(asked.count), MFU: asked.mfu, DAYS: asked.days,
    }  # fmt: skip
    return {symbol: value for symbol, value in given.items() if value is not None}


def _per_token(model: Architecture, seq: int | None, chosen: Convention) -> Fraction:
    length = model.length(seq)
    total = model.flops(1, length, chosen, "training").expr
    return Fraction(int(total.p), int(total.q)) / length


def closed_form(network: Expr, chosen: Convention) -> Expr:
    """The training FLOPs of one token, in the model's sizes.

    >>> from symflops.architectures import architecture
    >>> closed_form(architecture("gpt2").network, TORCH)
    6*d_model*(2*n_layer*(d_ff + 2*d_model + n_seq) + n_vocab)
    """
    return readable(expand(flops(network, chosen, "training").expr / (n_batch * n_seq)))


def _relations(asked: Training) -> tuple[Relation, ...]:
    """Work, and, where anything is said of devices or time, time."""
    timed = any(each is not None for each in (asked.device, asked.count, asked.mfu, asked.days, asked.peak))
    return (*(() if asked.model is not None else (SIX_N,)), WORK, *((TIME,) if timed else ()))


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


def _follow(asked: Training, found: Solved) -> Iterator[Quantity]:
    """What else is asked of every training: speed, device hours, HFU, energy, cost."""
    if DAYS not in found.values:
        return
    hours, rate = 24 * n_device * DAYS, n_device * PEAK * MFU / C_TOKEN
    yield _followed("tokens_per_second", "tokens a second", rate, "tokens/s", found)
    yield _followed("device_hours", "device hours", hours, "hours", found)
    if asked.model is not None:
        hfu = number(found.values[MFU] * _hardware_share(asked))
        yield Quantity("hfu", "HFU", hfu, "1", MFU * C_RUN / C_TOKEN, "all FLOPs that run, recomputed ones too")
    power = None if asked.device is None else asked.device.power
    if power is not None:
        energy = number(power * at(hours, found.values))
        yield Quantity("energy", "energy of the devices at their power limit", energy, "Wh", Symbol("power") * hours)
    if asked.price is not None:
        cost = number(asked.price * at(hours, found.values))
        yield Quantity("cost", "cost", cost, "of the price's currency", Symbol("price") * hours)


def _followed(name: str, label: str, form: Expr, unit: str, found: Solved) -> Quantity:
    return Quantity(name, label, number(at(form, found.values)), unit, form)


def _hardware_share(asked: Training) -> Fraction:
    """FLOPs that run over FLOPs of the model, which recomputation is no part of."""
    assert asked.model is not None
    length = asked.model.length(asked.seq)
    network = asked.recompute.recomputed(asked.model.of_length(length))
    run = asked.model.at(flops(network, TORCH, "training").expr, n_batch=1, n_seq=length)
    own = asked.model.flops(1, length, asked.convention, "training").expr
    return Fraction(int(run.p), int(run.q)) / Fraction(int(own.p), int(own.q))


def _binding(asked: Training, found: Solved) -> str:
    if PEAK not in found.values:
        return "none: no device is named"
    what = "the peak given" if asked.device is None else f"the dense {asked.form} peak of {asked.device.name}"
    return f"compute, {what} at MFU {float(found.values[MFU]):.3g}"


def _steps(asked: Training, relations: tuple[Relation, ...], found: Solved) -> tuple[Step, ...]:
    """Each relation, and what each was solved for."""
    own = () if asked.model is None else tuple(_own_steps(asked, asked.model))
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


def _rooflines(asked: Training) -> Iterator[Section]:
    """The operations of one sequence's forward pass against the roofline, and the MFU that they allow."""
    if asked.model is None or asked.device is None or asked.device.bandwidth is None:
        return
    length = asked.model.length(asked.seq)
    rows = roofline(asked.model, asked.device, asked.form, asked.model.of_length(length), n_batch=1, n_seq=length)
    ideal = sum(row.compute_seconds for row in rows)
    text = (
        f"Each as a kernel of its own, one sequence, forward: they take at least {float(total(rows)):.4g} s, so that "
        f"at most {float(ideal / total(rows)):.3g} of the peak is reached, unless kernels are fused."
    )
    yield Section("The least time of each operation", (Prose(text), table(rows)))


def _notes(asked: Training, found: Solved) -> Iterator[str]:
    if asked.model is not None:
        six = 6 * asked.model.params("active")
        yield (
            f"6 FLOPs for each of {asked.model.params('active'):,} parameters that serve a token would be "
            f"{float(six / found.values[C_TOKEN]):.4g} times as much; sequences have {asked.model.length(asked.seq)} "
            f"tokens, convention {asked.convention.name}"
        )
        yield from asked.model.notes


def _sources(asked: Training) -> Iterator[str]:
    if asked.device is not None:
        yield asked.device.source
    if asked.model is not None:
        yield asked.model.source


__all__ = ["FLAGS", "SIX_N", "TIME", "WORK", "Number", "Training", "closed_form", "train"]
