"""The time that PyTorch's own estimator gives, to hold against measured times and against the closed forms.

It is `torch.distributed._tools.runtime_estimator.RuntimeEstimator` in its mode ``operator-level-cost-model``, run on
fake tensors: nothing is computed. On CUDA it asks torch for the device's peak and bandwidth, as it does for anyone; on
a processor it takes those of a roof, and `symflops.tracing.internals.estimator` says what is replaced for that. Its
arithmetic is its own, and so are its mistakes, each of which the tests show on torch's own code:

- A matmul bound by compute takes 2/3 of the roofline's time, less than is possible: its FLOPs, 2 for each
  multiply-accumulate, are halved, and divided by 3/4 of a peak that counts 2 as well (``flops_to_ns``). Torch before
  pull request pytorch/pytorch#182020 of 2026 took the peak a thousand times too high on top of that.
- An operator without an entry in ``torch.utils.flop_counter.flop_registry`` moves bytes and computes nothing. That is
  every elementwise one, and the whole of a processor's flash attention.
- An attention core that leaves masked pairs out takes as long as one that computes all.
- A lookup reads its whole table, however few rows are picked.
- Each time torch asks a fake tensor for its device, ``prim::device``, is charged as a read of the whole tensor. Views
  and autograd ask often, so that what is bound by memory takes longer than it moves, backward most of all.
- Nothing is fused, nothing overlaps, and a launch takes no time.

>>> from symflops.architectures import architecture
>>> from symflops.tracing.timing.kernels import kernels
>>> from symflops.tracing.timing.places import place
>>> from symflops.timing.tasks import named, tasks
>>> [up] = named(tasks(architecture("gpt2"), 8, 1024), ["Feedforward/up"])
>>> roof = Roof(peak=1e12, bandwidth=1e14)
>>> told = estimated_task(up, kernels(up, "cpu")[0], "forward", place("cpu", "fp32"), roof)
>>> round(told / roof.least(up.flops("forward"), 0), 3)
0.667
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch

from symflops.architectures import Architecture
from symflops.errors import SymflopsError
from symflops.timing.roof import Roof
from symflops.timing.samples import Phase
from symflops.timing.tasks import Operand, Task
from symflops.tracing.internals import FakeTensorMode
from symflops.tracing.internals.estimator import estimated, given
from symflops.tracing.models import build, run_forward, token_inputs
from symflops.tracing.timing.clock import prepared
from symflops.tracing.timing.kernels import Kernel
from symflops.tracing.timing.places import Place
from symflops.tracing.timing.running import Others
from symflops.tracing.timing.whole import config

NAME = "RuntimeEstimator"
"""What its figures are called in a record."""
_REFUSED = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, RuntimeError, TypeError)
"""What torch raises where a kernel has no fake form, or its estimator does not know what to do."""


def asked(where: Place, roof: Roof) -> Others:
    """Asks the estimator about each kernel and model; what it refuses has no figure."""

    def kernel(task: Task, of: Kernel, phase: Phase) -> Mapping[str, float]:
        with suppress(SymflopsError):
            return {NAME: estimated_task(task, of, phase, where, roof)}
        return {}

    def model(of: Architecture, n_batch: int, n_seq: int) -> Mapping[Phase, Mapping[str, float]]:
        with suppress(SymflopsError):
            return {phase: {NAME: said} for phase, said in estimated_model(of, where, roof, n_batch, n_seq).items()}
        return {}

    return Others(kernel, model)


def estimated_task(task: Task, kernel: Kernel, phase: Phase, where: Place, roof: Roof) -> float:
    """Seconds of a kernel, forward or backward; the roof counts on a processor alone.

    Raises `SymflopsError` for a pass that has nothing to do, for a kernel that does not run on fake tensors and where
    the estimator refuses.
    """
    if not task.has(phase):
        raise SymflopsError(f"{task.path}: nothing to do {phase}, since no operand needs a gradient")
    with _refusals(f"{task.path}, {kernel.name}, {phase}"), FakeTensorMode():
        operands = tuple(_fake(each, where) for each in task.operands)
        return _on(where, roof, prepared(task, kernel, phase, operands))


def estimated_model(model: Architecture, where: Place, roof: Roof, n_batch: int, n_seq: int) -> dict[Phase, float]:
    """Seconds of a whole model's forward and backward pass, as `whole.whole` times them, without its memory.

    Raises `SizeError` for sizes that it does not take, `ConfigError` for a model that is not built from tokens,
    `SymflopsError` where it does not run on fake tensors or the estimator refuses.
    """
    kind = "sdpa" if model.attention == "flash" else "eager"
    with _refusals(model.name):
        built = build(config(model), kind, f"fake:{where.device}", where.dtype)  # type: ignore[arg-type]
        inputs = token_inputs(built, n_batch, n_seq)
        weights = [each for each in built.module.parameters() if each.requires_grad]
        with built.scope():
            with torch.no_grad():
                forward = _on(where, roof, lambda: run_forward(built, inputs))
            logits = run_forward(built, inputs)
            upstream = torch.randn_like(logits)
            backward = _on(where, roof, lambda: torch.autograd.grad(logits, weights, upstream, allow_unused=True))
    return {"forward": forward, "backward": backward}


def _fake(operand: Operand, where: Place) -> torch.Tensor:
    kind = where.dtype if operand.below is None else torch.int64
    return torch.empty(operand.shape, dtype=kind, device=where.device).requires_grad_(operand.wanted)


def _on(where: Place, roof: Roof, call: Callable[[], Any]) -> float:
    """On CUDA with what torch knows of the device, elsewhere with the roof's figures."""
    if where.kind == "cuda":
        with torch.cuda.device(where.device):
            return estimated(call)
    if not (roof.peak > 0 and roof.bandwidth > 0):  # the estimator takes a peak of zero for no compute at all
        raise SymflopsError(f"a roof needs a peak and a bandwidth above zero, got {roof.peak} and {roof.bandwidth}")
    with given(roof.peak, roof.bandwidth):
        return estimated(call)


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turns what torch raises into one line."""
    try:
        yield
    except _REFUSED as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise SymflopsError(f"{what}: PyTorch's estimator gives no time: {said}") from error
