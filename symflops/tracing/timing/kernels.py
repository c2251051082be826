"""From an operation to the kernels that run it: matmuls, attention cores by backend, lookups, norms, activations.

>>> from symflops.architectures import architecture
>>> from symflops.timing.tasks import tasks
>>> {task.operation.role: kernels(task, "cpu")[0].name for task in tasks(architecture("gpt2"), 1, 8)}["norm"]
'layer_norm'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from symflops.declarations import Sentence
from symflops.elementwise import Elementwise
from symflops.errors import SymflopsError
from symflops.layers.convolution import Convolution
from symflops.masks import Full
from symflops.operations import Contraction, Lookup
from symflops.timing.recognised import ADDMM, EINSUM, GROUPED, MM, names
from symflops.timing.tasks import Task, skipped
from symflops.tracing.timing.convolving import kernel_of
from symflops.tracing.timing.fused import called
from symflops.tracing.timing.pairs import attended

Run = Callable[..., torch.Tensor]
"""From the operands, in the task's order, to the result."""
BACKENDS: Mapping[str, Mapping[str, SDPBackend]] = MappingProxyType(
    {
        "cpu": {"flash": SDPBackend.FLASH_ATTENTION},
        "cuda": {
            "flash": SDPBackend.FLASH_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION,
            "cudnn": SDPBackend.CUDNN_ATTENTION,
        },
    }
)
"""The kernels of a whole attention core that store no scores, by kind of device."""


class NoKernel(SymflopsError):
    """An operation that no kernel here runs."""


@dataclass(frozen=True)
class Kernel:
    """A kernel by name, and how it is called."""

    name: str
    run: Run

    def __call__(self, *operands: torch.Tensor) -> torch.Tensor:
        return self.run(*operands)


def kernels(task: Task, device: str) -> tuple[Kernel, ...]:
    """The kernels of a task on a kind of device, ``cpu`` or ``cuda``: one, or one for each backend of attention.

    Raises `NoKernel`.
    """
    if task.is_core:
        return tuple(
            Kernel(name + task.left_out, partial(_core, task, each)) for name, each in BACKENDS[device].items()
        )
    operation = task.operation
    if isinstance(operation, Elementwise):
        return (Kernel(*called(operation)),)
    if isinstance(operation, Lookup):
        return (Kernel(names(operation)[0], lambda table, index: functional.embedding(index, table)),)
    if isinstance(operation, Convolution):
        convolve = kernel_of(operation.sentence)
        if convolve is None:
            raise NoKernel(f"{task.path}: a convolution of windows that are laid out has no kernel here")
        return (Kernel(names(operation)[0], convolve),)
    if type(operation) is not Contraction:
        raise NoKernel(f"{task.path}: a {type(operation).__name__} has no kernel here")
    return tuple(_contractions(operation))


def _contractions(of: Contraction) -> Iterator[Kernel]:
    """The kernels of a contraction that torch has: its newest may be missing."""
    runs: dict[str, Run] = {**_MATRICES, EINSUM: partial(_einsum, of.sentence)}
    for name in names(of):
        if name != GROUPED or hasattr(functional, "grouped_mm"):
            yield Kernel(name, runs[name])


def grouped(x: torch.Tensor, weight: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
    """Sorted tokens [expert token d_in] by weights [expert d_in d_out]: torch is told where each expert's tokens end.

    >>> grouped(torch.ones(2, 3, 4), torch.ones(2, 4, 8), torch.ones(2, 8)).unique().tolist()
    [5.0]
    """
    ends = torch.arange(1, len(x) + 1, dtype=torch.int32, device=x.device) * x.shape[1]
    found = functional.grouped_mm(x.flatten(0, 1), weight, offs=ends).reshape(*x.shape[:-1], weight.shape[-1])
    return found + bias[0].unsqueeze(1) if bias else found  # torch's own bias is still refused


def _mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.mm(left.reshape(-1, left.shape[-1]), right).reshape(*left.shape[:-1], right.shape[-1])


def _addmm(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    flat = torch.addmm(bias, left.reshape(-1, left.shape[-1]), right)
    return flat.reshape(*left.shape[:-1], right.shape[-1])


_MATRICES: Mapping[str, Run] = MappingProxyType({MM: _mm, ADDMM: _addmm, GROUPED: grouped})


def _einsum(sentence: Sentence, left: torch.Tensor, right: torch.Tensor, *added: torch.Tensor) -> torch.Tensor:
    """Torch takes axes as numbers beside each tensor."""
    numbers = {axis: number for number, axis in enumerate(sentence.axes)}
    a, b, out = ([numbers[axis] for axis in each.axes] for each in (*sentence.factors, sentence.result))
    found: torch.Tensor = torch.einsum(left, a, right, b, out)
    for bias, value in zip(sentence.added, added, strict=True):
        shape = [size if axis in bias.axes else 1 for axis, size in zip(sentence.result.axes, found.shape, strict=True)]
        found = found + value.reshape(shape)
    return found


def _core(task: Task, backend: SDPBackend, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Queries are [batch kv_head group query d_head]; heads that share keys and values lie side by side."""
    chosen: AbstractContextManager[Any] = sdpa_kernel(backend)
    by_name = skipped(task.mask)
    mask = None if by_name or task.mask is None else attended(task.mask, q.device)
    causal = by_name and type(task.mask) is not Full
    with chosen:
        mixed = functional.scaled_dot_product_attention(
            q.flatten(1, 2), k, v, mask, is_causal=causal, enable_gqa=q.shape[2] > 1
        )
    return mixed.reshape(*q.shape[:-1], v.shape[-1])
