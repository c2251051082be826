"""One task checked and timed, as a part of a record.

>>> from symflops.architectures import architecture
>>> from symflops.timing.tasks import named, tasks
>>> from symflops.tracing.timing.places import place
>>> small = architecture("gpt2").with_sizes(d_model=32, n_head=4, n_vocab=50)
>>> [up] = named(tasks(small, 1, 8), ["up"])
>>> here = place("cpu", "fp32")
>>> record = run(empty(here, 2), up, here, repeat=2)
>>> [(sample.kernel, sample.phase, sample.flops) for sample in record.samples]
[('addmm', 'forward', 65536), ('addmm', 'backward', 131072)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from symflops.architectures import Architecture
from symflops.errors import SymflopsError
from symflops.timing.records import Record
from symflops.timing.samples import PHASES, Phase, Sample
from symflops.timing.tasks import Task
from symflops.tracing.timing.clock import seconds
from symflops.tracing.timing.inputs import drawn
from symflops.tracing.timing.kernels import Kernel, NoKernel, kernels
from symflops.tracing.timing.places import Place
from symflops.tracing.timing.reference import checked

Stage = Callable[[str, int, int], None]
Keep = Callable[[Record], object]


@dataclass(frozen=True)
class Others:
    """Who else predicts times: of a kernel, and of a whole model, in seconds by their name."""

    kernel: Callable[[Task, Kernel, Phase], Mapping[str, float]]
    model: Callable[[Architecture, int, int], Mapping[Phase, Mapping[str, float]]]


NOBODY = Others(lambda task, kernel, phase: {}, lambda model, n_batch, n_seq: {})
"""Nobody is asked."""


def empty(where: Place, repeat: int) -> Record:
    """A record without samples: where, when and how."""
    today = datetime.now(UTC).isoformat(timespec="seconds")
    how = f"{repeat} runs of each kernel after a warm-up, cold caches, normal data, results compared with float64"
    return Record(where.name, where.versions, today, where.form, (how, where.note("before")), ())


def run(record: Record, task: Task, where: Place, repeat: int, others: Others = NOBODY) -> Record:
    """The record with a task's samples, each of its kernels forward and backward.

    What no kernel runs, and backends that refuse a shape or format, are named in its notes. Raises `WrongKernel` for a
    kernel that does not compute what is declared.
    """
    try:
        known = kernels(task, where.kind)
    except NoKernel as error:
        return noted(record, str(error))
    for kernel in known:
        with _in_memory(task, where):
            refused = _refused(task, kernel, where)
        if refused:
            record = noted(record, f"{task.path}: {kernel.name} was not timed: {refused}")
            continue
        for sample in _samples(task, kernel, where, repeat):
            said = others.kernel(task, kernel, sample.phase)
            record = record.with_sample(replace(sample, estimates=said))
    return record


def again(record: Record, task: Task, where: Place, repeat: int) -> Record:
    """The record with more runs of those kernels of a task that it has."""
    timed = {each.kernel for each in record.samples if each.operation == task.path}
    for kernel in kernels(task, where.kind) if timed else ():
        if kernel.name in timed:
            for sample in _samples(task, kernel, where, repeat):
                record = record.with_more(sample)
    return record


def noted(record: Record, note: str) -> Record:
    """The record with a note, once."""
    return record if note in record.notes else replace(record, notes=(*record.notes, note))


def _refused(task: Task, kernel: Kernel, where: Place) -> str:
    """Why torch does not run a kernel at this shape and format; empty where it does, and does so rightly."""
    try:
        checked(task, kernel, drawn(task, where))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return _line(error)
    return ""


@contextmanager
def _in_memory(task: Task, where: Place) -> Iterator[None]:
    """Raises `SymflopsError` where there is no memory after all."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SymflopsError(f"{task.path} found no memory on {where.device}: {_line(error)}") from None


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _samples(task: Task, kernel: Kernel, where: Place, repeat: int) -> Iterator[Sample]:
    for phase in PHASES:
        if task.has(phase):
            with _in_memory(task, where):
                times = seconds(task, kernel, phase, where, repeat)
            flops, moved, products = task.flops(phase), task.bytes(phase, where.element), task.products(phase)
            yield Sample(task.path, kernel.name, phase, task.symbols, flops, moved, times, products)
