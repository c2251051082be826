"""From tokens to the residual stream and back.

>>> from symflops.measures import params
>>> params(embedding(LEARNED)), params(de_embedding()), params(Tied(de_embedding()))
(d_model*n_ctx + d_model*n_vocab, d_model*n_vocab, 0)
"""

from __future__ import annotations

from typing import Literal

from sympy import Add, Expr

from symflops.layers.linear import linear
from symflops.layers.norm import residual
from symflops.networks import Block, Tied
from symflops.notation import d_model, n_batch, n_ctx, n_seq, n_vocab
from symflops.operations import Contraction, Lookup

Positions = Literal["learned", "rotary"]
LEARNED: Positions = "learned"
ROTARY: Positions = "rotary"


def embedding(positions: Positions) -> Block:
    """The token table, and with learned positions (Radford et al. 2018) a position table and the sum of both."""
    sizes = {"batch": n_batch, "seq": n_seq, "d_model": d_model, "n_vocab": n_vocab, "n_ctx": n_ctx}
    token = Lookup("token", "weight[n_vocab d_model] -> x[batch seq d_model]", sizes, "embedding")
    if positions == ROTARY:
        return Block("Embed", token)
    position = Lookup("position", "weight[n_ctx d_model] -> x[seq d_model]", sizes, "position")
    return Block("Embed", Add(token, position, residual("add")))


def de_embedding() -> Block:
    """The logits: one matmul with a table of n_vocab rows, often `Tied` to the token table."""
    return Block("De-embed", linear("logits", d_model, n_vocab, "logits"))


def rotary_angles(width: Expr, batch: Expr) -> Block:
    """The angles of rotary positions as transformers computes them: frequencies times positions, a matmul over one."""
    sentence = "frequency[batch half one] position[batch one seq] -> angle[batch seq half]"
    sizes = {"batch": batch, "half": width / 2, "one": 1, "seq": n_seq}
    angles = Contraction("angles", sentence, sizes, "rotary", constants=("frequency", "position"))
    return Block("Rotary", angles)
