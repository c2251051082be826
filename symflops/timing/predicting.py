"""What a calibration predicts: the time of each operation of a network, of a layer, of a pass and of a training step.

One kernel runs after the other, and nothing is fused but the core of an architecture whose attention is flash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from statistics import median

from symflops.architectures import Architecture
from symflops.timing.calibrating import Calibration
from symflops.timing.fitted import FitError
from symflops.timing.recognised import CAUSAL, MASKED, names
from symflops.timing.samples import ADAMW, OPTIMIZER, PHASES, Phase, Sample
from symflops.timing.tasks import Task, tasks
from symflops.training.formats_known import number_format
from symflops.training.optimizers import states


@dataclass(frozen=True)
class Row:
    """One operation of a network in a phase: its kernel, how often it runs, and FLOPs, bytes and seconds of one run.

    ``share`` is how often a layer does it, the mean of all.
    """

    path: str
    kernel: str
    phase: Phase
    runs: int
    flops: int
    bytes: int
    seconds: float
    share: Fraction = Fraction(0)

    @property
    def all(self) -> float:
        """Seconds of all its runs."""
        return self.runs * self.seconds


@dataclass(frozen=True)
class Prediction:
    """The rows of a network, forward and backward, and the optimiser's."""

    rows: tuple[Row, ...]
    optimizer: Row

    def of(self, phase: Phase) -> float:
        """Seconds of a phase."""
        return sum(row.all for row in self.rows if row.phase == phase)

    @property
    def step(self) -> float:
        """Seconds of forward, backward and the optimiser."""
        return sum(map(self.of, PHASES)) + self.optimizer.all

    def under(self, seconds: Callable[[Row], float]) -> Prediction:
        """The same rows with other times."""
        rows = tuple(replace(row, seconds=seconds(row)) for row in self.rows)
        return replace(self, rows=rows, optimizer=replace(self.optimizer, seconds=seconds(self.optimizer)))

    def layer(self, phase: Phase) -> float:
        """Seconds of a layer in a phase, the mean of all."""
        return sum(float(row.share) * row.seconds for row in self.rows if row.phase == phase)


@dataclass(frozen=True)
class Accuracy:
    """|predicted / measured - 1| over some samples: the median, what 95 of 100 stay below, and the worst."""

    median: float
    most: float
    worst: float
    points: int


def predict(calibration: Calibration, model: Architecture, n_batch: int = 1, n_seq: int | None = None) -> Prediction:
    """The time of each operation of a model, forward and backward, and of a step of AdamW.

    Raises `FitError` for a kind that was not timed, `SizeError` for sizes that do not divide.
    """
    every, layers = tasks(model, n_batch, n_seq), model.sizes.get("n_layer", 1)
    rows = [_row(calibration, task, phase, layers) for task in every for phase in PHASES if task.has(phase)]
    moved = update_bytes(model, calibration.dtype)
    seconds = calibration.fit(ADAMW, "moves", "forward").seconds(0, moved)
    update = Row(OPTIMIZER, ADAMW, "forward", 1, 0, moved, seconds)
    return Prediction(tuple(row for row in rows if row is not None), update)


def update_bytes(model: Architecture, dtype: str) -> int:
    """Bytes that a step of AdamW moves: parameters and moments are read and written, gradients read.

    >>> from symflops.architectures import architecture
    >>> update_bytes(architecture("gpt2"), "fp32") == 7 * 4 * architecture("gpt2").params()
    True
    """
    return ceil((2 * (model.params() + moments(model)) + model.params()) * number_format(dtype).bytes)


def moments(model: Architecture) -> int:
    """Numbers that AdamW keeps besides the parameters and their gradients."""
    return sum(int(model.at(each.elements)) for each in states(model.network, "adamw") if each.per == "parameter")


def _row(by: Calibration, task: Task, phase: Phase, layers: int) -> Row | None:
    """The row of a task by its fastest kernel; nothing where there is nothing to do."""
    flops, moved = task.flops(phase), task.bytes(phase, number_format(by.dtype).bytes)
    if not task.runs or not (flops or moved):
        return None
    seconds, name = min((by.seconds(_sample(task, each, phase, flops, moved)), each) for each in _kernels(by, task))
    return Row(task.path, name, phase, task.runs, flops, moved, seconds, task.share(layers))


def _kernels(by: Calibration, task: Task) -> Sequence[str]:
    """The kernels that may run a task, of those that were timed; all where none was."""
    if not task.is_core:
        every = names(task.operation)
        return [name for name in every if name in by.kernels] or every
    timed = [name for name, kind in by.kernels.items() if kind == "attention" and _ending(name) == task.left_out]
    return timed or ["attention"]


def _ending(name: str) -> str:
    return next((each for each in (CAUSAL, MASKED) if name.endswith(each)), "")


def _sample(task: Task, name: str, phase: Phase, flops: int, moved: int) -> Sample:
    """What would be timed; how long it takes is what is asked."""
    return Sample(task.path, name, phase, task.symbols, flops, moved, (1.0,), task.products(phase))


def accuracy(samples: Iterable[Sample], predicted: Callable[[Sample], float | None]) -> Accuracy:
    """How far predictions are off on the samples that they have a figure for. Raises `FitError` for no such samples."""
    said = [(each, predicted(each)) for each in samples]
    off = sorted(abs(seconds / each.median - 1) for each, seconds in said if seconds is not None)
    if not off:
        raise FitError("no samples to judge a prediction by; give samples of other sizes than the calibration's")
    return Accuracy(median(off), off[ceil(0.95 * len(off)) - 1], off[-1], len(off))
