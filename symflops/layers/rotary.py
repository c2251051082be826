"""Rotary positions (Su et al. 2021, arXiv:2104.09864): the angles once, and the rotation of queries and keys.

>>> from symflops.measures import flops
>>> from symflops.notation import d_head, n_head
>>> flops(rotate("q", n_head, d_head), "all-operations").expr
3*d_head*n_batch*n_head*n_seq
"""

from __future__ import annotations

from sympy import Add, Expr, Lambda, Symbol, cos, sin

from symflops.elementwise import Elementwise
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block

_X, _COS, _SIN, _PARTNER = (Symbol(name, real=True) for name in ("x", "cos", "sin", "partner"))
_ANGLE = (Symbol("position", real=True), Symbol("frequency", real=True))


def rotate(name: str, heads: Expr, width: Expr, stream: Stream = STREAM) -> Elementwise:
    """The rotation of ``width`` elements of each head: two products, one sum."""
    axes = "[batch seq head d_rope]"
    sentence = f"x{axes} cos[seq d_rope] partner{axes} sin[seq d_rope] -> y{axes}"
    sizes = {"batch": stream.batch, "seq": stream.seq, "head": heads, "d_rope": width}
    formula = Lambda((_X, _COS, _PARTNER, _SIN), _X * _COS + _PARTNER * _SIN)
    # The partner is x itself with its halves exchanged, so its gradient is x's: counted once.
    return Elementwise(name, sentence, sizes, "rotary", constants=("cos", "sin"), formula=formula)


def rotary_angles(width: Expr, stream: Stream = STREAM) -> Block:
    """Cosine and sine of position times frequency, once for all layers, heads and sequences; no gradient passes."""
    sizes = {"half": width / 2, "seq": stream.seq}
    sentence = "position[seq] frequency[half] -> angle[seq half]"

    def step(name: str, of: type) -> Elementwise:
        formula = Lambda(_ANGLE, of(_ANGLE[0] * _ANGLE[1]))
        return Elementwise(name, sentence, sizes, "rotary", constants=("position", "frequency"), formula=formula)

    return Block("Rotary", Add(step("cos", cos), step("sin", sin)))
