"""Architectures against published counts, transformers' own defaults, and transformers' own modules."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from family_configs import SMALL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import configs
from sympy import Expr

from symflops import Architecture, SymflopsError, architecture
from symflops.architectures import FAMILIES, presets
from symflops.architectures.architecture import Attention
from symflops.architectures.fields import DEFAULTS, defaults
from symflops.networks import Tied, uses
from symflops.notation import d_ff, d_model, n_head, n_kv_head

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from symflops.tracing.check import Report, check_model  # noqa: E402
from symflops.tracing.models import build  # noqa: E402

CLASSES = {"gpt2": "GPT2Config", "llama": "LlamaConfig", "gpt_neox": "GPTNeoXConfig"}

# Elements of the released tensors, as the safetensors metadata of each checkpoint gives them.
RELEASED = {
    "gpt2-medium": 354823168, "gpt2-xl": 1557611200, "llama3-70b": 70553706496, "llama3.2-1b": 1235814400,
    "gpt-neox-20b": 20554567680, "pythia-160m": 162322944, "pythia-1b": 1011781632, "pythia-2.8b": 2775208960,
    "pythia-12b": 11846072320,
}  # fmt: skip
# Llama 2's files also hold each layer's rotary frequencies, d_head/2 values that are no parameters.
LLAMA2_TENSORS = {"llama2-7b": 6738417664, "llama2-70b": 68976653312}
# Biderman et al. 2023, arXiv:2304.01373, Table 1: non-embedding parameters.
PYTHIA = {
    "pythia-70m": 18915328, "pythia-160m": 85056000, "pythia-410m": 302311424, "pythia-1b": 805736448,
    "pythia-1.4b": 1208602624, "pythia-2.8b": 2517652480, "pythia-6.9b": 6444163072, "pythia-12b": 11327027200,
}  # fmt: skip


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_of_released_models(name: str) -> None:
    assert architecture(name).params() == RELEASED[name]


@pytest.mark.parametrize("name", LLAMA2_TENSORS)
def test_llama_2_files_hold_rotary_buffers_besides_the_parameters(name: str) -> None:
    model = architecture(name)
    buffers = model.sizes["n_layer"] * model.sizes["d_head"] // 2
    assert model.params() + buffers == LLAMA2_TENSORS[name]


@pytest.mark.parametrize("name", PYTHIA)
def test_non_embedding_parameters_of_pythia(name: str) -> None:
    assert architecture(name).params("non_embedding") == PYTHIA[name]


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_the_number_of_parameters_of_the_real_module(name: str) -> None:
    model, entry = architecture(name), presets()[name]
    assert all(model.params(which) == entry[key] for key, which in _PUBLISHED.items() if key in entry)
    built = build(dict(model.config))
    # transformers' GPT-2 has no head size of its own: a reference module stands in for it.
    assert ("transformers" in built.source) == (name not in ("gpt3-xl", "gpt3-13b"))
    assert model.params() == sum(parameter.numel() for parameter in built.module.parameters())


_PUBLISHED: dict[str, Any] = {"params": "all", "non_embedding": "non_embedding"}


def sizes_in(config: Any) -> dict[str, int]:
    """The sizes of transformers' config object, read here a second time."""
    width, heads = config.hidden_size, config.num_attention_heads
    found = {"n_layer": config.num_hidden_layers, "d_model": width, "n_head": heads, "n_vocab": config.vocab_size}
    found["n_ctx"] = config.max_position_embeddings
    if config.model_type == "gpt2":
        return {**found, "d_head": width // heads, "d_ff": 4 * width if config.n_inner is None else config.n_inner}
    found["d_ff"] = config.intermediate_size
    if config.model_type == "llama":
        return {**found, "n_kv_head": config.num_key_value_heads, "d_head": config.head_dim}
    share = config.rope_parameters["partial_rotary_factor"]
    return {**found, "d_head": width // heads, "d_rope": int(width // heads * share)}


@settings(deadline=None, max_examples=60)
@given(configs, st.data())
def test_absent_and_null_fields_mean_what_they_mean_to_transformers(config: dict[str, Any], data: Any) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(config)))) | {"model_type"}
    partial = {field: value for field, value in config.items() if field in kept}
    for wide in ("n_embd", "n_head", "hidden_size", "num_attention_heads", "num_key_value_heads"):
        if wide in config:  # a width and its heads belong together
            partial[wide] = config[wide]
    real = getattr(transformers, CLASSES[config["model_type"]])(**partial)
    model = architecture(partial)
    assert model.sizes == sizes_in(real)
    head = next(iter(use for use in uses(model.network) if use.operation.name == "logits"))
    assert (head.copies == 0) == bool(real.tie_word_embeddings)


@pytest.mark.parametrize("family", CLASSES)
def test_a_bare_model_type_is_transformers_default_model(family: str) -> None:
    real = getattr(transformers, CLASSES[family])()
    assert architecture({"model_type": family}).sizes == sizes_in(real)
    same = [architecture(each) for each in (real, real.to_dict(), {"model_type": family})]
    assert len({(model.params(), int(model.flops(2, 3, "all-operations", "training"))) for model in same}) == 1


ROPE = {"rope_type": "default", "rope_theta": 1e4}


@pytest.mark.parametrize(
    "rotary",
    [
        {}, {"rotary_pct": 0.5}, {"rotary_pct": 1.0}, {"rope_parameters": None},
        {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}, {"rope_parameters": ROPE},
        {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}, "rotary_pct": 1.0},
        {"rope_parameters": ROPE, "rotary_pct": 1.0},
        {"partial_rotary_factor": 0.5}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rotary_pct": 0.5},
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}},
    ],
    ids=str,
)  # fmt: skip
def test_the_share_of_a_head_that_is_rotated(rotary: dict[str, Any]) -> None:
    real = transformers.GPTNeoXConfig(**copy.deepcopy(rotary))
    assert architecture({"model_type": "gpt_neox", **rotary}).sizes["d_rope"] == sizes_in(real)["d_rope"]


def test_name_dict_file_folder_and_object_are_one_model(tmp_path: Path) -> None:
    config = dict(presets()["llama3.2-1b"]["config"])
    (tmp_path / "config.json").write_text(json.dumps(config))
    given: list[Any] = ["llama3.2-1b", "Llama3.2 1B", config, tmp_path, str(tmp_path / "config.json")]
    models = [architecture(each) for each in [*given, transformers.LlamaConfig(**config)]]
    assert len({model.params() for model in models}) == 1 == len({model.network for model in models})
    for model in (pickle.loads(pickle.dumps(models[0])), copy.deepcopy(models[0])):
        assert model.params() == models[0].params() and model.sizes == models[0].sizes


@settings(deadline=None, max_examples=14, suppress_health_check=[HealthCheck.too_slow])
@given(configs, st.sampled_from(["eager", "flash"]), st.sampled_from([1, 3]), st.sampled_from([1, 5, 13]))
def test_any_config_is_its_real_module(config: dict[str, Any], attention: Attention, n_batch: int, n_seq: int) -> None:
    report = check_model(architecture(config, attention), n_batch, n_seq)
    assert report.holds, report.text()
    assert "transformers" in report.module


def wrong(model: Architecture, change: Callable[[Expr], Expr]) -> Architecture:
    family = replace(model.family, compose=lambda config, core: change(model.family.compose(config, core)))
    return replace(model, family=family)


def without_bias(network: Expr) -> Expr:
    def plain(op: Any) -> Any:
        return op.func(op.name, str(op.args[1]).replace(" + bias[d_out]", ""), *op.args[2:])

    found = [use.operation for use in uses(network) if use.operation.name == "up"]
    return network.xreplace({op: plain(op) for op in found})


FAULTS: dict[str, tuple[str, Callable[[Expr], Expr], str]] = {
    "bias dropped": ("gpt2", without_bias, "transformer.h.*.mlp.c_fc.bias"),
    "heads exchanged": (
        "llama", lambda net: net.subs({n_head: n_kv_head, n_kv_head: n_head}, simultaneous=True), "self_attn.q_proj",
    ),
    "head not tied": (
        "gpt2", lambda net: net.replace(lambda each: isinstance(each, Tied), lambda each: each.body), "lm_head.weight",
    ),
    "d_ff one more": ("llama", lambda net: net.subs(d_ff, d_ff + 1), "mlp.gate_proj"),
    "width for d_ff": ("llama", lambda net: net.subs(d_ff, d_model), "mlp.up_proj"),
}  # fmt: skip


def differing(report: Report) -> str:
    return " ".join(f"{line.name} {line.where}" for line in report.lines if not line.equal)


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_network_is_refuted_where_it_is_wrong(name: str) -> None:
    family, change, where = FAULTS[name]
    model = architecture(SMALL[family])
    assert check_model(model, 3, 5).holds
    report = check_model(wrong(model, change), 3, 5)
    assert not report.holds and report.evidence == "refuted"
    assert where in differing(report), differing(report)


def test_eager_attention_against_a_fused_kernel_is_refuted() -> None:
    eager, flash = architecture(SMALL["gpt2"]), architecture(SMALL["gpt2"], "flash")
    report = check_model(replace(flash, family=wrong(flash, lambda net: eager.network).family), 3, 5)
    assert not report.holds and "backward" in differing(report) and "forward" not in differing(report)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fields_of_a_family_and_their_defaults_are_those_of_its_config_class(family: str) -> None:
    made_with = json.loads(DEFAULTS.read_text(encoding="utf-8"))["transformers"]
    if made_with != transformers.__version__:
        pytest.skip(f"the record of defaults is transformers {made_with}'s, and here is {transformers.__version__}")
    path = Path(__file__).parent.parent / "benchmarks" / "config_defaults.py"
    specification = importlib.util.spec_from_file_location("config_defaults", path)
    assert specification is not None and specification.loader is not None
    reader = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(reader)
    assert json.loads(json.dumps(reader.entry(family))) == defaults()[family]


NOT_SAID: dict[str, dict[str, int]] = {"deepseek_v2": {"num_experts_per_tok": 6}}
"""What the class's default is null for and no module can do without."""


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_leaves_out_means_what_its_class_makes_of_it(family: str) -> None:
    """Sizes from a config without fields, and from all the fields that the class has computed of none."""
    said = NOT_SAID.get(family, {})
    bare, whole = (
        architecture({"model_type": family, **said}),
        architecture(transformers.CONFIG_MAPPING[family](**said)),
    )
    assert bare.sizes == whole.sizes and bare.network == whole.network


@pytest.mark.parametrize("family", NOT_SAID)
def test_what_no_default_says_is_asked_for(family: str) -> None:
    for field in NOT_SAID[family]:
        with pytest.raises(SymflopsError, match=field):
            architecture({"model_type": family})
