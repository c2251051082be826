"""A step whose seconds a record of timings predicts, in a plan of training: the MFU follows from it.

>>> STEP_TIME.form(MFU)
C_step/(peak*t_step)
>>> step = TimedStep("NVIDIA H100", "bf16", "2026-01-31", "flash", 8, 1024, {"forward": Fraction(1, 4),
...     "backward": Fraction(1, 2)})
>>> [f"{each.name}: {each}" for each in timed(step)]
['t_forward: 250 ms', 't_backward: 500 ms', 't_step: 750 ms']
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from sympy import Add, Expr, Symbol

from symflops.notation import n_batch, n_seq
from symflops.plans.quantities import C_STEP, C_TOKEN, MFU, PEAK, T_STEP, Quantity, number
from symflops.plans.relations import PlanError, Relation
from symflops.plans.training import TimedStep, Training
from symflops.steps import Step

STEP_WORK = Relation(C_STEP, C_TOKEN * n_batch * n_seq, "so many FLOPs for each token of a step")
STEP_TIME = Relation(C_STEP, T_STEP * PEAK * MFU, "the device computes a share of its peak all through the step")
_WHY = "kernels run one after the other, in seconds that the record of timings predicts"
_LABELS = {"forward": "forward pass", "backward": "backward pass", "optimizer": "step of the optimizer"}


def known_of(asked: Training) -> dict[Symbol, Fraction]:
    """What is known of a step that is predicted; nothing without one.

    Raises `PlanError` for a step whose sequences are not those of the training.
    """
    step = asked.step
    if step is None:
        return {}
    if asked.model is None or asked.model.length(asked.seq) != step.seq:
        raise PlanError(f"the step is predicted of sequences of {step.seq} tokens of a model; predict it again")
    return {n_batch: Fraction(step.batch), n_seq: Fraction(step.seq), T_STEP: sum(step.seconds.values(), Fraction())}


def recorded(step: TimedStep | None) -> dict[str, str | int]:
    """What the record is of, for readers and for JSON."""
    if step is None:
        return {}
    return {"record_device": step.device, "record_dtype": step.dtype, "record_date": step.date,
            "record_attention": step.attention}  # fmt: skip


def timed(step: TimedStep | None) -> Iterator[Quantity]:
    """The predicted seconds of each part of a step, and of the whole step."""
    if step is None:
        return
    for part, seconds in step.seconds.items():
        yield Quantity(f"t_{part}", f"{_LABELS[part]}, predicted", number(seconds), "s", note=_of(step))
    whole = number(sum(step.seconds.values(), Fraction()))
    yield Quantity(T_STEP.name, "a step, predicted", whole, "s", _sum(step), _of(step))


def timed_steps(step: TimedStep | None) -> Iterator[Step]:
    """How the time of a step follows from its parts."""
    if step is not None:
        yield Step(T_STEP.name, _sum(step), _WHY)


def timed_notes(step: TimedStep | None) -> Iterator[str]:
    """What a predicted step leaves out."""
    if step is None:
        return
    said = ", ".join(step.seconds)
    yield f"the predicted step ({said}) is of one device; what devices send each other takes time beside it"
    yield from step.notes


def _sum(step: TimedStep) -> Expr:
    return Add(*(Symbol(f"t_{part}", positive=True) for part in step.seconds))


def _of(step: TimedStep) -> str:
    return f"from the record of {step.device}, {step.dtype}, {step.date}"
