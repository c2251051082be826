"""Normalisations and residual additions.

>>> from symflops.measures import params
>>> params(layer_norm("norm")), params(rms_norm("norm"))
(2*d_model, d_model)
"""

from __future__ import annotations

from collections.abc import Callable

from sympy import Expr, Lambda, Rational, Symbol, sqrt

from symflops.elementwise import Elementwise
from symflops.formulas import Mean
from symflops.layers.stream import STREAM, Stream

_X, _WEIGHT, _BIAS, _BRANCH = (Symbol(name, real=True) for name in ("x", "weight", "bias", "branch"))
_EPSILON = Rational(1, 10**5)
_AXES = "[batch seq d_model]"
_CENTRED = _X - Mean(_X, "d_model")
_STANDARD = _CENTRED / sqrt(Mean(_CENTRED**2, "d_model") + _EPSILON)
_ROOT_MEAN_SQUARE = _X / sqrt(Mean(_X**2, "d_model") + _EPSILON)
Norm = Callable[..., Elementwise]
"""A normalisation by ``name`` and ``stream``."""


def _norm(name: str, stream: Stream, parameters: str, formula: Expr) -> Elementwise:
    known = [each for each in (_X, _WEIGHT, _BIAS) if each in formula.free_symbols]
    sentence = f"x{_AXES}{parameters} -> y{_AXES}"
    return Elementwise(name, sentence, stream.sizes(), "norm", formula=Lambda(tuple(known), formula))


def layer_norm(name: str, stream: Stream = STREAM) -> Elementwise:
    """LayerNorm with gain and bias over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    return _norm(name, stream, " weight[d_model] + bias[d_model]", _STANDARD * _WEIGHT + _BIAS)


def gain_norm(name: str, stream: Stream = STREAM) -> Elementwise:
    """LayerNorm with a gain and no bias, as in MPT and Cohere."""
    return _norm(name, stream, " weight[d_model]", _STANDARD * _WEIGHT)


def bare_norm(name: str, stream: Stream = STREAM) -> Elementwise:
    """LayerNorm without parameters, as in OLMo (Groeneveld et al. 2024, arXiv:2402.00838)."""
    return _norm(name, stream, "", _STANDARD)


def rms_norm(name: str, stream: Stream = STREAM) -> Elementwise:
    """RMSNorm with gain, no bias (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    return _norm(name, stream, " weight[d_model]", _ROOT_MEAN_SQUARE * _WEIGHT)


def unit_rms_norm(name: str, stream: Stream = STREAM) -> Elementwise:
    """RMSNorm whose gain is one plus its weight, as in Gemma (Gemma Team 2024, arXiv:2403.08295)."""
    return _norm(name, stream, " weight[d_model]", _ROOT_MEAN_SQUARE * (1 + _WEIGHT))


def head_norm(norm: Norm, name: str, heads: Expr, d_head: Expr, stream: Stream = STREAM) -> Elementwise:
    """A norm over each head of queries or keys, one gain for all heads (Henry et al. 2020, arXiv:2010.04245)."""
    return norm(name, Stream(d_head, stream.seq, stream.batch * heads))


def gains_of_heads(name: str, heads: Expr, d_head: Expr, stream: Stream = STREAM) -> Elementwise:
    """A LayerNorm over each head, without biases and with a gain of its own for each, as in Cohere's models."""
    axes = "[batch seq head d_model]"
    sizes = {**stream.sizes(), "d_model": d_head, "head": heads}
    formula = Lambda((_X, _WEIGHT), _STANDARD * _WEIGHT)
    return Elementwise(name, f"x{axes} weight[head d_model] -> y{axes}", sizes, "norm", formula=formula)


def residual(name: str, stream: Stream = STREAM) -> Elementwise:
    """The addition of a branch to the residual stream."""
    sentence = f"x{_AXES} + branch{_AXES} -> y{_AXES}"
    return Elementwise(name, sentence, stream.sizes(), "residual", formula=Lambda((_X, _BRANCH), _X + _BRANCH))
