"""How far predictions are off: of kernels, of layers and of training steps, beside what others predict of the same.

One record calibrates, another, of other shapes, judges: see ``benchmarks/time_device.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from symflops.architectures import architecture
from symflops.timing.calibrating import Calibration, calibrate, kind_of
from symflops.timing.laws import judge
from symflops.timing.predicting import Prediction, accuracy, predict
from symflops.timing.records import Record
from symflops.timing.rows import CALIBRATION, Predict, predictions, roofs_of
from symflops.timing.samples import COPY, LAYER, MODEL, OPTIMIZER, PEAK, PHASES, WHOLE, Sample

STEP = "training step"
"""Forward, backward and the optimiser, one after the other."""


def summary(grid: Record, other: Record) -> dict[str, Any]:
    """Laws over both records, and how far off on the other the calibration of the grid is, and each peer."""
    calibration = calibrate(grid)
    both = replace(grid, samples=(*grid.samples, *other.samples))
    return {
        "device": grid.device,
        "dtype": grid.dtype,
        "dates": [grid.date, other.date],
        "errors": {name: errors(other, each) for name, each in predictions(other, calibration).items()},
        "modules": list(modules(other, calibration)),
        "laws": [{**asdict(each), "departures": len(each.departures)} for each in judge(both)],
        "notes": list(calibration.notes),
    }


def errors(record: Record, by: Predict) -> dict[str, Any]:
    """|predicted / measured - 1| by kind of kernel, those of the peaks left out; and of matmuls and attention together.

    >>> from symflops.timing.samples import Product
    >>> up = Sample("up", "mm", "forward", {}, 16, 24, (1e-3,), (Product(1, 2, 2, 2),))
    >>> errors(Record("AMD EPYC", {}, "2026-01-31", "fp32", (), (up,)), lambda sample: 2e-3)["matmul"]["median"]
    1.0
    """
    single = [each for each in record.kernels if each.operation not in (PEAK, COPY)]
    groups: dict[str, list[Sample]] = {"matmul and attention": [each for each in single if each.flops]}
    for each in single:
        groups.setdefault(kind_of(each), []).append(each)
    known = {name: [each for each in of if by(each) is not None] for name, of in groups.items()}
    return {name: asdict(accuracy(of, by)) for name, of in known.items() if of}


def modules(record: Record, by: Calibration) -> Iterator[dict[str, Any]]:
    """What each layer, model, optimiser and training step of a record took, and what was predicted of it."""
    for (name, sizes), of in _by_model(record).items():
        said = _predictions(name, dict(sizes), by, record, of)
        for part, measured in _measured(of).items():
            told = {who: seconds[part] for who, seconds in said.items() if part in seconds}
            off = {who: seconds / measured - 1 for who, seconds in told.items()}
            at = {size: number for size, number in sizes if size in ("n_batch", "n_seq")}
            yield {"model": name, **at, "part": part, "measured": measured, "predicted": told, "off": off}


def _by_model(record: Record) -> dict[tuple[str, tuple[tuple[str, int], ...]], list[Sample]]:
    """Samples of modules by the model, as their kernel's name begins, and its sizes."""
    found: dict[tuple[str, tuple[tuple[str, int], ...]], list[Sample]] = {}
    for each in record.samples:
        if each.operation in WHOLE:
            found.setdefault((each.of_model[0], tuple(sorted(each.sizes.items()))), []).append(each)
    return found


def _measured(of: list[Sample]) -> dict[str, float]:
    found = {_part(each): each.median for each in of}
    step = [each.median for each in of if each.operation in (MODEL, OPTIMIZER)]
    return {**found, STEP: sum(step)} if len(step) == len(PHASES) + 1 else found


def _part(of: Sample) -> str:
    return of.operation if of.operation == OPTIMIZER else f"{of.operation}, {of.phase}"


def _predictions(
    name: str, sizes: dict[str, int], by: Calibration, record: Record, of: list[Sample]
) -> dict[str, dict[str, float]]:
    """Seconds of each part by who predicts them."""
    n_batch, n_seq = sizes.pop("n_batch"), sizes.pop("n_seq")
    model = architecture(name, "flash")
    changed = {size: number for size, number in sizes.items() if model.sizes.get(size) != number}
    found = predict(by, model.with_sizes(**changed) if changed else model, n_batch, n_seq)
    roofs = {who: found.under(roof.work) for who, roof in roofs_of(record).items()}
    said = {who: _parts(each) for who, each in {CALIBRATION: found, **roofs}.items()}
    for each in of:
        for who, seconds in each.estimates.items():
            said.setdefault(who, {})[_part(each)] = seconds
    return said


def _parts(of: Prediction) -> dict[str, float]:
    each = {f"{LAYER}, {phase}": of.layer(phase) for phase in PHASES}
    whole = {f"{MODEL}, {phase}": of.of(phase) for phase in PHASES}
    return {**each, **whole, OPTIMIZER: of.optimizer.seconds, STEP: of.step}
