"""A record of timings as a page: each operation's closed form, its time, and what share of the peaks it reaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from symflops.documents import Document, Remarks, Table, prose
from symflops.timing.samples import Record, Sample
from symflops.tracing.timing.peaks import Peaks
from symflops.tracing.timing.tasks import Task
from symflops.tracing.timing.whole import MODEL, OPTIMIZER

PHASES = ("forward", "backward")
_HEAD = ("operation", "kernel", "phase", "runs", "FLOPs", "bytes", "FLOP/byte", "µs", "spread", "GFLOP/s", "GB/s",
         "of peak", "of sheet", "of roof", "bound")  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Samples of a model's operations, with how often it runs each, and the peaks of the device."""

    title: str
    tasks: tuple[Task, ...]
    record: Record
    peaks: Peaks

    def document(self) -> Document:
        """A row for each kernel and phase, all of them one after the other, and what is to be known of the record."""
        rows = tuple(self._row(runs, sample) for runs, sample in self._shown())
        sums = self._totals()
        totals = tuple(self._total(name, each) for name, each in sums.items())
        where = f"{self.record.device}, {self.record.dtype}, torch {self.record.versions['torch']}"
        notes = Remarks(tuple(("", note) for note in (self.peaks.note, *self.record.notes)))
        blocks = (prose(where), Table("", _HEAD, (*rows, *totals)), notes)
        return Document(self.title, blocks, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values: rows, totals, peaks, and the record without its raw samples."""
        peaks = {"flops": self.peaks.peak, "bandwidth": self.peaks.bandwidth, "sheet": self.peaks.sheet}
        record = self.record
        head = {"device": record.device, "dtype": record.dtype, "date": record.date, "versions": dict(record.versions)}
        rows = [self._plain(runs, sample) for runs, sample in self._shown()]
        totals = self._totals()
        return {"title": self.title, **head, "peaks": peaks, "rows": rows, "totals": totals, "notes": [*record.notes]}

    def _pairs(self) -> Iterable[tuple[Task, Sample]]:
        for task in self.tasks:
            yield from ((task, sample) for sample in self.record.samples if _of(task, sample))

    def _shown(self) -> Iterable[tuple[int, Sample]]:
        """Every sample with how often a model does it: those of operations first, then those of whole models."""
        yield from ((task.runs, sample) for task, sample in self._pairs())
        yield from ((1, sample) for sample in self.record.samples if not any(_of(task, sample) for task in self.tasks))

    def _fastest(self, phase: str) -> Sequence[tuple[Task, Sample]]:
        """Of each operation the fastest kernel: a core has several."""
        best: dict[Task, Sample] = {}
        for task, sample in self._pairs():
            if sample.phase == phase and (task not in best or sample.median < best[task].median):
                best[task] = sample
        return tuple(best.items())

    def _totals(self) -> dict[str, dict[str, Any]]:
        """All operations as often as the model runs them, one after the other; and a step of training, if timed."""
        each = {phase: [(task.runs, sample) for task, sample in self._fastest(phase)] for phase in PHASES}
        step = [(1, sample) for sample in self.record.samples if sample.operation in (MODEL, OPTIMIZER)]
        return {name: self._sums(found) for name, found in {**each, "training step": step}.items() if found}

    def _sums(self, found: Sequence[tuple[int, Sample]]) -> dict[str, Any]:
        """The MFU is against the measured peak."""
        flops = sum(runs * sample.flops for runs, sample in found)
        taken = sum(runs * sample.median for runs, sample in found)
        return {"flops": flops, "seconds": taken, "mfu": flops / taken / self.peaks.peak}

    def _plain(self, runs: int, sample: Sample) -> dict[str, Any]:
        found = sample.figures
        rate = found["flops_per_second"]
        return {
            **found,
            "runs": runs,
            "of_peak": rate / self.peaks.peak,
            "of_sheet": None if self.peaks.sheet is None else rate / self.peaks.sheet,
            "of_roof": self.peaks.least(sample.flops, sample.bytes) / sample.median,
            "bound": self.peaks.bound(sample.flops, sample.bytes),
        }

    def _row(self, runs: int, sample: Sample) -> tuple[str, ...]:
        plain = self._plain(runs, sample)
        sheet = "-" if plain["of_sheet"] is None else f"{plain['of_sheet']:.1%}"
        return (
            sample.operation, sample.kernel, sample.phase, f"{runs}", f"{sample.flops:.4g}", f"{sample.bytes:.4g}",
            f"{sample.intensity:.3g}", f"{sample.median * 1e6:.4g}", f"{sample.spread:.1%}",
            f"{plain['flops_per_second'] / 1e9:.4g}", f"{plain['bytes_per_second'] / 1e9:.4g}",
            f"{plain['of_peak']:.1%}", sheet, f"{plain['of_roof']:.1%}", plain["bound"],
        )  # fmt: skip

    def _total(self, name: str, sums: dict[str, Any]) -> tuple[str, ...]:
        rate = sums["flops"] / sums["seconds"]
        sheet = "-" if self.peaks.sheet is None else f"{rate / self.peaks.sheet:.1%}"
        taken = f"{sums['seconds'] * 1e6:.4g}"
        return ("sum", "", name, "", f"{sums['flops']:.4g}", "", "", taken, "", f"{rate / 1e9:.4g}",
                "", f"{sums['mfu']:.1%}", sheet, "", "")  # fmt: skip


def _of(task: Task, sample: Sample) -> bool:
    return sample.operation == task.path and dict(sample.sizes) == dict(task.symbols)
