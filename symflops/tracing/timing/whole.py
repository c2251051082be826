"""A whole model, its last layer and the step of its optimiser, timed: what operations cost when they run as a model.

The module is that of `symflops check`: transformers' class with random weights, in eval mode, with fused attention. Its
FLOPs are those of the model, whatever a kernel executes: attended pairs, nothing recomputed. So FLOPs over time and
peak is the MFU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from symflops.architectures import Architecture
from symflops.conventions import EXACT
from symflops.errors import SymflopsError
from symflops.timing.predicting import moments, update_bytes
from symflops.timing.samples import ADAMW, LAYER, MODEL, OPTIMIZER, Phase, Sample
from symflops.timing.tasks import Task
from symflops.tracing.models import Built, build, run_forward, token_inputs
from symflops.tracing.timing.clock import timed
from symflops.tracing.timing.inputs import CAN
from symflops.tracing.timing.places import Place

_LOGITS = 4


@dataclass(frozen=True)
class _Part:
    """Something that runs as a module: how it is called, what its gradients are taken of, and its tasks."""

    name: str
    kernel: str
    run: Callable[[], Tensor]
    wanted: Sequence[Tensor]
    tasks: Sequence[tuple[Fraction, Task]]


def whole(
    model: Architecture, tasks: Sequence[Task], where: Place, repeat: int, n_batch: int, n_seq: int
) -> Iterator[Sample]:
    """Samples of a layer's and of a model's forward and backward pass, and of a step of AdamW.

    ``tasks`` are all operations of the model, whose closed forms it is held against. Raises `SymflopsError` where it
    does not fit in memory, before it is made; `ConfigError` for a model that is not built from tokens.
    """
    built, sizes = _built(model, tasks, where, n_batch, n_seq)
    for part in _parts(built, model, tasks, sizes):
        yield from _passes(replace(part, kernel=f"{model.name}: {part.kernel}"), where, repeat, sizes)
    yield _update(built, model, where, repeat, sizes)


def updated(
    model: Architecture, tasks: Sequence[Task], where: Place, repeat: int, n_batch: int, n_seq: int
) -> Iterator[Sample]:
    """The sample of a step of AdamW alone. Raises as `whole`."""
    built, sizes = _built(model, tasks, where, n_batch, n_seq)
    yield _update(built, model, where, repeat, sizes)


def _built(
    model: Architecture, tasks: Sequence[Task], where: Place, n_batch: int, n_seq: int
) -> tuple[Built, dict[str, int]]:
    takes, free = memory(model, tasks, where), where.free
    if takes > CAN * free:
        what = f"a step of {model.name} takes {takes / 1e9:.3g} GB, and {where.device} has {free / 1e9:.3g} GB free"
        raise SymflopsError(f"{what}; give a smaller --batch or --seq, or leave --step out")
    kind = "sdpa" if model.attention == "flash" else "eager"
    built = build(config(model), kind, str(where.device), where.dtype)  # type: ignore[arg-type]
    return built, {**model.sizes, "n_batch": n_batch, "n_seq": n_seq}


def config(model: Architecture) -> dict[str, Any]:
    """A model's config without the ids of its special tokens: they cost nothing, and may lie beyond fewer words."""
    return {**model.config, "bos_token_id": None, "eos_token_id": None}


def memory(model: Architecture, tasks: Sequence[Task], where: Place) -> int:
    """Bytes: states of the model, what every operation keeps for its gradient, and the logits a few times over."""
    kept = sum((task.runs * task.kept(where.element) for task in tasks), Fraction(0))
    largest = max(prod(task.result.shape) for task in tasks)
    states = 2 * model.params() + moments(model)
    return ceil((states + _LOGITS * largest) * where.element + kept) + where.flush


def _parts(built: Built, model: Architecture, tasks: Sequence[Task], sizes: dict[str, int]) -> Iterator[_Part]:
    """The last layer, where the model has a list of them, and the model."""
    inputs = token_inputs(built, sizes["n_batch"], sizes["n_seq"])
    inputs["input_ids"].random_(0, sizes["n_vocab"])
    layers = model.sizes.get("n_layer", 0)
    stacks = [each for each in built.module.modules() if isinstance(each, nn.ModuleList) and len(each) == layers]
    if stacks:
        yield _layer(built, inputs, stacks[0][-1], [(task.share(layers), task) for task in tasks])
    weights = [each for each in built.module.parameters() if each.requires_grad]
    each = [(Fraction(task.runs), task) for task in tasks]
    yield _Part(MODEL, type(built.module).__name__, lambda: run_forward(built, inputs), weights, each)


def _layer(built: Built, inputs: dict[str, Any], layer: nn.Module, often: Sequence[tuple[Fraction, Task]]) -> _Part:
    """A layer with what the model calls it with."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = layer.register_forward_pre_hook(lambda _, args, named: calls.append((args, named)), with_kwargs=True)
    with torch.no_grad():
        run_forward(built, inputs)
    handle.remove()
    [((hidden, *others), named)] = calls
    stream = hidden.detach().requires_grad_()

    def run() -> Tensor:
        result = layer(stream, *others, **named)
        return result if isinstance(result, Tensor) else result[0]

    return _Part(LAYER, type(layer).__name__, run, [stream, *layer.parameters()], often)


def _passes(part: _Part, where: Place, repeat: int, sizes: dict[str, int]) -> Iterator[Sample]:
    with torch.no_grad():
        yield _sample(part, "forward", where, sizes, timed(part.run, where, repeat))
    result = part.run()
    upstream = torch.randn_like(result)

    def gradients() -> Any:
        return torch.autograd.grad(result, part.wanted, upstream, retain_graph=True, allow_unused=True)

    yield _sample(part, "backward", where, sizes, timed(gradients, where, repeat))


def _sample(part: _Part, phase: Phase, where: Place, sizes: dict[str, int], times: tuple[float, ...]) -> Sample:
    flops = sum(runs * task.work(phase, EXACT) for runs, task in part.tasks)
    moved = sum(runs * task.bytes(phase, where.element) for runs, task in part.tasks if task.has(phase))
    return Sample(part.name, part.kernel, phase, sizes, ceil(flops), ceil(moved), times)


def _update(built: Built, model: Architecture, where: Place, repeat: int, sizes: dict[str, int]) -> Sample:
    weights = list(built.module.parameters())
    for each in weights:
        each.grad = torch.randn_like(each)
    optimizer = torch.optim.AdamW(weights, lr=1e-9, fused=True)
    times, moved = timed(optimizer.step, where, repeat), update_bytes(model, where.form)
    return Sample(OPTIMIZER, f"{model.name}: {ADAMW}", "forward", sizes, 0, moved, times)
