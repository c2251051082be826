r"""Selective state spaces, as in Mamba (Gu and Dao 2023, arXiv:2312.00752, section 3 and algorithm 2).

Each of d_inner channels keeps n_state numbers, ``h = exp(dt*A)*h + dt*B*x`` and ``y = C*h + D*x``, where dt, B and C
are made of the token itself: the selection. The states are computed one token after another, so the work is linear in
the tokens; only the product with C is a matmul.

>>> from symflops.measures import flops, params
>>> from symflops.notation import n_seq
>>> params(selective_scan()), flops(selective_scan(), "torch").expr
(d_inner*n_state, 2*d_inner*n_batch*n_seq*n_state)
>>> flops(selective_scan(), "torch") == flops(selective_steps(), "torch")
True
"""

from __future__ import annotations

from collections.abc import Callable

from sympy import Add, Expr, Lambda, Symbol, exp, log

from symflops.elementwise import Elementwise
from symflops.formulas import sigmoid
from symflops.layers.causal_convolution import over_sequence, over_window
from symflops.layers.feedforward import activation_step
from symflops.layers.linear import BIAS, NO_BIAS, Bias, linear
from symflops.layers.stream import STREAM, Stream
from symflops.networks import Block
from symflops.notation import d_inner, n_state, r_dt
from symflops.operations import Contraction, Operation

__all__ = [
    "BIAS", "NO_BIAS", "gate_step", "mixer_in", "mixer_out", "over_sequence", "over_window", "selection",
    "selective_mixer", "selective_scan", "selective_steps", "skip_step", "softplus",
]  # fmt: skip
_X, _DT, _B, _STATE, _DECAY, _WEIGHT, _Y, _GATE = (
    Symbol(name, real=True) for name in ("x", "dt", "B", "state", "decay", "weight", "y", "gate")
)
_CHANNELS, _STATES = "[batch seq d_inner]", "[batch seq d_inner n_state]"


def softplus(value: Expr) -> Expr:
    """``log(1 + exp(x))``, which keeps time steps positive."""
    return log(1 + exp(value))


def mixer_in(width: Expr, bias: Bias, stream: Stream = STREAM) -> Block:
    """From the residual stream to all that a layer makes of it at once, ``width`` elements for each token."""
    return Block("State space: In", linear("project_in", stream.width, width, "state space", bias, stream))


def mixer_out(width: Expr, bias: Bias, stream: Stream = STREAM) -> Block:
    """Back to the residual stream."""
    return Block("State space: Out", linear("project_out", width, stream.width, "project", bias, stream))


def selection(stream: Stream = STREAM) -> Block:
    """What a token makes of itself (section 3.2): B, C and, through r_dt elements, a positive time step per channel."""
    formula = Lambda(_X, softplus(_X))
    return Block(
        "State space: Selection",
        Add(
            linear("select", d_inner, r_dt + 2 * n_state, "state space", NO_BIAS, stream),
            linear("time_step", r_dt, d_inner, "state space", BIAS, stream),
            Elementwise("softplus", f"x{_CHANNELS} -> y{_CHANNELS}", _sizes(stream), "activation", formula=formula),
        ),
    )


def selective_scan(stream: Stream = STREAM) -> Block:
    """The recurrence over whole sequences, a state for each token: algorithm 2, line 6."""
    return _scan("previous[batch seq d_inner n_state]", stream)


def selective_steps(stream: Stream = STREAM) -> Block:
    """The recurrence for some tokens after others, from the state that was kept."""
    return _scan("state[batch d_inner n_state]", stream)


def _scan(before: str, stream: Stream) -> Block:
    """Discretised (equation 4; B by Euler's rule, as the code has it), then state by state (2), then read out."""
    state = Symbol(before.partition("[")[0], real=True)
    # The logarithm of -A is the parameter, so that A stays negative and states decay.
    decay = Elementwise(
        "decay", f"dt{_CHANNELS} weight[d_inner n_state] -> y{_STATES}", _sizes(stream), "scan",
        formula=Lambda((_DT, _WEIGHT), exp(-_DT * exp(_WEIGHT))),
    )  # fmt: skip
    fed = Elementwise(
        "input", f"dt{_CHANNELS} B[batch seq n_state] x{_CHANNELS} -> y{_STATES}", _sizes(stream), "scan",
        formula=Lambda((_DT, _B, _X), _DT * _B * _X),
    )  # fmt: skip
    recurrence = Elementwise(
        "recurrence", f"decay{_STATES} {before} x{_STATES} -> y{_STATES}", _sizes(stream), "scan",
        formula=Lambda((_DECAY, state, _X), _DECAY * state + _X),
    )  # fmt: skip
    output = Contraction(
        "output", f"states{_STATES} C[batch seq n_state] -> y{_CHANNELS}", _sizes(stream), "scan"
    )  # fmt: skip
    return Block("State space: Scan", Add(decay, fed, recurrence, output))


def skip_step(axes: str, channels: str, sizes: dict[str, Expr]) -> Operation:
    """The input, times D, is added to what the states give; ``channels`` are those that D tells apart."""
    sentence = f"y{axes} x{axes} weight[{channels}] -> z{axes}"
    formula = Lambda((_Y, _X, _WEIGHT), _Y + _X * _WEIGHT)
    return Elementwise("skip", sentence, sizes, "scan", formula=formula)


def gate_step(width: Expr, stream: Stream = STREAM) -> Operation:
    """The result times SiLU of a gate made of the token, as in a gated feed-forward layer (section 3.4)."""
    formula = Lambda((_Y, _GATE), _Y * _GATE * sigmoid(_GATE))
    sentence = f"y{_CHANNELS} gate{_CHANNELS} -> z{_CHANNELS}"
    return Elementwise("gate", sentence, {**_sizes(stream), "d_inner": width}, "activation", formula=formula)


def selective_mixer(
    act: str,
    biases: tuple[Bias, Bias, Bias],
    stream: Stream = STREAM,
    convolution: Callable[..., Block] = over_sequence,
    scan: Callable[[Stream], Block] = selective_scan,
) -> Expr:
    """The whole layer (figure 3): input and gate, convolution, activation, selection, scan, gate, projection back.

    ``biases`` are those of the projection in, of the convolution and of the projection out.
    """
    bias_in, bias_convolution, bias_out = biases
    convolved = convolution(d_inner, bias_convolution, stream)
    gated = Block("State space: Gate", Add(skip_step(_CHANNELS, "d_inner", _sizes(stream)), gate_step(d_inner, stream)))
    return Add(
        mixer_in(2 * d_inner, bias_in, stream),
        Block(convolved.name, Add(convolved.body, activation_step(act, d_inner, stream))),
        selection(stream),
        scan(stream),
        gated,
        mixer_out(d_inner, bias_out, stream),
    )


def _sizes(stream: Stream) -> dict[str, Expr]:
    return {"batch": stream.batch, "seq": stream.seq, "d_inner": d_inner, "n_state": n_state}
