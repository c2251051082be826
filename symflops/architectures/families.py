"""Families of architectures: where a config keeps each size, the layers in order, and where the code keeps them.

A family is data and a composition of layers. ``modules`` maps an operation's path in the network to its module's path
in transformers, with ``*`` for the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sympy import Add, Expr, Rational, floor

from symflops.architectures.fields import Config, Field
from symflops.errors import ConfigError
from symflops.layers.attention import fused_qkv, project, rotate, separate_qkv
from symflops.layers.embedding import LEARNED, ROTARY, de_embedding, embedding, rotary_angles
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS, Bias
from symflops.layers.norm import layer_norm, residual, rms_norm
from symflops.networks import Block, Tied
from symflops.notation import d_head, d_model, d_rope, n_head, n_kv_head, n_layer
from symflops.operations import Operation

Core = Callable[[Expr, Expr, Expr], Block]
"""The attention core from query heads, key-value heads and head size; the mask and implementation are chosen before."""


@dataclass(frozen=True)
class Family:
    """One kind of architecture: ``compose(config, core)`` is its network in symbols."""

    name: str
    citation: str
    sizes: Mapping[str, Field]
    compose: Callable[[Config, Core], Expr]
    modules: Mapping[str, str]
    divides: tuple[tuple[str, str], ...] = ()


def _bias(config: Config, field: str, absent: Bias) -> Bias:
    value = config.get(field)
    return absent if value is None else (BIAS if value else NO_BIAS)


def _head(config: Config, tied_by_default: bool) -> Expr:
    value = config.get("tie_word_embeddings")
    return Tied(de_embedding()) if (tied_by_default if value is None else value) else de_embedding()


def _layer(norm: Callable[[str], Operation], attention: list[Expr], feedforward: Expr) -> Expr:
    """A pre-norm layer; in parallel or in sequence, it is the same operations."""
    return Add(
        norm("norm_attention"), *attention, residual("add_attention"),
        norm("norm_feedforward"), feedforward, residual("add_feedforward"),
    )  # fmt: skip


def _gpt2(config: Config, core: Core) -> Expr:
    width = d_head if config.get("head_dim") else d_model / n_head
    attention = [fused_qkv("qkv", d_model, n_head, width, BIAS), core(n_head, n_head, width)]
    attention.append(project("project", n_head, width, d_model, BIAS))
    feedforward = plain_feedforward(config.get("activation_function") or "gelu_new", BIAS)
    layer = _layer(layer_norm, attention, feedforward)
    return Add(embedding(LEARNED), n_layer * layer, layer_norm("norm_final"), _head(config, True))


def _llama(config: Config, core: Core) -> Expr:
    attention_bias, mlp_bias = (_bias(config, field, NO_BIAS) for field in ("attention_bias", "mlp_bias"))
    attention = [
        separate_qkv(d_model, n_head, n_kv_head, d_head, attention_bias),
        Block("Attention: Rotary", Add(rotate("q", n_head, d_head), rotate("k", n_kv_head, d_head))),
        core(n_head, n_kv_head, d_head),
        project("project", n_head, d_head, d_model, attention_bias),
    ]
    layer = _layer(rms_norm, attention, gated_feedforward(config.get("hidden_act") or "silu", mlp_bias))
    ends = [embedding(ROTARY), rotary_angles(d_head), rms_norm("norm_final"), _head(config, False)]
    return Add(*ends, n_layer * layer)


def _gpt_neox(config: Config, core: Core) -> Expr:
    bias = _bias(config, "attention_bias", BIAS)
    width = d_model / n_head
    attention = [
        fused_qkv("qkv", d_model, n_head, width, bias),
        Block("Attention: Rotary", Add(*(rotate(name, n_head, d_rope) for name in "qk"))),
        core(n_head, n_head, width),
        project("project", n_head, width, d_model, bias),
    ]
    layer = _layer(layer_norm, attention, plain_feedforward(config.get("hidden_act") or "gelu", BIAS))
    ends = [embedding(ROTARY), rotary_angles(d_rope), layer_norm("norm_final"), _head(config, False)]
    return Add(*ends, n_layer * layer)


def _named(block: str, **modules: str) -> dict[str, str]:
    return {f"{block}/{operation}": module for operation, module in modules.items()}


def _rotated(config: Config) -> Expr:
    """The elements of a head that are rotated: a share of it, which versions of the config keep in different places."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kept = parameters.get("partial_rotary_factor") if isinstance(parameters, Mapping) else parameters
    share = next((each for each in (kept, config.get("rotary_pct")) if each is not None), 0.25)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigError(f"the rotated share of a head is {share!r}; it must be over 0 and at most 1")
    return floor(Rational(Fraction(share)) * d_model / n_head)


_HEADS = (("n_head", "d_model"),)
GPT2 = Family(
    name="gpt2",
    citation="Radford et al., Language Models are Unsupervised Multitask Learners, 2019; Brown et al. 2020 for GPT-3",
    sizes={
        "n_layer": Field("n_layer", 12),
        "d_model": Field("n_embd", 768),
        "n_head": Field("n_head", 12),
        "d_head": Field("head_dim", d_model / n_head),
        "d_ff": Field("n_inner", 4 * d_model),
        "n_vocab": Field("vocab_size", 50257),
        "n_ctx": Field("n_positions", 1024),
    },
    compose=_gpt2,
    modules={
        **_named("Embed", token="transformer.wte", position="transformer.wpe"),
        "norm_attention": "transformer.h.*.ln_1",
        **_named("Attention: QKV", qkv="transformer.h.*.attn.c_attn"),
        **_named("Attention: Mask", scores="transformer.h.*.attn", mix="transformer.h.*.attn"),
        **_named("Attention: Project", project="transformer.h.*.attn.c_proj"),
        "norm_feedforward": "transformer.h.*.ln_2",
        **_named("Feedforward", up="transformer.h.*.mlp.c_fc", down="transformer.h.*.mlp.c_proj"),
        "norm_final": "transformer.ln_f",
        **_named("De-embed", logits="lm_head"),
    },
)
_ATTN, _MLP = "model.layers.*.self_attn", "model.layers.*.mlp"
LLAMA = Family(
    name="llama",
    citation="Touvron et al., LLaMA, 2023, arXiv:2302.13971; Llama 2, arXiv:2307.09288; Llama 3, arXiv:2407.21783",
    sizes={
        "n_layer": Field("num_hidden_layers", 32),
        "d_model": Field("hidden_size", 4096),
        "n_head": Field("num_attention_heads", 32),
        "n_kv_head": Field("num_key_value_heads", n_head),
        "d_head": Field("head_dim", d_model / n_head),
        "d_ff": Field("intermediate_size", 11008),
        "n_vocab": Field("vocab_size", 32000),
        "n_ctx": Field("max_position_embeddings", 2048),
    },
    compose=_llama,
    modules={
        **_named("Embed", token="model.embed_tokens"),
        "norm_attention": "model.layers.*.input_layernorm",
        **_named("Attention: QKV", q=f"{_ATTN}.q_proj", k=f"{_ATTN}.k_proj", v=f"{_ATTN}.v_proj"),
        **_named("Attention: Mask", scores=_ATTN, mix=_ATTN),
        **_named("Attention: Project", project=f"{_ATTN}.o_proj"),
        "norm_feedforward": "model.layers.*.post_attention_layernorm",
        **_named("Feedforward", gate=f"{_MLP}.gate_proj", up=f"{_MLP}.up_proj", down=f"{_MLP}.down_proj"),
        "norm_final": "model.norm",
        **_named("De-embed", logits="lm_head"),
    },
    divides=(("n_kv_head", "n_head"),),
)
_NEOX = "gpt_neox.layers.*"
GPT_NEOX = Family(
    name="gpt_neox",
    citation="Black et al., GPT-NeoX-20B, 2022, arXiv:2204.06745; Biderman et al., Pythia, 2023, arXiv:2304.01373",
    sizes={
        "n_layer": Field("num_hidden_layers", 44),
        "d_model": Field("hidden_size", 6144),
        "n_head": Field("num_attention_heads", 64),
        "d_ff": Field("intermediate_size", 24576),
        "n_vocab": Field("vocab_size", 50432),
        "n_ctx": Field("max_position_embeddings", 2048),
        "d_rope": Field("rotary_dim", _rotated),
    },
    compose=_gpt_neox,
    modules={
        **_named("Embed", token="gpt_neox.embed_in"),
        "norm_attention": f"{_NEOX}.input_layernorm",
        **_named("Attention: QKV", qkv=f"{_NEOX}.attention.query_key_value"),
        **_named("Attention: Mask", scores=f"{_NEOX}.attention", mix=f"{_NEOX}.attention"),
        **_named("Attention: Project", project=f"{_NEOX}.attention.dense"),
        "norm_feedforward": f"{_NEOX}.post_attention_layernorm",
        **_named("Feedforward", up=f"{_NEOX}.mlp.dense_h_to_4h", down=f"{_NEOX}.mlp.dense_4h_to_h"),
        "norm_final": "gpt_neox.final_layer_norm",
        **_named("De-embed", logits="lm_head"),
    },
    divides=_HEADS,
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in (GPT2, LLAMA, GPT_NEOX)}
"""Every family, by the ``model_type`` of its configs."""
