"""What the fields of configs mean in the notation, as data: a table that holds for all families, and a few exceptions.

A field's meaning is an expression in notation symbols. It may depend on the fields beside it: `hidden_size` is
``n_head*d_head`` in a config whose heads divide it, and ``d_model`` where heads have a width of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sympy import Add, Expr, Integer, Mul, Pow, Rational, Symbol, fraction, together

from symflops import notation as n
from symflops.errors import SizeError
from symflops.notation import TERMS

Meanings = Mapping[str, Expr]

WIDTHS = frozenset(
    "hidden_size n_embd d_model dim embed_dim word_embed_proj_dim hidden_dim model_dim n_state_model".split()
)
"""Fields that hold the width of the residual stream."""
HEADS = frozenset(
    "num_attention_heads n_head n_heads num_heads attention_heads encoder_attention_heads decoder_attention_heads".split()
)
OWN_HEAD_WIDTHS = frozenset("head_dim d_kv kv_channels d_head head_size attention_head_dim dim_head".split())
"""Fields that give heads a width of their own, so that the model's width need not be a multiple of the heads."""
LAYERS = frozenset("num_hidden_layers n_layer n_layers num_layers encoder_layers depth".split())


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
        **_named(n.r_dt, "time_step_rank mamba_dt_rank"),
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
    # Mamba-2: the heads' width and the model's are tied by `expand`.
    (frozenset({"expand", "num_heads", "head_dim"}), _named(n.n_head * n.d_head / n.d_model, "expand")),
)
"""Exceptions: where a config has all these fields, these meanings count instead."""

REQUIRED = frozenset({"num_experts_per_tok"})
"""Fields that need a size also where a class's default is None; any other None stays, and the class decides."""
TOWERS = {"vision_config": "vision", "audio_config": "audio"}
"""Which parts of a config have sizes of their own, beside the text's."""
KINDS = {
    f"{kind}_attention": f"n_layer_{kind}" for kind in ("sliding", "chunked", "linear")
} | {kind: f"n_layer_{kind}" for kind in ("local", "sparse", "conv", "recurrent", "attention", "hybrid")}
"""Kinds of layers, as lists such as `layer_types` name them, and the size that counts them."""


def is_structural(name: str) -> bool:
    """Whether a size drives loops in code, and so must be a plain integer, never a symbolic one.

    >>> is_structural("n_layer_decoder"), is_structural("n_head")
    (True, False)
    """
    return name.startswith("n_layer") or name in {"n_expert", "n_active", "n_expert_group", "n_active_group"}


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
    return (type(value) is int and value > 0) or (name == "first_k_dense_replace" and value == 0) or (
        value is None and name in REQUIRED
    )


def _in_tower(meaning: Expr, tower: str) -> Expr:
    names = {symbol: f"{symbol.name}_{tower}" for symbol in meaning.free_symbols}
    return meaning.xreplace({symbol: n.symbol(name) for symbol, name in names.items() if name in TERMS})


def value_at(meaning: Expr, sizes: Mapping[str, Any]) -> Any:
    """The value of a meaning at sizes that may be symbolic integers of torch, by `+`, `*` and `//` alone.

    >>> value_at(n.n_head * n.d_head / n.d_model, {"n_head": 6, "d_head": 16, "d_model": 48})
    2

    Raises `SizeError` where a division leaves a rest.
    """
    above, below = fraction(together(meaning))
    if below == 1:
        return _whole(above, sizes)
    numerator, denominator = _whole(above, sizes), _whole(below, sizes)
    if type(numerator) is int and type(denominator) is int and numerator % denominator:
        raise SizeError(f"{meaning} is no whole number: {numerator} / {denominator}")
    return numerator // denominator


def _whole(node: Expr, sizes: Mapping[str, Any]) -> Any:
    if isinstance(node, Integer):
        return int(node)
    if isinstance(node, Symbol):
        return sizes[node.name]
    parts = [_whole(part, sizes) for part in node.args]
    result = parts[0]
    for part in parts[1:]:
        result = result + part if isinstance(node, Add) else result**part if isinstance(node, Pow) else result * part
    return result


def dimensions(meaning_of: Meanings) -> dict[str, str]:
    """Each symbol as an expression in fields: a field that holds it, or what the fields that use it say.

    >>> dimensions({"n_embd": n.n_head * n.d_head, "n_head": n.n_head})
    {'n_head': 'n_head', 'd_head': 'n_embd/n_head'}
    """
    solved: dict[Symbol, Expr] = {}
    for field, meaning in meaning_of.items():
        if isinstance(meaning, Symbol):
            solved.setdefault(meaning, Symbol(field))
    for field, meaning in meaning_of.items():
        unknown = _unknown(meaning, solved)
        if len(unknown) == 1:
            (symbol,) = unknown
            rest = meaning.subs(symbol, 0)
            slope = (meaning - rest).subs(symbol, 1)
            solved[symbol] = (Symbol(field) - rest.xreplace(solved)) / slope.xreplace(solved)
    return {symbol.name: str(expression) for symbol, expression in solved.items()}


def _unknown(meaning: Expr, solved: Iterable[Symbol]) -> set[Symbol]:
    return set(meaning.free_symbols) - set(solved)


HINTS: Mapping[str, int] = MappingProxyType(
    {
        "n_layer": 2, "n_layer_decoder": 3, "n_layer_dense": 1, "n_layer_vision": 3, "n_layer_audio": 3,
        "d_model": 48, "n_head": 6, "n_kv_head": 3, "d_head": 16, "d_ff": 88, "d_ff_decoder": 72, "n_vocab": 101,
        "n_ctx": 64, "n_window": 40, "d_rope": 6, "d_nope": 10, "d_value": 14, "r_q": 20, "r_kv": 12, "n_type": 2,
        "n_bucket": 10, "n_expert": 8, "n_active": 3, "n_shared": 2, "n_expert_group": 2, "n_active_group": 1,
        "d_expert": 56, "d_shared": 104, "n_state": 7, "d_conv": 4, "d_inner": 80, "r_dt": 9, "n_ssm_group": 2,
        "d_patch": 4, "n_side": 5, "n_channel": 3, "d_project": 34, "n_mel": 18, "n_source": 11,
        "d_model_vision": 52, "n_head_vision": 4, "n_kv_head_vision": 2, "d_head_vision": 18, "d_ff_vision": 68,
        "d_model_audio": 60, "n_head_audio": 5, "n_kv_head_audio": 5, "d_head_audio": 22, "d_ff_audio": 76,
        "n_batch": 5, "n_seq": 13, "n_target": 13,
    }
)  # fmt: skip
"""Small sizes at which every family runs: distinct where they can be, even or divisible where code wants it.

A head is 16 wide so that a quarter of it is even; an expert's width is a multiple of 8, as grouped products ask for.
"""


def hint(name: str) -> int:
    """The small size that stands for a symbol; one for a kind of layer."""
    return HINTS[name] if name in HINTS else 1


def divides(name: str, sizes: Mapping[str, int]) -> int:
    """What a size must be a multiple of for a model to exist at the other sizes: the step to vary it by.

    >>> divides("n_head", {"n_head": 6, "n_kv_head": 3}), divides("d_head", {})
    (3, 8)
    """
    partners = {
        "n_head": ("n_kv_head", "n_ssm_group"), "n_head_vision": ("n_kv_head_vision",), "n_expert": ("n_expert_group",)
    }  # fmt: skip
    step = STEPS.get(name, 1)
    for partner in partners.get(name, ()):
        step *= sizes.get(partner, 1)
    return step


STEPS: Mapping[str, int] = MappingProxyType(
    {"d_head": 8, "d_rope": 2, "d_nope": 2, "d_expert": 8, "d_ff": 8, "d_model": 8, "n_bucket": 2}
)
"""Steps by which code wants a size to vary: rotary halves and quarters, and rows of 16 bytes in a grouped product."""
_ = (Mul, Rational)
