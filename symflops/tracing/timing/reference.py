"""What a kernel has to compute: the declaration in float64, and how far from it a kernel may be.

A contraction is an einsum over all axes, a convolution a sum over its taps, an elementwise step its formula, an
attention core its definition with the mask pair by pair; gradients are autograd's of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from symflops.elementwise import Elementwise
from symflops.errors import SymflopsError
from symflops.layers.convolution import Convolution
from symflops.masks import AttendedPairs, Full
from symflops.operations import Lookup
from symflops.timing.tasks import Task
from symflops.tracing.timing.convolving import by_definition
from symflops.tracing.timing.formulas import computed, gathered, spread
from symflops.tracing.timing.inputs import Operands
from symflops.tracing.timing.kernels import Kernel
from symflops.tracing.timing.pairs import attended

TOLERANCES: Mapping[torch.dtype, float] = MappingProxyType(
    {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
)
"""How far from float64 a result may be, by its format: the norm of the difference as a share of the norm."""


class WrongKernel(SymflopsError):
    """A kernel whose result or gradient is not what its operation declares."""


def checked(task: Task, kernel: Kernel, operands: Operands) -> None:
    """Compare a kernel's result and gradients with float64. Raises `WrongKernel`."""
    wanted = [each for each, of in zip(operands, task.operands, strict=True) if of.wanted]
    result = kernel(*operands)
    _compare(f"{task.path}: {kernel.name}", result, expected(task, operands))
    if not wanted:
        return
    upstream = torch.randn_like(result)
    grads = torch.autograd.grad(result, wanted, upstream, materialize_grads=True)
    wide = tuple(each.detach().double() if each.is_floating_point() else each for each in operands)
    leaves = [each.requires_grad_() for each, of in zip(wide, task.operands, strict=True) if of.wanted]
    for name, found, right in zip(
        [each.tensor.name for each in task.operands if each.wanted], grads, _gradients(task, wide, leaves, upstream),
        strict=True,
    ):  # fmt: skip
        _compare(f"{task.path}: {kernel.name}, gradient of {name}", found, right)


def expected(task: Task, operands: Operands) -> torch.Tensor:
    """The result in float64."""
    with torch.no_grad():
        wide = tuple(each.double() if each.is_floating_point() else each for each in operands)
        if not task.is_core:
            return _declared(task, wide)
        parts = [_head(task.mask, *each) for each in _by_head(*wide)]
        return torch.stack(parts).reshape(task.result.shape)


def _gradients(task: Task, wide: Operands, leaves: list[torch.Tensor], upstream: torch.Tensor) -> list[torch.Tensor]:
    if not task.is_core:
        return list(torch.autograd.grad(_declared(task, wide), leaves, upstream.double()))
    flat = upstream.double().flatten(0, 1)
    found = []
    for given, own in zip(_by_head(*wide), flat, strict=True):  # one head of keys at a time: pairs take memory
        alone = [each.detach().requires_grad_() for each in given]
        found.append(torch.autograd.grad(_head(task.mask, *alone), alone, own))
    return [torch.stack(each).reshape(leaf.shape) for each, leaf in zip(zip(*found, strict=True), leaves, strict=True)]


def _declared(task: Task, wide: Operands) -> torch.Tensor:
    operation = task.operation
    if isinstance(operation, Elementwise):
        return computed(operation.args[6].rule, operation.sentence, wide)
    if isinstance(operation, Lookup):
        return wide[0][wide[1]]
    if isinstance(operation, Convolution):
        return by_definition(operation.sentence, wide)
    return _contracted(task, wide)


def _contracted(task: Task, wide: Operands) -> torch.Tensor:
    sentence = task.operation.sentence
    letters = {axis: chr(ord("a") + number) for number, axis in enumerate(sentence.axes)}
    left, right, out = ("".join(letters[axis] for axis in each.axes) for each in (*sentence.factors, sentence.result))
    found: torch.Tensor = torch.einsum(f"{left},{right}->{out}", *wide[:2])
    axes = sentence.result.axes
    for bias, value in zip(sentence.added, wide[2:], strict=True):
        found = found + gathered(spread(value, bias, axes), sentence.result, axes)
    return found


def _by_head(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    return list(zip(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), strict=True))


def _head(mask: AttendedPairs | None, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Queries [group query d_head] over one head of keys and values, by the definition of attention."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None and type(mask) is not Full:
        scores = scores.masked_fill(~attended(mask, q.device), float("-inf"))
    return torch.softmax(scores, -1) @ v


def _compare(what: str, found: torch.Tensor, right: torch.Tensor) -> None:
    if found.shape != right.shape:
        raise WrongKernel(f"{what} has the shape {tuple(found.shape)}, and the declaration {tuple(right.shape)}")
    allowed = TOLERANCES[found.dtype]
    size = float(torch.linalg.vector_norm(right.detach()))
    off = float(torch.linalg.vector_norm(found.detach().double() - right.detach())) / max(size, 1e-30)
    if not off <= allowed:
        raise WrongKernel(f"{what} is off float64 by {off:.2g} of its norm; {found.dtype} allows {allowed:g}")
