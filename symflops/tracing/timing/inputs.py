"""Random operands of a kernel, and what they take of memory, said before they are there."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, prod

import torch
from sympy import Pow, Symbol

from symflops.elementwise import Elementwise
from symflops.errors import SymflopsError
from symflops.formulas import Total
from symflops.layers.convolution import Convolution
from symflops.timing.tasks import Operand, Task
from symflops.tracing.timing.places import Place

Operands = tuple[torch.Tensor, ...]
_SEED = 20
_WIDE = 8
_TEMPORARY = 4
"""Values of the result's size, or an operand's, that a formula run step by step, or its gradient, holds at once."""
CAN = Fraction(9, 10)
"""The share of free memory that is taken at most."""


def drawn(task: Task, where: Place, seed: int = _SEED) -> Operands:
    """Operands from a normal distribution, the same for the same seed; indices that pick any row."""
    source = torch.Generator(device=where.device).manual_seed(seed)
    return tuple(_tensor(each, task, where, source) for each in task.operands)


def _tensor(operand: Operand, task: Task, where: Place, source: torch.Generator) -> torch.Tensor:
    if operand.below is not None:
        return torch.randint(operand.below, operand.shape, generator=source, device=where.device)
    values = torch.randn(operand.shape, generator=source, device=where.device, dtype=where.dtype)
    if _divides_by_sum(task):
        values = values.abs()
    return values.requires_grad_(operand.wanted)


def _divides_by_sum(task: Task) -> bool:
    """Whether a sum of operands is a divisor: of both signs, it could be near zero, and no format would do."""
    if not isinstance(task.operation, Elementwise):
        return False
    powers = task.operation.args[6].rule.expr.atoms(Pow)
    sums = [each.base for each in powers if each.exp.is_negative and isinstance(each.base, Total)]
    return any(isinstance(each.args[0], Symbol) for each in sums)


def needed(task: Task, where: Place) -> int:
    """Bytes that timing a task takes: operands, result and gradients, and the same in 64 bits to compare with."""
    numbers = sum(prod(each.shape) for each in (*task.operands, task.result))
    own = sum((each.bytes(where.element) for each in (*task.operands, task.result)), Fraction(0))
    steps = _TEMPORARY if isinstance(task.operation, Elementwise | Convolution) else 0
    largest = max(prod(each.shape) for each in (*task.operands, task.result))
    pairs = 0
    if task.is_core:  # compared one head of keys at a time
        sizes = task.sizes
        pairs = _TEMPORARY * sizes["group"] * sizes["query"] * sizes["key"]
    return ceil(
        2 * own + steps * largest * where.element + (3 * numbers + steps * largest + pairs) * _WIDE + where.flush
    )


def refuse(task: Task, where: Place) -> None:
    """Raises `SymflopsError` for a task that does not fit, before anything is allocated."""
    takes, free = needed(task, where), where.free
    if takes > CAN * free:
        what = f"{task.path} takes {takes / 1e9:.3g} GB to time, and {where.device} has {free / 1e9:.3g} GB free"
        raise SymflopsError(f"{what}; give a smaller --batch or --seq, or name --operation")
