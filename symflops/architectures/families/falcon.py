"""Falcon, MPT and Phi: parallel layers, multi-query attention, and norms without biases."""

from __future__ import annotations

from sympy import Expr, Integer

from symflops.architectures import stacks
from symflops.architectures.families.llama import GROUPS, each_head, norms_of_heads
from symflops.architectures.family import Family
from symflops.architectures.fields import Config
from symflops.architectures.runs import Run
from symflops.architectures.stacks import ONE, PRE, fused_qkv
from symflops.layers.attention import Heads
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.layers.norm import gain_norm, layer_norm
from symflops.layers.softmax import plain, with_alibi
from symflops.notation import d_model, d_rope, n_head, n_kv_head, n_layer

_APART = ("norm_for_attention", "norm_for_feedforward")


def _falcon(config: Config, run: Run) -> Expr:
    bias, new = stacks.bias(config, "bias"), config["new_decoder_architecture"]
    shared = Integer(1) if config["multi_query"] else n_head
    heads = Heads(n_head, n_kv_head if new else shared, d_model / n_head)
    rotated = None if config["alibi"] else d_model / n_head
    softmax = with_alibi if config["alibi"] else plain
    attention = stacks.attention(run, heads, run.causal(), bias, bias, rotated, softmax, projections=fused_qkv)
    feedforward = plain_feedforward(config["activation"], bias, stream=run.stream())
    count = config.get("num_ln_in_parallel_attn") or (2 if new else 1)
    norms = (_APART if count == 2 else ONE) if config["parallel_attn"] or new else PRE
    layer = stacks.layer(run, layer_norm, attention, feedforward, norms)
    return stacks.decoder(config, run, n_layer * layer, layer_norm, rotated=rotated)


FALCON = Family(
    "falcon",
    "Almazrouei et al., The Falcon Series of Open Language Models, 2023, arXiv:2311.16867",
    _falcon,
    """
    token            transformer.word_embeddings
    norm_attention   transformer.h.*.input_layernorm
    qkv              transformer.h.*.self_attention.query_key_value
    scores mix       transformer.h.*.self_attention
    project          transformer.h.*.self_attention.dense
    norm_feedforward transformer.h.*.post_attention_layernorm
    norm_for_attention   transformer.h.*.ln_attn
    norm_for_feedforward transformer.h.*.ln_mlp
    up               transformer.h.*.mlp.dense_h_to_4h
    down             transformer.h.*.mlp.dense_4h_to_h
    norm_final       transformer.ln_f
    logits           lm_head
    """,
)


def _mpt(config: Config, run: Run) -> Expr:
    heads, hidden = Heads(n_head, n_head, d_model / n_head), 4 * d_model  # whatever the config's expansion_ratio says
    attention = stacks.attention(run, heads, run.causal(), softmax=with_alibi, projections=fused_qkv)
    layer = stacks.layer(run, gain_norm, attention, plain_feedforward("gelu", NO_BIAS, hidden, run.stream()))
    return stacks.decoder(config, run, n_layer * layer, gain_norm)


MPT = Family(
    "mpt",
    "MosaicML, Introducing MPT-7B: A New Standard for Open-Source, Commercially Usable LLMs, 2023",
    _mpt,
    """
    token            transformer.wte
    norm_attention   transformer.blocks.*.norm_1
    qkv              transformer.blocks.*.attn.Wqkv
    scores mix       transformer.blocks.*.attn
    project          transformer.blocks.*.attn.out_proj
    norm_feedforward transformer.blocks.*.norm_2
    up               transformer.blocks.*.ffn.up_proj
    down             transformer.blocks.*.ffn.down_proj
    norm_final       transformer.norm_f
    logits           lm_head
    """,
)


def _phi(config: Config, run: Run) -> Expr:
    heads, stream = stacks.grouped(config), run.stream()
    norms = norms_of_heads(each_head(layer_norm), heads, run) if config["qk_layernorm"] else ()
    attention = stacks.attention(run, heads, run.causal(), BIAS, BIAS, d_rope, norms=norms)
    layer = stacks.layer(run, layer_norm, attention, plain_feedforward(config["hidden_act"], BIAS, stream=stream), ONE)
    return stacks.decoder(config, run, n_layer * layer, layer_norm, rotated=d_rope, logits=BIAS)


PHI = Family(
    "phi",
    "Gunasekar et al., Textbooks Are All You Need, 2023, arXiv:2306.11644; Li et al., phi-1.5, arXiv:2309.05463",
    _phi,
    """
    token          model.embed_tokens
    norm_attention model.layers.*.input_layernorm
    q k v          model.layers.*.self_attn.{}_proj
    q_norm         model.layers.*.self_attn.q_layernorm
    k_norm         model.layers.*.self_attn.k_layernorm
    scores mix     model.layers.*.self_attn
    project        model.layers.*.self_attn.dense
    up             model.layers.*.mlp.fc1
    down           model.layers.*.mlp.fc2
    norm_final     model.final_layernorm
    logits         lm_head
    logits_bias    lm_head
    """,
    fields=stacks.rope(0.5, "partial_rotary_factor"),
    divides=GROUPS,
)

FAMILIES = (FALCON, MPT, PHI)
