"""What the counter leaves behind, its errors, and the bytes it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from test_counter import Block, inputs, table
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import CheckpointFunction

from symflops.tracing import (
    AlreadyCounting,
    Counter,
    Einsum,
    NothingCounted,
    UnpricedOperator,
    forget,
    forward,
    rule,
)


def state() -> tuple[Any, ...]:
    checkpointing = torch.utils.checkpoint
    return (
        dict(hooks._global_forward_hooks),
        dict(hooks._global_forward_pre_hooks),
        checkpointing._checkpoint_without_reentrant_generator,
        "apply" in vars(CheckpointFunction),
        torch._C._len_torch_dispatch_stack(),
    )


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("the model's own")


def test_everything_is_restored_also_after_an_exception_which_passes_through() -> None:
    before = state()
    with pytest.raises(KeyError, match="the model's own"):
        forward(nn.Sequential(nn.Linear(3, 3), Broken()), inputs())
    assert state() == before
    forward(Block(), inputs())
    assert state() == before


def test_counters_inside_one_another_count_and_leave_nothing_behind() -> None:
    before, block = state(), Block()
    with Counter(block) as outer:
        block(inputs())
        with Counter(block) as inner:
            block(inputs())
        within = state()
        with pytest.raises(AlreadyCounting, match="leave its block first"), outer:
            pass
        assert state() == within != before
        block(inputs())
    assert outer.count.macs == 3 * inner.count.macs > 0 and state() == before


def test_a_caught_error_inside_the_model_does_not_mislead_what_follows() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.broken, self.block = nn.Sequential(nn.Linear(3, 3), Broken()), Block()

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.broken(x)  # type: ignore[no-any-return]
            except KeyError:
                return self.block(x @ torch.eye(3))  # type: ignore[no-any-return]

    owners = {path for path, _ in table(forward(Careful(), inputs()))}
    assert owners == {"broken.0", "", "block", "block.up", "block.down"}


@pytest.fixture
def custom() -> Iterator[Any]:
    with torch.library._scoped_library("symflopstest", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        yield torch.ops.symflopstest.twice


def test_an_unpriced_operator_names_itself_its_module_and_the_remedy_and_counts_once_registered(custom: Any) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return custom(x)  # type: ignore[no-any-return]

    model = nn.Sequential(nn.Identity(), Odd())
    said = r"'symflopstest::twice'.*module '1'.*@symflops.tracing.rule\(\"symflopstest::twice\"\)"
    before = state()
    with torch.no_grad(), pytest.raises(UnpricedOperator, match=said):
        forward(model, inputs())
    assert state() == before
    rule(custom)(lambda result, x: Einsum("n", {"n": x.numel()}))
    try:
        with torch.no_grad():
            assert table(forward(model, inputs())) == {("1", "forward"): 6}
    finally:
        forget(custom)


def test_hidden_operators_are_an_error_not_a_zero_while_doing_nothing_is_none() -> None:
    block = Block()
    with pytest.raises(NothingCounted, match="no operator reached the counter"), Counter(block):  # noqa: SIM117
        with _disable_current_modes():
            block(inputs())
    assert forward(nn.Identity(), inputs()).entries == ()


# --- bytes and views --------------------------------------------------------------------------------------------------


def traffic(run: Callable[[], Any]) -> tuple[int, int]:
    with Counter(nn.Identity()) as counter:
        run()
    return counter.count.bytes_read, counter.count.bytes_written


def test_views_move_nothing_copies_move_bytes_and_a_tensor_given_twice_is_read_once() -> None:
    x, y = torch.ones(4, 6), torch.ones(6, dtype=torch.bfloat16)
    table_, rows = torch.ones(100, 8), torch.tensor([1, 2])
    assert traffic(lambda: x.t().reshape(2, 12)[0].unsqueeze(0).expand(3, 12).detach()) == (96, 96)  # t() must copy
    assert traffic(lambda: x.view(2, 12)[0].unsqueeze(0).expand(3, 12).permute(1, 0).detach()) == (0, 0)
    assert traffic(lambda: x.clone()) == (96, 96)
    assert traffic(lambda: x.to(torch.bfloat16)) == (96, 48)
    assert traffic(lambda: x * x) == (96, 96)
    assert traffic(lambda: x + y) == (96 + 12, 96)
    assert traffic(lambda: x.copy_(x.detach())) == (96, 96)
    assert traffic(lambda: torch.zeros(4, 6)) == (0, 96)
    assert traffic(lambda: torch.empty(4, 6)) == (0, 0)
    assert traffic(lambda: nn.functional.embedding(rows, table_)) == (16 + 64, 64)
    assert traffic(lambda: table_.index_copy_(0, rows, torch.empty(2, 8))) == (16 + 64, 64)
    assert traffic(lambda: torch.mm(x, x.t(), out=torch.empty(4, 4))) == (192, 64)
