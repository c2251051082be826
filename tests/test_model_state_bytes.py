"""Model state against real tensors: models after a step, casts, files on disk, and planted faults."""

from __future__ import annotations

import io
import itertools
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from sympy import Add

from symflops import architecture
from symflops.layers.lora import with_lora
from symflops.measures import trainable_params
from symflops.training.formats_known import number_format
from symflops.training.optimizers import Rule, State
from symflops.training.optimizers_known import OPTIMIZERS, STEP
from symflops.training.precision import precision
from symflops.training.state import model_state
from symflops.training.tensors import count, tensors

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from trained_models import CONFIGS, DENSE, TORCH, Trained, at, backward, real, size  # noqa: E402

from symflops.tracing.models import build  # noqa: E402


@pytest.mark.parametrize(("config", "name"), list(itertools.product(DENSE, TORCH)))
def test_every_byte_is_torch_s(config: str, name: str) -> None:
    model = architecture(CONFIGS[config])
    assert at(model, model_state(model, name)) == Trained(real(config), name).bytes


@pytest.mark.parametrize("name", ["momentum", "adamw", "adafactor", "muon"])
def test_everything_in_bfloat16(name: str) -> None:
    model = architecture(CONFIGS["gpt2"])
    assert at(model, model_state(model, name, "bf16")) == Trained(real("gpt2"), name, torch.bfloat16).bytes


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "amsgrad"])
def test_experts_that_are_stacked_have_fewer_counters(name: str) -> None:
    """transformers keeps the experts of a layer as two tensors; the declared ones are two for each expert."""
    model, trained = architecture(CONFIGS["mixtral"]), Trained(real("mixtral"), name)
    found = at(model, model_state(model, name))
    counters = 4 * 2 * 2 * (4 - 1) if STEP in OPTIMIZERS[name].rules[0].states else 0
    assert found == {**trained.bytes, "optimizer": trained.bytes["optimizer"] + counters}
    tensors_ = int(model.at(count(tensors(model.network))))
    assert tensors_ - 2 * 2 * (4 - 1) == len(list(trained.module.parameters()))


@pytest.mark.parametrize(
    "name", ["pythia-70m", "gemma2-2b", "opt-125m", "bert-base-uncased", "t5-small", "mamba2-130m"]
)
def test_states_of_released_models_go_by_the_shapes_of_their_modules(name: str) -> None:
    model = architecture(name)
    shapes = [each.shape for each in build(dict(model.config), device="meta").module.parameters()]
    factors = [
        shape.numel() if len(shape) < 2 else shape.numel() // shape[-1] + shape.numel() // shape[-2] for shape in shapes
    ]
    found = {each.name: int(model.at(each.elements)) for each in model_state(model, "adafactor").kept}
    assert found["step"] == len(shapes)
    assert found["row_var"] + found["col_var"] + found["variance"] == sum(factors)


class Adapted(nn.Module):
    """A linear layer with an adapter beside it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x) + self.up(self.down(x))
        return y


def adapted(rank: int) -> nn.Module:
    module = real("llama").requires_grad_(False)
    for layer in module.model.layers:  # type: ignore[union-attr]
        attention = layer.self_attn  # type: ignore[union-attr]
        attention.q_proj, attention.v_proj = Adapted(attention.q_proj, rank), Adapted(attention.v_proj, rank)
    return module


@pytest.mark.parametrize("name", TORCH)
def test_adapters_alone_have_gradients_and_states(name: str) -> None:
    model, rank = architecture(CONFIGS["llama"]), 5
    found = model_state(with_lora(model.network, rank), name)
    assert at(model, found) == Trained(adapted(rank), name).bytes
    assert at(model, found)["gradients"] == 4 * int(model.at(trainable_params(found.network)))


FAULTS: dict[str, Rule] = {
    "no counter": Rule((State("exp_avg"), State("exp_avg_sq")), OPTIMIZERS["adam"].rules[0].step),
    "one moment": Rule((STEP, State("exp_avg")), OPTIMIZERS["adam"].rules[0].step),
    "rows alone": Rule((STEP, State("exp_avg"), State("exp_avg_sq", "rows")), OPTIMIZERS["adam"].rules[0].step),
    "float64": Rule(
        (STEP, State("exp_avg"), State("exp_avg_sq", form=number_format("fp64"))), OPTIMIZERS["adam"].rules[0].step
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_declaration_of_states_is_found(fault: str) -> None:
    model = architecture(CONFIGS["gpt2"])
    wrong = replace(OPTIMIZERS["adam"], rules=(FAULTS[fault],))
    trained = Trained(real("gpt2"), "adam").bytes
    assert at(model, model_state(model, wrong))["optimizer"] != trained["optimizer"]
    assert at(model, model_state(model, "adam"))["optimizer"] == trained["optimizer"]


def test_a_wrong_precision_and_a_forgotten_freeze_are_found() -> None:
    model, trained = architecture(CONFIGS["llama"]), Trained(adapted(5), "adam").bytes
    whole = model_state(with_lora(model.network, 5), "adam")
    everything = replace(precision("fp32"), held=tuple(replace(each, of="all") for each in precision("fp32").held))
    assert at(model, replace(whole, precision=everything))["gradients"] != trained["gradients"]
    assert at(model, replace(whole, precision=precision("bf16"))) != trained


class Casts(TorchDispatchMode):
    """The bytes of copies that are made of parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.owned = {each.data_ptr() for each in module.parameters()}
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].data_ptr() in self.owned:
            self.bytes += result.nbytes
        return result


def cast(module: nn.Module) -> int:
    with Casts(module) as casts, torch.autocast("cpu", torch.bfloat16):
        tokens = torch.arange(16).reshape(2, 8) % 41
        module(tokens, use_cache=False)
    return casts.bytes


@pytest.mark.parametrize("config", DENSE)
def test_copies_that_autocast_caches_are_those_it_makes(config: str) -> None:
    model = architecture(CONFIGS[config])
    copies = {each.name: each.bytes for each in model_state(model, "adam", "amp-bf16").kept}["cached copy"]
    made = cast(real(config))
    assert int(model.at(copies)) == made > 0
    read = [each for each in tensors(model.network) if each.in_matmul]
    owned = 2 * int(model.at(Add(*(each.copies * each.elements for each in read)).expand()))
    tied = any(each.lent for each in read)
    assert tied == (config != "llama") and (owned < made if tied else owned == made)


def test_autocast_caches_no_copies_of_frozen_weights() -> None:
    """It keeps those of leaves that need a gradient alone: of adapters, not of what they adapt."""
    model = architecture(CONFIGS["llama"])
    kept = model_state(with_lora(model.network, 5), "adam", "amp-bf16").kept
    copies = {each.name: int(model.at(each.bytes)) for each in kept}
    assert 2 * copies["cached copy"] == copies["gradient"]
    module = adapted(5)
    assert cast(module) > copies["cached copy"]
    layer = nn.Linear(3, 4, bias=False)
    for needed, times in ((True, 1), (False, 2)):
        layer.requires_grad_(needed)
        with Casts(layer) as casts, torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(1, 3)), layer(torch.ones(1, 3))
        assert casts.bytes == times * 2 * 12


def test_what_a_scaler_keeps() -> None:
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(()))
    kept = [each for each in vars(scaler).values() if isinstance(each, Tensor)]
    assert size(kept) == sum(each.count * each.form.bytes for each in precision("amp-fp16").held if each.of == "model")


@pytest.mark.parametrize(("name", "dtype"), [("mixed-fp16", torch.float16), ("mixed-bf16", torch.bfloat16)])
def test_main_parameters_in_float32(name: str, dtype: torch.dtype) -> None:
    """A loop of one's own: half the precision in the model, torch's Adam on copies."""
    model, module = architecture(CONFIGS["gpt2"]), real("gpt2").to(dtype)
    backward(module)
    main = [nn.Parameter(each.detach().float()) for each in module.parameters()]
    for copy, each in zip(main, module.parameters(), strict=True):
        assert each.grad is not None
        copy.grad = each.grad.float()
    chosen = torch.optim.Adam(main)
    chosen.step()
    states = (each for state in chosen.state.values() for each in state.values())
    gradients = size(each.grad for each in module.parameters() if each.grad is not None)
    expected = {"parameters": size(module.parameters()), "gradients": gradients, "optimizer": size([*main, *states])}
    assert at(model, model_state(model, "adam", name)) == expected


def written(given: Any) -> tuple[int, int, int]:
    """A file as torch.save writes it: its size, its tensors' bytes, how many there are."""
    file = io.BytesIO()
    torch.save(given, file)
    stored = [each for each in zipfile.ZipFile(file).infolist() if "/data/" in each.filename]
    return len(file.getvalue()), sum(each.file_size for each in stored), len(stored)


HEADERS, PER_TENSOR = 2048, 512
"""A file without tensors has 1.3 KB. Each tensor is a record of a zip: two headers with its name, its data at a
multiple of 64 bytes, and about a hundred bytes of its shape and strides in the pickle: 260 to 380 bytes in all."""


@pytest.mark.parametrize(("config", "name"), list(itertools.product(DENSE, ["adam", "adafactor", "muon"])))
def test_files_hold_the_closed_form_and_little_else(config: str, name: str) -> None:
    model, trained = architecture(CONFIGS[config]), Trained(real(config), name)
    found = at(model, model_state(model, name))
    whole, held, number = written(trained.module.state_dict())
    assert held == found["parameters"] and 0 < whole - held < HEADERS + PER_TENSOR * number
    saved = [written(each.state_dict()) for each in trained.optimizers]
    assert sum(each[1] for each in saved) == found["optimizer"]
    assert all(0 < whole - held < HEADERS + PER_TENSOR * number for whole, held, number in saved)


def test_a_file_of_a_slice_holds_the_tensor_that_it_is_of() -> None:
    whole = torch.zeros(1000)
    assert written({"slice": whole[:10]})[1] == 4000 and written({"slice": whole[:10].clone()})[1] == 40
    assert written({"one": whole, "other": whole.view(10, 100)})[1:] == (4000, 1)
    assert written({})[0] < HEADERS


def test_the_tensors_of_a_file_are_aligned() -> None:
    file = io.BytesIO()
    torch.save(real("gpt2").state_dict(), file)
    data = file.getvalue()
    for each in zipfile.ZipFile(file).infolist():
        if "/data/" in each.filename:
            name, extra = (int.from_bytes(data[each.header_offset + at : each.header_offset + at + 2], "little")
                           for at in (26, 28))  # fmt: skip
            assert (each.header_offset + 30 + name + extra) % 64 == 0
