"""Feed-forward layers: plain (two matmuls) and gated (three).

>>> from symflops.measures import params
>>> params(plain_feedforward("gelu", NO_BIAS)), params(gated_feedforward("silu", NO_BIAS))
(2*d_ff*d_model, 3*d_ff*d_model)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympy import Add, Expr, Lambda, Max, Rational, Symbol, erf, pi, sqrt, tanh

from symflops.elementwise import Elementwise
from symflops.errors import UnknownName
from symflops.formulas import sigmoid
from symflops.layers.linear import NO_BIAS, Bias, linear
from symflops.networks import Block
from symflops.notation import d_ff, d_model, n_batch, n_seq

_X, _UP = (Symbol(name, real=True) for name in ("x", "up"))


def _gelu_tanh(x: Expr) -> Expr:
    return x * (1 + tanh(sqrt(2 / pi) * (x + Rational(44715, 10**6) * x**3))) / 2


ACTIVATIONS: Mapping[str, Callable[[Expr], Expr]] = {
    "gelu": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "relu": lambda x: Max(x, 0),
    "relu2": lambda x: Max(x, 0) ** 2,
    "tanh": tanh,
}
"""Activations by the names of transformers' ``hidden_act``; GELU: Hendrycks and Gimpel 2016, arXiv:1606.08415."""


def activation(name: str) -> Callable[[Expr], Expr]:
    """The formula of an activation.

    Raises `UnknownName` for one that is not declared.
    """
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UnknownName("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


_SIZES = {"batch": n_batch, "seq": n_seq, "d_ff": d_ff}


def plain_feedforward(act: str, bias: Bias) -> Block:
    """Up, activation, down (Vaswani et al. 2017, section 3.3)."""
    formula = Lambda(_X, activation(act)(_X))
    act_step = Elementwise("act", "x[batch seq d_ff] -> y[batch seq d_ff]", _SIZES, "activation", formula=formula)
    up = linear("up", d_model, d_ff, "feedforward", bias)
    return Block("Feedforward", Add(up, act_step, linear("down", d_ff, d_model, "feedforward", bias)))


def gated_feedforward(act: str, bias: Bias) -> Block:
    """Gate and up side by side, activation of the gate times up, down (Shazeer 2020, arXiv:2002.05202)."""
    sentence = "x[batch seq d_ff] up[batch seq d_ff] -> y[batch seq d_ff]"
    act_step = Elementwise("act", sentence, _SIZES, "activation", formula=Lambda((_X, _UP), activation(act)(_X) * _UP))
    gate, up = (linear(name, d_model, d_ff, "feedforward", bias) for name in ("gate", "up"))
    return Block("Feedforward", Add(gate, up, act_step, linear("down", d_ff, d_model, "feedforward", bias)))


__all__ = ["ACTIVATIONS", "NO_BIAS", "activation", "gated_feedforward", "plain_feedforward"]
