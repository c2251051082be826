"""A declared formula computed with torch: every step of it a kernel of its own.

Tensors are laid out over all axes of a sentence, an axis that a tensor lacks being of length one, so that steps and
reductions line up by name.

>>> import torch
>>> from symflops.declarations import parse
>>> sentence = parse("x[row column] -> y[row]")
>>> rule = sympy.Lambda(sympy.Symbol("x"), Total(sympy.Symbol("x"), "column"))
>>> computed(rule, sentence, (torch.ones(2, 3),)).tolist()
[3.0, 3.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

import sympy
import torch
from sympy import Expr, Lambda

from symflops.declarations import Sentence, Tensor
from symflops.errors import DeclarationError
from symflops.formulas import Largest, Mean, Reduction, Total

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "exp": torch.exp, "log": torch.log, "erf": torch.erf, "tanh": torch.tanh, "sin": torch.sin, "cos": torch.cos,
        "Heaviside": lambda value: (value > 0).to(value.dtype),
    }
)  # fmt: skip
_CHAINS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {sympy.Add: lambda a, b: a + b, sympy.Mul: lambda a, b: a * b, sympy.Max: torch.maximum, sympy.Min: torch.minimum}
)
_REDUCTIONS: Mapping[type, Callable[..., Any]] = MappingProxyType(
    {Total: torch.sum, Mean: torch.mean, Largest: torch.amax}
)


def spread(tensor: torch.Tensor, own: Tensor, axes: Sequence[str]) -> torch.Tensor:
    """A tensor over all ``axes``, of length one along those that it lacks."""
    order = [own.axes.index(axis) for axis in axes if axis in own.axes]
    shape = [tensor.shape[own.axes.index(axis)] if axis in own.axes else 1 for axis in axes]
    return tensor.permute(order).reshape(shape)


def computed(rule: Lambda, sentence: Sentence, operands: Sequence[torch.Tensor]) -> torch.Tensor:
    """The value of a formula, in the layout of the sentence's result.

    Raises `DeclarationError` for a function that torch does not have here.
    """
    axes = sentence.axes
    pairs = zip(rule.variables, sentence.operands, operands, strict=True)
    known: dict[Expr, Any] = {symbol: spread(value, own, axes) for symbol, own, value in pairs}
    value = _value(rule.expr, axes, known)
    return gathered(value, sentence.result, axes)


def gathered(value: torch.Tensor, result: Tensor, axes: Sequence[str]) -> torch.Tensor:
    """A value over all ``axes`` in the layout of a tensor."""
    gone = [number for number, axis in enumerate(axes) if axis not in result.axes]
    left = [axis for axis in axes if axis in result.axes]
    squeezed = value.squeeze(gone) if gone else value
    return squeezed.permute([left.index(axis) for axis in result.axes])


def _value(node: Expr, axes: Sequence[str], known: dict[Expr, Any]) -> Any:
    """The value of a subexpression, computed once."""
    if node not in known:
        known[node] = float(node) if node.is_number else _step(node, axes, known)
    return known[node]


def _step(node: Expr, axes: Sequence[str], known: dict[Expr, Any]) -> Any:
    if isinstance(node, Reduction):
        over = [axes.index(axis) for axis in sorted(node.over)]
        return _REDUCTIONS[type(node)](_value(node.args[0], axes, known), over, keepdim=True)
    parts = [_value(part, axes, known) for part in node.args if isinstance(part, Expr)]
    if isinstance(node, sympy.Max | sympy.Min):
        like = next(part for part in parts if isinstance(part, torch.Tensor))
        parts = [torch.as_tensor(part, dtype=like.dtype, device=like.device) for part in parts]
    if type(node) in _CHAINS:
        return reduce(_CHAINS[type(node)], parts)
    if isinstance(node, sympy.Pow):
        return parts[0] ** parts[1]
    name = type(node).__name__
    if name not in _FUNCTIONS:
        raise DeclarationError(f"{node}: {name} has no kernel; known: {', '.join(sorted(_FUNCTIONS))}")
    return _FUNCTIONS[name](parts[0])
