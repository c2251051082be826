"""From tokens to the residual stream and back.

>>> from symflops.measures import params
>>> from symflops.networks import Tied
>>> params(embedding(LEARNED)), params(de_embedding()), params(Tied(de_embedding()))
(d_model*n_ctx + d_model*n_vocab, d_model*n_vocab, 0)
"""

from __future__ import annotations

from typing import Literal

from sympy import Add, Expr, Lambda, Symbol, cos, sin

from symflops.elementwise import Elementwise
from symflops.layers.linear import linear
from symflops.layers.norm import residual
from symflops.networks import Block
from symflops.notation import d_model, n_batch, n_ctx, n_seq, n_vocab
from symflops.operations import Lookup

Positions = Literal["learned", "rotary"]
LEARNED: Positions = "learned"
ROTARY: Positions = "rotary"
_ANGLE = (Symbol("position", real=True), Symbol("frequency", real=True))


def embedding(positions: Positions) -> Block:
    """The token table, and with learned positions (Radford et al. 2018) a position table and the sum of both."""
    sizes = {"batch": n_batch, "seq": n_seq, "d_model": d_model, "n_vocab": n_vocab, "n_ctx": n_ctx}
    token = Lookup("token", "weight[n_vocab d_model] -> x[batch seq d_model]", sizes, "embedding")
    if positions == ROTARY:
        return Block("Embed", token)
    position = Lookup("position", "weight[n_ctx d_model] -> x[batch seq d_model]", sizes, "position")
    return Block("Embed", Add(token, position, residual("add")))


def de_embedding() -> Block:
    """The logits: one matmul with a table of n_vocab rows, often `Tied` to the token table."""
    return Block("De-embed", linear("logits", d_model, n_vocab, "logits"))


def rotary_angles(width: Expr) -> Block:
    """Cosine and sine of position times frequency, once for all layers, heads and sequences; no gradient passes."""
    sizes = {"half": width / 2, "seq": n_seq}
    sentence = "position[seq] frequency[half] -> angle[seq half]"
    constants = ("position", "frequency")
    return Block(
        "Rotary",
        Add(
            *(
                Elementwise(
                    name,
                    sentence,
                    sizes,
                    "rotary",
                    constants=constants,
                    formula=Lambda(_ANGLE, of(_ANGLE[0] * _ANGLE[1])),
                )
                for name, of in (("cos", cos), ("sin", sin))
            )
        ),
    )
