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
from types import MappingProxyType

from sympy import Symbol

from symflops.errors import UnknownName


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
        return Symbol(self.name, positive=True, integer=True)


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
    Term("n_window", _sub("n", "window"), "keys a sliding window reaches back", "tokens", {"hf": "sliding_window"}),
    Term("n_prefix", _sub("n", "prefix"), "leading keys that every query may attend to", "tokens"),
    Term("n_expert", _sub("n", "expert"), "routed experts of a layer", "experts", {"hf": "num_local_experts"}),
    Term("n_active", _sub("n", "active"), "experts a token is routed to", "experts", {"hf": "num_experts_per_tok"}),
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


n_layer = symbol("n_layer")
d_model = symbol("d_model")
d_attn = symbol("d_attn")
d_ff = symbol("d_ff")
n_vocab = symbol("n_vocab")
n_ctx = symbol("n_ctx")
n_head = symbol("n_head")
n_kv_head = symbol("n_kv_head")
d_head = symbol("d_head")
d_rope = symbol("d_rope")
n_batch = symbol("n_batch")
n_seq = symbol("n_seq")
n_query = symbol("n_query")
n_key = symbol("n_key")
n_window = symbol("n_window")
n_prefix = symbol("n_prefix")
n_expert = symbol("n_expert")
n_active = symbol("n_active")
