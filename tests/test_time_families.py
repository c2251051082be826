"""Every family's operations as kernels: all of them equal their declarations; experts, convolutions, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import Any

import pytest
import torch
from timed_models import CPU, only
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from symflops.architectures import FAMILIES, Architecture, architecture
from symflops.errors import DeclarationError
from symflops.laws.drawing import sized
from symflops.layers.ssd import Earlier
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.timing.tasks import Task, tasks
from symflops.tracing.timing.inputs import drawn
from symflops.tracing.timing.kernels import Kernel, NoKernel, kernels
from symflops.tracing.timing.pairs import attended
from symflops.tracing.timing.places import place
from symflops.tracing.timing.reference import WrongKernel, checked
from symflops.tracing.timing.running import PHASES

pytestmark = pytest.mark.usefixtures("one_thread")
MIXTURES = ("mixtral", "olmoe", "gpt_oss", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3")
WITHOUT = {"deepseek_v2": {"Attention: Mask/core"}, "deepseek_v3": {"Attention: Mask/core"}}
"""Operations that no kernel runs on a processor: torch's fused attention wants values as wide as queries there."""
Planted = Callable[..., torch.Tensor]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than operations as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def tiny(family: str) -> Architecture:
    """Sizes that experts divide, that rows of 16 bytes divide, and that rotary positions can halve."""

    def choose(name: str, values: Sequence[Any]) -> Any:
        if name == "n_active":
            return 2
        if name == "n_layer" or name.startswith("d_model"):
            return values[min(3, len(values) - 1)]
        return next((value for value in values if value % 4 == 0), values[-1])

    return replace(sized(family, choose), attention="flash")


def of(family: str) -> tuple[Task, ...]:
    model = tiny(family)
    return tasks(model, 2, 8 if any(each.name == "n_seq" for each in model.network.free_symbols) else model.context)


def _runs(task: Task) -> bool:
    """Whether a kernel runs it, and rightly. Raises `WrongKernel`."""
    try:
        found = kernels(task, "cpu")
    except NoKernel:
        return False
    done = 0
    for kernel in found:
        try:
            checked(task, kernel, drawn(task, CPU))
            done += 1
        except RuntimeError as error:
            assert "No available kernel" in str(error), f"{task.path}: {kernel.name}: {error}"
    return done > 0


@pytest.mark.filterwarnings("ignore:.*[Ff]lash attention")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_operation_of_every_family_has_a_kernel_that_equals_its_declaration(family: str) -> None:
    assert {task.path for task in of(family) if not _runs(task)} == WITHOUT.get(family, set())


@pytest.mark.parametrize("family", MIXTURES)
def test_experts_run_together_and_cost_what_the_model_says(family: str) -> None:
    model = replace(tiny(family), attention="eager")
    found = tasks(model, 2, 8)
    offered = {task.path: [kernel.name for kernel in kernels(task, "cpu")] for task in found}
    both = {path for path, names in offered.items() if names == ["einsum", "grouped_mm"]}
    assert both == {"Feedforward: Experts/gate_up", "Feedforward: Experts/down"}
    assert sum(task.runs * task.flops("forward") for task in found) == model.flops(2, 8)
    assert all(task.sizes["token"] == 2 * 8 * 2 // model.sizes["n_expert"] for task in found if task.path in both)


def test_experts_run_one_by_one_where_tokens_do_not_divide_among_them() -> None:
    model = replace(tiny("mixtral"), attention="eager")
    up = only(model, "gate_up", 1, 5)
    assert 5 * 2 % model.sizes["n_expert"] and up.sizes["seq"] == 5 and up.runs == 2 * model.sizes["n_layer"]
    assert [kernel.name for kernel in kernels(up, "cpu")] == ["mm"]


def test_a_torch_without_a_grouped_matmul_is_offered_none(monkeypatch: pytest.MonkeyPatch) -> None:
    up = only(tiny("mixtral"), "gate_up")
    monkeypatch.delattr(functional, "grouped_mm")
    assert [kernel.name for kernel in kernels(up, "cpu")] == ["einsum"]


@pytest.mark.parametrize("form", ["fp32", "bf16"])
def test_a_grouped_matmul_is_right_in_the_formats_that_models_run_in(form: str) -> None:
    where, model = place("cpu", form), tiny("gpt_oss").with_sizes(d_ff=16)
    for name in ("gate_up", "down"):
        task = only(model, f"Feedforward: Experts/{name}")
        checked(task, kernels(task, "cpu")[1], drawn(task, where))


def _grouped(x: torch.Tensor, weight: torch.Tensor, shift: int) -> torch.Tensor:
    """Tokens whose experts' ends are told wrongly by a shift; the last of all stays."""
    ends = torch.arange(1, len(x) + 1, dtype=torch.int32) * x.shape[1]
    ends[:-1] += shift
    return functional.grouped_mm(x.flatten(0, 1), weight, offs=ends).reshape(*x.shape[:-1], weight.shape[-1])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, weight: torch.bmm(x, weight.flip(0)),
        lambda x, weight: torch.bmm(x, weight[:1].expand_as(weight)),
        lambda x, weight: torch.bmm(x.reshape(x.shape[1], x.shape[0], -1).transpose(0, 1), weight),
        partial(_grouped, shift=-1),
        partial(_grouped, shift=1),
    ],
)
def test_tokens_that_meet_another_experts_weight_are_refused(wrong: Planted) -> None:
    task = only(tiny("mixtral"), "gate_up", 2, 8)
    checked(task, Kernel("right", partial(_grouped, shift=0)), drawn(task, CPU))
    with pytest.raises(WrongKernel):
        checked(task, Kernel("planted", wrong), drawn(task, CPU))


CONVOLUTIONS = {"whisper": ("conv1", "conv2"), "mamba": ("convolution",), "mamba2": ("convolution",)}
NAMED = [(family, name) for family, names in CONVOLUTIONS.items() for name in names]


@pytest.mark.parametrize(("family", "name"), NAMED)
def test_the_flops_of_a_convolution_are_those_that_torch_counts(family: str, name: str) -> None:
    task = only(tiny(family), name, 2, 8)
    operands = drawn(task, CPU)
    with FlopCounterMode(display=False) as forward:
        result = kernels(task, "cpu")[0](*operands)
    wanted = [each for each in operands if each.requires_grad]
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(result, wanted, torch.randn_like(result))
    assert forward.get_total_flops() == task.flops("forward") > 0
    if family == "whisper":  # of channels by themselves torch counts every weight's gradient once for each channel
        assert backward.get_total_flops() == task.flops("backward") > 0
    assert task.flops("backward") == task.flops("forward") * sum(each.wanted for each in task.operands[:2])


@pytest.mark.parametrize(("family", "name"), NAMED)
def test_a_convolution_is_that_of_the_models_own_module(family: str, name: str) -> None:
    task = only(tiny(family), name, 2, 8)
    x, weight, bias = (each.detach() for each in drawn(task, CPU))
    module = _module(family, name)
    assert module.weight.shape == weight.shape
    module.load_state_dict({"weight": weight, "bias": bias})
    frames = x.flatten(1, 2) if family == "whisper" else x[:, :8]
    with torch.no_grad():
        own = module(frames.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(kernels(task, "cpu")[0](x, weight, bias), own)


def _module(family: str, name: str) -> Any:
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.for_model(**{**tiny(family).config, "pad_token_id": 0}))
    ending = "mixer.conv1d" if name == "convolution" else name
    return next(each for path, each in model.named_modules() if path.endswith(ending))


def _over_time(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, **how: Any) -> torch.Tensor:
    return functional.conv1d(x.flatten(1, 2).mT, weight, bias, **{"stride": 2, "padding": 1} | how).mT


def _shifted(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The padding on the other side: every window reads a frame further on."""
    return functional.conv1d(functional.pad(x.flatten(1, 2).mT, (0, 2)), weight, bias, stride=2).mT


def _along(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, before: int) -> torch.Tensor:
    tokens = functional.pad(x[:, :8].mT, (before, 2 * (weight.shape[-1] - 1) - before))
    return functional.conv1d(tokens, weight, bias, groups=len(weight)).mT


@pytest.mark.parametrize(
    ("family", "name", "wrong"),
    [
        ("whisper", "conv2", _shifted),
        ("whisper", "conv2", partial(_over_time, stride=1)),
        ("whisper", "conv2", partial(_over_time, padding=2, dilation=2)),
        ("whisper", "conv2", lambda x, weight, bias: _over_time(x, weight.flip(-1), bias)),
        ("whisper", "conv2", lambda x, weight, bias: _over_time(x.flip(-1), weight, bias)),
        ("whisper", "conv2", lambda x, weight, bias: _over_time(x, weight, bias) - bias),
        ("mamba", "convolution", lambda x, weight, bias: _along(x, weight.flip(-1), bias, weight.shape[-1] - 1)),
        ("mamba", "convolution", lambda x, weight, bias: _along(x, weight, bias, weight.shape[-1] - 2)),
        ("mamba", "convolution", lambda x, weight, bias: _along(x, weight.flip(0), bias, weight.shape[-1] - 1)),
    ],
)
def test_a_convolution_of_other_windows_is_refused(family: str, name: str, wrong: Planted) -> None:
    task = only(tiny(family), name, 2, 8)
    with pytest.raises(WrongKernel):
        checked(task, Kernel("planted", wrong), drawn(task, CPU))


def test_the_planted_convolutions_are_wrong_only_by_their_fault() -> None:
    whisper, mamba = only(tiny("whisper"), "conv2", 2, 8), only(tiny("mamba"), "convolution", 2, 8)
    checked(whisper, Kernel("right", _over_time), drawn(whisper, CPU))
    reach = mamba.sizes["tap"] - 1
    checked(mamba, Kernel("right", partial(_along, before=reach)), drawn(mamba, CPU))


def _masks() -> list[AttendedPairs]:
    sizes = list(product((1, 2, 5), (1, 3, 5)))
    plain = [of(*size) for of in (Full, Causal, CausalTopLeft) for size in sizes]
    return plain + [of(*size, more) for of in (SlidingWindow, Prefix) for size in sizes for more in (1, 2, 7)]


def test_the_pairs_of_a_mask_are_those_of_its_definition() -> None:
    for mask in (*_masks(), Earlier(4, 4)):
        seen = [[mask.attends(i, j) for j in range(int(mask.n_key))] for i in range(int(mask.n_query))]
        assert attended(mask, CPU.device).tolist() == seen, mask


def test_pairs_that_are_not_as_many_as_the_closed_form_counts_are_refused() -> None:
    class Miscounted(Full):
        def _exact(self) -> Any:
            return self.n_query

    with pytest.raises(DeclarationError, match="6 pairs see each other, and its closed form counts 2"):
        attended(Miscounted(2, 3), CPU.device)


def test_a_core_under_a_window_is_one_kernel_that_computes_all_pairs() -> None:
    task = only(tiny("mistral"), "masked core", 2, 8)
    assert isinstance(task.mask, SlidingWindow) and int(task.mask) < int(Causal(8, 8)) < 64
    assert [kernel.name for kernel in kernels(task, "cpu")] == ["flash masked"]
    q, k, v = ([each.shape[0], each.shape[1], *each.shape[-2:]] for each in task.operands)
    heads = task.operands[0].shape[1] * task.operands[0].shape[2]
    every = [[shape[0], heads, *shape[2:]] for shape in (q, k, v)]
    assert task.flops("forward") == sdpa_flop_count(*every)
    assert task.flops("backward") == sdpa_backward_flop_count(every[0], *every)


def test_windowed_and_causal_layers_of_a_model_are_two_cores() -> None:
    gemma = architecture("gemma3-1b", "flash").with_sizes(d_model=32, n_head=4, d_head=8, n_window=4)
    found = {task.path: task for task in tasks(gemma, 1, 8)}
    causal, masked = found["Attention: Mask/core"], found["Attention: Mask/masked core"]
    assert (causal.runs, masked.runs) == (4, 22)
    assert all(causal.flops(phase) * 64 == masked.flops(phase) * 36 for phase in PHASES)


def _under(seen: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    mixed = functional.scaled_dot_product_attention(q.flatten(1, 2), k, v, seen, enable_gqa=True)
    return mixed.reshape(q.shape)


@pytest.mark.parametrize(
    "wrong",
    [Causal(8, 8), Full(8, 8), SlidingWindow(8, 8, 5), SlidingWindow(8, 8, 7)],
)
def test_a_mask_that_is_off_by_one_is_refused(wrong: AttendedPairs) -> None:
    task = only(tiny("mistral"), "masked core", 2, 8)
    assert task.mask == SlidingWindow(8, 8, 6)
    checked(task, Kernel("right", partial(_under, attended(task.mask, CPU.device))), drawn(task, CPU))
    with pytest.raises(WrongKernel):
        checked(task, Kernel("planted", partial(_under, attended(wrong, CPU.device))), drawn(task, CPU))


def test_a_mask_that_is_shifted_by_one_key_is_refused() -> None:
    task = only(tiny("mistral"), "masked core", 2, 8)
    seen = attended(SlidingWindow(8, 8, 6), CPU.device)
    for shifted in (seen.roll(1, 1) | torch.eye(8, dtype=torch.bool), seen.roll(-1, 1), seen.mT):
        with pytest.raises(WrongKernel):
            checked(task, Kernel("planted", partial(_under, shifted)), drawn(task, CPU))
