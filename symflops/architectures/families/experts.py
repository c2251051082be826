"""Decoders in the line of Llama whose feed-forward layers are mixtures of experts."""

from __future__ import annotations

from functools import partial

from sympy import Add, Expr, S

from symflops.architectures import stacks
from symflops.architectures.families.llama import GROUPS, PLACES, all_heads, each_head, gated, llama_like, sliding
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, positive_integer
from symflops.architectures.runs import Run
from symflops.errors import ConfigError
from symflops.layers.experts import (
    Scoring,
    clamped_feedforward,
    gated_shared_expert,
    normalised,
    routed_experts,
    router,
    softmax_of_all,
    softmax_of_chosen,
)
from symflops.layers.feedforward import fused_gated_feedforward, gated_feedforward
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.layers.norm import rms_norm
from symflops.layers.softmax import with_sinks
from symflops.notation import d_expert, d_ff, d_shared, n_layer, n_layer_dense

EXPERTS = """
    router           model.layers.*.mlp.gate
    *Experts/gate_up model.layers.*.mlp.experts:gate_up_proj
    *Experts/down    model.layers.*.mlp.experts:down_proj
"""
"""Where the code of most of these families keeps routers and experts."""


def mixture(config: Config, run: Run, width: Expr = d_ff, steps: tuple[Scoring, ...] = (softmax_of_all,)) -> Expr:
    """A router and gated experts of a ``width``, whose weights are made to sum to one unless the config says not to."""
    stream = run.stream()
    last = (normalised,) if config.get("norm_topk_prob", True) else ()
    expert = fused_gated_feedforward(config["hidden_act"], NO_BIAS, width, stream)
    return Add(router((*steps, *last), NO_BIAS, stream), routed_experts(expert, stream))


MIXTRAL = Family(
    "mixtral",
    "Jiang et al., Mixtral of Experts, 2024, arXiv:2401.04088",
    partial(llama_like, feedforward=mixture),
    EXPERTS + PLACES,
    sliding(lambda number, config: True),
    GROUPS,
)


def _olmoe(config: Config, run: Run) -> Expr:
    if config["clip_qkv"] is not None:
        raise ConfigError(f"clip_qkv = {config['clip_qkv']} is not supported; use symflops trace")
    return llama_like(config, run, norm_of_heads=all_heads, feedforward=mixture)


OLMOE = Family(
    "olmoe",
    "Muennighoff et al., OLMoE: Open Mixture-of-Experts Language Models, 2024, arXiv:2409.02060",
    _olmoe,
    EXPERTS + PLACES,
    divides=GROUPS,
)


def _gpt_oss(config: Config, run: Run) -> Expr:
    return llama_like(config, run, softmax=with_sinks, feedforward=_clamped_mixture)


def _clamped_mixture(config: Config, run: Run) -> Expr:
    stream = run.stream()
    experts = routed_experts(clamped_feedforward(BIAS, d_ff, stream), stream)
    return Add(router((softmax_of_chosen,), BIAS, stream), experts)


GPT_OSS = Family(
    "gpt_oss",
    "OpenAI, gpt-oss-120b and gpt-oss-20b Model Card, 2025, arXiv:2508.10925",
    _gpt_oss,
    """
    *Mask/softmax    model.layers.*.self_attn:sinks
    router           model.layers.*.mlp.router
    *Experts/gate_up model.layers.*.mlp.experts:gate_up_proj,gate_up_proj_bias
    *Experts/down    model.layers.*.mlp.experts:down_proj,down_proj_bias
    """
    + PLACES,
    sliding(lambda number, config: number % 2 == 0),
    GROUPS,
)


def dense_layers(config: Config) -> int:
    """How many layers have no experts: those that a list names, and all but each ``decoder_sparse_step``-th.

    >>> dense_layers({"num_hidden_layers": 7, "decoder_sparse_step": 2, "mlp_only_layers": [0, 1, 9]})
    5

    Raises `ConfigError` for a list that is none, `SizeError` for a step that is no positive integer.
    """
    layers, step = (positive_integer(name, config[name]) for name in ("num_hidden_layers", "decoder_sparse_step"))
    listed = config["mlp_only_layers"] or []
    if not isinstance(listed, list | tuple) or not all(isinstance(each, int) for each in listed):
        raise ConfigError(f"mlp_only_layers is {listed!r}; it must be a list of numbers of layers")
    taken = {each for each in listed if 0 <= each < layers and (each + 1) % step == 0}
    return layers - layers // step + len(taken)


def _with_dense_layers(config: Config, run: Run, attention: Expr, sparse: Expr) -> Expr:
    """A stack without feed-forward layers and those that it lacks: some gated, the others with experts."""
    if dense_layers(config) == 0:
        return Add(attention, n_layer * sparse)
    return Add(attention, n_layer_dense * gated(config, run), (n_layer - n_layer_dense) * sparse)


def _nothing(config: Config, run: Run) -> Expr:
    return S.Zero


def _qwen2_moe(config: Config, run: Run) -> Expr:
    stack = llama_like(config, run, qkv=stacks.bias(config, "qkv_bias"), feedforward=_nothing)
    shared = gated_feedforward(config["hidden_act"], NO_BIAS, d_shared, run.stream())
    sparse = Add(mixture(config, run, d_expert), gated_shared_expert(shared, run.stream()))
    return _with_dense_layers(config, run, stack, sparse)


def _qwen3_moe(config: Config, run: Run) -> Expr:
    stack = llama_like(config, run, norm_of_heads=each_head(rms_norm), feedforward=_nothing)
    return _with_dense_layers(config, run, stack, mixture(config, run, d_expert))


_DENSE = {"n_layer_dense": Field("", dense_layers)}
QWEN2_MOE = Family(
    "qwen2_moe",
    "Qwen Team, Qwen1.5-MoE, 2024; Yang et al., Qwen2 Technical Report, 2024, arXiv:2407.10671",
    _qwen2_moe,
    """
    shared_gate  model.layers.*.mlp.shared_expert_gate
    *Shared/gate model.layers.*.mlp.shared_expert.{}_proj
    *Shared/up   model.layers.*.mlp.shared_expert.{}_proj
    *Shared/down model.layers.*.mlp.shared_expert.{}_proj
    """
    + EXPERTS
    + PLACES,
    {**_DENSE, **sliding(lambda number, config: number % 2 == 0 and number < config["max_window_layers"])},
    GROUPS,
)
QWEN3_MOE = Family(
    "qwen3_moe",
    "Yang et al., Qwen3 Technical Report, 2025, arXiv:2505.09388",
    _qwen3_moe,
    EXPERTS + PLACES,
    {**_DENSE, **sliding(lambda number, config: True)},
    GROUPS,
)

FAMILIES = (MIXTRAL, OLMOE, GPT_OSS, QWEN2_MOE, QWEN3_MOE)
