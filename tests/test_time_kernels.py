"""Operations as their kernels: each equals its declaration, and its FLOPs are torch's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from sympy import Integer
from timed_models import CPU, SMALL, only, small
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from symflops.layers.causal_convolution import over_window
from symflops.layers.convolution import Convolution
from symflops.layers.linear import BIAS
from symflops.masks import Causal
from symflops.networks import uses
from symflops.notation import symbol
from symflops.timing.tasks import Task, tasks, unmasked
from symflops.tracing.timing import running
from symflops.tracing.timing.inputs import drawn
from symflops.tracing.timing.kernels import Kernel, NoKernel, kernels
from symflops.tracing.timing.places import place
from symflops.tracing.timing.reference import WrongKernel, checked


@pytest.mark.parametrize("form", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("attention", ["eager", "flash"])
@pytest.mark.parametrize("name", SMALL)
def test_every_kernel_and_gradient_equals_the_declaration_in_float64(name: str, attention: str, form: str) -> None:
    where = place("cpu", form)
    found = tasks(small(name, attention), 2, 8)
    assert len(found) >= 14
    for task in found:
        for kernel in kernels(task, "cpu"):
            checked(task, kernel, drawn(task, where))


@pytest.mark.parametrize("name", SMALL)
def test_the_flops_of_every_operation_are_those_that_torch_counts(name: str) -> None:
    counted = 0
    for task in tasks(small(name, "eager"), 2, 8):
        kernel = kernels(task, "cpu")[0]
        operands = drawn(task, CPU)
        with FlopCounterMode(display=False) as forward:
            result = kernel(*operands)
        assert forward.get_total_flops() == task.flops("forward"), task.path
        if task.has("backward"):
            wanted = [each for each in operands if each.requires_grad]
            with FlopCounterMode(display=False) as backward:
                torch.autograd.grad(result, wanted, torch.randn_like(result))
            assert backward.get_total_flops() == task.flops("backward"), task.path
            counted += backward.get_total_flops() > 0
    assert counted >= 6


@pytest.mark.parametrize("name", ["gpt2", "llama3-8b"])
def test_the_flops_of_an_attention_core_are_those_of_torchs_formula(name: str) -> None:
    causal = only(small(name), "core", 2, 16)
    task = unmasked(causal)
    q, k, v = ([each.shape[0], each.shape[1:-2], *each.shape[-2:]] for each in task.operands)
    shapes = [[each[0], torch.Size(each[1]).numel(), *each[2:]] for each in (q, k, v)]
    every = [[shape[0], shapes[0][1], *shape[2:]] for shape in shapes]  # heads that share keys have their own in it
    assert task.flops("forward") == sdpa_flop_count(*every)
    assert task.flops("backward") == sdpa_backward_flop_count(every[0], *every)
    assert 2 * task.flops("backward") == 5 * task.flops("forward")
    attended = sum(key <= query for query in range(16) for key in range(16))
    for phase in running.PHASES:
        assert causal.flops(phase) * 16 * 16 == task.flops(phase) * attended


def _planted() -> list[tuple[str, Callable[..., torch.Tensor]]]:
    return [
        ("up", lambda x, weight, bias: x @ weight),
        ("up", lambda x, weight, bias: (x @ weight + bias).detach() + 0 * (x @ weight + bias)),
        ("up", lambda x, weight, bias: x @ weight.to(torch.bfloat16).float() + bias),
        ("up", lambda x, weight, bias: (x @ weight + bias)[:, :-1]),
        ("norm_final", lambda x, weight, bias: torch.nn.functional.layer_norm(x, weight.shape, weight, bias, 0.01)),
        ("act", torch.nn.functional.gelu),
        ("token", lambda table, index: torch.nn.functional.embedding((index + 1) % len(table), table)),
        ("core", lambda q, k, v: _attended(q, k, v, causal=False)),
    ]


def _attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    found = torch.nn.functional.scaled_dot_product_attention(q.flatten(1, 2), k, v, is_causal=causal)
    return found.reshape(q.shape)


@pytest.mark.parametrize("number", range(len(_planted())))
def test_a_wrong_kernel_is_refused(number: int) -> None:
    name, wrong = _planted()[number]
    task = only(small("gpt2"), name, 2, 16)
    with pytest.raises(WrongKernel, match=r"planted.*(off float64|has the shape)"):
        checked(task, Kernel("planted", wrong), drawn(task, CPU))


def test_heads_that_share_keys_lie_side_by_side() -> None:
    task = only(small("llama3-8b"), "core", 2, 16)

    def swapped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return kernels(task, "cpu")[0](q, k.flip(1), v.flip(1))

    checked(task, kernels(task, "cpu")[0], drawn(task, CPU))
    with pytest.raises(WrongKernel):
        checked(task, Kernel("swapped", swapped), drawn(task, CPU))


def test_a_core_is_one_kernel_where_kernels_know_its_mask_and_softmax() -> None:
    def paths(name: str) -> set[str]:
        return {task.path.rpartition("/")[2] for task in tasks(small(name), 1, 8)}

    assert "core" in paths("gpt2") and not {"scores", "softmax", "mix"} & paths("gpt2")
    assert "core" not in paths("gemma2-2b") and {"scores", "softcap", "softmax", "mix"} <= paths("gemma2-2b")
    assert isinstance(only(small("gpt2"), "core").mask, Causal)


def test_what_no_kernel_runs_is_named_and_not_timed() -> None:
    [window] = [use for use in uses(over_window(Integer(3), BIAS)) if isinstance(use.operation, Convolution)]
    sizes = {symbol(name): Integer(2) for name in ("n_batch", "n_seq", "d_conv")}
    task = Task(window.path, (replace(window, operation=window.operation.xreplace(sizes)),), {}, 1)
    with pytest.raises(NoKernel):
        kernels(task, "cpu")
    record = running.run(running.empty(CPU, 2), task, CPU, 2)
    assert record.samples == () and any("windows that are laid out has no kernel" in note for note in record.notes)
