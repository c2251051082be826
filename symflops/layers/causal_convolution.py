"""A causal convolution along tokens, each channel by itself: over whole sequences, or over a kept window.

>>> from symflops.measures import flops, params
>>> from symflops.notation import d_conv, d_inner, n_seq
>>> whole, step = over_sequence(d_inner, BIAS), over_window(d_inner, BIAS, Stream(seq=Integer(1)))
>>> params(whole) == params(step), params(step)
(True, d_conv*d_inner + d_inner)
>>> flops(whole, "torch").expr.factor()
2*d_conv*d_inner*n_batch*(d_conv + n_seq - 1)
>>> flops(step, "torch").expr
2*d_conv*d_inner*n_batch
"""

from __future__ import annotations

from sympy import Add, Expr, Integer, Lambda, Symbol

from symflops.elementwise import Elementwise
from symflops.layers.convolution import Convolution
from symflops.layers.linear import BIAS, NO_BIAS, Bias
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block
from symflops.notation import d_conv

_ADDED = {BIAS: " + bias[d_inner]", NO_BIAS: ""}
_STATE, _X = (Symbol(name, real=True) for name in ("state", "x"))


def over_sequence(width: Expr, bias: Bias, stream: Stream = STREAM) -> Block:
    """As transformers computes whole sequences: padded on both sides, so at n_seq + d_conv - 1 positions, then cut."""
    axes = "[batch position d_inner]"
    sizes = {**_sizes(width, stream), "position": stream.seq + d_conv - 1}
    sentence = f"x{axes} weight[d_inner channel tap]{_ADDED[bias]} -> y{axes}"
    return Block("State space: Convolution", Convolution("convolution", sentence, sizes, "convolution"))


def over_window(width: Expr, bias: Bias, stream: Stream = STREAM) -> Block:
    """Tokens after others: each moves into the kept window of d_conv tokens, which then meets the taps.

    For one token the code of transformers convolves the window before it too, and drops what comes of that: another
    2*d_conv*width*n_batch FLOPs of every layer, which are not declared.
    """
    sizes = _sizes(width, stream)
    axes = "[batch seq d_inner]"
    kept = f"state[batch tap d_inner] x{axes} -> y{axes}"
    moved = Elementwise("window", kept, sizes, "convolution", formula=Lambda((_STATE, _X), _X))
    sentence = f"x[batch seq tap d_inner] weight[d_inner channel tap]{_ADDED[bias]} -> y{axes}"
    return Block("State space: Convolution", Add(moved, Convolution("convolution", sentence, sizes, "convolution")))


def _sizes(width: Expr, stream: Stream) -> dict[str, Expr]:
    return {"batch": stream.batch, "seq": stream.seq, "d_inner": width, "channel": Integer(1), "tap": d_conv}
