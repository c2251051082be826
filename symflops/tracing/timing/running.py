"""Tasks checked and timed one after the other; what was measured is kept after each.

>>> from symflops.architectures import architecture
>>> from symflops.tracing.timing.places import place
>>> from symflops.tracing.timing.tasks import named, tasks
>>> small = architecture("gpt2").with_sizes(d_model=32, n_head=4, n_vocab=50)
>>> [up] = named(tasks(small, 1, 8), ["up"])
>>> record = run([up], place("cpu", "fp32"), repeat=2)
>>> [(sample.kernel, sample.phase, sample.flops) for sample in record.samples]
[('addmm', 'forward', 65536), ('addmm', 'backward', 131072)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import torch

from symflops.errors import SymflopsError
from symflops.timing.samples import Phase, Record, Sample
from symflops.tracing.timing.clock import seconds
from symflops.tracing.timing.inputs import drawn, refuse
from symflops.tracing.timing.kernels import Kernel, NoKernel, kernels
from symflops.tracing.timing.places import Place
from symflops.tracing.timing.reference import checked
from symflops.tracing.timing.tasks import Task

Stage = Callable[[str, int, int], None]
PHASES: tuple[Phase, ...] = ("forward", "backward")
Keep = Callable[[Record], None]


def run(
    tasks: Sequence[Task],
    where: Place,
    repeat: int,
    keep: Keep = lambda record: None,
    stage: Stage = lambda what, done, of: None,
) -> Record:
    """The record of some tasks, each kernel forward and backward.

    ``keep`` gets the record after each task. What no kernel runs, and backends that refuse a shape or format, are
    named in its notes. Raises `SymflopsError` for a task that does not fit in memory, before any is timed, and
    `WrongKernel` for a kernel that does not compute what is declared.
    """
    for task in tasks:
        refuse(task, where)
    record = _empty(where, repeat)
    for number, task in enumerate(tasks):
        stage(task.path, number, len(tasks))
        record = _with(record, task, where, repeat)
        keep(record)
    record = replace(record, notes=(*record.notes, where.note("after")))
    keep(record)
    return record


def _empty(where: Place, repeat: int) -> Record:
    today = datetime.now(UTC).isoformat(timespec="seconds")
    how = f"{repeat} runs of each kernel after a warm-up, cold caches, normal data, results compared with float64"
    return Record(where.name, where.versions, today, where.form, (how, where.note("before")), ())


def _with(record: Record, task: Task, where: Place, repeat: int) -> Record:
    try:
        known = kernels(task, where.kind)
    except NoKernel as error:
        return _noted(record, str(error))
    for kernel in known:
        refused = _refused(task, kernel, where)
        if refused:
            record = _noted(record, f"{task.path}: {kernel.name} was not timed: {refused}")
            continue
        for sample in _samples(task, kernel, where, repeat):
            record = record.with_sample(sample)
    return record


def _noted(record: Record, note: str) -> Record:
    return replace(record, notes=(*record.notes, note))


def _refused(task: Task, kernel: Kernel, where: Place) -> str:
    """Why torch does not run a kernel at this shape and format; empty where it does, and does so rightly."""
    try:
        checked(task, kernel, drawn(task, where))
    except torch.OutOfMemoryError as error:
        raise SymflopsError(f"{task.path} found no memory on {where.device}: {_line(error)}") from None
    except RuntimeError as error:
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _samples(task: Task, kernel: Kernel, where: Place, repeat: int) -> Iterator[Sample]:
    for phase in PHASES:
        if task.has(phase):
            times = seconds(task, kernel, phase, where, repeat)
            flops, moved = task.flops(phase), task.bytes(phase, where.element)
            yield Sample(task.path, kernel.name, phase, task.symbols, flops, moved, times)
