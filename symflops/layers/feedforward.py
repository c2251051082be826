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
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block
from symflops.notation import d_ff

_X, _UP = (Symbol(name, real=True) for name in ("x", "up"))


def _gelu_tanh(x: Expr) -> Expr:
    return x * (1 + tanh(sqrt(2 / pi) * (x + Rational(44715, 10**6) * x**3))) / 2


ACTIVATIONS: Mapping[str, Callable[[Expr], Expr]] = {
    "gelu": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_python": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "quick_gelu": lambda x: x * sigmoid(Rational(1702, 1000) * x),
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


_AXES = "[batch seq d_ff]"


def plain_feedforward(act: str, bias: Bias, width: Expr = d_ff, stream: Stream = STREAM) -> Block:
    """Up, activation, down (Vaswani et al. 2017, section 3.3)."""
    return Block("Feedforward", Add(
        linear("up", stream.width, width, "feedforward", bias, stream),
        activation_step(act, width, stream),
        linear("down", width, stream.width, "feedforward", bias, stream),
    ))  # fmt: skip


def gated_feedforward(act: str, bias: Bias, width: Expr = d_ff, stream: Stream = STREAM) -> Block:
    """Gate and up side by side, activation of the gate times up, down (Shazeer 2020, arXiv:2002.05202)."""
    return Block("Feedforward", Add(
        *(linear(name, stream.width, width, "feedforward", bias, stream) for name in ("gate", "up")),
        gated_step(act, width, stream),
        linear("down", width, stream.width, "feedforward", bias, stream),
    ))  # fmt: skip


def fused_gated_feedforward(act: str, bias: Bias, width: Expr = d_ff, stream: Stream = STREAM) -> Block:
    """As `gated_feedforward`, gate and up as one matmul of twice the width, as in Phi-3."""
    return Block("Feedforward", Add(
        linear("gate_up", stream.width, 2 * width, "feedforward", bias, stream),
        gated_step(act, width, stream),
        linear("down", width, stream.width, "feedforward", bias, stream),
    ))  # fmt: skip


def activation_step(act: str, width: Expr, stream: Stream = STREAM) -> Elementwise:
    """The activation of a hidden layer."""
    sizes = stream.sizes(d_ff=width)
    formula = Lambda(_X, activation(act)(_X))
    return Elementwise("act", f"x{_AXES} -> y{_AXES}", sizes, "activation", formula=formula)


def gated_step(act: str, width: Expr, stream: Stream = STREAM) -> Elementwise:
    """The activation of a gate, times the other half of a hidden layer."""
    sizes = stream.sizes(d_ff=width)
    formula = Lambda((_X, _UP), activation(act)(_X) * _UP)
    return Elementwise("act", f"x{_AXES} up{_AXES} -> y{_AXES}", sizes, "activation", formula=formula)


__all__ = [
    "ACTIVATIONS", "NO_BIAS", "activation", "activation_step", "fused_gated_feedforward", "gated_feedforward",
    "gated_step", "plain_feedforward",
]  # fmt: skip
