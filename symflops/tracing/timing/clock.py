"""The clock: seconds of every run of a kernel, after a warm-up, with cold caches.

Before each run more bytes than the last cache holds are overwritten. On CUDA each run stands between two events, and
the overwriting keeps the queue full, so that what is timed is the kernel and not its launch. On a processor it is
`torch.utils.benchmark` that times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.benchmark import Timer

from symflops.timing.samples import Phase
from symflops.timing.tasks import Task
from symflops.tracing.timing.inputs import Operands, drawn
from symflops.tracing.timing.kernels import Kernel
from symflops.tracing.timing.places import Place

Call = Callable[[], Any]
WARM = 3
"""Runs of the warm-up."""


def seconds(task: Task, kernel: Kernel, phase: Phase, where: Place, repeat: int) -> tuple[float, ...]:
    """Seconds of ``repeat`` runs of a kernel, forward or backward."""
    return timed(prepared(task, kernel, phase, drawn(task, where)), where, repeat)


def prepared(task: Task, kernel: Kernel, phase: Phase, operands: Operands) -> Call:
    """A call that runs a kernel's forward pass, or its gradients alone, each time it is called."""
    if phase == "forward":
        plain = [each.detach() for each in operands]
        return lambda: kernel(*plain)
    wanted = [each for each, of in zip(operands, task.operands, strict=True) if of.wanted]
    result = kernel(*operands)
    upstream = torch.randn_like(result)
    return lambda: torch.autograd.grad(result, wanted, upstream, retain_graph=True)


def timed(call: Call, where: Place, repeat: int) -> tuple[float, ...]:
    """Seconds of ``repeat`` calls after a warm-up, each with cold caches."""
    for _ in range(WARM):
        call()
    flush = torch.empty(where.flush, dtype=torch.int8, device=where.device)
    run = _on_cuda if where.kind == "cuda" else _on_processor
    return run(call, flush, repeat)


def _on_processor(call: Call, flush: torch.Tensor, repeat: int) -> tuple[float, ...]:
    """One run at a time by torch's own timer, which runs its setup before each."""
    timer = Timer(
        "call()", "flush.zero_()", globals={"call": call, "flush": flush}, num_threads=torch.get_num_threads()
    )
    return tuple(max(1e-9, timer.timeit(1).raw_times[0]) for _ in range(repeat))


def _on_cuda(call: Call, flush: torch.Tensor, repeat: int) -> tuple[float, ...]:
    pairs = []
    with torch.cuda.device(flush.device):
        for _ in range(repeat):
            flush.zero_()
            pair = _event(), _event()
            pair[0].record()
            call()
            pair[1].record()
            pairs.append(pair)
        torch.cuda.synchronize()
    return tuple(max(1e-9, start.elapsed_time(end) / 1e3) for start, end in pairs)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
