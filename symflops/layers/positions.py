"""What is added to tokens or put among them: positions of other kinds than a table for the text, and class tokens.

>>> from symflops.masks import Full
>>> from symflops.measures import flops, params
>>> from symflops.notation import n_head, n_seq
>>> params(relative_positions(n_head, Full(n_seq, n_seq))), params(class_token()), params(added_positions())
(n_bucket*n_head, d_model, d_model*n_seq)
>>> flops(frozen_positions(n_seq), "all-operations", "backward").expr
0
"""

from __future__ import annotations

from sympy import Expr, Integer, Lambda, Symbol

from symflops.elementwise import Elementwise
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block
from symflops.notation import n_bucket
from symflops.operations import Lookup

_X, _WEIGHT = Symbol("x", real=True), Symbol("weight", real=True)


def relative_positions(heads: Expr, mask: AttendedPairs) -> Block:
    """A bias of each head for every pair of tokens, out of a table with a row for each bucket of distances.

    Raffel et al. 2020, arXiv:1910.10683, section 2.1. One table serves all layers and sequences.
    """
    sizes = {"bucket": n_bucket, "head": heads}
    return Block("Embed", Lookup("relative", "weight[bucket head] -> slope[query key head]", sizes, "position", mask))


def added_positions(stream: Stream = STREAM) -> Elementwise:
    """Learned vectors, one for each place, added to all sequences: nothing is looked up."""
    axes = "[batch seq d_model]"
    sentence = f"x{axes} + weight[seq d_model] -> y{axes}"
    return Elementwise("position", sentence, stream.sizes(), "position", formula=Lambda((_X, _WEIGHT), _X + _WEIGHT))


def frozen_positions(rows: Expr, stream: Stream = STREAM) -> Lookup:
    """A table of sines that is stored as a parameter and never trained, as in Whisper's encoder."""
    sizes = {**stream.sizes(), "row": rows}
    sentence = "weight[row d_model] -> x[seq d_model]"
    return Lookup("position", sentence, sizes, "position", constants=("weight",))


def class_token(stream: Stream = STREAM) -> Lookup:
    """One learned vector that is put before every sequence: a table of one row (Devlin et al. 2018, section 3)."""
    sentence = "weight[row d_model] -> x[batch d_model]"
    return Lookup("class_token", sentence, {**stream.sizes(), "row": Integer(1)}, "class")
