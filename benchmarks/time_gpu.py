"""Kernels timed on a device, in one call: calibrate on one grid, judge the laws, and predict other shapes.

    python benchmarks/time_gpu.py --device cuda --dtype bf16 --out benchmarks/records
    python benchmarks/time_gpu.py --device cpu --dtype fp32 --out /tmp --grid tiny

Writes ``NAME-DTYPE-grid.json`` and ``NAME-DTYPE-other.json``, records that `symflops.timing` reads, after each
operation, and at the end ``NAME-DTYPE.json``, what they say: laws, fits, how far predictions are off, MFU of a step.
Shapes that do not fit in memory are named and left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from symflops.architectures import Architecture, architecture
from symflops.errors import SymflopsError
from symflops.timing.fitted import FitError
from symflops.timing.laws import judge
from symflops.timing.predicting import accuracy, calibrate
from symflops.timing.samples import Record
from symflops.timing.tasks import tasks, unmasked
from symflops.tracing.timing.peaks import Peaks, measured
from symflops.tracing.timing.places import Place, place
from symflops.tracing.timing.running import run
from symflops.tracing.timing.whole import whole


@dataclass(frozen=True)
class Shape:
    """A model at sizes, and how many tokens it reads; ``step`` where the whole model is timed too."""

    model: str
    sizes: Mapping[str, int]
    n_batch: int
    n_seq: int
    step: bool = False

    def __str__(self) -> str:
        sizes = "".join(f" {name}={size}" for name, size in self.sizes.items())
        return f"{self.model}{sizes} {self.n_batch} x {self.n_seq}"


def _wide(width: int) -> dict[str, int]:
    return {"d_model": width, "n_head": width // 64, "d_ff": 4 * width, "n_vocab": 8192, "n_ctx": 8192}


_GPT2 = {"n_vocab": 512, "d_model": 128, "n_head": 2}
GRIDS: Mapping[str, tuple[Sequence[Shape], Sequence[Shape]]] = {
    "full": (
        [
            *(Shape("gpt2", _wide(width), 1, seq) for width in (512, 1024, 2048, 4096) for seq in (256, 1024, 4096)),
            *(Shape("gpt2", _wide(1024), 4, seq) for seq in (512, 1024, 2048, 4096, 8192)),
        ],
        [
            Shape("gpt2", {}, 8, 1024, step=True),
            Shape("gpt2-xl", {}, 2, 1024, step=True),
            Shape("llama3.2-1b", {}, 1, 4096, step=True),
            Shape("llama3-8b", {}, 1, 2048),
            Shape("gpt2", {"d_model": 1600, "n_head": 25}, 3, 777),
        ],
    ),
    "tiny": (
        [Shape("gpt2", {**_GPT2, "d_model": width}, 1, seq) for width in (128, 256) for seq in (32, 64, 128, 256)],
        [Shape("gpt2", {**_GPT2, "d_model": 192}, 2, 96, step=True)],
    ),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cuda")
    options.add_argument("--dtype", default="bf16")
    options.add_argument("--grid", default="full", choices=sorted(GRIDS))
    options.add_argument("--repeat", type=int, default=30)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    try:
        where = place(given.device, given.dtype)
        name = f"{re.sub(r'[^a-z0-9]+', '-', where.name.lower()).strip('-')}-{given.dtype}"
        best = measured(where, given.repeat)
        grid, other = (
            timed(shapes, where, given.repeat, best, given.out / f"{name}-{part}.json")
            for part, shapes in zip(("grid", "other"), GRIDS[given.grid], strict=True)
        )
    except SymflopsError as error:
        print(f"time_gpu: {error}", file=sys.stderr)
        return 2
    found = {"device": where.name, "dtype": given.dtype, "peaks": asdict(best), **summary(grid, other, where, best)}
    text = json.dumps(found, indent=1)
    (given.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def timed(shapes: Sequence[Shape], where: Place, repeat: int, best: Peaks, file: Path) -> Record:
    """One record of all shapes, written after each operation."""
    record = replace(run([], where, repeat), notes=(best.note,))
    for shape in shapes:
        print(f"{file.stem}: {shape}", file=sys.stderr, flush=True)
        try:
            record = _with(record, shape, where, repeat, file)
        except SymflopsError as error:
            record = replace(record, notes=(*record.notes, f"{shape} was left out: {error}"))
        record.write(file)
    return record


def _with(record: Record, shape: Shape, where: Place, repeat: int, file: Path) -> Record:
    model = _model(shape)
    every = tasks(model, shape.n_batch, shape.n_seq)
    asked = [*every, *(unmasked(task) for task in every if task.is_core)]
    found = run(asked, where, repeat, keep=lambda part: _joined(record, part, shape).write(file))
    joined = _joined(record, found, shape)
    if shape.step:
        for sample in whole(model, every, where, repeat, shape.n_batch, shape.n_seq):
            joined = joined.with_sample(sample)
    return joined


def _model(shape: Shape) -> Architecture:
    model = architecture(shape.model, "flash")
    return model.with_sizes(**shape.sizes) if shape.sizes else model


def _joined(record: Record, part: Record, shape: Shape) -> Record:
    for sample in part.samples:
        record = record.with_sample(sample)
    return replace(record, notes=(*record.notes, *(f"{shape}: {note}" for note in part.notes[1:])))


def summary(grid: Record, other: Record, where: Place, best: Peaks) -> dict[str, object]:
    """Laws on both records together, how far predictions of the others are off, and the MFU of each whole model."""
    both = replace(grid, samples=(*grid.samples, *other.samples))
    steps = [each for each in other.samples if each.operation == "whole model"]
    return {
        "laws": _laws(both),
        "off": _off(grid, other, where, best),
        "mfu": [{"sizes": dict(each.sizes), "phase": each.phase, "seconds": each.median,
                 "of_peak": each.flops / each.median / best.flops} for each in steps],
    }  # fmt: skip


def _laws(record: Record) -> object:
    """Every finding; or why they cannot be had: the record is there, and can be judged later."""
    try:
        found = judge(record)
    except FitError as error:
        return str(error)
    return [{**vars(each), "estimate": str(each.estimate), "departures": len(each.departures)} for each in found]


def _off(grid: Record, other: Record, where: Place, best: Peaks) -> dict[str, object]:
    """|predicted / measured - 1| on shapes that were not calibrated on, beside the plain roofline's."""
    shown = [each for each in other.samples if each.operation not in ("whole model", "optimizer step")]
    sheet = best.sheet or best.flops
    found: dict[str, object] = {
        "roofline": asdict(accuracy(shown, lambda each: max(each.flops / sheet, each.bytes / best.bandwidth)))
    }
    try:
        calibration = calibrate(grid, architecture("gpt2", "flash").network, _processors(where))
    except FitError as error:
        return {**found, "calibrated": str(error)}
    found["notes"] = list(calibration.notes)
    try:
        return {**found, "calibrated": asdict(accuracy(shown, calibration.seconds))}
    except FitError as error:
        return {**found, "calibrated": str(error)}


def _processors(where: Place) -> int | None:
    if where.kind != "cuda":
        return None
    import torch

    return int(torch.cuda.get_device_properties(where.device).multi_processor_count)


if __name__ == "__main__":
    sys.exit(main())
