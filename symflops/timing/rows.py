"""The rows of a record's page: each sample beside the roofs, what bounds it, what was predicted; and what they sum to.

>>> sample = Sample("up", "mm", "forward", {"n_seq": 1024}, 6 * 10**9, 6 * 10**6, (1e-5, 1e-5))
>>> shown = Shown(Record("NVIDIA H100 80GB HBM3", {}, "2026-01-31", "bf16", (), (sample,)))
>>> row = shown.rows[0]
>>> row["flops_per_second"], row["of_peak"], round(row["of_sheet"], 3), row["bound"]
(600000000000000.0, 1.0, 0.607, 'compute')
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from symflops.timing.calibrating import Calibration
from symflops.timing.laws import LAUNCHES, Ceilings, ceilings
from symflops.timing.recognised import CAUSAL
from symflops.timing.records import Record
from symflops.timing.roof import Roof
from symflops.timing.samples import LAYER, MODEL, OPTIMIZER, PHASES, WHOLE, Phase, Sample
from symflops.timing.subjects import Subject
from symflops.training.hardware import device_called

CALIBRATION = "calibration"
"""What a calibration's predictions are called."""
_TRAINING = 6
"""FLOPs of a training step for each token and parameter: 2 forward, 4 backward."""


Predict = Callable[[Sample], float | None]
"""Seconds of a sample; None where there is no figure."""


@dataclass(frozen=True)
class Shown:
    """A record with what it is held against: the model that it is of, and predictions by their name."""

    record: Record
    subject: Subject | None = None
    predicted: Mapping[str, Predict] = field(default_factory=dict)

    @cached_property
    def top(self) -> Ceilings:
        """The best rates of the record."""
        return ceilings(self.record)

    @cached_property
    def sheet(self) -> Roof | None:
        """The data sheet's roof, where the device is a known one."""
        return sheet(self.record)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every sample in plain values."""
        return [self._row(each) for each in self.record.samples]

    def _repr_html_(self) -> str:
        from symflops.render import render_document
        from symflops.timing.reports import report  # what shows a record is built from its rows

        return render_document(report(self), "html")

    def _row(self, of: Sample) -> dict[str, Any]:
        rate, runs = of.flops / of.median, self.subject.runs.get(of.operation, 1) if self.subject else None
        shares = {
            "of_peak": rate / self.top.peak,
            "of_sheet": None if self.sheet is None else rate / self.sheet.peak,
            "of_roof": self.top.work(of) / of.median,
            "bound": bound(of, self.top),
        }
        named = {name: by(of) for name, by in self.predicted.items() if of.operation not in WHOLE}
        said = {name: seconds for name, seconds in named.items() if seconds is not None}
        return {**of.figures, "runs": runs, **shares, "predicted": said}

    @cached_property
    def several(self) -> bool:
        """Whether the record holds an operation at several sizes."""
        points = Counter((each.operation, each.kernel, each.phase) for each in self.record.samples)
        return max(points.values(), default=0) > 1

    @cached_property
    def totals(self) -> dict[str, dict[str, Any]]:
        """All operations as often as the model runs them, by their fastest kernels; a layer, the model and a step.

        Nothing of a record that holds an operation at several sizes.
        """
        if self.subject is None or self.several:
            return {}
        parts = {f"operations, {phase}": self._fastest(phase) for phase in PHASES}
        for name in (LAYER, MODEL):
            parts |= {f"{name}, {phase}": self._named((name,), phase) for phase in PHASES}
        parts["training step"] = [pair for phase in PHASES for pair in self._named((MODEL, OPTIMIZER), phase)]
        found = {name: self._sum(pairs) for name, pairs in parts.items() if pairs}
        if "training step" in found:
            found["training step"] |= self._lecture(found["training step"]["seconds"])
        return found

    def _named(self, names: tuple[str, ...], phase: Phase) -> list[tuple[int, Sample]]:
        return [(1, each) for each in self.record.samples if each.operation in names and each.phase == phase]

    def _fastest(self, phase: Phase) -> list[tuple[int, Sample]]:
        """Of each operation the fastest kernel; a core without a mask is the twin of one with, and not the model's."""
        assert self.subject is not None
        known, best = {(each.operation, each.kernel) for each in self.record.samples}, dict[str, Sample]()
        for each in self.record.samples:
            twin = (each.operation, each.kernel + CAUSAL) in known
            if each.phase == phase and each.operation in self.subject.runs and not twin:
                best[each.operation] = min(each, best.get(each.operation, each), key=lambda one: one.median)
        return [(self.subject.runs[name], each) for name, each in best.items()]

    def _sum(self, pairs: list[tuple[int, Sample]]) -> dict[str, Any]:
        flops = sum(runs * each.flops for runs, each in pairs)
        seconds = sum(runs * each.median for runs, each in pairs)
        of_sheet = None if self.sheet is None else flops / seconds / self.sheet.peak
        return {"flops": flops, "seconds": seconds, "mfu": flops / seconds / self.top.peak, "mfu_of_sheet": of_sheet}

    def _lecture(self, seconds: float) -> dict[str, Any]:
        """The MFU of a step as CS336 counts it: 2 FLOPs for each token and parameter forward, 4 backward."""
        [whole] = self._named((MODEL,), "forward")
        tokens = whole[1].sizes["n_batch"] * whole[1].sizes["n_seq"]
        flops = _TRAINING * tokens * self.subject.params if self.subject else 0
        return {"mfu_6ND": flops / seconds / (self.sheet or self.top).peak}


def sheet(record: Record) -> Roof | None:
    """The data sheet's roof of a record's device, where it is a known one with a peak for the format."""
    known = device_called(record.device)
    if known is None or known.bandwidth is None or record.dtype not in known.peaks:
        return None
    return Roof(float(known.peaks[record.dtype]), float(known.bandwidth))


def peers(record: Record) -> dict[str, Predict]:
    """What others predicted when a record was made, by their name."""
    names = dict.fromkeys(name for each in record.samples for name in each.estimates)
    return {name: partial(_said, name) for name in names}


def _said(name: str, sample: Sample) -> float | None:
    return sample.estimates.get(name)


def predictions(record: Record, by: Calibration | None) -> dict[str, Predict]:
    """Everything that predicts the times of a record, by its name: a calibration, the rooflines, the peers."""
    own: dict[str, Predict] = {} if by is None else {CALIBRATION: by.seconds}
    return {**own, **rooflines(record), **peers(record)}


def rooflines(record: Record) -> dict[str, Predict]:
    """Predictions without a calibration: the data sheet's roofline where it is known, and that of the best seen."""
    return {name: roof.work for name, roof in roofs_of(record).items()}


def roofs_of(record: Record) -> dict[str, Roof]:
    """The roofs of a device by whose they are."""
    roofs = {"data sheet's roofline": sheet(record), "roofline of the best seen": ceilings(record)}
    return {name: roof for name, roof in roofs.items() if roof is not None}


def bound(sample: Sample, top: Ceilings) -> str:
    """What bounds a kernel: the launch, where it takes little longer than the shortest, else compute or memory."""
    if top.launches(sample) < LAUNCHES and sample.median > LAUNCHES * top.work(sample):
        return "launch"
    return top.bound(sample.flops, sample.bytes)
