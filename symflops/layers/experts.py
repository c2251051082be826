"""Mixtures of experts: a router, experts of which each token passes a few, and an expert that every token passes.

All experts are stored and ``n_active`` of them run for a token, whichever they are. Choosing them is comparing, as
often as an algorithm likes to, and is not declared.

>>> from symflops.layers.feedforward import gated_feedforward
>>> from symflops.measures import active_params, params
>>> from symflops.notation import d_expert
>>> network = routed_experts(gated_feedforward("silu", NO_BIAS, d_expert))
>>> params(network), active_params(network)
(3*d_expert*d_model*n_expert, 3*d_expert*d_model*n_active)
>>> params(router((softmax_of_all, normalised), BIAS))
d_model*n_expert + n_expert
"""

from __future__ import annotations

from collections.abc import Callable

from sympy import Add, Expr, Integer, Lambda, Max, Min, Rational, Symbol, exp

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Total, sigmoid
from symflops.layers.linear import BIAS, NO_BIAS, Bias, linear
from symflops.layers.norm import residual
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block, Routed
from symflops.notation import d_ff, n_active, n_expert

__all__ = [
    "BIAS", "NO_BIAS", "Scoring", "clamped_feedforward", "corrected", "gated_shared_expert", "normalised",
    "routed_experts", "router", "shared_expert", "sigmoid_of_all", "softmax_of_all", "softmax_of_chosen",
]  # fmt: skip

_X, _UP, _SCORE, _CORRECTION, _GATE = (Symbol(name, real=True) for name in ("x", "up", "score", "correction", "gate"))
Scoring = Callable[[Stream], Elementwise]
"""A step from a router's scores to the weights of the chosen experts, in a stream."""


def router(steps: tuple[Scoring, ...], bias: Bias = NO_BIAS, stream: Stream = STREAM) -> Block:
    """A score of every expert for each token, and the steps from there to the weights of the chosen ones.

    Shazeer et al. 2017, arXiv:1701.06538, section 2.1.
    """
    scores = linear("router", stream.width, n_expert, "router", bias, stream)
    return Block("Feedforward: Router", Add(scores, *(step(stream) for step in steps)))


def softmax_of_all(stream: Stream = STREAM) -> Elementwise:
    """Softmax over all experts (Fedus et al. 2021, arXiv:2101.03961, equation 1)."""
    return _softmax("expert", n_expert, stream)


def softmax_of_chosen(stream: Stream = STREAM) -> Elementwise:
    """Softmax over the chosen experts' scores alone, as in gpt-oss (model card, arXiv:2508.10925)."""
    return _softmax("active", n_active, stream)


def sigmoid_of_all(stream: Stream = STREAM) -> Elementwise:
    """A sigmoid of every expert's score (DeepSeek-V3, arXiv:2412.19437, equation 15)."""
    return _step("sigmoid", "x[batch seq expert] -> y[batch seq expert]", Lambda(_X, sigmoid(_X)), stream)


def corrected(stream: Stream = STREAM) -> Elementwise:
    """A correction of each expert's score that only the choice reads (DeepSeek-V3, arXiv:2412.19437, equation 16).

    It is set by the experts' loads, not by gradients, so that it is no parameter and passes no gradient on.
    """
    sentence = "x[batch seq expert] + correction[expert] -> y[batch seq expert]"
    return _step("correct", sentence, Lambda((_X, _CORRECTION), _X + _CORRECTION), stream, ("x", "correction"))


def normalised(stream: Stream = STREAM) -> Elementwise:
    """The chosen experts' weights divided by their sum (Mixtral, arXiv:2401.04088, section 2.1)."""
    formula = Lambda(_X, _X / Total(_X, "active"))
    return _step("normalise", "x[batch seq active] -> y[batch seq active]", formula, stream)


def _softmax(axis: str, count: Expr, stream: Stream) -> Elementwise:
    weight = exp(_X - Largest(_X, axis))
    formula = Lambda(_X, weight / Total(weight, axis))
    return _step("softmax", f"x[batch seq {axis}] -> y[batch seq {axis}]", formula, stream)


def _step(name: str, sentence: str, formula: Lambda, stream: Stream, constants: tuple[str, ...] = ()) -> Elementwise:
    return Elementwise(name, sentence, _sizes(stream), "router", constants=constants, formula=formula)


def _sizes(stream: Stream) -> dict[str, Expr]:
    return stream.sizes(expert=n_expert, active=n_active)


def routed_experts(expert: Block, stream: Stream = STREAM) -> Block:
    """The experts, and for each token the sum of those that it passes, by the router's weights.

    ``expert`` is one of them: a feed-forward layer. Shazeer et al. 2017, arXiv:1701.06538, equation 1.
    """
    sentence = "x[batch seq active d_model] score[batch seq active] -> y[batch seq d_model]"
    formula = Lambda((_X, _SCORE), Total(_X * _SCORE, "active"))
    combine = Elementwise("combine", sentence, _sizes(stream), "residual", formula=formula)
    return Block("Feedforward: Experts", Add(Routed(n_expert, n_active, expert.body), combine))


def shared_expert(expert: Block, stream: Stream = STREAM) -> Block:
    """An expert that every token passes beside the routed ones (DeepSeekMoE, arXiv:2401.06066, section 3.2)."""
    return Block("Feedforward: Shared", Add(expert.body, residual("add_shared", stream)))


def gated_shared_expert(expert: Block, stream: Stream = STREAM) -> Block:
    """As `shared_expert`, times the sigmoid of one learned score of the token, as in Qwen1.5-MoE (Qwen Team 2024)."""
    gate = linear("shared_gate", stream.width, Integer(1), "feedforward", NO_BIAS, stream)
    sentence = "x[batch seq d_model] gate[batch seq] -> y[batch seq d_model]"
    formula = Lambda((_X, _GATE), sigmoid(_GATE) * _X)
    gated = Elementwise("share", sentence, stream.sizes(), "activation", formula=formula)
    return Block("Feedforward: Shared", Add(expert.body, gate, gated, residual("add_shared", stream)))


_LIMIT, _GAIN = Integer(7), Rational(1702, 1000)


def clamped_feedforward(bias: Bias, width: Expr = d_ff, stream: Stream = STREAM) -> Block:
    """A gated layer whose halves are kept within limits, one added to the linear half, gate and up as one matmul.

    gpt-oss model card, arXiv:2508.10925, section 2.2; the limits and the gain of its sigmoid are of its code.
    """
    gate, up = Min(_X, _LIMIT), Max(Min(_UP, _LIMIT), -_LIMIT)
    formula = Lambda((_X, _UP), gate * sigmoid(_GAIN * gate) * (up + 1))
    axes, sizes = "[batch seq d_ff]", stream.sizes(d_ff=width)
    return Block("Feedforward", Add(
        linear("gate_up", stream.width, 2 * width, "feedforward", bias, stream),
        Elementwise("act", f"x{axes} up{axes} -> y{axes}", sizes, "activation", formula=formula),
        linear("down", width, stream.width, "feedforward", bias, stream),
    ))  # fmt: skip
