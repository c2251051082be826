"""The times of PyTorch's own estimator: what it adds up, by arithmetic of the tests' own, and what it misses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, prod
from typing import Any

import pytest
import torch
from timed_models import CPU, SMALL, only, small
from torch.distributed._tools import runtime_estimator
from torch.utils import _runtime_estimation as torch_arithmetic
from torch.utils.flop_counter import flop_registry

from symflops.architectures import architecture
from symflops.errors import ConfigError, SizeError, SymflopsError
from symflops.timing.recognised import GROUPED
from symflops.timing.roof import Roof
from symflops.timing.samples import Phase
from symflops.timing.tasks import Operand, Task, tasks, unmasked
from symflops.tracing.internals import Dispatch, FakeTensorMode
from symflops.tracing.internals.estimator import estimated, given
from symflops.tracing.models import build
from symflops.tracing.timing.clock import prepared
from symflops.tracing.timing.kernels import Kernel, kernels
from symflops.tracing.timing.peers import asked, estimated_model, estimated_task
from symflops.tracing.timing.places import place

COMPUTE = Roof(1e12, inf)
"""Bytes take no time, so that what is left is what was computed."""
MEMORY = Roof(inf, 1e9)
"""FLOPs take no time: 1e9 bytes a second."""


def of(task: Task, phase: Phase = "forward", roof: Roof = COMPUTE) -> float:
    kernel = kernels(task, "cpu")[0]
    return estimated_task(task, kernel, phase, CPU, roof)


def told(call: Callable[[], object], roof: Roof) -> float:
    with given(roof.peak, roof.bandwidth):
        return estimated(call)


def dispatched(call: Callable[[], object]) -> list[str]:
    found: list[str] = []

    def noted(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        found.append(str(func))
        return func(*args, **named)

    with Dispatch(noted):
        call()
    return found


@pytest.mark.parametrize(("m", "k", "n"), [(4096, 4096, 4096), (2048, 1024, 8192)])
def test_a_matmul_bound_by_compute_takes_two_thirds_of_its_least_time(m: int, k: int, n: int) -> None:
    roof = Roof(1e12, 1e11)
    with FakeTensorMode():
        left, right = torch.empty(m, k), torch.empty(k, n)
        found = told(lambda: torch.mm(left, right), roof)
    assert roof.bound(2 * m * n * k, 4 * (m * k + k * n + m * n)) == "compute"
    assert found == pytest.approx(2 / 3 * 2 * m * n * k / 1e12)


def test_a_matmul_bound_by_memory_takes_its_bytes_over_the_bandwidth() -> None:
    roof = Roof(1e15, 1e9)
    with FakeTensorMode():
        left, right = torch.empty(64, 128), torch.empty(128, 256)
        found = told(lambda: torch.mm(left, right), roof)
    assert found == pytest.approx(4 * (64 * 128 + 128 * 256 + 64 * 256) / 1e9)


def test_the_two_thirds_are_gone_where_torch_neither_halves_nor_takes_three_quarters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A planted correction: with all FLOPs over the whole peak the estimate is the roofline's."""
    task = only(architecture("gpt2"), "Feedforward/up", 2, 64)
    before = of(task)
    monkeypatch.setattr(torch_arithmetic, "flops_to_ns", lambda flops, dtype: flops / COMPUTE.peak * 1e9)
    assert of(task) == pytest.approx(task.flops("forward") / COMPUTE.peak)
    assert before / of(task) == pytest.approx(2 / 3)


def test_a_planted_formula_of_one_operator_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    task = only(architecture("gpt2"), "Feedforward/up", 2, 64)
    monkeypatch.setitem(flop_registry, torch.ops.aten.addmm, lambda *_, **__: 3_000_000)
    assert of(task) == pytest.approx(2e-6)
    assert of(task, "backward") == pytest.approx(2 / 3 * task.flops("backward") / COMPUTE.peak)


@pytest.mark.parametrize("name", SMALL)
def test_what_is_computed_is_two_thirds_of_the_closed_form_at_the_peak(name: str) -> None:
    phases: tuple[Phase, ...] = ("forward", "backward")
    found = [(task, phase) for task in tasks(small(name, "eager"), 2, 8) for phase in phases if task.has(phase)]
    seen = 0
    for task, phase in found:
        flops = task.flops(phase)
        assert of(task, phase) == pytest.approx(2 / 3 * flops / COMPUTE.peak), (task.path, phase)
        seen += flops > 0
    assert seen >= 12


def test_flash_attention_of_a_processor_computes_nothing() -> None:
    core = only(small("gpt2"), "core")
    assert core.flops("forward") > 0
    assert of(core) == of(core, "backward") == 0
    assert torch.ops.aten._scaled_dot_product_flash_attention in flop_registry
    assert torch.ops.aten._scaled_dot_product_flash_attention_for_cpu not in flop_registry


def test_leaving_masked_pairs_out_saves_no_time() -> None:
    """By the formula that is taken for CUDA's kernels, which is not told of the mask, and of a processor's bytes."""
    core = only(small("gpt2"), "core")
    assert core.flops("forward") < unmasked(core).flops("forward")
    assert of(core, roof=MEMORY) == of(unmasked(core), roof=MEMORY) > 0
    q = torch.empty(1, 4, 64, 16, device="meta")
    count = flop_registry[torch.ops.aten._scaled_dot_product_flash_attention]
    assert count(q, q, q, 0.0, True, out_val=q) == count(q, q, q, 0.0, False, out_val=q) == 2 * 2 * 4 * 64 * 64 * 16


def test_a_lookup_reads_its_whole_table() -> None:
    task = only(architecture("gpt2"), "Embed/token", 1, 8)
    whole, picked = 50257 * 768 * 4, 8 * 768 * 4
    assert of(task, roof=MEMORY) == pytest.approx((whole + 8 * 8 + picked) / 1e9)
    assert task.bytes("forward", CPU.element) == 8 * 8 + 2 * picked


def test_asking_a_fake_tensor_for_its_device_is_charged_as_reading_it() -> None:
    """A transpose moves nothing, and is on the estimator's list of what is free; what asks is torch around it."""
    with FakeTensorMode():
        tensor = torch.empty(10, 100)
        assert dispatched(tensor.t) == ["aten.t.default", "prim.device.default"]
        assert torch.ops.aten.t in torch_arithmetic._IGNORE_OPS
        assert told(tensor.t, MEMORY) == pytest.approx(4 * 1000 / 1e9)
        assert told(lambda: tensor.shape, MEMORY) == 0


def test_backward_of_what_is_bound_by_memory_is_charged_for_more_than_it_moves() -> None:
    """By what is read to learn of devices, and by nothing else."""
    task = only(architecture("gpt2"), "Feedforward/act", 1, 64)
    read = 64 * 3072 * 4
    kernel = kernels(task, "cpu")[0]
    with FakeTensorMode():
        call = prepared(task, kernel, "backward", (torch.empty(1, 64, 3072, requires_grad=True),))
        asked = dispatched(call).count("prim.device.default")
    assert asked >= 4
    assert task.bytes("backward", CPU.element) == 3 * read
    assert of(task, "backward", MEMORY) == pytest.approx((3 + asked) * read / 1e9)


def test_an_activation_moves_what_it_reads_and_writes_and_computes_nothing() -> None:
    with FakeTensorMode():
        tensor = torch.empty(10, 100)
        assert told(lambda: torch.relu(tensor), MEMORY) == pytest.approx(2 * 4000 / 1e9)
        assert told(lambda: torch.relu(tensor), COMPUTE) == 0


@pytest.mark.parametrize("name", SMALL)
def test_every_kernel_takes_at_least_the_writing_of_its_result(name: str) -> None:
    estimates = asked(CPU, MEMORY).kernel
    for task in tasks(small(name), 2, 8):
        for kernel in kernels(task, "cpu"):
            if kernel.name == GROUPED:  # on fake tensors it takes bf16 alone
                assert estimates(task, kernel, "forward") == {}
                continue
            found = estimated_task(task, kernel, "forward", CPU, MEMORY)
            assert found >= 4 * prod(task.result.shape) / 1e9, task.path


@pytest.mark.parametrize("attention", ["eager", "flash"])
def test_a_model_computes_two_thirds_of_its_closed_form_forward_and_backward(attention: str) -> None:
    """All its matmuls but those of a processor's flash attention."""
    model = small("gpt2", attention)
    found = estimated_model(model, CPU, COMPUTE, 2, 8)
    for phase, seconds in found.items():
        flops = sum(task.runs * task.flops(phase) for task in tasks(model, 2, 8) if not task.is_core)
        assert seconds == pytest.approx(2 / 3 * flops / COMPUTE.peak), phase
    assert list(found) == ["forward", "backward"]


def test_a_model_too_large_for_any_memory_has_a_time() -> None:
    model = architecture("llama3-8b").with_sizes(d_model=2**14, d_ff=2**18, n_layer=2)
    found = estimated_model(model, place("cpu", "bf16"), Roof(1e15, 3e12), 1, 4096)
    assert 0 < found["forward"] < found["backward"]


def test_a_time_is_that_of_the_longer_side_and_falls_with_its_figure() -> None:
    task = only(architecture("gpt2"), "Feedforward/up", 8, 1024)
    assert of(task, roof=Roof(2e12, inf)) == pytest.approx(of(task) / 2)
    assert of(task, roof=Roof(inf, 2e9)) == pytest.approx(of(task, roof=MEMORY) / 2)


def test_everything_that_was_replaced_is_back_after_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> tuple[object, ...]:
        asked = (vars(torch_arithmetic)[name] for name in ("get_device_tflops", "get_gpu_dram_gbps"))
        return (*asked, vars(runtime_estimator)["torch"], torch.cuda.is_available)

    before, task = state(), only(small("gpt2"), "Feedforward/up")
    of(task)
    with pytest.raises(SymflopsError):
        estimated_task(task, Kernel("reads", lambda x, *_: x * x.sum().item()), "forward", CPU, COMPUTE)
    assert state() == before
    assert vars(runtime_estimator)["torch"] is torch
    assert capsys.readouterr().out == ""


def test_without_figures_and_without_cuda_the_estimator_refuses() -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    with FakeTensorMode(), pytest.raises(AssertionError, match="CUDA"):
        estimated(lambda: torch.empty(2).relu())


@pytest.mark.parametrize("roof", [Roof(0.0, 1e9), Roof(1e12, 0.0), Roof(float("nan"), 1e9)])
def test_a_roof_of_nothing_is_refused(roof: Roof) -> None:
    with pytest.raises(SymflopsError, match="a peak and a bandwidth above zero, got"):
        of(only(small("gpt2"), "Feedforward/up"), roof=roof)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda x, *_: x * x.sum().item(), "local_scalar"),
        (lambda x, *_: x[x > 0].sum() + x, "nonzero|dynamic|index"),
        (lambda x, w, *_: torch.mm(x, w), "matrix|2D|must be"),
    ],
)
def test_a_kernel_that_has_no_fake_form_is_one_line(run: Callable[..., torch.Tensor], said: str) -> None:
    task = only(small("gpt2"), "Feedforward/up")
    with pytest.raises(SymflopsError, match=f"(?i)^Feedforward/up, mine, forward: .*({said})") as caught:
        estimated_task(task, Kernel("mine", run), "forward", CPU, COMPUTE)
    assert "\n" not in str(caught.value)


def test_a_pass_with_nothing_to_do_is_refused() -> None:
    task = only(small("gpt2"), "Feedforward/act")
    with pytest.raises(SymflopsError, match=r"^Feedforward/act: nothing to do backward, since no operand needs"):
        of(_WithoutGradients(task.path, task.uses, task.symbols, task.runs), "backward")


class _WithoutGradients(Task):
    @property
    def operands(self) -> tuple[Operand, ...]:
        return tuple(replace(each, wanted=False) for each in super().operands)


def test_sizes_that_a_model_does_not_take_are_refused() -> None:
    with pytest.raises(SizeError, match="longer than the table of 1024 learned positions"):
        estimated_model(small("gpt2"), CPU, COMPUTE, 1, 4096)


@pytest.mark.parametrize("device", ["fake:nowhere", "fake:cuda:x"])
def test_a_fake_model_of_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown device '{device}'"):
        build(small("gpt2").config, device=device)


def test_a_fake_model_can_be_of_a_named_device() -> None:
    found = build(small("gpt2").config, device="fake:cpu")
    assert found.device == torch.device("cpu") and isinstance(found.mode, FakeTensorMode)
