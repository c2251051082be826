"""Plans from a record of timings: the step of a training, and so its MFU; the prefill of what is served.

The record is calibrated, and predicts the model's own operations at the plan's sizes: see `symflops.timing.predicting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from symflops.architectures import Architecture
from symflops.architectures.architecture import Attention
from symflops.plans.inference import Serving, inference
from symflops.plans.plan import Plan
from symflops.plans.quantities import Quantity, number
from symflops.plans.relations import PlanError
from symflops.plans.training import TimedStep, Training
from symflops.timing.calibrating import Calibration, calibrate
from symflops.timing.predicting import Prediction, predict
from symflops.timing.records import Record
from symflops.timing.samples import PHASES
from symflops.training.checkpoints import NONE
from symflops.training.hardware import THIS, Device, dense, device_called


def calibrated(asked: Training, record: Record, batch: int = 1) -> Training:
    """A training whose MFU follows from a record: the predicted step of ``batch`` sequences on one device.

    Without a device, the record's own is taken. Raises `PlanError` for a training without a model, one whose MFU is
    given or that computes values again, and for a record of another device or format; `FitError` for a record that does
    not settle what the model runs.
    """
    if asked.model is None:
        raise PlanError("--calibration predicts the step of a model; give --model, such as --model gpt2")
    if asked.mfu is not None:
        raise PlanError("--mfu and --calibration both say the MFU; give one of them")
    if asked.recompute != NONE:
        raise PlanError("--calibration predicts steps that compute nothing again; leave out --recompute, or give --mfu")
    if asked.optimizer.name != "adamw":
        raise PlanError(f"--calibration predicts a step of adamw; leave out --optimizer {asked.optimizer.name}")
    if asked.device is None and asked.peak is None and device_called(record.device) is None:
        raise PlanError(f"no peak is known of the record's device {record.device!r}; give --device {THIS} or --peak")
    _same(record, asked.device, asked.form)
    chosen = asked.device or device_called(record.device)
    peak = asked.peak if asked.peak is None or chosen is None else dense(chosen, asked.form, asked.peak)
    return replace(asked, device=chosen, peak=peak, step=_step(record, asked.model, batch, asked.seq))


def calibrated_inference(asked: Serving, record: Record) -> Plan:
    """The plan of serving a model, with the predicted time of prefill beside the least one.

    Raises `PlanError` for several devices, and for a record of another device or format, `FitError` for a record that
    does not settle what the model runs, and what `inference` raises.
    """
    if asked.count != 1:
        raise PlanError("--calibration predicts prefill on one device; leave out --count")
    _same(record, asked.device, asked.form)
    plan = inference(asked)
    batch = asked.batch or int(plan.result("largest_batch").value)
    calibration, said = _predicted(record, asked.model, batch, asked.prompt)
    predicted = Quantity(
        "prefill_predicted_seconds", "prefill: predicted", number(_seconds(said.of("forward"))), "s",
        note=f"a forward pass of {batch} prompts, from the record of {record.device}, {record.dtype}, {record.date}",
    )  # fmt: skip
    words = {"record_device": record.device, "record_dtype": record.dtype, "record_date": record.date}
    return replace(
        plan,
        chosen={**plan.chosen, **words},
        results=tuple(_after(plan.results, "prefill_seconds", predicted)),
        notes=(*plan.notes, *_notes(calibration)),
    )


def _after(results: tuple[Quantity, ...], name: str, more: Quantity) -> Iterator[Quantity]:
    for each in results:
        yield each
        if each.name == name:
            yield more


def _same(record: Record, device: Device | None, form: str) -> None:
    """Raises `PlanError` for a record of another device than a given one, or of another format."""
    if record.dtype != form:
        raise PlanError(f"the record is of {record.dtype} and --dtype is {form}; give --dtype {record.dtype}")
    found = device_called(record.device)
    allowed = THIS if found is None else found.name
    if device is not None and device.name != allowed:
        raise PlanError(f"the record is of {record.device!r} and --device is {device.name}; give --device {allowed}")


def _step(record: Record, model: Architecture, batch: int, seq: int | None) -> TimedStep:
    length = model.length(seq)
    calibration, said = _predicted(record, model, batch, length)
    parts: dict[str, float] = {**{phase: said.of(phase) for phase in PHASES}, "optimizer": said.optimizer.seconds}
    seconds = {part: _seconds(each) for part, each in parts.items()}
    return TimedStep(
        record.device, record.dtype, record.date, _attention(record), batch, length, seconds, _notes(calibration)
    )


def _notes(calibration: Calibration) -> tuple[str, ...]:
    """What the record does not settle."""
    return tuple(f"of the record: {note}" for note in calibration.notes)


def _seconds(predicted: float) -> Fraction:
    """A predicted time exactly as six digits say it, which are more than it is good for."""
    return Fraction(f"{predicted:.6g}")


def _predicted(record: Record, model: Architecture, batch: int, length: int) -> tuple[Calibration, Prediction]:
    """What a record says of a model whose attention runs as it was timed."""
    run = replace(model, attention=_attention(record))
    calibration = calibrate(record)
    return calibration, predict(calibration, run, n_batch=batch, n_seq=length)


def _attention(record: Record) -> Attention:
    """How attention ran: flash where whole cores were timed, and else an operation after the other."""
    return "flash" if any(each.is_core for each in record.samples) else "eager"


__all__ = ["calibrated", "calibrated_inference"]
