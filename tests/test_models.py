"""The reference modules against transformers', and what `build` promises about sizes, sources and restored state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from symflops.errors import ConfigError, SizeError, UnknownName  # noqa: E402
from symflops.tracing import building  # noqa: E402
from symflops.tracing.models import Built, build, parameters, run_forward, run_forward_backward, tied, token_inputs  # noqa: E402

Config = dict[str, Any]
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
ROPES = [None, LLAMA3_ROPE | {"original_max_position_embeddings": 8}, {"rope_type": "linear", "factor": 2.0}]
SHARES: list[Config] = [
    {},
    {"rotary_pct": 0.25},
    {"rotary_pct": 1.0},
    {"rope_parameters": {"partial_rotary_factor": 0.5}},
]
YES_NO = [True, False]


def drawn(**choices: list[Any]) -> st.SearchStrategy[Config]:
    """Configs with each field drawn from its choices."""
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})


# fmt: off
gpt2_configs = drawn(
    model_type=["gpt2"], n_layer=[1, 2, 3], n_head=[1, 2, 3], n_embd=[6, 12, 18], n_inner=[None, 1, 7, 40],
    vocab_size=[41], n_positions=[16], tie_word_embeddings=YES_NO,
    activation_function=["gelu_new", "gelu", "gelu_pytorch_tanh", "relu"],
)
llama_configs = drawn(
    model_type=["llama"], num_hidden_layers=[1, 2, 3], num_attention_heads=[6, 12], hidden_size=[24, 48],
    num_key_value_heads=[None, 1, 2, 3, 6], head_dim=[2, 6, 8], intermediate_size=[1, 7, 40], vocab_size=[41],
    attention_bias=YES_NO, mlp_bias=YES_NO, tie_word_embeddings=YES_NO, rope_parameters=ROPES,
)
neox_configs = drawn(
    model_type=["gpt_neox"], num_hidden_layers=[1, 2, 3], num_attention_heads=[2, 3, 4], hidden_size=[48, 96],
    intermediate_size=[1, 7, 40], vocab_size=[41], attention_bias=YES_NO, use_parallel_residual=YES_NO,
    tie_word_embeddings=YES_NO,
).flatmap(lambda config: st.sampled_from([config | share for share in SHARES]))
# fmt: on
configs = gpt2_configs | llama_configs | neox_configs


class Products(TorchDispatchMode):
    """Every matrix product and fused attention, with its shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[int, ...]]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = str(func)
        if any(part in name for part in ("mm.", "scaled_dot_product", "convolution", "dot.")):
            self.seen.append((name, [tuple(a.shape) for a in args if isinstance(a, torch.Tensor)]))
        return func(*args, **(kwargs or {}))


def pair(config: Config, attention: Any, device: str) -> tuple[Built, Built]:
    """The same config from transformers and from the reference."""
    theirs = build(config, attention, device)
    assert theirs.source.startswith("transformers ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        ours = build(config, attention, device)
    assert ours.source == "symflops reference"
    return theirs, ours


def flops(built: Built, run: Any, n_batch: int = 2, n_seq: int = 5) -> int:
    inputs = token_inputs(built, n_batch, n_seq)
    with FlopCounterMode(display=False) as counter:
        run(built, inputs)
    return int(counter.get_total_flops())


def products(built: Built) -> list[tuple[str, list[tuple[int, ...]]]]:
    with Products() as counter:
        run_forward_backward(built, token_inputs(built, 3, 7))
    return counter.seen


@settings(max_examples=30, deadline=None)
@given(configs)
def test_same_parameters_and_module_paths(config: Config) -> None:
    theirs, ours = pair(config, "eager", "meta")
    assert parameters(ours.module) == parameters(theirs.module)
    assert tied(ours.module) == tied(theirs.module)
    assert len(tied(ours.module)) == config["tie_word_embeddings"]
    paths = {path for path, module in theirs.module.named_modules() if not isinstance(module, nn.Dropout)}
    assert {path for path, _ in ours.module.named_modules()} == paths


@settings(max_examples=25, deadline=None)
@given(configs, st.sampled_from(["eager", "sdpa"]))
def test_same_logits(config: Config, attention: str) -> None:
    theirs, ours = pair(config, attention, "cpu")
    # Initialised weights are small and biases zero: random ones make every term show.
    with torch.no_grad():
        torch.manual_seed(0)
        for parameter in theirs.module.parameters():
            parameter.uniform_(-0.5, 0.5)
    ours.module.load_state_dict(theirs.module.state_dict(), strict=True)
    inputs = token_inputs(ours, 2, 9) | {"input_ids": torch.randint(0, 41, (2, 9))}
    torch.testing.assert_close(run_forward(ours, inputs), run_forward(theirs, inputs), rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(configs)
def test_same_flops_and_backward_is_twice_forward(config: Config) -> None:
    theirs, ours = pair(config, "eager", "meta")
    assert flops(ours, run_forward) == flops(theirs, run_forward)
    assert flops(ours, run_forward_backward) == flops(theirs, run_forward_backward) == 3 * flops(theirs, run_forward)


@settings(max_examples=15, deadline=None)
@given(configs, st.sampled_from(["eager", "sdpa"]), st.sampled_from(["meta", "fake"]))
def test_same_products_one_by_one(config: Config, attention: str, device: str) -> None:
    theirs, ours = pair(config, attention, device)
    assert products(ours) == products(theirs)


@pytest.mark.parametrize("device", ["meta", "fake"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_shapes_alone_run_the_products_of_a_real_cpu(attention: Any, device: str) -> None:
    config = {"model_type": "llama", "hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}
    config |= {"intermediate_size": 80, "num_hidden_layers": 2, "vocab_size": 97, "pad_token_id": 0}
    real, shapes = products(build(config, attention, "cpu")), products(build(config, attention, device))
    # On meta the fused attention takes its unfused path; everything else is the same.
    assert (shapes == real) == ((attention, device) != ("sdpa", "meta"))


def test_a_missing_bias_is_noticed() -> None:
    config = {"model_type": "gpt_neox", "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8}
    theirs, ours = pair(config | {"num_hidden_layers": 1, "vocab_size": 9}, "eager", "meta")
    ours.module.get_submodule("gpt_neox.layers.0.mlp.dense_h_to_4h").register_parameter("bias", None)
    assert parameters(ours.module) != parameters(theirs.module)
    assert sum(p.numel() for p in ours.module.parameters()) != sum(p.numel() for p in theirs.module.parameters())
    with pytest.raises(RuntimeError, match=r"dense_h_to_4h\.bias"):
        ours.module.load_state_dict(theirs.module.state_dict())


def gpt2(n_layer: int, n_embd: int, n_head: int, **more: int) -> Config:
    return {"model_type": "gpt2", "n_layer": n_layer, "n_embd": n_embd, "n_head": n_head, **more}


def llama3(n_layer: int, d_model: int, n_head: int, d_ff: int) -> Config:
    widths = {"hidden_size": d_model, "num_attention_heads": n_head, "num_key_value_heads": 8}
    return {
        "model_type": "llama",
        "num_hidden_layers": n_layer,
        "intermediate_size": d_ff,
        "vocab_size": 128256,
    } | widths


# fmt: off
PUBLISHED = [
    (gpt2(12, 768, 12), 124_439_808), (gpt2(24, 1024, 16), 354_823_168), (gpt2(36, 1280, 20), 774_030_080),
    (gpt2(48, 1600, 25), 1_557_611_200), (gpt2(96, 12288, 96, n_positions=2048), 174_604_259_328),
    (llama3(32, 4096, 32, 14336), 8_030_261_248), (llama3(80, 8192, 64, 28672), 70_553_706_496),
    (llama3(126, 16384, 128, 53248), 405_853_388_800),
]
# fmt: on


@pytest.mark.parametrize(("config", "total"), PUBLISHED)
def test_published_models_to_the_last_parameter(config: Config, total: int) -> None:
    for built in pair(config, "eager", "meta"):
        assert sum(parameter.numel() for parameter in built.module.parameters()) == total
        assert not built.module.training
        assert all(parameter.requires_grad for parameter in built.module.parameters())


@pytest.mark.parametrize("config", [gpt2(24, 2048, 24, head_dim=128), gpt2(40, 5140, 40, head_dim=128)])
def test_gpt3_shapes_that_transformers_refuses(config: Config) -> None:
    built = build(config | {"n_positions": 2048})
    d_model, d_attn = config["n_embd"], config["n_head"] * 128
    assert built.source == "symflops reference"
    assert built.why is not None and "no head_dim" in built.why
    assert parameters(built.module)["transformer.h.0.attn.c_attn.weight"] == (d_model, 3 * d_attn)
    assert parameters(built.module)["transformer.h.0.attn.c_proj.weight"] == (d_attn, d_model)
    assert tuple(run_forward(built, token_inputs(built, 1, 2048)).shape) == (1, 2048, 50257)


def test_a_head_dim_that_transformers_would_ignore_goes_to_the_reference() -> None:
    assert build(gpt2(1, 64, 4, head_dim=32)).source == "symflops reference"
    assert build(gpt2(1, 64, 4, head_dim=16)).source.startswith("transformers")
    refused = build({"model_type": "llama", "hidden_size": 10, "num_attention_heads": 4, "head_dim": 6})
    assert refused.source == "symflops reference"
    assert refused.why is not None and "not a multiple" in refused.why and "\n" not in refused.why


def test_without_transformers_the_reference_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    built = build(gpt2(1, 16, 2))
    assert (built.source, built.why) == ("symflops reference", "transformers is not installed")
    assert flops(built, run_forward) > 0
    with pytest.raises(ConfigError, match="transformers is not installed"):
        build({"model_type": "mixtral"})


def test_another_family_is_built_from_its_config_class() -> None:
    config = {"model_type": "qwen3", "hidden_size": 32, "num_hidden_layers": 1, "torch_dtype": "bfloat16"}
    config |= {"intermediate_size": 8, "vocab_size": 11, "rope_parameters": {}}
    built = build(config, "sdpa", "fake")
    assert config["rope_parameters"] == {}, "the config given is left alone"
    assert built.source.startswith("transformers ") and built.source.endswith(", Qwen3ForCausalLM")
    assert {parameter.dtype for parameter in built.module.parameters()} == {torch.float32}
    assert flops(built, run_forward_backward) == 3 * flops(built, run_forward)


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        ({}, ConfigError, "needs a model_type"),
        ({"model_type": "lama"}, ConfigError, "did you mean 'llama'"),
        (gpt2(1, 10, 3), SizeError, "give head_dim"),
        (gpt2(0, 8, 3, head_dim=2), SizeError, "n_layer must be a positive integer"),
        ({"model_type": "llama", "num_attention_heads": 6, "num_key_value_heads": 4}, SizeError, "do not divide"),
        (gpt2(1, 8, 3, head_dim=2) | {"add_cross_attention": True}, ConfigError, "add_cross_attention"),
        (gpt2(1, 8, 3, head_dim=2) | {"activation_function": "geluu"}, UnknownName, "did you mean 'gelu'"),
    ],
)
def test_bad_configs_name_the_fault(config: Config, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        build(config)
    assert "\n" not in str(caught.value)


def test_bad_attention_device_and_lengths() -> None:
    with pytest.raises(ConfigError, match="attention"):
        build(gpt2(1, 8, 2), "flash")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="device"):
        build(gpt2(1, 8, 2), device="gpu7")
    for built in pair(gpt2(1, 8, 2, n_positions=16), "eager", "meta"):
        with pytest.raises(SizeError, match="table of 16"):
            token_inputs(built, 1, 17)
        with pytest.raises(SizeError, match="at least 1"):
            token_inputs(built, 0, 4)
        with pytest.raises(ConfigError, match="cache") if built.why else nullcontext():
            run_forward(built, token_inputs(built, 1, 4) | {"use_cache": True})
    rotary = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "max_position_embeddings": 4}
    assert token_inputs(build(rotary), 1, 17)["input_ids"].shape == (1, 17)


def test_what_was_replaced_is_restored_also_after_an_exception() -> None:
    from transformers import masking_utils, modeling_utils

    def state() -> tuple[object, ...]:
        replaced = modeling_utils.PreTrainedModel.initialize_weights, masking_utils.find_packed_sequence_indices
        return *replaced, dict(vars(nn.init)), torch.get_default_dtype(), type(torch.zeros(1))

    before = state()
    with pytest.raises(RuntimeError, match="within"), building.without_initialisers():
        assert state() != before
        raise RuntimeError("within")
    with pytest.raises(SizeError):
        build(gpt2(1, 10, 3), device="fake", dtype=torch.float64)
    with pytest.raises(AttributeError):
        run_forward(build(gpt2(1, 8, 2), device="fake"), {"input_ids": "text"})
    assert state() == before


def test_a_first_build_leaves_no_stand_ins_in_transformers() -> None:
    program = (
        "from symflops.tracing.models import build; import torch\n"
        "build({'model_type': 'gpt2', 'n_embd': 8, 'n_head': 2, 'n_layer': 1}, device='fake')\n"
        "from transformers.initialization import TORCH_INIT_FUNCTIONS as kept\n"
        "assert all(getattr(torch.nn.init, name) is function for name, function in kept.items())\n"
        "assert float(torch.nn.Linear(9, 9).weight.std()) > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_gradients_are_dropped_so_that_a_second_run_is_like_the_first() -> None:
    built = build(gpt2(1, 8, 2))
    assert products(built) == products(built)
    assert all(parameter.grad is None for parameter in built.module.parameters())
