"""Every symbol of symflops, made here and nowhere else.

A symbol made twice with other assumptions prints the same and does not cancel, so there is one factory. Names follow
Kaplan et al. 2020 (arXiv:2001.08361) in ASCII; each carries its LaTeX, its meaning, its unit and what others call it.

>>> from symflops.notation import d_model, symbol
>>> symbol("d_model") is d_model
True
>>> TERMS["n_seq"].meaning
'tokens in a sequence'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from sympy import Symbol

from symflops.errors import UnknownName


@cache
def _made(name: str) -> Symbol:
    """One object for each name, whatever sympy forgets."""
    return Symbol(name, positive=True, integer=True)


@dataclass(frozen=True)
class Term:
    """One size of the notation: its LaTeX, meaning, unit, and the names others give it, by source."""

    name: str
    latex: str
    meaning: str
    unit: str
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def symbol(self) -> Symbol:
        """The sympy symbol: a positive integer."""
        return _made(self.name)


def _sub(letter: str, subscript: str) -> str:
    return rf"{letter}_{{\mathrm{{{subscript}}}}}"


_TERMS = (
    Term(
        "n_layer",
        _sub("n", "layer"),
        "transformer layers",
        "layers",
        {"hf": "num_hidden_layers", "megatron": "l", "palm": "L", "chinchilla": "num_layers", "jax": "L"},
    ),
    Term(
        "d_model",
        _sub("d", "model"),
        "width of the residual stream",
        "elements",
        {"hf": "hidden_size", "megatron": "h", "palm": "d_model", "chinchilla": "d_model", "jax": "D"},
    ),
    Term(
        "d_attn",
        _sub("d", "attn"),
        "width of the attention output, all heads together",
        "elements",
        {"chinchilla": "key_size*num_heads", "jax": "N*H"},
    ),
    Term(
        "d_ff",
        _sub("d", "ff"),
        "width of the feed-forward hidden layer",
        "elements",
        {"hf": "intermediate_size", "megatron": "4h", "chinchilla": "ffw_size", "jax": "F"},
    ),
    Term(
        "n_vocab",
        _sub("n", "vocab"),
        "tokens in the vocabulary",
        "tokens",
        {"hf": "vocab_size", "megatron": "V", "chinchilla": "vocab_size", "jax": "V"},
    ),
    Term(
        "n_ctx",
        _sub("n", "ctx"),
        "positions of the context",
        "tokens",
        {"hf": "max_position_embeddings", "megatron": "s", "kaplan": "n_ctx"},
    ),
    Term(
        "n_head",
        _sub("n", "head"),
        "query heads",
        "heads",
        {"hf": "num_attention_heads", "megatron": "a", "palm": "H", "chinchilla": "num_heads", "jax": "N"},
    ),
    Term("n_kv_head", _sub("n", "kv"), "key and value heads", "heads", {"hf": "num_key_value_heads", "jax": "K"}),
    Term(
        "d_head",
        _sub("d", "head"),
        "width of one head",
        "elements",
        {"hf": "head_dim", "palm": "Q", "chinchilla": "key_size", "jax": "H"},
    ),
    Term(
        "d_rope",
        _sub("d", "rope"),
        "elements of a head that are rotated",
        "elements",
        {"hf": "rotary_dim or partial_rotary_factor*head_dim"},
    ),
    Term("n_batch", _sub("n", "batch"), "sequences in a batch", "sequences", {"megatron": "B", "jax": "B"}),
    Term(
        "n_seq",
        _sub("n", "seq"),
        "tokens in a sequence",
        "tokens",
        {"megatron": "s", "palm": "T", "chinchilla": "seq_len", "jax": "T"},
    ),
    Term("n_query", _sub("n", "query"), "query positions of an attention", "tokens", {"jax": "T"}),
    Term("n_key", _sub("n", "key"), "key positions of an attention", "tokens", {"jax": "S"}),
    Term("n_past", _sub("n", "past"), "tokens in a cache", "tokens"),
    Term("n_new", _sub("n", "new"), "tokens that are generated after a prompt", "tokens"),
    Term("n_window", _sub("n", "window"), "keys a sliding window reaches back", "tokens", {"hf": "sliding_window"}),
    Term("n_prefix", _sub("n", "prefix"), "leading keys that every query may attend to", "tokens"),
    Term("n_expert", _sub("n", "expert"), "routed experts of a layer", "experts", {"hf": "num_local_experts"}),
    Term("n_active", _sub("n", "active"), "experts a token is routed to", "experts", {"hf": "num_experts_per_tok"}),
    Term("n_routed", _sub("n", "routed"), "tokens that one expert takes, where data decides", "tokens"),
    Term("n_shared", _sub("n", "shared"), "experts that every token passes", "experts", {"hf": "n_shared_experts"}),
    Term(
        "d_expert",
        _sub("d", "expert"),
        "width of one expert's hidden layer",
        "elements",
        {"hf": "moe_intermediate_size"},
    ),
    Term(
        "d_shared",
        _sub("d", "shared"),
        "width of the shared expert's hidden layer",
        "elements",
        {"hf": "shared_expert_intermediate_size"},
    ),
    Term("n_expert_group", _sub("n", "group"), "groups the experts are routed in", "groups", {"hf": "n_group"}),
    Term(
        "n_active_group",
        _sub("n", "active group"),
        "groups of experts a token is routed to",
        "groups",
        {"hf": "topk_group"},
    ),
    Term(
        "d_nope", _sub("d", "nope"), "elements of a head that are not rotated", "elements", {"hf": "qk_nope_head_dim"}
    ),
    Term("d_value", _sub("d", "value"), "width of one head's values", "elements", {"hf": "v_head_dim"}),
    Term("r_q", _sub("r", "q"), "rank of the compressed queries", "elements", {"hf": "q_lora_rank"}),
    Term("r_kv", _sub("r", "kv"), "rank of the compressed keys and values", "elements", {"hf": "kv_lora_rank"}),
    Term("r_lora", _sub("r", "lora"), "rank of a low-rank adapter", "elements", {"hf": "LoraConfig.r"}),
    Term(
        "n_state", _sub("n", "state"), "states of each channel of a state space model", "elements", {"hf": "state_size"}
    ),
    Term("n_chunk", _sub("n", "chunk"), "tokens in a chunk of a scan", "tokens", {"hf": "chunk_size"}),
    Term("d_conv", _sub("d", "conv"), "taps of a causal convolution", "tokens", {"hf": "conv_kernel"}),
    Term("d_inner", _sub("d", "inner"), "channels of a state space model", "elements", {"hf": "expand*hidden_size"}),
    Term("r_dt", _sub("r", "dt"), "rank of the time steps", "elements", {"hf": "time_step_rank"}),
    Term(
        "n_ssm_head",
        _sub("n", "ssm head"),
        "heads of a state space layer",
        "heads",
        {"hf": "mamba_n_heads"},
    ),
    Term("d_ssm_head", _sub("d", "ssm head"), "width of one such head", "elements", {"hf": "mamba_d_head"}),
    Term("n_ssm_group", _sub("n", "ssm group"), "groups that share their states' inputs", "groups", {"hf": "n_groups"}),
    Term("d_patch", _sub("d", "patch"), "side of an image patch", "pixels", {"hf": "patch_size"}),
    Term("n_side", _sub("n", "side"), "patches along a side of an image", "patches", {"hf": "image_size/patch_size"}),
    Term("n_channel", _sub("n", "channel"), "colours of a pixel", "elements", {"hf": "num_channels"}),
    Term("d_project", _sub("d", "project"), "width of a shared embedding space", "elements", {"hf": "projection_dim"}),
    Term("n_mel", _sub("n", "mel"), "mel bins of an audio frame", "elements", {"hf": "num_mel_bins"}),
    Term("n_source", _sub("n", "source"), "encoded audio positions", "tokens", {"hf": "max_source_positions"}),
    Term("n_target", _sub("n", "target"), "tokens that a decoder reads, beside an encoder's", "tokens"),
    Term("n_type", _sub("n", "type"), "kinds of segments", "segments", {"hf": "type_vocab_size"}),
    Term(
        "n_bucket",
        _sub("n", "bucket"),
        "buckets of relative positions",
        "buckets",
        {"hf": "relative_attention_num_buckets"},
    ),
    Term(
        "n_layer_dense", _sub("n", "dense layer"), "layers without experts", "layers", {"hf": "first_k_dense_replace"}
    ),
    *(
        Term(f"n_layer_{kind}", _sub("n", f"{kind} layer"), f"layers of the kind {kind}", "layers")
        for kind in ("sliding", "chunked", "local", "linear", "sparse", "conv", "recurrent", "attention", "hybrid")
    ),
    Term("d_ff_decoder", _sub("d", "ff,decoder"), "as d_ff, in a decoder beside an encoder", "elements"),
    *(
        Term(f"{name}_{tower}", rf"{latex[:-2]},{tower}}}}}", f"{meaning}, in the {tower} tower", unit)
        for tower in ("vision", "audio")
        for name, latex, meaning, unit in (
            ("n_layer", _sub("n", "layer"), "transformer layers", "layers"),
            ("d_model", _sub("d", "model"), "width of the residual stream", "elements"),
            ("d_ff", _sub("d", "ff"), "width of the feed-forward hidden layer", "elements"),
            ("n_head", _sub("n", "head"), "query heads", "heads"),
            ("n_kv_head", _sub("n", "kv"), "key and value heads", "heads"),
            ("d_head", _sub("d", "head"), "width of one head", "elements"),
        )
    ),
    Term("n_layer_decoder", _sub("n", "layer,decoder"), "layers of a decoder beside an encoder", "layers"),
    Term("n_device", _sub("n", "device"), "devices that compute together", "devices", {"megatron": "n"}),
    Term("n_data", _sub("n", "data"), "ways of data parallelism", "devices", {"megatron": "d", "zero": "N_d"}),
    Term("n_tensor", _sub("n", "tensor"), "ways of tensor parallelism", "devices", {"megatron": "t"}),
    Term("n_pipeline", _sub("n", "pipeline"), "stages of a pipeline", "devices", {"megatron": "p"}),
    Term("n_interleave", _sub("n", "interleave"), "parts of a model on each stage of a pipeline", "parts"),
    Term("n_context", _sub("n", "context"), "ways of context parallelism", "devices", {"megatron": "cp"}),
    Term(
        "n_expert_parallel", _sub("n", "expert parallel"), "ways of expert parallelism", "devices", {"megatron": "ep"}
    ),
    Term("n_micro", _sub("n", "micro"), "micro-batches of a step", "batches", {"megatron": "m"}),
    Term(
        "n_token", _sub("n", "token"), "tokens that a model is trained on", "tokens", {"kaplan": "D", "megatron": "T"}
    ),
    Term(
        "n_param",
        _sub("n", "param"),
        "parameters, where nothing is said of what they are",
        "parameters",
        {"zero": "Psi"},
    ),
)

TERMS: Mapping[str, Term] = MappingProxyType({term.name: term for term in _TERMS})
"""The whole notation, by name."""


def symbol(name: str) -> Symbol:
    """The symbol of that name.

    Raises `UnknownName` for a name the notation does not have.
    """
    if name not in TERMS:
        raise UnknownName("size", name, TERMS)
    return TERMS[name].symbol


def latex_names() -> dict[Symbol, str]:
    """How each symbol is set in LaTeX, in the form that sympy's `latex(symbol_names=...)` takes."""
    return {term.symbol: term.latex for term in _TERMS}


n_layer, d_model, d_attn, d_ff, n_vocab, n_ctx, n_head = map(
    symbol, ["n_layer", "d_model", "d_attn", "d_ff", "n_vocab", "n_ctx", "n_head"]
)
n_kv_head, d_head, d_rope, n_batch, n_seq, n_query, n_key = map(
    symbol, ["n_kv_head", "d_head", "d_rope", "n_batch", "n_seq", "n_query", "n_key"]
)
n_past, n_new, n_window, n_prefix, n_expert, n_active, n_routed = map(
    symbol, ["n_past", "n_new", "n_window", "n_prefix", "n_expert", "n_active", "n_routed"]
)
n_shared, d_expert, d_shared, n_expert_group, n_active_group, d_nope, d_value = map(
    symbol, ["n_shared", "d_expert", "d_shared", "n_expert_group", "n_active_group", "d_nope", "d_value"]
)
r_q, r_kv, r_lora, n_state, n_chunk, d_conv, d_inner = map(
    symbol, ["r_q", "r_kv", "r_lora", "n_state", "n_chunk", "d_conv", "d_inner"]
)
r_dt, n_ssm_head, d_ssm_head, n_ssm_group, d_patch, n_side, n_channel = map(
    symbol, ["r_dt", "n_ssm_head", "d_ssm_head", "n_ssm_group", "d_patch", "n_side", "n_channel"]
)
d_project, n_mel, n_source, n_target, n_type, n_bucket, n_layer_dense = map(
    symbol, ["d_project", "n_mel", "n_source", "n_target", "n_type", "n_bucket", "n_layer_dense"]
)
n_layer_decoder, d_ff_decoder = map(symbol, ["n_layer_decoder", "d_ff_decoder"])
n_device, n_data, n_tensor, n_pipeline, n_interleave, n_token, n_param = map(
    symbol, ["n_device", "n_data", "n_tensor", "n_pipeline", "n_interleave", "n_token", "n_param"]
)
n_context, n_expert_parallel, n_micro = map(symbol, ["n_context", "n_expert_parallel", "n_micro"])
