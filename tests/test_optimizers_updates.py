"""Updates against torch's optimisers, and planted faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from optimizer_sizes import COLUMNS, DECAY, EPSILON, MATRIX, RATE, ROWS, SHAPE
from sympy import Add, Expr, Function, Integer, Max, Mul, Pow, Symbol

from symflops.elementwise import Elementwise
from symflops.formulas import Mean, Total
from symflops.networks import uses
from symflops.training.optimizers import Optimizer, Rule, State, elementwise, step_flops
from symflops.training.optimizers_known import OPTIMIZERS


def value(node: Expr, given: dict[str, Any]) -> Any:
    """A formula's value on arrays of two axes, the reduced ones kept with one element."""
    if isinstance(node, Symbol):
        return given[node.name]
    if node.is_Number:
        return float(node)
    parts = [value(each, given) for each in node.args if isinstance(each, Expr)]
    if isinstance(node, Mean | Total):
        axes = tuple({"row": 0, "column": 1}[axis] for axis in sorted(node.over))
        return (np.mean if isinstance(node, Mean) else np.sum)(parts[0], axis=axes, keepdims=True)
    kinds = {Add: sum, Mul: math.prod, Pow: lambda both: both[0] ** both[1], Max: lambda all_: np.maximum(*all_)}
    if type(node) in kinds:
        return kinds[type(node)](parts)
    assert isinstance(node, Function) or node.func.__name__ == "compare"
    return np.sign(parts[0])


def run(chosen: Optimizer, shape: tuple[Expr, ...], order: Sequence[str], given: dict[str, Any]) -> None:
    """One step of the declared updates, in that order, on arrays; results take the place of what they renew."""
    declared = {use.operation.name: use.operation for use in uses(chosen.rules[0].step(shape))}
    assert set(order) == set(declared)
    for name in order:
        operation = declared[name]
        assert isinstance(operation, Elementwise)
        found = value(operation.args[6].rule.expr, given)
        given[operation.sentence.result.name.removesuffix("_new")] = found


def of_torch(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], steps: int
) -> tuple[Any, Any, list[Any]]:
    """A parameter before and after some steps of torch's, and the gradients."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(ROWS, COLUMNS, dtype=torch.float64))
    start, gradients, made = parameter.detach().numpy().copy(), [], make([parameter])
    for _ in range(steps):
        parameter.grad = torch.randn(ROWS, COLUMNS, dtype=torch.float64)
        gradients.append(parameter.grad.numpy().copy())
        made.step()
    return start, parameter.detach().numpy(), gradients


BETAS = {"beta1": 0.9, "beta2": 0.99, "mu": 0.9, "epsilon": EPSILON, "decay": 1 - RATE * DECAY, "rate": RATE}


def corrected(step: int) -> dict[str, float]:
    return {"rate": RATE / (1 - 0.9**step), "root": 1 / math.sqrt(1 - 0.99**step)}


ADAM = ("exp_avg", "exp_avg_sq", "update")
O = torch.optim  # noqa: E741
CASES: dict[str, tuple[Any, Sequence[str], Callable[[int], dict[str, float]]]] = {
    "sgd": (lambda p: O.SGD(p, RATE), ("update",), lambda step: {}),
    "momentum": (lambda p: O.SGD(p, RATE, momentum=0.9), ("momentum_buffer", "update"), lambda step: {}),
    "nesterov": (
        lambda p: O.SGD(p, RATE, momentum=0.9, nesterov=True), ("momentum_buffer", "update"), lambda step: {},
    ),
    "adagrad": (lambda p: O.Adagrad(p, RATE, eps=EPSILON), ("sum", "update"), lambda step: {}),
    "rmsprop": (lambda p: O.RMSprop(p, RATE, alpha=0.99, eps=EPSILON), ("square_avg", "update"), lambda step: {}),
    "adam": (lambda p: O.Adam(p, RATE, betas=(0.9, 0.99), eps=EPSILON), ADAM, corrected),
    "adamw": (lambda p: O.AdamW(p, RATE, betas=(0.9, 0.99), eps=EPSILON, weight_decay=DECAY), ADAM, corrected),
    "amsgrad": (
        lambda p: O.Adam(p, RATE, betas=(0.9, 0.99), eps=EPSILON, amsgrad=True),
        ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "update"), corrected,
    ),
}  # fmt: skip


def differs(chosen: Optimizer, name: str, steps: int = 3) -> float:
    make, order, changing = CASES[name]
    start, end, gradients = of_torch(make, steps)
    zero = np.zeros_like(start)
    given: dict[str, Any] = {**BETAS, "p": start, "m": zero, "v": zero, "top": zero}
    for step, gradient in enumerate(gradients, start=1):
        run(chosen, SHAPE, order, _with(given, changing(step), gradient))
    return float(np.abs(given["p"] - end).max())


def _with(given: dict[str, Any], changing: dict[str, float], gradient: Any) -> dict[str, Any]:
    given.update(changing, g=gradient)
    return given


@pytest.mark.parametrize("name", CASES)
def test_updates_are_torch_s(name: str) -> None:
    assert differs(OPTIMIZERS[name], name) < 1e-9


def test_a_wrong_update_is_found() -> None:
    p, g, m = (Symbol(name, real=True) for name in "pgm")
    rate, mu = Symbol("rate", positive=True), Symbol("mu", positive=True)
    wrong = elementwise(
        ("momentum_buffer", "m[whole] g[whole] -> m_new[whole]", mu * m + (1 - mu) * g),
        ("update", "p[whole] m[whole] -> p_new[whole]", p - rate * m),
    )
    planted = replace(OPTIMIZERS["momentum"], rules=(Rule((State("momentum_buffer"),), wrong),))
    assert differs(planted, "momentum") > 1e-3
    assert step_flops(MATRIX, planted) != step_flops(MATRIX, "momentum")


def test_adafactor_is_torch_s() -> None:
    make = lambda p: O.Adafactor(p, RATE, weight_decay=DECAY)  # noqa: E731
    start, end, gradients = of_torch(make, 3)
    given: dict[str, Any] = {
        **BETAS,
        "epsilon": 1e-30,
        "p": start,
        "r": np.zeros((ROWS, 1)),
        "c": np.zeros((1, COLUMNS)),
    }
    order = ("row_var", "col_var", "mean", "direction", "clipping", "rate", "update")
    for step, gradient in enumerate(gradients, start=1):
        changing = {"beta2": 1 - step**-0.8, "rate": min(RATE, 1 / math.sqrt(step))}
        run(OPTIMIZERS["adafactor"], SHAPE, order, _with(given, changing, gradient))
    assert np.abs(given["p"] - end).max() < 1e-9


def test_lion_moves_by_the_rate_along_the_sign() -> None:
    """Chen et al. 2023, algorithm 2, by hand."""
    p, g, m = np.array([[1.0, -2.0]]), np.array([[0.5, -1.0]]), np.array([[-9.0, 0.1]])
    given: dict[str, Any] = {**BETAS, "p": p, "g": g, "m": m}
    run(OPTIMIZERS["lion"], (Integer(1), Integer(2)), ("direction", "exp_avg", "update"), given)
    kept = p * (1 - RATE * DECAY)
    assert np.allclose(given["p"], kept - RATE * np.array([[-1.0, -1.0]]))
    assert np.allclose(given["m"], 0.99 * m + 0.01 * g)
