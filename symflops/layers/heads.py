"""What stands at the end of a network besides logits: their biases, poolers, and the comparison of two towers.

>>> from symflops.measures import flops, params
>>> params(bias_of_logits()), params(shift_of_logits()), params(similarity(d_project))
(n_vocab, 0, 1)
>>> flops(pooler("tanh"), "torch").expr, flops(pooler("tanh"), "torch", "backward").expr
(2*d_model**2*n_batch, 0)
"""

from __future__ import annotations

from sympy import Add, Expr, Lambda, Symbol, exp, sqrt

from symflops.elementwise import Elementwise
from symflops.formulas import Total
from symflops.layers.feedforward import activation
from symflops.layers.linear import BIAS, SENTENCES
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block
from symflops.notation import d_model, d_project, n_batch, n_vocab
from symflops.operations import Contraction

_X, _BIAS, _SHIFT, _SCALE = (Symbol(name, real=True) for name in ("x", "bias", "shift", "weight"))
_LOGITS = "[batch seq n_vocab]"
_PAIRS = "[batch other]"


def bias_of_logits(stream: Stream = STREAM) -> Elementwise:
    """A bias of every token of the vocabulary, which stays apart where the logits' matrix is tied."""
    sentence = f"x{_LOGITS} + bias[n_vocab] -> y{_LOGITS}"
    sizes = stream.sizes(n_vocab=n_vocab)
    return Elementwise("logits_bias", sentence, sizes, "bias", formula=Lambda((_X, _BIAS), _X + _BIAS))


def shift_of_logits(stream: Stream = STREAM) -> Elementwise:
    """A fixed number for every token of the vocabulary, which is added to its logit and never trained, as in BART."""
    sentence = f"x{_LOGITS} + shift[n_vocab] -> y{_LOGITS}"
    sizes, formula = stream.sizes(n_vocab=n_vocab), Lambda((_X, _SHIFT), _X + _SHIFT)
    return Elementwise("logits_shift", sentence, sizes, "bias", constants=("shift",), formula=formula)


def pooler(act: str, stream: Stream = STREAM) -> Block:
    """A dense layer and its activation on the class token, beside the tokens that training goes on from.

    Nothing flows back through it, so that neither its input nor its parameters have a gradient.
    """
    sizes = {"batch": stream.batch, "seq": 1, "d_in": stream.width, "d_out": stream.width}
    dense = Contraction("pooler", SENTENCES[BIAS], sizes, "head", constants=("x", "weight", "bias"))
    axes, formula = "[batch d_model]", Lambda(_X, activation(act)(_X))
    step = Elementwise("act", f"x{axes} -> y{axes}", stream.sizes(), "activation", constants=("x",), formula=formula)
    return Block("Pooler", Add(dense, step))


def unit_length(width: Expr) -> Elementwise:
    """One vector for each sequence, scaled to length one."""
    formula = Lambda(_X, _X / sqrt(Total(_X**2, "d_model")))
    sizes = {"batch": n_batch, "d_model": width}
    return Elementwise("unit_length", "x[batch d_model] -> y[batch d_model]", sizes, "norm", formula=formula)


def similarity(width: Expr = d_project) -> Block:
    """Every image of a batch with every text, by a learned temperature (Radford et al. 2021, arXiv:2103.00020)."""
    sizes = {"batch": n_batch, "other": n_batch, "d_model": width}
    products = Contraction("similarity", f"text[batch d_model] image[other d_model] -> y{_PAIRS}", sizes, "head")
    formula = Lambda((_X, _SCALE), _X * exp(_SCALE))
    scale = Elementwise("scale", f"x{_PAIRS} weight[] -> y{_PAIRS}", sizes, "head", formula=formula)
    return Block("Similarity", Add(products, scale))


__all__ = ["bias_of_logits", "d_model", "pooler", "shift_of_logits", "similarity", "unit_length"]
