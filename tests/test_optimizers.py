"""Updates against torch's optimisers, their work against loops that count, states by shape, and planted faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sympy import Add, Expr, Function, Integer, Max, Mul, Pow, Symbol
from torch.utils.flop_counter import FlopCounterMode

from symflops.elementwise import Elementwise
from symflops.errors import NotLinearError, UnknownName
from symflops.formulas import Mean, Total
from symflops.layers.linear import BIAS, linear
from symflops.layers.lora import frozen, with_lora
from symflops.measures import flops, trainable_params
from symflops.networks import Tied, uses
from symflops.notation import d_model, n_layer
from symflops.training.formats_known import BF16
from symflops.training.optimizers import Optimizer, Rule, State, elementwise, optimizer, states, step_flops
from symflops.training.optimizers_known import OPTIMIZERS

ROWS, COLUMNS, RATE, DECAY, EPSILON = 5, 7, 0.03, 0.1, 1e-8
SHAPE = (Integer(ROWS), Integer(COLUMNS))
MATRIX = linear("up", Integer(ROWS), Integer(COLUMNS), "feedforward")


@dataclass
class Counted:
    """A number that counts the operations it takes part in."""

    value: float
    done: ClassVar[int] = 0

    @classmethod
    def made(cls, value: float) -> Counted:
        cls.done += 1
        return cls(value)

    def __add__(self, other: Any) -> Counted:
        return Counted.made(self.value + plain(other))

    def __sub__(self, other: Any) -> Counted:
        return Counted.made(self.value - plain(other))

    def __mul__(self, other: Any) -> Counted:
        return Counted.made(self.value * plain(other))

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Counted:
        return Counted.made(self.value / plain(other))


def plain(number: Any) -> float:
    return number.value if isinstance(number, Counted) else float(number)


def root(number: Counted) -> Counted:
    return Counted.made(math.sqrt(number.value))


def largest(one: Counted, other: float) -> Counted:
    return Counted.made(max(one.value, plain(other)))


def sign(number: Counted) -> Counted:
    return Counted.made(math.copysign(1, number.value))


def mean_square(numbers: Sequence[Counted]) -> Counted:
    squares = [each * each for each in numbers]
    total = squares[0]
    for each in squares[1:]:
        total = total + each
    return total / len(numbers)


def adam(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    m = 0.9 * m + 0.1 * g
    v = 0.99 * v + 0.01 * (g * g)
    p - 0.1 * m / (root(v) * 1.1 + EPSILON)


def adamw(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    adam(p * 0.99, g, m, v)


def amsgrad(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    largest(v, 1.0)
    adam(p, g, m, v)


def lion(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    u = 0.9 * m + 0.1 * g
    0.99 * m + 0.01 * g
    p * 0.99 - 0.1 * sign(u)


def divided(p: Counted, g: Counted, v: Counted) -> None:
    p - 0.1 * g / (root(v) + EPSILON)


def rmsprop(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    divided(p, g, 0.99 * v + 0.01 * (g * g))


def momentum(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    p - 0.1 * (0.9 * m + g)


def nesterov(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    p - 0.1 * (g + 0.9 * (0.9 * m + g))


def eight_bits(p: Counted, g: Counted, m: Counted, v: Counted) -> None:
    adam(p, g, m * 2.0, v * 2.0)
    for each in (m, v):
        each / 2.0


PLAIN: dict[str, Callable[[Counted, Counted, Counted, Counted], Any]] = {
    "sgd": lambda p, g, m, v: p - 0.1 * g,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": lambda p, g, m, v: divided(p, g, v + g * g),
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "lion": lion,
    "adam-8bit": eight_bits,
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_work_of_a_step_is_what_a_loop_does(name: str) -> None:
    Counted.done = 0
    for _ in range(ROWS * COLUMNS):
        PLAIN[name](*(Counted(0.3) for _ in range(4)))
    assert step_flops(MATRIX, name) == Counted.done


def grid(rows: int = ROWS, columns: int = COLUMNS) -> list[list[Counted]]:
    return [[Counted(0.3 + row / 7 + column / 5) for column in range(columns)] for row in range(rows)]


def adafactor_by_a_loop(first: Callable[[Counted, Counted], Counted]) -> int:
    """Shazeer and Stern 2018, algorithms 4 and 5, of a matrix; a root's reciprocal as torch has it."""
    p, g, m = grid(), grid(), grid()
    Counted.done = 0
    rows = [0.9 * Counted(1.0) + 0.1 * mean_square(row) for row in g]
    columns = [0.9 * Counted(1.0) + 0.1 * mean_square([row[each] for row in g]) for each in range(COLUMNS)]
    total = rows[0]
    for each in rows[1:]:
        total = total + each
    mean = total / ROWS
    estimates = [[largest(row * column / mean, EPSILON) for column in columns] for row in rows]
    u = [[g[i][j] * (Counted(1.0) / root(estimates[i][j])) for j in range(COLUMNS)] for i in range(ROWS)]
    u = [[first(m[i][j], u[i][j]) for j in range(COLUMNS)] for i in range(ROWS)]
    peak = largest(root(mean_square([each for row in u for each in row])), 1.0)
    scale = 0.1 * largest(root(mean_square([each for row in p for each in row])), EPSILON) / peak
    for row, update in zip(p, u, strict=True):
        for one, other in zip(row, update, strict=True):
            one * 0.99 - scale * other
    return Counted.done


def test_the_work_of_adafactor_is_what_loops_do() -> None:
    assert step_flops(MATRIX, "adafactor") == adafactor_by_a_loop(lambda m, u: u)
    assert step_flops(MATRIX, "adafactor-momentum") == adafactor_by_a_loop(lambda m, u: 0.9 * m + 0.1 * u)


def product(left: list[list[Counted]], right: list[list[Counted]]) -> list[list[Counted]]:
    """A matrix product that starts each sum from zero: two operations for each pair."""
    found = []
    for row in left:
        line = []
        for column in zip(*right, strict=True):
            total = Counted(0.0)
            for one, other in zip(row, column, strict=True):
                total = total + one * other
            line.append(total)
        found.append(line)
    return found


def muon_by_a_loop() -> int:
    """Jordan et al. 2024, of a matrix of more columns than rows."""
    p, g, m = grid(), grid(), grid()
    Counted.done = 0
    m = [[0.9 * one + 0.1 * other for one, other in zip(*rows, strict=True)] for rows in zip(m, g, strict=True)]
    x = [[0.1 * one + 0.9 * other for one, other in zip(*rows, strict=True)] for rows in zip(g, m, strict=True)]
    squares = [each * each for row in x for each in row]
    total = squares[0]
    for each in squares[1:]:
        total = total + each
    norm = root(total) + 1e-7
    x = [[each / norm for each in row] for row in x]
    for _ in range(5):
        gram = product(x, [list(column) for column in zip(*x, strict=True)])
        twice = product(gram, gram)
        b = [[-4.7 * one + 2.0 * two for one, two in zip(*rows, strict=True)] for rows in zip(gram, twice, strict=True)]
        y = product(b, x)
        x = [[3.4 * one + two for one, two in zip(*rows, strict=True)] for rows in zip(x, y, strict=True)]
    for row, update in zip(p, x, strict=True):
        for one, other in zip(row, update, strict=True):
            one * 0.99 - 0.1 * other
    return Counted.done


def test_the_work_of_muon_is_what_loops_do() -> None:
    assert step_flops(MATRIX, "muon") == muon_by_a_loop()


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (6, 6), (1, 9)])
def test_muon_s_matmuls_are_torch_s(shape: tuple[int, int]) -> None:
    parameter = torch.nn.Parameter(torch.randn(shape))
    parameter.grad = torch.randn(shape)
    with FlopCounterMode(display=False) as counter:
        torch.optim.Muon([parameter]).step()
    network = linear("up", Integer(shape[0]), Integer(shape[1]), "feedforward")
    assert step_flops(network, "muon", "torch") == counter.get_total_flops()
    assert step_flops(network, "adamw", "torch") == 0


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


def elements(network: Expr, name: str) -> dict[str, Expr]:
    return {each.name: each.elements for each in states(network, name)}


def test_states_go_by_shape_and_by_what_is_trained() -> None:
    layer = linear("up", Integer(3), Integer(4), "feedforward", BIAS)
    assert elements(layer, "adafactor") == {"step": 2, "row_var": 3, "col_var": 4, "variance": 4}
    assert elements(layer, "adafactor-momentum")["exp_avg"] == 12 + 4
    assert elements(layer, "muon") == {"momentum_buffer": 12, "step": 1, "exp_avg": 4, "exp_avg_sq": 4}
    assert elements(linear("logits", Integer(3), Integer(4), "logits"), "muon")["exp_avg"] == 12
    assert elements(5 * layer + Tied(layer), "adam")["exp_avg"] == 5 * 16
    assert states(frozen(layer), "adam") == () and step_flops(frozen(layer), "adam") == 0
    assert states(Integer(0), "adam") == () and step_flops(Integer(0), "muon") == 0


def test_adapters_alone_are_updated() -> None:
    layers = n_layer * Add(*(linear(name, d_model, d_model, "qkv") for name in ("q", "k", "v")))
    adapted = with_lora(layers, 4)
    assert elements(adapted, "adam")["exp_avg"] == trainable_params(adapted) == 16 * d_model * n_layer
    assert step_flops(adapted, "adam").expr == 13 * 16 * d_model * n_layer


@pytest.mark.parametrize("sizes", [(63, 65), (64, 64), (64, 65), (1, 4095), (1, 4096), (300, 7)])
def test_eight_bit_states_are_those_of_bitsandbytes(sizes: tuple[int, int]) -> None:
    """By its rule: float32 under 4096 elements, else a byte each and four for each 256 that are begun."""
    count = sizes[0] * sizes[1]
    expected = 4 * count if count < 4096 else count + 4 * len(range(0, count, 256))
    kept = states(linear("up", *map(Integer, sizes), "feedforward"), "adam-8bit")  # type: ignore[misc]
    assert [int(each.bytes) for each in kept] == [expected, expected]


def test_moments_are_in_the_format_that_is_asked_for() -> None:
    step, first, _ = states(MATRIX, "adam", "bf16")
    assert (step.bytes, first.bytes, first.form) == (4, 2 * 35, BF16)
    assert states(MATRIX, "adam-8bit", "bf16")[0].bytes == states(MATRIX, "adam-8bit")[0].bytes


def test_closed_forms_are_those_of_every_size() -> None:
    up = linear("up", d_model, 4 * d_model, "feedforward")
    found = step_flops(up, "muon", "torch").expr
    assert not found.atoms(Max) and found.subs(d_model, 5) == step_flops(up.subs(d_model, 5), "muon", "torch").expr


def test_every_optimizer_has_a_source_and_a_price() -> None:
    for name, each in OPTIMIZERS.items():
        assert each.citation and optimizer(name.upper()) is each and optimizer(each) is each
        assert flops(each.rules[0].step(SHAPE), "all-operations").expr > 0


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="unknown optimizer 'adan'; did you mean 'adam'"):
        states(MATRIX, "adan")
    with pytest.raises(NotLinearError):
        states(MATRIX + 1, "adam")
