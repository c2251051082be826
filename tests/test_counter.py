"""The counter on real modules: who owns which operator in which pass, bytes, errors, and whole transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from symflops.tracing import (
    Count,
    Counter,
    forward,
    forward_backward,
)


def table(count: Count) -> dict[tuple[str, str], int]:
    """Multiply-accumulates per (module, pass)."""
    found: dict[tuple[str, str], int] = {}
    for entry in count:
        if entry.macs:
            found[entry.module, entry.phase] = found.get((entry.module, entry.phase), 0) + entry.macs
    return found


class Block(nn.Module):
    """Two linears, with a product applied by the parent between them and one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(3, 5, bias=False)
        self.down = nn.Linear(5, 3, bias=False)
        self.register_buffer("mixer", torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x) @ self.mixer))  # type: ignore[no-any-return]


class Stack(nn.Module):
    def __init__(self, run: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.first, self.second = Block(), Block()
        self.run = run or (lambda module, x: module(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.second, self.run(self.first, x)) * x.sum()  # type: ignore[no-any-return]


TOKENS = 2
BLOCK = {"up": TOKENS * 15, "": TOKENS * 25, "down": TOKENS * 15}


def expected(phase: str, factor: dict[str, int]) -> dict[tuple[str, str], int]:
    return {
        (f"{block}.{part}".rstrip("."), phase): factor[part] * macs
        for block in ("first", "second")
        for part, macs in BLOCK.items()
        if factor[part]
    }


def inputs() -> Tensor:
    return torch.randn(TOKENS, 3, requires_grad=True)


FORWARD = expected("forward", {"up": 1, "": 1, "down": 1})
BACKWARD = expected("backward", {"up": 2, "": 1, "down": 2})  # the mixer is a buffer: one gradient


def test_forward_and_backward_of_nested_modules_belong_to_their_owners() -> None:
    count = forward_backward(Stack(), inputs(), torch.sum)
    assert table(count) == FORWARD | BACKWARD
    owners = {entry.module for entry in count.where(operator="aten.tanh*")}
    assert owners == {"first", "second"}
    root = count.where(module="")
    assert {entry.operator for entry in root.where(phase="forward")} >= {"aten.mul", "aten.sum"}
    assert "aten.mul" in root.where(phase="backward").by_operator()
    assert count.under("first").macs == count.under("second").macs == count.macs // 2


def test_a_shared_module_and_a_tied_weight_are_owned_by_their_first_name() -> None:
    shared = Block()
    count = forward_backward(nn.Sequential(shared, shared), inputs(), torch.sum)
    assert {path for path, _ in table(count)} == {"0", "0.up", "0.down"}
    assert table(count)["0.up", "backward"] == 2 * 2 * BLOCK["up"]
    tied = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    tied[1].weight = tied[0].weight
    count = forward_backward(tied, inputs(), torch.sum)
    assert table(count) == {(p, s): n for p in "01" for s, n in (("forward", 18), ("backward", 36))}


def test_accumulating_into_a_gradient_belongs_to_the_parameters_owner() -> None:
    stack = Stack()
    stack(inputs()).sum().backward()
    with Counter(stack) as counter:
        loss = stack(inputs()).sum()
    assert not counter.count.where(phase="backward").entries
    with Counter(stack) as counter:  # the graph was made in an earlier block: only leaves know their owner
        loss.backward()
    added = {entry.module for entry in counter.count.where(operator="aten.add_")}
    assert added == {f"{block}.{part}" for block in ("first", "second") for part in ("up", "down")}
    assert set(path for path, _ in table(counter.count)) == {"<outside>"}


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_modules_recompute_where_they_first_ran(reentrant: bool) -> None:
    stack = Stack(lambda module, x: checkpoint(module, x, use_reentrant=reentrant))
    # A non-reentrant region stops at the last tensor that backward needs, before the last product.
    again = expected("recompute", {"up": 1, "": 1, "down": 1 if reentrant else 0})
    assert table(forward_backward(stack, inputs(), torch.sum)) == FORWARD | BACKWARD | again


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_function_recomputes_on_account_of_its_caller(reentrant: bool) -> None:
    class Caller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3, bias=False)
            self.other = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            run = lambda y: self.inner((y @ y.T) @ y).exp()  # noqa: E731
            return self.other(checkpoint(run, x, use_reentrant=reentrant))  # type: ignore[no-any-return]

    count = forward_backward(Caller(), inputs(), torch.sum)
    again = {path: macs for (path, phase), macs in table(count).items() if phase == "recompute"}
    assert again == {"": 2 * TOKENS * TOKENS * 3, "inner": TOKENS * 9}
    assert table(count)["inner", "backward"] == 2 * TOKENS * 9
    assert table(count)["", "backward"] == 4 * TOKENS * TOKENS * 3


def test_a_graph_rebuilt_in_another_thread_is_owned_too() -> None:
    """A device's backward runs in its own thread, where nodes are numbered from zero again."""
    stack = Stack(lambda module, x: checkpoint(module, x, use_reentrant=True))
    counter = Counter(stack)
    x = inputs()
    with counter:
        loss = stack(x).sum()
        counter._attribution._home = threading.get_ident() + 1  # from here on this thread is the foreign one
        loss.backward()
    assert table(counter.count) == FORWARD | BACKWARD | expected("recompute", {"up": 1, "": 1, "down": 1})


def test_the_gradient_of_a_gradient_belongs_to_the_module_too() -> None:
    block = Block()
    x = inputs()
    with Counter(block) as counter:
        (grad,) = torch.autograd.grad(block(x).sum(), x, create_graph=True)
        torch.autograd.backward((grad**2).sum())
    assert {path for path, _ in table(counter.count)} == {"", "up", "down"}
    assert not counter.count.where(phase="recompute").entries
    assert {entry.module for entry in counter.count.where(operator="aten.pow")} == {"<outside>"}


def test_a_gradient_taken_inside_forward_is_backward_work() -> None:
    class Force(Block):
        def forward(self, x: Tensor) -> Tensor:
            return torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)[0]

    assert {phase for _, phase in table(forward(Force(), inputs()))} == {"forward", "backward"}
