"""Normalisations and residual additions.

>>> from symflops.measures import params
>>> params(layer_norm("norm")), params(rms_norm("norm"))
(2*d_model, d_model)
"""

from __future__ import annotations

from sympy import Expr, Lambda, Rational, Symbol, sqrt

from symflops.elementwise import Elementwise
from symflops.formulas import Mean
from symflops.notation import d_model, n_batch, n_seq

_X, _WEIGHT, _BIAS, _BRANCH = (Symbol(name, real=True) for name in ("x", "weight", "bias", "branch"))
_EPSILON = Rational(1, 10**5)


def _sizes(width: Expr) -> dict[str, Expr]:
    return {"batch": n_batch, "seq": n_seq, "d_model": width}


def layer_norm(name: str, width: Expr = d_model) -> Elementwise:
    """LayerNorm with gain and bias over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    centred = _X - Mean(_X, "d_model")
    formula = centred / sqrt(Mean(centred**2, "d_model") + _EPSILON) * _WEIGHT + _BIAS
    sentence = "x[batch seq d_model] weight[d_model] + bias[d_model] -> y[batch seq d_model]"
    return Elementwise(name, sentence, _sizes(width), "norm", formula=Lambda((_X, _WEIGHT, _BIAS), formula))


def rms_norm(name: str, width: Expr = d_model) -> Elementwise:
    """RMSNorm with gain, no bias (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    formula = _X / sqrt(Mean(_X**2, "d_model") + _EPSILON) * _WEIGHT
    sentence = "x[batch seq d_model] weight[d_model] -> y[batch seq d_model]"
    return Elementwise(name, sentence, _sizes(width), "norm", formula=Lambda((_X, _WEIGHT), formula))


def residual(name: str, width: Expr = d_model) -> Elementwise:
    """The addition of a branch to the residual stream."""
    sentence = "x[batch seq d_model] + branch[batch seq d_model] -> y[batch seq d_model]"
    return Elementwise(name, sentence, _sizes(width), "residual", formula=Lambda((_X, _BRANCH), _X + _BRANCH))
