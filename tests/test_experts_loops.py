"""Experts against loops: routers, the chosen ones, layers without experts; configs that are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import S

from symflops import SymflopsError, architecture
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
from symflops.notation import n_active, n_expert

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from small_mixtures import SMALL  # noqa: E402


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
