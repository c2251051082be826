"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): keys and values through a narrow latent.

The same parameters and the same function run in two ways. Expanded, every head gets keys and values of its own, which
are cached. Absorbed, scores and mix are taken over the latent itself: the matrix up to the keys is multiplied into the
queries and the one up to the values into the mix, and the latent and one rotated key are cached, shared by all heads.

>>> from symflops.masks import Causal
>>> from symflops.measures import flops, params
>>> from symflops.notation import n_seq
>>> expanded, absorbed = (way(HEADS, Causal(n_seq, n_seq)) for way in (expanded_attention, absorbed_attention))
>>> params(expanded) == params(absorbed), flops(expanded, "torch") == flops(absorbed, "torch")
(True, False)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sympy import Add, Expr, Integer, Lambda, Symbol

from symflops.elementwise import Elementwise
from symflops.layers.attention import Core, Heads, attention_core, project
from symflops.layers.linear import NO_BIAS, Bias, linear
from symflops.layers.norm import rms_norm
from symflops.layers.rotary import rotate
from symflops.layers.softmax import plain
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block
from symflops.notation import d_nope, d_rope, d_value, n_head, r_kv, r_q
from symflops.operations import Contraction, Operation


@dataclass(frozen=True)
class LatentHeads:
    """The layout of heads: of each, ``d_nope`` elements of queries and keys come through latents, ``d_rope`` rotate.

    ``d_value`` is the width of a head's values, ``r_kv`` of the latent of keys and values, ``r_q`` of that of queries,
    which are not compressed where it is None.
    """

    n_head: Expr = n_head
    d_nope: Expr = d_nope
    d_rope: Expr = d_rope
    d_value: Expr = d_value
    r_kv: Expr = r_kv
    r_q: Expr | None = r_q

    @property
    def expanded(self) -> Heads:
        """Heads with keys and values of their own."""
        return Heads(self.n_head, self.n_head, self.d_nope + self.d_rope, self.d_value)


HEADS = LatentHeads()
"""All sizes in symbols, queries compressed."""


def expanded_attention(
    heads: LatentHeads, mask: AttendedPairs, core: Core = attention_core, bias: Bias = NO_BIAS, stream: Stream = STREAM
) -> Expr:
    """Keys and values are made for every head, and an attention core runs over them.

    ``bias`` is that of the projections from and to the residual stream, uncompressed queries apart.
    """
    up = linear("kv_up", heads.r_kv, heads.n_head * (heads.d_nope + heads.d_value), "qkv", NO_BIAS, stream)
    return _around(heads, (up,), core(heads.expanded, mask), bias, stream)


def absorbed_attention(heads: LatentHeads, mask: AttendedPairs, bias: Bias = NO_BIAS, stream: Stream = STREAM) -> Expr:
    """The same by weight absorption (section 2.1.2): one latent is key and value of all heads at once."""
    sizes = stream.sizes(head=heads.n_head, latent=heads.r_kv, d_nope=heads.d_nope, d_value=heads.d_value)
    ups = tuple(Contraction(name, sentence, sizes, "qkv") for name, sentence in _UPS.items())
    return _around(heads, ups, absorbed_core(heads, mask, stream), bias, stream)


_UPS = {
    "k_up": "q_nope[batch seq head d_nope] weight[head d_nope latent] -> q_latent[batch seq head latent]",
    "v_up": "mix[batch seq head latent] weight[head latent d_value] -> y[batch seq head d_value]",
}
_PAIRS = "[batch kv_head group query key]"
_SCORES = {
    "scores_latent": f"q_latent[batch kv_head group query latent] latent[batch key latent] -> scores{_PAIRS}",
    "scores_rope": f"q_rope[batch kv_head group query d_rope] k_rope[batch key d_rope] -> scores{_PAIRS}",
}
_MIX = f"weights{_PAIRS} latent[batch key latent] -> mix[batch kv_head group query latent]"
_X, _BRANCH = Symbol("x", real=True), Symbol("branch", real=True)


def absorbed_core(heads: LatentHeads, mask: AttendedPairs, stream: Stream = STREAM) -> Block:
    """Scores and mix over the latent and the rotated key: multi-query attention with one key for all heads."""
    sizes = {
        "batch": stream.batch, "kv_head": Integer(1), "group": heads.n_head, "latent": heads.r_kv,
        "d_rope": heads.d_rope,
    }  # fmt: skip
    scores = (Contraction(name, sentence, sizes, "scores", mask) for name, sentence in _SCORES.items())
    sentence, formula = f"x{_PAIRS} + branch{_PAIRS} -> y{_PAIRS}", Lambda((_X, _BRANCH), _X + _BRANCH)
    added = Elementwise("add_scores", sentence, sizes, "bias", mask, formula=formula)
    mix = Contraction("mix", _MIX, sizes, "mix", mask)
    return Block("Attention: Mask", Add(*scores, added, *plain(sizes, mask), mix))


def _around(heads: LatentHeads, ups: tuple[Operation, ...], core: Block, bias: Bias, stream: Stream) -> Expr:
    """What both ways have in common: latents, rotation, and the projection back."""
    qkv = Block("Attention: QKV", Add(*_queries(heads, bias, stream), *_latent(heads, bias, stream), *ups))
    turns = Add(rotate("q", heads.n_head, heads.d_rope, stream), rotate("k", Integer(1), heads.d_rope, stream))
    return Add(qkv, Block("Attention: Rotary", turns), core, project(heads.expanded, bias, stream))


def _queries(heads: LatentHeads, bias: Bias, stream: Stream) -> Iterator[Operation]:
    whole = heads.n_head * (heads.d_nope + heads.d_rope)
    if heads.r_q is None:
        yield linear("q", stream.width, whole, "qkv", NO_BIAS, stream)
        return
    yield linear("q_down", stream.width, heads.r_q, "qkv", bias, stream)
    yield rms_norm("q_norm", Stream(heads.r_q, stream.seq, stream.batch))
    yield linear("q_up", heads.r_q, whole, "qkv", NO_BIAS, stream)


def _latent(heads: LatentHeads, bias: Bias, stream: Stream) -> Iterator[Operation]:
    """The latent of keys and values, normed, and the key that is rotated, by one matmul."""
    yield linear("kv_down", stream.width, heads.r_kv + heads.d_rope, "qkv", bias, stream)
    yield rms_norm("kv_norm", Stream(heads.r_kv, stream.seq, stream.batch))
