"""The network cut into fragments that add up: of a decoder by its parts, of an architecture by roles.

Each fragment says which choices it is built by; the same declared operations as everywhere else stand in it.

>>> from symflops.measures import params
>>> params(layers({"feedforward": "plain", "biases": "none", "heads": "all"})).factor()
2*d_model*n_layer*(2*d_attn + d_ff)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from sympy import Add, Expr, Integer, Lambda, Symbol

from symflops.elementwise import Elementwise
from symflops.layers.attention import Heads, attention_core, project, separate_qkv
from symflops.layers.embedding import ROTARY, de_embedding, embedding, table
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS, Bias, linear
from symflops.layers.norm import layer_norm, residual, rms_norm
from symflops.masks import Causal
from symflops.networks import Recomputed, Tied, Use, uses
from symflops.notation import d_attn, d_model, n_batch, n_ctx, n_head, n_kv_head, n_layer, n_seq
from symflops.operations import Contraction

_NOTHING = Integer(0)
_QUERY, _BIAS = Symbol("query", real=True), Symbol("bias", real=True)
_HEADED = "[batch seq head d_head]"


@dataclass(frozen=True, eq=False)
class Piece:
    """A use with its role at hand. There is one for each different use, so that it can be looked up by."""

    use: Use
    role: str


@cache
def _piece(use: Use) -> Piece:
    return Piece(use, use.operation.role)


@dataclass(frozen=True)
class Fragment:
    """A part of the network: the names of the choices it is built by, and the operations that these give."""

    name: str
    choices: tuple[str, ...]
    build: Callable[[Mapping[str, str]], tuple[Piece, ...]]


def decoder() -> tuple[Fragment, ...]:
    """A decoder in fragments."""
    return tuple(
        Fragment(name, names, _cached(compose))
        for name, (names, compose) in {
            "tables": (("tables",), tables),
            "positions": (("positions",), positions),
            "layers": (("feedforward", "biases", "heads"), layers),
            "core": (("heads",), core),
            "norms": (("norms",), norms),
        }.items()
    )


def of_network(network: Expr, linked: Iterable[frozenset[str]]) -> tuple[Fragment, ...]:
    """Any network in fragments: the operations of a role each, roles that one choice prices together as one."""
    clusters = {frozenset({use.operation.role}) for use in uses(network)}
    for group in linked:
        touched = {each for each in clusters if each & group}
        clusters = (clusters - touched) | ({frozenset().union(*touched)} if touched else set())

    def of(roles: frozenset[str]) -> Callable[[Mapping[str, str]], tuple[Piece, ...]]:
        found = tuple(_piece(use) for use in uses(network) if use.operation.role in roles)
        return lambda _: found

    return tuple(Fragment(" ".join(sorted(each)), (), of(each)) for each in sorted(clusters, key=sorted))


def _cached(compose: Callable[[Mapping[str, str]], Expr]) -> Callable[[Mapping[str, str]], tuple[Piece, ...]]:
    @cache
    def made(chosen: tuple[tuple[str, str], ...]) -> tuple[Piece, ...]:
        return tuple(map(_piece, uses(compose(dict(chosen)))))

    return lambda chosen: made(tuple(sorted(chosen.items())))


def tables(chosen: Mapping[str, str]) -> Expr:
    """The token table and the logits."""
    logits = de_embedding()
    return embedding(ROTARY) + (Tied(logits) if chosen["tables"] == "tied" else logits)


def positions(chosen: Mapping[str, str]) -> Expr:
    """A table of positions, or the relative positions of each layer."""
    kind = chosen["positions"]
    if kind == "none":
        return _NOTHING
    if kind == "learned":
        return table("position", n_ctx, "position") + residual("add")
    biases = [] if kind == "relative-keys" else [_of_heads("content_bias"), _of_heads("position_bias")]
    return _layers(linear("position_keys", d_model, d_attn, "relative"), _relative_scores(), *biases)


def _of_heads(name: str) -> Elementwise:
    """A learned vector of each head that is added to queries."""
    sizes = {"batch": n_batch, "seq": n_seq, "head": n_head, "d_head": d_attn / n_head}
    sentence = f"query{_HEADED} + bias[head d_head] -> y{_HEADED}"
    return Elementwise(name, sentence, sizes, "relative", formula=Lambda((_QUERY, _BIAS), _QUERY + _BIAS))


def _relative_scores() -> Contraction:
    """Queries times the keys of relative positions."""
    sizes = {"batch": n_batch, "head": n_head, "query": n_seq, "key": n_seq, "d_head": d_attn / n_head}
    sentence = "q[batch head query d_head] r[head key d_head] -> scores[batch head query key]"
    return Contraction("relative_scores", sentence, sizes, "relative", Causal(n_seq, n_seq))


def layers(chosen: Mapping[str, str]) -> Expr:
    """What each layer multiplies by weights, and its additions."""
    heads, biases = _heads(chosen["heads"]), chosen["biases"].split("+")
    both = [*biases, *(("qkv", "project") if "attention" in biases else ())]
    feedforward = gated_feedforward if chosen["feedforward"] == "gated" else plain_feedforward
    return _layers(
        separate_qkv(heads, _bias("qkv", both)),
        project(heads, _bias("project", both)),
        feedforward("gelu", _bias("feedforward", both)),
        residual("add_attention"),
        residual("add_feedforward"),
    )


def _bias(part: str, biased: list[str]) -> Bias:
    return BIAS if part in biased or "all" in biased else NO_BIAS


def _heads(kind: str) -> Heads:
    return Heads(n_head, n_head if kind == "all" else n_kv_head, d_attn / n_head)


def core(chosen: Mapping[str, str]) -> Expr:
    """Scores, softmax and mix."""
    return _layers(attention_core(_heads(chosen["heads"]), Causal(n_seq, n_seq)))


def norms(chosen: Mapping[str, str]) -> Expr:
    """The norms of the layers, the last one, and that of the embedding."""
    kind, _, where = chosen["norms"].partition("-")
    if kind == "uncounted":
        return _NOTHING
    norm = layer_norm if kind == "layer" else rms_norm
    inside = [norm(name) for name in ("norm_attention", "norm_feedforward")[: 1 if where == "parallel" else 2]]
    outside = ["norm_final"] * (where != "post") + ["norm_embedding"] * (where == "embedding")
    return Add(_layers(*inside), *(norm(name) for name in outside))


def _layers(*parts: Expr) -> Expr:
    """So many layers, of which the passes of a training with recomputation run each once more."""
    return n_layer * Recomputed(Add(*parts))
