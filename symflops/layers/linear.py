"""A linear layer over every token: the one declaration behind all projections.

>>> from symflops.measures import params
>>> from symflops.notation import d_ff, d_model
>>> params(linear("up", d_model, d_ff, "feedforward", bias=BIAS))
d_ff*d_model + d_ff
"""

from __future__ import annotations

from typing import Literal

from sympy import Expr

from symflops.layers.stream import STREAM, Stream
from symflops.operations import Contraction

Bias = Literal["bias", "no bias"]
BIAS: Bias = "bias"
NO_BIAS: Bias = "no bias"
_PRODUCT = "x[batch seq d_in] weight[d_in d_out]"
SENTENCES = {NO_BIAS: f"{_PRODUCT} -> y[batch seq d_out]", BIAS: f"{_PRODUCT} + bias[d_out] -> y[batch seq d_out]"}


def linear(name: str, d_in: Expr, d_out: Expr, role: str, bias: Bias = NO_BIAS, stream: Stream = STREAM) -> Contraction:
    """``d_in`` to ``d_out`` for each token of a stream."""
    sizes = {"batch": stream.batch, "seq": stream.seq, "d_in": d_in, "d_out": d_out}
    return Contraction(name, SENTENCES[bias], sizes, role)
