"""What the fields of Hugging Face configs mean in the notation, as data: one table for all families, few exceptions.

Both sides read it: an architecture, to find the field that holds a size, and a trace of code, to know which size a
field is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sympy import Expr

from symflops import notation as n

Meanings = Mapping[str, Expr]

WIDTHS = frozenset(
    {
        "hidden_size",
        "n_embd",
        "d_model",
        "dim",
        "embed_dim",
        "word_embed_proj_dim",
        "hidden_dim",
        "model_dim",
        "pooler_output_size",
    }
)
"""Fields that hold the width of the residual stream."""
MAIN = frozenset({"hidden_size", "n_embd", "d_model", "dim", "max_position_embeddings", "num_hidden_layers", "n_layer"})
"""Of several fields with one meaning, those that say what the size is."""
HEADS = frozenset(
    {
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "attention_heads",
        "encoder_attention_heads",
        "decoder_attention_heads",
    }
)
OWN_HEAD_WIDTHS = frozenset(
    {"head_dim", "d_kv", "kv_channels", "d_head", "head_size", "attention_head_dim", "dim_head"}
)
"""Fields that give heads a width of their own, so that the model's width need not be a multiple of the heads."""
LAYERS = frozenset({"num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "depth"})


def _named(meaning: Expr, names: str) -> dict[str, Expr]:
    return dict.fromkeys(names.split(), meaning)


TABLE: Meanings = MappingProxyType(
    {
        **dict.fromkeys(WIDTHS, n.d_model),
        **dict.fromkeys(HEADS, n.n_head),
        **dict.fromkeys(OWN_HEAD_WIDTHS, n.d_head),
        **dict.fromkeys(LAYERS, n.n_layer),
        **_named(n.n_layer_decoder, "num_decoder_layers decoder_layers"),
        **_named(n.n_layer_dense, "first_k_dense_replace"),
        **_named(n.d_ff, "intermediate_size n_inner ffn_dim d_ff ffn_hidden_size ff_dim mlp_dim encoder_ffn_dim"),
        **_named(n.d_ff, "n_intermediate d_mlp"),
        **_named(n.d_ff_decoder, "decoder_ffn_dim"),
        **_named(n.n_kv_head, "num_key_value_heads num_kv_heads n_kv_head n_kv_heads multi_query_group_num"),
        **_named(n.d_rope, "rotary_dim qk_rope_head_dim d_rope"),
        **_named(n.d_nope, "qk_nope_head_dim d_nope"),
        **_named(n.d_value, "v_head_dim d_value"),
        **_named(n.r_q, "q_lora_rank r_q"),
        **_named(n.r_kv, "kv_lora_rank r_kv"),
        **_named(n.r_lora, "lora_rank lora_r r_lora"),
        **_named(n.n_vocab, "vocab_size n_vocab"),
        **_named(n.n_ctx, "max_position_embeddings n_positions n_ctx max_seq_len block_size context_length"),
        **_named(n.n_ctx, "max_target_positions max_sequence_length max_seq_length"),
        **_named(n.n_window, "sliding_window window_size n_window"),
        **_named(n.n_type, "type_vocab_size"),
        **_named(n.n_bucket, "relative_attention_num_buckets"),
        **_named(n.n_expert, "num_local_experts num_experts n_routed_experts moe_num_experts n_expert n_experts"),
        **_named(n.n_active, "num_experts_per_tok num_experts_per_token moe_k moe_topk n_active top_k_experts"),
        **_named(n.n_shared, "n_shared_experts num_shared_experts moe_num_shared_experts"),
        **_named(n.n_expert_group, "n_group"),
        **_named(n.n_active_group, "topk_group"),
        **_named(n.d_expert, "moe_intermediate_size expert_ffn_hidden_size d_expert"),
        **_named(n.d_shared, "shared_expert_intermediate_size shared_intermediate_size"),
        **_named(n.n_state, "state_size mamba_d_state ssm_state_size"),
        **_named(n.d_conv, "conv_kernel mamba_d_conv conv_L_cache d_conv"),
        **_named(n.n_chunk, "chunk_size mamba_chunk_size"),
        **_named(n.r_dt, "time_step_rank mamba_dt_rank"),
        **_named(n.n_ssm_head, "mamba_n_heads mamba_num_heads"),
        **_named(n.d_ssm_head, "mamba_d_head mamba_head_dim"),
        **_named(n.n_ssm_group, "n_groups mamba_n_groups"),
        **_named(n.d_patch, "patch_size"),
        **_named(n.d_patch * n.n_side, "image_size"),
        **_named(n.n_channel, "num_channels"),
        **_named(n.d_project, "projection_dim"),
        **_named(n.n_mel, "num_mel_bins"),
        **_named(n.n_source, "max_source_positions"),
    }
)
"""What a field of this name means, whatever the family."""

CONTEXTS: tuple[tuple[frozenset[str], Meanings], ...] = (
    # Latent attention: queries and keys are made of two parts, and `head_dim` is the rotated one. Keys and values are
    # expanded to all heads.
    (
        frozenset({"qk_rope_head_dim", "kv_lora_rank"}),
        {
            **_named(n.d_rope, "head_dim"),
            **_named(n.d_nope + n.d_rope, "qk_head_dim"),
            **_named(n.n_head, "num_key_value_heads"),
            **_named(n.d_model, "hidden_size"),
        },
    ),
    # Mamba: the hidden layer is the state space's, `expand` only says how it was computed.
    (frozenset({"state_size", "expand", "intermediate_size"}), _named(n.d_inner, "intermediate_size")),
    # Beside the model's width under another name, `hidden_dim` is the feed-forward's, as in DistilBERT.
    *((frozenset({"hidden_dim", width}), _named(n.d_ff, "hidden_dim")) for width in sorted(WIDTHS - {"hidden_dim"})),
    # Mamba-2: the heads' width and the model's are tied by `expand`.
    (frozenset({"expand", "num_heads", "head_dim"}), _named(n.n_head * n.d_head / n.d_model, "expand")),
)
"""Exceptions: where a config has all these fields, these meanings count instead."""
TOWERS = {"vision_config": "vision", "audio_config": "audio"}
"""Which parts of a config have sizes of their own, beside the text's."""
KINDS = {f"{kind}_attention": f"n_layer_{kind}" for kind in ("sliding", "chunked", "linear")} | {
    kind: f"n_layer_{kind}" for kind in ("local", "sparse", "conv", "recurrent", "attention", "hybrid")
}
"""Kinds of layers, as lists such as `layer_types` name them, and the size that counts them."""
REQUIRED = frozenset({"num_experts_per_tok", "num_key_value_heads"})
"""Fields that need a size also where a class's default is None; any other None stays, and the class decides."""


def meanings(fields: Mapping[str, Any], overrides: Meanings = MappingProxyType({}), tower: str = "") -> dict[str, Expr]:
    """The meaning of each field of a config that has one, in the order of the config.

    `tower` names the part of a model whose sizes are told apart by a suffix. Fields that hold no integer have none.

    >>> meanings({"n_embd": 768, "n_head": 12, "n_inner": None})
    {'n_embd': d_head*n_head, 'n_head': n_head}
    >>> meanings({"hidden_size": 768, "num_attention_heads": 12, "head_dim": 32}, tower="vision")["hidden_size"]
    d_model_vision
    """
    held = frozenset(name for name, value in fields.items() if is_size(name, value))
    table: dict[str, Expr] = dict(TABLE)
    if held & HEADS and not held & OWN_HEAD_WIDTHS:
        table |= dict.fromkeys(WIDTHS, n.n_head * n.d_head)
    for marks, exceptions in CONTEXTS:
        if marks <= held:
            table |= exceptions
    found = {name: _in_tower(table[name], tower) for name in fields if name in held and name in table}
    return found | {name: overrides[name] for name in fields if name in overrides}


def is_size(name: str, value: Any) -> bool:
    """Whether a field holds a size: a positive integer, or None where a class cannot do without."""
    return (
        (type(value) is int and value > 0)
        or (name == "first_k_dense_replace" and value == 0)
        or (value is None and name in REQUIRED)
    )


def _in_tower(meaning: Expr, tower: str) -> Expr:
    names = {symbol: f"{symbol.name}_{tower}" for symbol in meaning.free_symbols}
    return meaning.xreplace({symbol: n.symbol(name) for symbol, name in names.items() if name in n.TERMS})
