"""A whole model and the step of its optimiser, timed: what the operations cost when they run as a model does.

The module is that of `symflops check`: transformers' class with random weights, in eval mode, with fused attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, prod
from typing import Any

import torch

from symflops.architectures import Architecture
from symflops.errors import SymflopsError
from symflops.timing.samples import Phase, Sample
from symflops.tracing.models import Built, build, run_forward, token_inputs
from symflops.tracing.timing.clock import timed
from symflops.tracing.timing.inputs import CAN
from symflops.tracing.timing.places import Place
from symflops.tracing.timing.tasks import Task

MODEL, OPTIMIZER = "whole model", "optimizer step"
_STATES = 4
"""Parameters, gradients, and the two moments of AdamW."""
_MOVED = 7
"""AdamW reads all four, and writes all but the gradients."""
_LOGITS = 4


def whole(
    model: Architecture, tasks: Sequence[Task], where: Place, repeat: int, n_batch: int, n_seq: int
) -> list[Sample]:
    """Samples of a model's forward and backward pass, and of a step of AdamW.

    ``tasks`` are all operations of the model, whose closed forms it is held against. Raises `SymflopsError` where it
    does not fit in memory, before it is made; `ConfigError` for a model that is not built from tokens.
    """
    takes, free = memory(model, tasks, where), where.free
    if takes > CAN * free:
        what = f"a step of {model.name} takes {takes / 1e9:.3g} GB, and {where.device} has {free / 1e9:.3g} GB free"
        raise SymflopsError(f"{what}; give a smaller --batch or --seq, or leave --step out")
    kind = "sdpa" if model.attention == "flash" else "eager"
    built = build(model.config, kind, str(where.device), where.dtype)  # type: ignore[arg-type]
    sizes = {**model.sizes, "n_batch": n_batch, "n_seq": n_seq}
    return [*_passes(built, tasks, where, repeat, sizes), _update(built, where, repeat, sizes)]


def memory(model: Architecture, tasks: Sequence[Task], where: Place) -> int:
    """Bytes: states of the model, what every operation keeps for its gradient, and the logits a few times over."""
    kept = sum((task.runs * task.kept(where.element) for task in tasks), Fraction(0))
    largest = max(prod(task.result.shape) for task in tasks)
    return ceil((_STATES * model.params() + _LOGITS * largest) * where.element + kept) + where.flush


def _passes(built: Built, tasks: Sequence[Task], where: Place, repeat: int, sizes: dict[str, int]) -> Iterator[Sample]:
    inputs = token_inputs(built, sizes["n_batch"], sizes["n_seq"])
    inputs["input_ids"].random_(0, sizes["n_vocab"])
    weights = [each for each in built.module.parameters() if each.requires_grad]
    with torch.no_grad():
        yield _sample("forward", built, tasks, where, sizes, timed(lambda: run_forward(built, inputs), where, repeat))
    logits = run_forward(built, inputs)
    upstream = torch.randn_like(logits)

    def gradients() -> Any:
        return torch.autograd.grad(logits, weights, upstream, retain_graph=True, allow_unused=True)

    yield _sample("backward", built, tasks, where, sizes, timed(gradients, where, repeat))


def _sample(
    phase: Phase, built: Built, tasks: Sequence[Task], where: Place, sizes: dict[str, int], times: tuple[float, ...]
) -> Sample:
    flops = sum(task.runs * task.flops(phase) for task in tasks)
    moved = sum(task.runs * task.bytes(phase, where.element) for task in tasks if task.has(phase))
    return Sample(MODEL, type(built.module).__name__, phase, sizes, flops, moved, times)


def _update(built: Built, where: Place, repeat: int, sizes: dict[str, int]) -> Sample:
    weights = list(built.module.parameters())
    for each in weights:
        each.grad = torch.randn_like(each)
    optimizer = torch.optim.AdamW(weights, lr=1e-9, fused=True)
    times = timed(optimizer.step, where, repeat)
    moved = ceil(_MOVED * sum(each.numel() for each in weights) * where.element)
    return Sample(OPTIMIZER, "AdamW fused", "forward", sizes, 0, moved, times)
