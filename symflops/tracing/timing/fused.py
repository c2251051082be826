"""Formulas that torch has one kernel for, called as it wants them; all others run step by step.

>>> import torch
>>> from symflops.layers.softmax import plain
>>> from symflops.masks import Full
>>> [softmax] = plain({"batch": 1, "kv_head": 1, "group": 1}, Full(2, 2))
>>> name, run = called(softmax)
>>> name, run(torch.zeros(1, 1, 1, 2, 2)).flatten().tolist()
('softmax', [0.5, 0.5, 0.5, 0.5])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch.nn import functional

from symflops.elementwise import Elementwise
from symflops.timing.recognised import Fused, fused
from symflops.tracing.timing.formulas import computed

Run = Callable[..., torch.Tensor]


def called(step: Elementwise) -> tuple[str, Run]:
    """The kernel of an elementwise step: its name, and how it is called with the operands in order."""
    found = fused(step)
    if found.name in _ROWS:
        return found.name, partial(_ROWS[found.name], _number(found))
    if found.name in _PLAIN:
        return found.name, _PLAIN[found.name]
    return found.name, partial(_by_steps, step)


def _number(of: Fused) -> float:
    return float(of.small) if of.small is not None else 0.0


def _by_steps(step: Elementwise, *operands: torch.Tensor) -> torch.Tensor:
    return computed(step.args[6].rule, step.sentence, operands)


def _layer_norm(small: float, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias, small)


def _rms_norm(small: float, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, list(weight.shape), weight, small)


_PLAIN: Mapping[str, Run] = MappingProxyType(
    {
        "silu": functional.silu,
        "relu": functional.relu,
        "gelu": functional.gelu,
        "gelu_tanh": partial(functional.gelu, approximate="tanh"),
        "add": torch.add,
        "mul": torch.mul,
        "softmax": partial(torch.softmax, dim=-1),
    }
)
_ROWS: Mapping[str, Run] = MappingProxyType({"layer_norm": _layer_norm, "rms_norm": _rms_norm})
"""What is called with a small number first."""
