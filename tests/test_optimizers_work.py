"""The work of an optimiser's step against loops that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from optimizer_sizes import COLUMNS, EPSILON, MATRIX, ROWS
from sympy import Integer
from torch.utils.flop_counter import FlopCounterMode

from symflops.layers.linear import linear
from symflops.training.optimizers import step_flops


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
