"""From tokens to the residual stream and back.

>>> from symflops.measures import params
>>> from symflops.networks import Tied
>>> params(embedding(LEARNED)), params(de_embedding()), params(Tied(de_embedding()))
(d_model*n_ctx + d_model*n_vocab, d_model*n_vocab, 0)
"""

from __future__ import annotations

from typing import Literal

from sympy import Add, Expr

from symflops.layers.linear import NO_BIAS, Bias, linear
from symflops.layers.norm import residual
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block
from symflops.notation import n_ctx, n_vocab
from symflops.operations import Lookup

Positions = Literal["learned", "rotary"]
LEARNED: Positions = "learned"
ROTARY: Positions = "rotary"


def table(name: str, rows: Expr, role: str, stream: Stream = STREAM) -> Lookup:
    """A vector looked up for every token, out of ``rows``; ``role`` is embedding or position."""
    return Lookup(name, "weight[row d_model] -> x[batch seq d_model]", stream.sizes(row=rows), role)


def embedding(positions: Positions, stream: Stream = STREAM, rows: Expr = n_ctx) -> Block:
    """The token table, and with learned positions (Radford et al. 2018) a table of ``rows`` and the sum of both."""
    token = table("token", n_vocab, "embedding", stream)
    if positions == ROTARY:
        return Block("Embed", token)
    return Block("Embed", Add(token, table("position", rows, "position", stream), residual("add", stream)))


def de_embedding(bias: Bias = NO_BIAS, stream: Stream = STREAM) -> Block:
    """The logits: one matmul with a table of n_vocab rows, often `Tied` to the token table."""
    return Block("De-embed", linear("logits", stream.width, n_vocab, "logits", bias, stream))
