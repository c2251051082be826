"""Attention: projections to queries, keys and values, the masked core, and the projection back.

The core is the same for every head layout: scores, softmax and mix, over one count of attended pairs.

>>> from symflops.measures import flops, params
>>> from symflops.notation import d_head, n_head, n_kv_head, n_seq
>>> heads = Heads(n_head, n_kv_head, d_head)
>>> params(separate_qkv(heads, NO_BIAS))
d_head*d_model*n_head + 2*d_head*d_model*n_kv_head
>>> flops(attention_core(heads, Causal(n_seq, n_seq)), "exact").expr.factor()
2*d_head*n_batch*n_head*n_seq*(n_seq + 1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sympy import Add, Expr

from symflops.layers import softmax as softmaxes
from symflops.layers.linear import BIAS, NO_BIAS, Bias, linear
from symflops.layers.softmax import Softmax
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs, Causal
from symflops.networks import Block, Once, Recomputed
from symflops.operations import Contraction

__all__ = [
    "BIAS", "CORES", "NO_BIAS", "Causal", "Core", "Heads", "attention_core", "flash_core", "fused_qkv", "project",
    "separate_qkv",
]  # fmt: skip

_SCORES = "q[batch kv_head group query d_head] k[batch kv_head key d_head] -> scores[batch kv_head group query key]"
_MIX = "weights[batch kv_head group query key] v[batch kv_head key d_value] -> mix[batch kv_head group query d_value]"
Core = Callable[..., Block]
"""An attention core: ``core(heads, mask, softmax, stream)``."""


@dataclass(frozen=True)
class Heads:
    """The layout of heads: how many for queries, how many for keys and values, how wide.

    As many for both is multi-head attention, one for keys and values multi-query (Shazeer 2019, arXiv:1911.02150), in
    between grouped-query (Ainslie et al. 2023, arXiv:2305.13245). ``d_value`` is the width of a head's values where it
    differs from that of queries and keys.
    """

    n_head: Expr
    n_kv_head: Expr
    d_head: Expr
    d_value: Expr | None = None

    @property
    def value(self) -> Expr:
        """The width of one head's values."""
        return self.d_head if self.d_value is None else self.d_value


def fused_qkv(heads: Heads, bias: Bias, stream: Stream = STREAM, name: str = "qkv") -> Block:
    """One matmul for queries, keys and values of all heads, as in GPT-2."""
    width = (heads.n_head + heads.n_kv_head) * heads.d_head + heads.n_kv_head * heads.value
    return Block("Attention: QKV", linear(name, stream.width, width, "qkv", bias, stream))


def separate_qkv(
    heads: Heads,
    bias: Bias,
    stream: Stream = STREAM,
    source: Stream | None = None,
    key_bias: Bias | None = None,
) -> Block:
    """Three matmuls; ``key_bias`` where the keys' differs, as in Whisper.

    In cross attention keys and values are made of another stream's tokens (``source``), once for each sequence.
    """
    other = stream if source is None else source
    made = Add(
        linear("k", other.width, heads.n_kv_head * heads.d_head, "qkv", key_bias or bias, other),
        linear("v", other.width, heads.n_kv_head * heads.value, "qkv", bias, other),
    )
    queries = linear("q", stream.width, heads.n_head * heads.d_head, "qkv", bias, stream)
    return Block("Attention: QKV", queries + (made if source is None else Once(made)))


def attention_core(
    heads: Heads, mask: AttendedPairs, softmax: Softmax = softmaxes.plain, stream: Stream = STREAM
) -> Block:
    """QK^T, softmax and the mix of values, each over the attended pairs of one mask object."""
    sizes = {
        "batch": stream.batch, "kv_head": heads.n_kv_head, "group": heads.n_head / heads.n_kv_head,
        "d_head": heads.d_head, "d_value": heads.value,
    }  # fmt: skip
    scores, mix = Contraction("scores", _SCORES, sizes, "scores", mask), Contraction("mix", _MIX, sizes, "mix", mask)
    return Block("Attention: Mask", Add(scores, *softmax(sizes, mask), mix))


def flash_core(heads: Heads, mask: AttendedPairs, softmax: Softmax = softmaxes.plain, stream: Stream = STREAM) -> Block:
    """The core as FlashAttention runs it: the scores and their softmax are computed again in the backward pass.

    Dao et al. 2022, arXiv:2205.14135, algorithm 4: five matmuls backward against two forward.
    """
    core = attention_core(heads, mask, softmax, stream)
    again = [each if each.role == "mix" else Recomputed(each) for each in core.body.args]
    return Block(core.name, Add(*again))


CORES: Mapping[str, Core] = {"eager": attention_core, "flash": flash_core}
"""How an attention's core runs, by name."""


def project(heads: Heads, bias: Bias, stream: Stream = STREAM) -> Block:
    """From all heads' mixes back to the residual stream."""
    name = "Attention: Project"
    return Block(name, linear("project", heads.n_head * heads.value, stream.width, "project", bias, stream))
