"""Mixtures of experts against real modules, published counts and loops, and every planted fault located."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Expr, S

from symflops import Architecture, SymflopsError, architecture
from symflops.architectures import presets
from symflops.architectures.families.experts import dense_layers
from symflops.layers.experts import (
    corrected,
    normalised,
    routed_experts,
    router,
    sigmoid_of_all,
    softmax_of_all,
    softmax_of_chosen,
)
from symflops.layers.feedforward import NO_BIAS, plain_feedforward
from symflops.layers.stream import Stream
from symflops.measures import active_params, flops, params, work
from symflops.networks import uses
from symflops.notation import d_nope, d_rope, n_active, n_expert
from symflops.operations import Operation

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from symflops.evidence import Report  # noqa: E402
from symflops.tracing.against import Line, against, opposite  # noqa: E402
from symflops.tracing.check import check_model  # noqa: E402
from symflops.tracing.models import build  # noqa: E402
from symflops.tracing.trace import trace  # noqa: E402

# Parameters that serve one token, as printed, and whether the token table is among them.
# arXiv:2401.04088, section 2; arXiv:2409.02060, abstract; Qwen1.5-MoE, 2024; arXiv:2407.10671, Table 1;
# arXiv:2505.09388, Table 2; arXiv:2508.10925, Table 1; arXiv:2405.04434, abstract; README_WEIGHTS.md of DeepSeek-V3.
PRINTED = {
    "mixtral-8x7b": ("12.9", 1, "with"), "mixtral-8x22b": ("39", 0, "with"), "olmoe-1b-7b": ("1.3", 1, "with"),
    "qwen1.5-moe-a2.7b": ("2.7", 1, "with"), "qwen2-57b-a14b": ("14", 0, "with"), "qwen3-235b-a22b": ("22", 0, "with"),
    "gpt-oss-20b": ("3.61", 2, "without"), "gpt-oss-120b": ("5.13", 2, "without"), "deepseek-v2": ("21", 0, "with"),
    "deepseek-v3": ("36.6", 1, "without"),
}  # fmt: skip
# Non-embedding parameters as printed: arXiv:2407.10671, Table 1 and the model cards of Qwen3.
NON_EMBEDDING = {"qwen2-57b-a14b": "56.3", "qwen3-30b-a3b": "29.9", "qwen3-235b-a22b": "233.8"}


@pytest.mark.parametrize("name", PRINTED)
def test_the_parameters_that_serve_a_token_are_those_that_are_published(name: str) -> None:
    model, (printed, digits, table) = architecture(name), PRINTED[name]
    without = 0 if table == "with" else model.sizes["n_vocab"] * model.sizes["d_model"]
    assert f"{(model.params('active') - without) / 1e9:.{digits}f}" == printed


@pytest.mark.parametrize("name", NON_EMBEDDING)
def test_the_parameters_without_embeddings_are_those_that_are_published(name: str) -> None:
    assert f"{architecture(name).params('non_embedding') / 1e9:.1f}" == NON_EMBEDDING[name]


MIXTURES = [name for name in presets() if "n_expert" in architecture(name).sizes]


@pytest.mark.parametrize("name", MIXTURES)
def test_active_parameters_are_all_but_those_of_the_experts_that_are_not_chosen(name: str) -> None:
    """Counted in the real module: the share n_active/n_expert of what the tensors of experts hold, and all the rest."""
    model = architecture(name)
    module = build(dict(model.config)).module
    owned = {path: parameter.numel() for path, parameter in module.named_parameters()}
    routed = sum(count for path, count in owned.items() if ".mlp.experts." in path)
    chosen = routed * model.sizes["n_active"] // model.sizes["n_expert"]
    assert model.params() == sum(owned.values())
    assert model.params("active") == sum(owned.values()) - routed + chosen


def test_the_corrections_of_deepseeks_routers_are_buffers_and_no_parameters() -> None:
    model = architecture("deepseek-v3")
    buffers = {path: tensor.numel() for path, tensor in build(dict(model.config)).module.named_buffers()}
    corrections = [count for path, count in buffers.items() if path.endswith("e_score_correction_bias")]
    assert corrections == [model.sizes["n_expert"]] * (model.sizes["n_layer"] - model.sizes["n_layer_dense"])


_SIZES = {
    "vocab_size": 41,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "intermediate_size": 20}
_QWEN = {**_GROUPED, "num_experts": 6, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 14}
_LATENT = {
    **_SIZES, "intermediate_size": 20, "moe_intermediate_size": 12, "n_routed_experts": 6, "n_shared_experts": 2,
    "num_key_value_heads": 4, "kv_lora_rank": 10, "q_lora_rank": 14, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6,
    "v_head_dim": 8, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "mixtral": {"model_type": "mixtral", **_GROUPED, "num_local_experts": 5},
    "mixtral, a window, wide heads": {
        "model_type": "mixtral", **_GROUPED, "num_experts": 5, "sliding_window": 3, "head_dim": 10,
    },
    "olmoe": {"model_type": "olmoe", **_GROUPED, "num_experts": 5, "attention_bias": True, "norm_topk_prob": True},
    "gpt_oss": {"model_type": "gpt_oss", **_GROUPED, "head_dim": 8, "num_local_experts": 5, "sliding_window": 3},
    "gpt_oss, no biases in attention": {
        "model_type": "gpt_oss", **_GROUPED, "head_dim": 8, "num_local_experts": 5, "attention_bias": False,
        "layer_types": ["full_attention"] * 3,
    },
    "qwen2_moe": {"model_type": "qwen2_moe", **_QWEN},
    "qwen2_moe, dense layers, windows": {
        "model_type": "qwen2_moe", **_QWEN, "num_hidden_layers": 5, "decoder_sparse_step": 2, "mlp_only_layers": [1],
        "qkv_bias": False, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 3,
    },
    "qwen3_moe": {"model_type": "qwen3_moe", **_QWEN, "head_dim": 10, "attention_bias": True},
    "qwen3_moe, dense only": {
        "model_type": "qwen3_moe", **_QWEN, "decoder_sparse_step": 9, "tie_word_embeddings": True,
    },
    "deepseek_v2": {"model_type": "deepseek_v2", **_LATENT},
    "deepseek_v2, biases": {"model_type": "deepseek_v2", **_LATENT, "attention_bias": True, "mlp_bias": True},
    "deepseek_v2, whole queries, no dense layer": {
        "model_type": "deepseek_v2", **_LATENT, "q_lora_rank": None, "first_k_dense_replace": 0,
        "topk_method": "group_limited_greedy",
    },
    "deepseek_v3": {"model_type": "deepseek_v3", **_LATENT},
    "deepseek_v3, dense only": {"model_type": "deepseek_v3", **_LATENT, "first_k_dense_replace": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_config_is_its_real_module_operation_by_operation(name: str) -> None:
    report = check_model(architecture(SMALL[name]), 2, 5)
    assert report.holds, report.text()
    assert "transformers" in report.module


def without(name: str) -> Callable[[Expr], Expr]:
    """A network without the operations of a name."""

    def dropped(network: Expr) -> Expr:
        found: Expr = network.replace(
            lambda each: isinstance(each, Operation) and each.name == name, lambda each: S.Zero
        )
        return found

    return dropped


def without_bias(name: str) -> Callable[[Expr], Expr]:
    """A network whose operations of a name add no bias."""

    def plain(network: Expr) -> Expr:
        found = [use.operation for use in uses(network) if use.operation.name == name]
        made = {op: op.func(op.name, str(op.args[1]).replace(" + bias[d_out]", ""), *op.args[2:]) for op in found}
        return network.xreplace(made)

    return plain


def exchanged(one: Expr, other: Expr) -> Callable[[Expr], Expr]:
    return lambda network: network.subs({one: other, other: one}, simultaneous=True)


_LAYER = "model.layers.*"
FAULTS: dict[str, tuple[str, Callable[[Expr], Expr], set[str]]] = {
    "n_active and n_expert exchanged": (
        "mixtral", exchanged(n_active, n_expert), {f"{_LAYER}.mlp.gate", f"{_LAYER}.mlp.experts"},
    ),
    "the shared expert's gate dropped": ("qwen2_moe", without("shared_gate"), {f"{_LAYER}.mlp.shared_expert_gate"}),
    "the router's bias missing": ("gpt_oss", without_bias("router"), {f"{_LAYER}.mlp.router"}),
    "an expert's bias missing": ("gpt_oss", without_bias("gate_up"), {f"{_LAYER}.mlp.experts"}),
    "d_nope and d_rope exchanged": (
        "deepseek_v3", exchanged(d_nope, d_rope),
        {f"{_LAYER}.self_attn.kv_a_proj_with_mqa", f"{_LAYER}.self_attn.kv_b_proj"},
    ),
}  # fmt: skip


def wrong(model: Architecture, change: Callable[[Expr], Expr]) -> Architecture:
    family = replace(model.family, compose=lambda config, run: change(model.family.compose(config, run)))
    return replace(model, family=family)


def modules_apart(report: Report) -> set[str]:
    """The modules whose tensors or work differ; a tensor's line is named by its path."""
    lines = [line for line in (*report.tensors, *report.operations) if not line.equal]
    return {line.where or line.name.rpartition(".")[0] for line in lines}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_mixture_is_refuted_where_it_is_wrong(fault: str) -> None:
    name, change, where = FAULTS[fault]
    report = check_model(wrong(architecture(SMALL[name]), change), 2, 5)
    assert not report.holds and report.evidence == "refuted"
    assert modules_apart(report) == where


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({SMALL[name]["model_type"] for name in SMALL}))
def test_a_family_is_equal_to_its_code_and_its_faults_are_located_for_all_sizes(family: str) -> None:
    found = trace(f"hf:{family}", certify=1)
    assert found.against(family).equal
    for name, change, where in FAULTS.values():
        if name == family:
            comparison = against(found, wrong(opposite(found, family), change))
            apart: list[Line] = [line for line in comparison.lines[4:] if not line.equal]
            assert {line.module for line in apart} == where


@pytest.mark.parametrize("routing", ["softmax", "softmax of the chosen", "sigmoid"])
def test_the_steps_of_a_router_are_those_of_a_loop(routing: str) -> None:
    """Additions, exponentials and divisions counted one by one, for each token."""
    tokens, experts, chosen, width = 6, 5, 3, 4
    steps = {
        "softmax": (softmax_of_all, normalised), "softmax of the chosen": (softmax_of_chosen,),
        "sigmoid": (sigmoid_of_all, corrected, normalised),
    }[routing]  # fmt: skip
    stream = Stream(S(width), S(2), S(3))
    found = work(router(steps, NO_BIAS, stream).subs({n_expert: experts, n_active: chosen}))
    counted = {"exp": 0, "add": 0, "div": 0, "mac": 0}
    for _ in range(tokens):
        counted["mac"] += sum(1 for _ in range(experts) for _ in range(width))
        if routing == "sigmoid":
            for _ in range(experts):
                counted["exp"], counted["add"], counted["div"] = (counted[kind] + 1 for kind in ("exp", "add", "div"))
                counted["add"] += 1  # the correction
        else:
            over = experts if routing == "softmax" else chosen
            counted["exp"] += over
            counted["add"] += over + (over - 1)  # the shift, and the sum
            counted["div"] += over
        if normalised in steps:
            counted["add"] += chosen - 1
            counted["div"] += chosen
    assert {kind: found[kind, "forward", "router"] for kind in counted} == counted


def test_the_work_of_experts_is_that_of_a_loop_over_the_chosen_ones() -> None:
    """Which expert a token is sent to changes nothing; each runs its two matmuls, and their results are weighed."""
    tokens, experts, chosen, width, hidden = 6, 5, 3, 4, 7
    stream = Stream(S(width), S(2), S(3))
    network = routed_experts(plain_feedforward("relu", NO_BIAS, S(hidden), stream), stream)
    network = network.subs({n_expert: experts, n_active: chosen})
    macs = products = additions = 0
    for _ in range(tokens):
        for place in range(chosen):
            macs += 2 * width * hidden
            products += width
            additions += width if place else 0
    assert flops(network, "torch").expr == 2 * macs
    assert flops(network, "torch", "backward").expr == 4 * macs
    found = work(network)
    assert found["mul", "forward", "residual"] == products and found["add", "forward", "residual"] == additions
    assert params(network) == 2 * experts * width * hidden
    assert active_params(network) == 2 * chosen * width * hidden


@given(
    layers=st.integers(1, 40),
    step=st.integers(1, 9),
    listed=st.none() | st.lists(st.integers(-3, 45), max_size=12),
)
def test_the_layers_without_experts_are_those_of_a_loop(layers: int, step: int, listed: list[int] | None) -> None:
    config = {"num_hidden_layers": layers, "decoder_sparse_step": step, "mlp_only_layers": listed}
    sparse = [number for number in range(layers) if number not in (listed or ()) and (number + 1) % step == 0]
    assert dense_layers(config) == layers - len(sparse)


def test_layers_without_experts_need_no_loop() -> None:
    assert dense_layers({"num_hidden_layers": 10**12, "decoder_sparse_step": 3, "mlp_only_layers": [2]}) == (
        10**12 - 10**12 // 3 + 1
    )


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "more chosen than there are": ("mixtral", {"num_experts_per_tok": 6}, "n_active = 6 is more than n_expert = 5"),
    "no experts": ("mixtral", {"num_local_experts": 0}, "n_expert is 0"),
    "half an expert": ("olmoe", {"num_experts_per_tok": 1.5}, "n_active is 1.5"),
    "no step": ("qwen2_moe", {"decoder_sparse_step": 0}, "decoder_sparse_step is 0"),
    "step is null": ("qwen2_moe", {"decoder_sparse_step": None}, "decoder_sparse_step is None"),
    "list is a number": ("qwen3_moe", {"mlp_only_layers": 3}, "mlp_only_layers is 3"),
    "list of lists": ("qwen3_moe", {"mlp_only_layers": [[1]]}, "mlp_only_layers is"),
    "layers are text": ("qwen3_moe", {"num_hidden_layers": "3"}, "num_hidden_layers is 3"),
    "clipped": ("olmoe", {"clip_qkv": 8.0}, "use symflops trace"),
    "more dense layers than layers": ("deepseek_v3", {"first_k_dense_replace": 4}, "n_layer_dense = 4 is more than"),
    "no shared experts": ("deepseek_v3", {"n_shared_experts": None}, "n_shared_experts"),
    "no latent": ("deepseek_v3", {"kv_lora_rank": None}, "kv_lora_rank"),
    "unknown activation": ("mixtral", {"hidden_act": "sparkle"}, "sparkle"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_is_refused_in_one_line_that_says_why(name: str) -> None:
    base, change, says = BAD[name]
    with pytest.raises(SymflopsError) as refusal:
        architecture({**SMALL[base], **change}).params()
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_other_sizes_of_a_preset() -> None:
    model = architecture("mixtral-8x7b")
    wide = model.with_sizes(n_expert=16)
    experts = 3 * math.prod(model.sizes[size] for size in ("d_model", "d_ff", "n_layer"))
    routers = model.sizes["d_model"] * model.sizes["n_layer"]
    assert wide.params() - model.params() == 8 * (experts + routers)
    assert wide.params("active") - model.params("active") == 8 * routers
    assert wide.flops(1, 8) - model.flops(1, 8) == replace(wide.flops(1, 8), expr=S(2 * 8 * 8 * routers))


@pytest.mark.parametrize("name", ["num_experts", "num_local_experts"])
def test_experts_by_either_name_of_the_field(name: str) -> None:
    for model_type in ("mixtral", "olmoe", "gpt_oss", "qwen3_moe"):
        model = architecture({"model_type": model_type, name: 24})
        assert model.sizes["n_expert"] == 24, model_type
        assert model.params() == architecture(transformers.CONFIG_MAPPING[model_type](**{name: 24})).params()
