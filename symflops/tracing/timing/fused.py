"""Formulas that torch has one kernel for, recognised by what they say; all others run step by step.

>>> from symflops.layers.softmax import plain
>>> from symflops.masks import Full
>>> [softmax] = plain({"batch": 1, "kv_head": 1, "group": 1}, Full(3, 3))
>>> fused(softmax)[0]
'softmax'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from sympy import Expr, Integer, Lambda, Max, Rational, Symbol, erf, exp, pi, sqrt, tanh
from torch.nn import functional

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Mean, Reduction, Total, sigmoid
from symflops.tracing.timing.formulas import computed

Found = tuple[str, Callable[..., torch.Tensor]]
FORMULA = "formula"
"""The name of what runs step by step."""
_X, _Y, _Z = (Symbol(name, real=True) for name in ("x", "weight", "bias"))


def fused(step: Elementwise) -> Found:
    """The kernel of an elementwise step: its name, and how it is called with the operands in order."""
    rule: Lambda = step.args[6].rule
    layouts = [each.axes for each in step.sentence.operands]
    plain = rule.expr.xreplace(dict(zip(rule.variables, (_X, _Y, _Z), strict=False)))
    if len(layouts) <= 3 and step.sentence.result.axes == layouts[0]:
        for name, form, run in _candidates(plain, layouts):
            if form == plain:
                return name, run
    return FORMULA, lambda *operands: computed(rule, step.sentence, operands)


def _candidates(plain: Expr, layouts: list[tuple[str, ...]]) -> Iterator[tuple[str, Expr, Callable[..., torch.Tensor]]]:
    if len(layouts) == 1:
        yield from _activations()
    if len(layouts) == 2 and layouts[0] == layouts[1]:
        yield "add", _X + _Y, torch.add
        yield "mul", _X * _Y, torch.mul
    over = {axis for node in plain.atoms(Reduction) for axis in node.over}
    if over == {layouts[0][-1] if layouts[0] else ""}:
        [axis] = over
        yield from _rows(axis, plain, layouts)


def _activations() -> Iterator[tuple[str, Expr, Callable[..., torch.Tensor]]]:
    yield "silu", _X * sigmoid(_X), functional.silu
    yield "relu", Max(_X, 0), functional.relu
    yield "gelu", _X * (1 + erf(_X / sqrt(Integer(2)))) / 2, functional.gelu
    inner = sqrt(2 / pi) * (_X + Rational(44715, 10**6) * _X**3)
    yield "gelu_tanh", _X * (1 + tanh(inner)) / 2, partial(functional.gelu, approximate="tanh")


def _rows(
    axis: str, plain: Expr, layouts: list[tuple[str, ...]]
) -> Iterator[tuple[str, Expr, Callable[..., torch.Tensor]]]:
    """Softmax and norms along the last axis; the small number of a norm is one of the formula's own."""
    if len(layouts) == 1:
        grown = exp(_X - Largest(_X, axis))
        yield "softmax", grown / Total(grown, axis), partial(torch.softmax, dim=-1)
    if any(each != (axis,) for each in layouts[1:]):
        return
    middle = _X - Mean(_X, axis)
    for small in sorted(plain.atoms(Rational)):
        deviation = sqrt(Mean(middle**2, axis) + small)
        root = sqrt(Mean(_X**2, axis) + small)
        yield "layer_norm", _Z + _Y * middle / deviation, partial(_layer_norm, float(small))
        yield "rms_norm", _Y * _X / root, partial(_rms_norm, float(small))


def _layer_norm(small: float, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias, small)


def _rms_norm(small: float, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, list(weight.shape), weight, small)
