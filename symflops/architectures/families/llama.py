"""Decoders in the line of Llama: rotary positions, grouped-query attention, a gated feed-forward layer.

One composition with its parts as arguments serves them all; a family says which parts it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sympy import Expr

from symflops.architectures import stacks
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, positive_integer
from symflops.architectures.runs import Run
from symflops.architectures.stacks import ONE, PRE, SANDWICH, fused_qkv, separate_qkv
from symflops.errors import ConfigError
from symflops.layers.attention import Heads
from symflops.layers.feedforward import fused_gated_feedforward, gated_feedforward
from symflops.layers.linear import BIAS, NO_BIAS, Bias
from symflops.layers.norm import (
    Norm,
    bare_norm,
    gain_norm,
    gains_of_heads,
    head_norm,
    layer_norm,
    rms_norm,
    unit_rms_norm,
)
from symflops.layers.softmax import Softmax, capped_logits, plain, with_cap
from symflops.layers.stream import Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block
from symflops.notation import d_rope, n_layer, n_vocab, symbol
from symflops.operations import Operation

NormOfHeads = Callable[[str, Expr, Expr, Stream], Expr]
"""A norm of queries or keys by name, heads, width of a head and stream."""
Feedforward = Callable[[Config, Run], Expr]

n_layer_sliding = symbol("n_layer_sliding")
GROUPS = (("n_kv_head", "n_head"),)
PLACES = """
    token            model.embed_tokens
    norm_attention   model.layers.*.input_layernorm
    q k v            model.layers.*.self_attn.{}_proj
    q_norm k_norm    model.layers.*.self_attn.{}
    scores mix       model.layers.*.self_attn
    project          model.layers.*.self_attn.o_proj
    norm_feedforward model.layers.*.post_attention_layernorm
    gate up down     model.layers.*.mlp.{}_proj
    norm_final       model.norm
    logits           lm_head
"""
"""Where the code of most of these families keeps things."""


def gated(config: Config, run: Run) -> Expr:
    """The gated feed-forward layer, with the config's activation."""
    act = config.get("hidden_activation") or config["hidden_act"]
    return gated_feedforward(act, stacks.bias(config, "mlp_bias"), stream=run.stream())


def each_head(norm: Norm) -> NormOfHeads:
    """A norm over each head, one gain for all heads."""
    return partial(head_norm, norm)


def all_heads(name: str, heads: Expr, width: Expr, stream: Stream) -> Operation:
    """An RMSNorm over the queries (or keys) of all heads together, as in OLMo 2."""
    return rms_norm(name, Stream(heads * width, stream.seq, stream.batch))


def llama_like(
    config: Config,
    run: Run,
    *,
    norm: Norm = rms_norm,
    norms: tuple[str, ...] = PRE,
    norm_of_heads: NormOfHeads | None = None,
    qkv: Bias = NO_BIAS,
    out: Bias = NO_BIAS,
    rotated: Expr | None = None,
    softmax: Softmax = plain,
    projections: Callable[..., Block] = separate_qkv,
    feedforward: Feedforward = gated,
) -> Expr:
    """A decoder with rotary positions on ``rotated`` elements of each head (None: all of it)."""
    return llama_stack(
        config,
        run,
        lambda mask: stacks.layer(
            run,
            norm,
            llama_attention(config, run, mask, norm_of_heads, qkv, out, rotated, softmax, projections),
            feedforward(config, run),
            norms,
        ),
        norm,
        rotated,
    )


def llama_attention(
    config: Config,
    run: Run,
    mask: AttendedPairs,
    norm_of_heads: NormOfHeads | None = None,
    qkv: Bias = NO_BIAS,
    out: Bias = NO_BIAS,
    rotated: Expr | None = None,
    softmax: Softmax = plain,
    projections: Callable[..., Block] = separate_qkv,
) -> Expr:
    """The attention of such a decoder; the config's own flag adds biases to all projections."""
    heads, everywhere = stacks.grouped(config), stacks.bias(config, "attention_bias")
    of_heads = norms_of_heads(norm_of_heads, heads, run) if norm_of_heads is not None else ()
    qkv, out = (BIAS if BIAS in (each, everywhere) else NO_BIAS for each in (qkv, out))
    softmax = with_cap if config.get("attn_logit_softcapping") else softmax
    turned = heads.d_head if rotated is None else rotated
    return stacks.attention(run, heads, mask, qkv, out, turned, softmax, of_heads, projections)


def norms_of_heads(norm: NormOfHeads, heads: Heads, run: Run) -> tuple[Expr, ...]:
    """The norms of queries and of keys."""
    counts = (("q_norm", heads.n_head), ("k_norm", heads.n_kv_head))
    return tuple(norm(name, count, heads.d_head, run.stream()) for name, count in counts)


def llama_stack(
    config: Config,
    run: Run,
    layer: Callable[[AttendedPairs], Expr],
    norm: Norm = rms_norm,
    rotated: Expr | None = None,
) -> Expr:
    """All layers, those that see everything before them and those that see a window, between embedding and logits."""
    layers = over_kinds(config, run, layer)
    turned = stacks.width(config) if rotated is None else rotated
    network = stacks.decoder(config, run, layers, norm, rotated=turned)
    return network + capped_logits(n_vocab, run.stream()) if config.get("final_logit_softcapping") else network


def over_kinds(config: Config, run: Run, layer: Callable[[AttendedPairs], Expr]) -> Expr:
    """The layers: those that see everything before them, and as many as the config says that see a window."""
    if config.get("sliding_window") is None or not config.get("use_sliding_window", True):
        return n_layer * layer(run.causal())
    return (n_layer - n_layer_sliding) * layer(run.causal()) + n_layer_sliding * layer(run.window())


def sliding(window: Callable[[int, Config], bool]) -> Mapping[str, Field]:
    """How many layers see a window: by the config's list or, where it has none, by the number of a layer."""

    def count(config: Config) -> int:
        layers = positive_integer("num_hidden_layers", config["num_hidden_layers"])
        listed = config.get("layer_types")
        if listed is None:
            return sum(window(number, config) for number in range(layers))
        known = [kind for kind in listed if kind in ("full_attention", "sliding_attention")]
        if len(listed) != layers or len(known) != layers:
            kinds = ", ".join(sorted({str(kind) for kind in listed}))
            raise ConfigError(
                f"layer_types lists {len(listed)} layers ({kinds}), and num_hidden_layers is {layers}; each is "
                "full_attention or sliding_attention"
            )
        return known.count("sliding_attention")

    return {"n_layer_sliding": Field("", count)}


def _cohere(config: Config, run: Run) -> Expr:
    of_heads = gains_of_heads if config["use_qk_norm"] else None
    return llama_like(config, run, norm=gain_norm, norms=ONE, norm_of_heads=of_heads)


def _norm_for_each_head(name: str, heads: Expr, width: Expr, stream: Stream) -> Expr:
    """As many LayerNorms as there are heads, each a module of its own."""
    return heads * gain_norm(name, Stream(width, stream.seq, stream.batch))


def _stablelm(config: Config, run: Run) -> Expr:
    of_heads = _norm_for_each_head if config["qk_layernorm"] else None
    norms, bias = ONE if config["use_parallel_residual"] else PRE, stacks.bias(config, "use_qkv_bias")
    return llama_like(config, run, norm=layer_norm, norms=norms, norm_of_heads=of_heads, qkv=bias, rotated=d_rope)


def _fused_gated(config: Config, run: Run) -> Expr:
    return fused_gated_feedforward(config["hidden_act"], NO_BIAS, stream=run.stream())


def _family(
    name: str, citation: str, places: str = "", fields: Mapping[str, Field] | None = None, **parts: Any
) -> Family:
    """A family that differs from Llama in some parts and places."""
    return Family(name, citation, partial(llama_like, **parts), places + PLACES, fields or {}, GROUPS)


_LATE = sliding(lambda number, config: number >= config["max_window_layers"])
LLAMA = _family(
    "llama", "Touvron et al., LLaMA, 2023, arXiv:2302.13971; Llama 2, arXiv:2307.09288; Llama 3, arXiv:2407.21783"
)
MISTRAL = _family(
    "mistral", "Jiang et al., Mistral 7B, 2023, arXiv:2310.06825", fields=sliding(lambda number, config: True)
)
QWEN2 = _family("qwen2", "Yang et al., Qwen2 Technical Report, 2024, arXiv:2407.10671", fields=_LATE, qkv=BIAS)
QWEN3 = _family(
    "qwen3",
    "Yang et al., Qwen3 Technical Report, 2025, arXiv:2505.09388",
    fields=_LATE,
    norm_of_heads=each_head(rms_norm),
)
GRANITE = _family("granite", "Granite Team, IBM, Granite 3.0 Language Models, 2024")
GEMMA = _family("gemma", "Gemma Team, Gemma, 2024, arXiv:2403.08295", norm=unit_rms_norm)
_SANDWICHED = """
    norm_after_attention   model.layers.*.post_attention_layernorm
    norm_feedforward       model.layers.*.pre_feedforward_layernorm
    norm_after_feedforward model.layers.*.post_feedforward_layernorm
"""
GEMMA2 = _family(
    "gemma2",
    "Gemma Team, Gemma 2, 2024, arXiv:2408.00118",
    _SANDWICHED,
    sliding(lambda number, config: number % 2 == 0),
    norm=unit_rms_norm,
    norms=SANDWICH,
)
GEMMA3 = _family(
    "gemma3_text",
    "Gemma Team, Gemma 3 Technical Report, 2025, arXiv:2503.19786",
    _SANDWICHED,
    sliding(lambda number, config: (number + 1) % (config.get("sliding_window_pattern") or 6) != 0),
    norm=unit_rms_norm,
    norms=SANDWICH,
    norm_of_heads=each_head(unit_rms_norm),
)
PHI3 = _family(
    "phi3",
    "Abdin et al., Phi-3 Technical Report, 2024, arXiv:2404.14219",
    """
    qkv     model.layers.*.self_attn.qkv_proj
    gate_up model.layers.*.mlp.gate_up_proj
    """,
    {**stacks.rope(1, "partial_rotary_factor"), **sliding(lambda number, config: True)},
    rotated=d_rope,
    projections=fused_qkv,
    feedforward=_fused_gated,
)
OLMO = _family("olmo", "Groeneveld et al., OLMo, 2024, arXiv:2402.00838", norm=bare_norm)
OLMO2 = _family(
    "olmo2",
    "OLMo Team, 2 OLMo 2 Furious, 2024, arXiv:2501.00656",
    """
    norm_attention   model.layers.*.post_attention_layernorm
    norm_feedforward model.layers.*.post_feedforward_layernorm
    """,
    norm_of_heads=all_heads,
)
COHERE = replace(LLAMA, name="cohere", citation="Cohere, Command R: model card, 2024", compose=_cohere)
STABLELM = replace(
    LLAMA,
    name="stablelm",
    citation="Bellagente et al., Stable LM 2 1.6B Technical Report, 2024, arXiv:2402.17834",
    compose=_stablelm,
    places="""
    q_norm model.layers.*.self_attn.q_layernorm.norms.*
    k_norm model.layers.*.self_attn.k_layernorm.norms.*
    """
    + PLACES,
    fields=stacks.rope(0.25, "partial_rotary_factor"),
)
FAMILIES = (
    LLAMA, MISTRAL, QWEN2, QWEN3, GRANITE, GEMMA, GEMMA2, GEMMA3, PHI3, OLMO, OLMO2, COHERE, STABLELM,
)  # fmt: skip
