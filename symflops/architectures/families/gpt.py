"""Decoders in the line of GPT: LayerNorm with biases, a plain feed-forward layer, any kind of positions."""

from __future__ import annotations

from sympy import Expr

from symflops.architectures import stacks
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field
from symflops.architectures.runs import Run
from symflops.architectures.stacks import LEARNED, ONE, fused_qkv
from symflops.architectures.towers import without
from symflops.errors import ConfigError
from symflops.layers.attention import Heads
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS
from symflops.layers.norm import bare_norm, layer_norm
from symflops.layers.softmax import with_alibi
from symflops.networks import Block
from symflops.notation import d_model, d_rope, n_ctx, n_head, n_layer, symbol

n_layer_local = symbol("n_layer_local")


def _multi_head(config: Config) -> Heads:
    return Heads(n_head, n_head, stacks.width(config))


def _gpt2(config: Config, run: Run) -> Expr:
    without(config, "add_cross_attention")
    heads = _multi_head(config)
    if config.get("head_dim"):
        heads = Heads(n_head, n_head, symbol("d_head"))
    attention = stacks.attention(run, heads, run.causal(), BIAS, BIAS, projections=fused_qkv)
    feedforward = plain_feedforward(config["activation_function"], BIAS, stream=run.stream())
    return stacks.decoder(
        config, run, n_layer * stacks.layer(run, layer_norm, attention, feedforward), layer_norm, LEARNED
    )


GPT2 = Family(
    "gpt2",
    "Radford et al., Language Models are Unsupervised Multitask Learners, 2019; Brown et al. 2020 for GPT-3",
    _gpt2,
    """
    token            transformer.wte
    position         transformer.wpe
    norm_attention   transformer.h.*.ln_1
    qkv              transformer.h.*.attn.c_attn
    scores mix       transformer.h.*.attn
    project          transformer.h.*.attn.c_proj
    norm_feedforward transformer.h.*.ln_2
    up               transformer.h.*.mlp.c_fc
    down             transformer.h.*.mlp.c_proj
    norm_final       transformer.ln_f
    logits           lm_head
    """,
    fields={"d_head": Field("head_dim", d_model / n_head)},
)


def _gpt_neo(config: Config, run: Run) -> Expr:
    def layer(mask: Expr) -> Expr:
        attention = stacks.attention(run, _multi_head(config), mask, out=BIAS)
        feedforward = plain_feedforward(config["activation_function"], BIAS, stream=run.stream())
        return stacks.layer(run, layer_norm, attention, feedforward)

    layers = (n_layer - n_layer_local) * layer(run.causal()) + n_layer_local * layer(run.window())
    return stacks.decoder(config, run, layers, layer_norm, LEARNED)


def _local_layers(config: Config) -> int:
    """How many layers the pattern makes local; without one it is that of the config class, for 24 layers."""
    pattern, layers = config["attention_types"] or [[["global", "local"], 12]], config["num_layers"]
    kinds = [kind for kinds, times in pattern for _ in range(times) for kind in kinds]
    if len(kinds) != layers or not {"global", "local"} >= set(kinds):
        raise ConfigError(f"attention_types gives {len(kinds)} layers {sorted(set(kinds))}; num_layers is {layers}")
    return kinds.count("local")


GPT_NEO = Family(
    "gpt_neo",
    "Black et al., GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow, 2021",
    _gpt_neo,
    """
    token            transformer.wte
    position         transformer.wpe
    norm_attention   transformer.h.*.ln_1
    q k v            transformer.h.*.attn.attention.{}_proj
    scores mix       transformer.h.*.attn.attention
    project          transformer.h.*.attn.attention.out_proj
    norm_feedforward transformer.h.*.ln_2
    up               transformer.h.*.mlp.c_fc
    down             transformer.h.*.mlp.c_proj
    norm_final       transformer.ln_f
    logits           lm_head
    """,
    fields={"n_layer_local": Field("", _local_layers)},
)


def _gpt_neox(config: Config, run: Run) -> Expr:
    bias = stacks.bias(config, "attention_bias")
    attention = stacks.attention(
        run, _multi_head(config), run.causal(), bias, bias, rotated=d_rope, projections=fused_qkv
    )
    feedforward = plain_feedforward(config["hidden_act"], BIAS, stream=run.stream())
    layer = stacks.layer(run, layer_norm, attention, feedforward)
    return stacks.decoder(config, run, n_layer * layer, layer_norm, rotated=d_rope)


GPT_NEOX = Family(
    "gpt_neox",
    "Black et al., GPT-NeoX-20B, 2022, arXiv:2204.06745; Biderman et al., Pythia, 2023, arXiv:2304.01373",
    _gpt_neox,
    """
    token            gpt_neox.embed_in
    norm_attention   gpt_neox.layers.*.input_layernorm
    qkv              gpt_neox.layers.*.attention.query_key_value
    scores mix       gpt_neox.layers.*.attention
    project          gpt_neox.layers.*.attention.dense
    norm_feedforward gpt_neox.layers.*.post_attention_layernorm
    up               gpt_neox.layers.*.mlp.dense_h_to_4h
    down             gpt_neox.layers.*.mlp.dense_4h_to_h
    norm_final       gpt_neox.final_layer_norm
    logits           lm_head
    """,
    fields=stacks.rope(0.25, "rotary_pct"),
)


def _gptj(config: Config, run: Run) -> Expr:
    attention = stacks.attention(run, _multi_head(config), run.causal(), rotated=d_rope)
    feedforward = plain_feedforward(config["activation_function"], BIAS, stream=run.stream())
    layer = stacks.layer(run, layer_norm, attention, feedforward, ONE)
    return stacks.decoder(config, run, n_layer * layer, layer_norm, rotated=d_rope, logits=BIAS)


GPTJ = Family(
    "gptj",
    "Wang and Komatsuzaki, GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model, 2021",
    _gptj,
    """
    token          transformer.wte
    norm_attention transformer.h.*.ln_1
    q k v          transformer.h.*.attn.{}_proj
    scores mix     transformer.h.*.attn
    project        transformer.h.*.attn.out_proj
    up             transformer.h.*.mlp.fc_in
    down           transformer.h.*.mlp.fc_out
    norm_final     transformer.ln_f
    logits         lm_head
    logits_bias    lm_head
    """,
    fields={"d_rope": Field("rotary_dim", d_model / n_head)},
)


def _opt(config: Config, run: Run) -> Expr:
    bias, stream, outer = stacks.bias(config, "enable_bias"), run.stream(), config["word_embed_proj_dim"]
    norm = layer_norm if config["layer_norm_elementwise_affine"] else bare_norm
    attention = stacks.attention(run, _multi_head(config), run.causal(), bias, bias)
    feedforward = plain_feedforward(config["activation_function"], bias, stream=stream)
    layers = n_layer * stacks.layer(run, norm, attention, feedforward)
    if outer not in (None, config["hidden_size"]):
        raise ConfigError(f"word_embed_proj_dim = {outer} apart from hidden_size is not supported; use symflops trace")
    # The table of positions keeps two rows for itself.
    network = stacks.decoder(config, run, layers, norm, LEARNED, rows=n_ctx + 2)
    kept = config["do_layer_norm_before"] and not config.get("_remove_final_layer_norm")
    return network if kept else network - norm("norm_final", stream)


OPT = Family(
    "opt",
    "Zhang et al., OPT: Open Pre-trained Transformer Language Models, 2022, arXiv:2205.01068",
    _opt,
    """
    token            model.decoder.embed_tokens
    position         model.decoder.embed_positions
    norm_attention   model.decoder.layers.*.self_attn_layer_norm
    q k v            model.decoder.layers.*.self_attn.{}_proj
    scores mix       model.decoder.layers.*.self_attn
    project          model.decoder.layers.*.self_attn.out_proj
    norm_feedforward model.decoder.layers.*.final_layer_norm
    up               model.decoder.layers.*.fc1
    down             model.decoder.layers.*.fc2
    norm_final       model.decoder.final_layer_norm
    logits           lm_head
    """,
)


def _bloom(config: Config, run: Run) -> Expr:
    stream = run.stream()
    attention = stacks.attention(
        run, _multi_head(config), run.causal(), BIAS, BIAS, softmax=with_alibi, projections=fused_qkv
    )
    layer = stacks.layer(run, layer_norm, attention, plain_feedforward("gelu_new", BIAS, 4 * d_model, stream))
    first = Block("Embed", layer_norm("norm_embedding", stream))
    return first + stacks.decoder(config, run, n_layer * layer, layer_norm)


BLOOM = Family(
    "bloom",
    "BigScience Workshop, BLOOM: A 176B-Parameter Open-Access Multilingual Language Model, 2022, arXiv:2211.05100",
    _bloom,
    """
    token            transformer.word_embeddings
    norm_embedding   transformer.word_embeddings_layernorm
    norm_attention   transformer.h.*.input_layernorm
    qkv              transformer.h.*.self_attention.query_key_value
    scores mix       transformer.h.*.self_attention
    project          transformer.h.*.self_attention.dense
    norm_feedforward transformer.h.*.post_attention_layernorm
    up               transformer.h.*.mlp.dense_h_to_4h
    down             transformer.h.*.mlp.dense_4h_to_h
    norm_final       transformer.ln_f
    logits           lm_head
    """,
)

FAMILIES = (GPT2, GPT_NEO, GPT_NEOX, GPTJ, OPT, BLOOM)
