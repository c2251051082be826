"""FlopCounter where torch's FlopCounterMode is wrong or refuses: against loops, and against equivalents."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flop_programs import MISPLACED, Mlp, Program, double_backward, llama, tokens
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import FlopCounter


def named(program: Program) -> str:
    return program.__name__


def totals(program: Program) -> tuple[int, int]:
    torch.manual_seed(0)
    return program(FlopCounterMode).get_total_flops(), program(FlopCounter).get_total_flops()


def torchs(run: Callable[[], Any]) -> int:
    """FLOPs of an equivalent that torch's counter counts right."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def fused_attention(kind: Any) -> Any:
    q, k, v = (torch.ones(2, 4, length, 8, requires_grad=True) for length in (5, 7, 7))
    with kind(display=False) as counter:
        nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    return counter


def attention_written_out() -> int:
    """The fused backward pass computes the scores again, which is one product of the six written out."""
    q, k, v = (torch.ones(8, length, 8, requires_grad=True) for length in (5, 7, 7))
    return torchs(lambda: torch.autograd.backward((torch.softmax(q @ k.transpose(1, 2), -1) @ v).sum())) + torchs(
        lambda: q.detach() @ k.detach().transpose(1, 2)
    )


def grouped_products(kind: Any) -> Any:
    x = torch.ones(8, 16, dtype=torch.bfloat16, requires_grad=True)
    experts = torch.ones(3, 16, 8, dtype=torch.bfloat16, requires_grad=True)
    ends = torch.tensor([2, 2, 8], dtype=torch.int32)
    with kind(display=False) as counter:
        y = torch._grouped_mm(x, experts, offs=ends)
        torch.autograd.backward(y, torch.ones(8, 8, dtype=torch.bfloat16).clone())
    return counter


def one_product_for_each_group() -> int:
    def run() -> None:
        for rows in (2, 6):
            x, expert = torch.ones(rows, 16, requires_grad=True), torch.ones(16, 8, requires_grad=True)
            (x @ expert).sum().backward()

    return torchs(run)


def depthwise_convolution(kind: Any) -> Any:
    x, w = torch.ones(2, 6, 9, requires_grad=True), torch.ones(6, 1, 4, requires_grad=True)
    with kind(display=False) as counter:
        torch.conv1d(x, w, groups=6).sum().backward()
    return counter


def loops_over_channels_and_taps() -> int:
    """Each output meets each tap of its channel once forward, and once for each gradient."""
    steps = sum(1 for _ in itertools.product(range(2), range(6), range(9 - 4 + 1), range(4)))
    return 2 * 3 * steps


def products_with_vectors(kind: Any) -> Any:
    with kind(display=False) as counter:
        torch.ones(3, 5) @ torch.ones(5)
        torch.ones(7).dot(torch.ones(7))
    return counter


def loops_over_vectors() -> int:
    return 2 * (sum(1 for _ in itertools.product(range(3), range(5))) + sum(1 for _ in range(7)))


def a_recurrent_layer(kind: Any) -> Any:
    with torch.no_grad(), kind(display=False) as counter:
        nn.LSTM(3, 5)(torch.ones(7, 2, 3))
    return counter


def step_by_step() -> int:
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        return torchs(lambda: nn.LSTM(3, 5)(torch.ones(7, 2, 3)))


def branches_after_other_work(kind: Any) -> Any:
    """Torch's counter adds up both branches as soon as something was counted before them."""
    with kind(display=False) as counter:
        torch.ones(4, 4) @ torch.ones(4, 4)
        once, twice = (lambda x: (x @ x,)), (lambda x: (x @ x @ x,))
        (seen,) = torch.ops.higher_order.cond(torch.tensor(False), twice, once, (torch.ones(4, 4),))
    assert kind is FlopCounterMode or seen.sum() == 4**3  # Torch's gives the other branch's result.
    return counter


HOLES: dict[Program, Callable[[], int]] = {
    fused_attention: attention_written_out,
    grouped_products: one_product_for_each_group,
    depthwise_convolution: loops_over_channels_and_taps,
    products_with_vectors: loops_over_vectors,
    a_recurrent_layer: step_by_step,
    branches_after_other_work: lambda: 2 * 4**3 * (1 + 2),
}


@pytest.mark.parametrize("program", HOLES, ids=named)
def test_ours_is_right_where_torchs_counter_is_not(program: Program) -> None:
    theirs, ours = totals(program)
    assert ours == HOLES[program]() != theirs


def test_what_torchs_counter_refuses_is_counted() -> None:
    with pytest.raises(RuntimeError, match="leaf node"):
        double_backward(FlopCounterMode)
    weights = [torch.ones(12, 8, requires_grad=True), torch.ones(8, 12, requires_grad=True)]

    def without_modules() -> None:
        x = torch.ones(4, 8, requires_grad=True)
        y = torch.relu(x @ weights[0].T) @ weights[1].T
        (slope,) = torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        torch.autograd.backward(slope.pow(2).sum())

    assert double_backward(FlopCounter).get_total_flops() == torchs(without_modules)


def test_nested_tensors_which_torchs_counter_refuses_count_their_tokens() -> None:
    layer = nn.Linear(3, 5)
    ragged: Any = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged)
    with pytest.raises(TypeError, match="Multiple dispatch failed"):
        torchs(lambda: layer(ragged))
    with FlopCounter(display=False) as counter:
        layer(ragged).values().sum().backward()
    assert counter.get_total_flops() == torchs(lambda: layer(torch.ones(6, 3)).sum().backward())
    assert set(counter.get_flop_counts()) == {"Global", "Linear"}


@pytest.mark.parametrize("program", MISPLACED[:2], ids=named)
def test_backward_work_is_on_account_of_the_module_whose_forward_made_it(program: Program) -> None:
    """Each linear layer: once forward, twice backward, and once more where it is recomputed."""
    torch.manual_seed(0)
    seen = {name: sum(each.values()) for name, each in program(FlopCounter).get_flop_counts().items()}
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        if program.__name__ == "checkpointed":
            Mlp()(torch.ones(4, 8))
        else:
            llama()(tokens(), use_cache=False)
    once = {name: sum(each.values()) for name, each in forward.get_flop_counts().items()}
    times = 4 if program.__name__ == "checkpointed" else 3
    linear = [name for name in once if name.endswith(("up", "down", "_proj", "lm_head"))]
    assert len(linear) >= 2 and {name: seen[name] for name in linear} == {name: times * once[name] for name in linear}
    # Where torch's counter adds the second layer's attention up wrongly, both layers are alike here.
    assert len({seen[name] for name in seen if name.endswith("self_attn")}) <= 1
