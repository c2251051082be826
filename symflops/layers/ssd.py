r"""State space duality, as in Mamba-2 (Dao and Gu 2024, arXiv:2405.21060, sections 5 to 7).

A head of d_head channels keeps d_head x n_state numbers that decay together. Over whole sequences they are computed
chunk by chunk (section 6): inside a chunk of n_chunk tokens as an attention whose weights are C*B times a decay, which
is masked and without softmax; between chunks through one state for each, so that almost all work is matmuls.

>>> from sympy import Integer
>>> from symflops.measures import flops
>>> from symflops.notation import d_head, n_batch, n_head, n_seq, n_ssm_group
>>> heads = StateHeads(n_head, d_head, n_ssm_group)
>>> chunked, stepwise = (flops(scan(heads), "torch").expr / (n_batch * n_head) for scan in (chunked_scan, steps))
>>> stepwise, chunked.expand().coeff(n_seq * n_chunk).factor()
(2*d_head*n_seq*n_state, 2*(d_head + n_state))
>>> by_hundred, whole = chunked_scan(heads, Stream(seq=Integer(100))), chunked_scan(heads)
>>> flops(by_hundred.subs(n_chunk, 64)) == flops(whole.subs({n_seq: 128, n_chunk: 64}))
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Add, Expr, Lambda, Rational, Symbol, ceiling, exp, sqrt

from symflops.elementwise import Elementwise
from symflops.formulas import Mean, sigmoid
from symflops.layers.causal_convolution import over_sequence
from symflops.layers.feedforward import activation_step
from symflops.layers.linear import Bias
from symflops.layers.ssm import gate_step, mixer_in, mixer_out, skip_step, softplus
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs, triangular
from symflops.networks import Block
from symflops.notation import n_chunk, n_state
from symflops.operations import Contraction, Operation

_NAMES = (
    "x",
    "dt",
    "weight",
    "previous",
    "later",
    "earlier",
    "last",
    "B",
    "inside",
    "outside",
    "state",
    "decay",
    "gate",
)
_X, _DT, _WEIGHT, _PREVIOUS, _LATER, _EARLIER, _LAST, _B, _INSIDE, _OUTSIDE, _STATE, _DECAY, _GATE = (
    Symbol(name, real=True) for name in _NAMES
)
_EPSILON = Rational(1, 10**5)
_TOKENS, _CHANNELS = "[batch seq head]", "[batch seq head d_head]"
_CHUNKED, _PAIRS, _STATES = (
    "[batch chunk token head",
    "[batch chunk head query key]",
    "[batch chunk head d_head n_state]",
)
_BETWEEN = "[batch head query key]"


class Earlier(AttendedPairs):
    """Of some positions each sees itself and those before it: the decays of a scan. No cache keeps what they read.

    >>> Earlier(3, 3).doit()
    6
    """

    def attends(self, i: int, j: int) -> bool:
        return j <= i

    def _exact(self) -> Expr:
        return triangular(self.n_query)


@dataclass(frozen=True)
class StateHeads:
    """Heads of a state space layer: how many, how wide, and the groups that share B and C among their heads."""

    n_head: Expr
    d_head: Expr
    n_group: Expr

    @property
    def inner(self) -> Expr:
        """Channels of all heads."""
        return self.n_head * self.d_head

    @property
    def convolved(self) -> Expr:
        """What passes through the convolution: the channels, and B and C of each group."""
        return self.inner + 2 * self.n_group * n_state


def chunks(tokens: Expr) -> Expr:
    """Chunks that hold some tokens: for a number of tokens rounded up, as the code pads them; in symbols a quotient.

    A closed form in n_seq so holds where n_chunk divides n_seq.

    >>> from sympy import Integer
    >>> chunks(Integer(100)).subs(n_chunk, 64), chunks(Symbol("n")) * n_chunk
    (2, n)
    """
    return ceiling(tokens / n_chunk) if tokens.is_Integer else tokens / n_chunk


def chunked_scan(heads: StateHeads, stream: Stream = STREAM) -> Block:
    """Whole sequences by blocks (section 6, listing 1): inside chunks, to states, between chunks, out of states.

    B and C are copied to every head of their group first. Between chunks, all states are one matmul with the decays
    from each chunk, or from the start, to each: the square of their number.
    """
    count = chunks(stream.seq)
    sizes = {**_sizes(heads, stream), "chunk": count, "token": n_chunk}
    inside, between = Earlier(n_chunk, n_chunk), Earlier(count + 1, count + 1)
    return Block(
        "State space: Scan",
        Add(*_fed(heads, stream), *_inside(sizes, inside), *_to_states(sizes), *_between(sizes, between), *_out(sizes)),
    )


def _fed(heads: StateHeads, stream: Stream) -> tuple[Operation, ...]:
    """The input times the time step, and the logarithm of the decay over one token."""
    sizes = _sizes(heads, stream)
    fed, decayed = Lambda((_DT, _X), _DT * _X), Lambda((_DT, _WEIGHT), -_DT * exp(_WEIGHT))
    return (
        Elementwise("input", f"dt{_TOKENS} x{_CHANNELS} -> y{_CHANNELS}", sizes, "scan", formula=fed),
        Elementwise("decay", f"dt{_TOKENS} weight[head] -> y{_TOKENS}", sizes, "scan", formula=decayed),
    )


def _inside(sizes: dict[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """Step 1: scores C*B of all pairs in a chunk, each times the decay between the two, and the mix of inputs."""
    each = f"{_CHUNKED}]"
    summed, decayed = Lambda((_PREVIOUS, _X), _PREVIOUS + _X), Lambda((_LATER, _EARLIER), exp(_LATER - _EARLIER))
    segments = f"later[batch chunk head query] earlier[batch chunk head key] -> decay{_PAIRS}"
    scores = f"C[batch chunk head query n_state] B[batch chunk head key n_state] -> scores{_PAIRS}"
    mixed = f"weights{_PAIRS} x[batch chunk head key d_head] -> y[batch chunk head query d_head]"
    weighed = f"x{_PAIRS} decay{_PAIRS} -> weights{_PAIRS}"
    return (
        Elementwise("cumulate", f"previous{each} x{each} -> y{each}", sizes, "scan", formula=summed),
        Elementwise("segments", segments, sizes, "scan", mask, formula=decayed),
        Contraction("scores", scores, sizes, "scan", mask),
        Elementwise("weigh", weighed, sizes, "scan", mask, formula=Lambda((_X, _DECAY), _X * _DECAY)),
        Contraction("inside", mixed, sizes, "scan", mask),
    )


def _to_states(sizes: dict[str, Expr]) -> tuple[Operation, ...]:
    """Step 2: what each chunk adds to the state at its end, each token decayed from where it stands."""
    decayed = f"B{_CHUNKED} n_state] last[batch chunk head] earlier{_CHUNKED}] -> y{_CHUNKED} n_state]"
    formula = Lambda((_B, _LAST, _EARLIER), _B * exp(_LAST - _EARLIER))
    gathered = f"B{_CHUNKED} n_state] x{_CHUNKED} d_head] -> states{_STATES}"
    return (
        Elementwise("decay_to_end", decayed, sizes, "scan", formula=formula),
        Contraction("chunk_states", gathered, sizes, "scan"),
    )


def _between(sizes: dict[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """Step 3: the state at the start of each chunk, from those of all chunks before it and an initial one."""
    summed, decayed = Lambda((_PREVIOUS, _X), _PREVIOUS + _X), Lambda((_LATER, _EARLIER), exp(_LATER - _EARLIER))
    ends, segments = "[batch head chunk]", f"later[batch head query] earlier[batch head key] -> decay{_BETWEEN}"
    passed = f"decay{_BETWEEN} states[batch head key d_head n_state] -> starts[batch head query d_head n_state]"
    return (
        Elementwise("cumulate_chunks", f"previous{ends} x{ends} -> y{ends}", sizes, "scan", formula=summed),
        Elementwise("segments_of_chunks", segments, sizes, "scan", mask, formula=decayed),
        Contraction("between", passed, sizes, "scan", mask),
    )


def _out(sizes: dict[str, Expr]) -> tuple[Operation, ...]:
    """Step 4: what a chunk reads of the state at its start, decayed to each token, beside what it reads of itself."""
    each = f"{_CHUNKED} d_head]"
    read = f"C{_CHUNKED} n_state] starts{_STATES} -> y{each}"
    added = f"inside{each} outside{each} later{_CHUNKED}] -> y{each}"
    formula = Lambda((_INSIDE, _OUTSIDE, _LATER), _INSIDE + _OUTSIDE * exp(_LATER))
    return (
        Contraction("outside", read, sizes, "scan"),
        Elementwise("combine", added, sizes, "scan", formula=formula),
    )


def steps(heads: StateHeads, stream: Stream = STREAM) -> Block:
    """The recurrence (section 5.1), for some tokens after others, from the state that was kept."""
    sizes, each = _sizes(heads, stream), "[batch seq head d_head n_state]"
    kept = f"decay{_TOKENS} state[batch head d_head n_state] x{_CHANNELS} B[batch seq head n_state] -> y{each}"
    formula = Lambda((_DECAY, _STATE, _X, _B), exp(_DECAY) * _STATE + _X * _B)
    return Block(
        "State space: Scan",
        Add(
            *_fed(heads, stream),
            Elementwise("recurrence", kept, sizes, "scan", formula=formula),
            Contraction("output", f"states{each} C[batch seq head n_state] -> y{_CHANNELS}", sizes, "scan"),
        ),
    )


def gated_norm(heads: StateHeads, stream: Stream = STREAM) -> tuple[Operation, ...]:
    """RMSNorm of the output times SiLU of its gate, over each group's channels, and a gain (section 7.1).

    Norm before gate or after it, the operations are the same.
    """
    axes, whole = "[batch seq group width]", "[batch seq d_inner]"
    sizes = {**_sizes(heads, stream), "group": heads.n_group, "width": heads.inner / heads.n_group}
    gated = _X * _GATE * sigmoid(_GATE)
    formula = Lambda((_X, _GATE), gated / sqrt(Mean(gated**2, "width") + _EPSILON))
    norm = Elementwise("gated_norm", f"x{axes} gate{axes} -> y{axes}", sizes, "norm", formula=formula)
    return norm, gain(heads.inner, whole, sizes)


def gain(width: Expr, axes: str, sizes: dict[str, Expr]) -> Operation:
    """A weight for each channel."""
    formula = Lambda((_X, _WEIGHT), _X * _WEIGHT)
    sentence = f"x{axes} weight[d_inner] -> y{axes}"
    return Elementwise("gain", sentence, {**sizes, "d_inner": width}, "norm", formula=formula)


def gate_alone(heads: StateHeads, stream: Stream = STREAM) -> tuple[Operation, ...]:
    """The output times SiLU of its gate, without a norm."""
    return (gate_step(heads.inner, stream),)


def ssd_mixer(
    heads: StateHeads,
    act: str,
    biases: tuple[Bias, Bias, Bias],
    stream: Stream = STREAM,
    convolution: Callable[..., Block] = over_sequence,
    scan: Callable[..., Block] = chunked_scan,
    gated: Callable[..., tuple[Operation, ...]] = gated_norm,
) -> Expr:
    """The whole layer (section 7, figure 6): gate, input, B, C and time steps at once; convolution; scan; back.

    ``biases`` are those of the projection in, of the convolution and of the projection out.
    """
    bias_in, bias_convolution, bias_out = biases
    sizes = _sizes(heads, stream)
    convolved = convolution(heads.convolved, bias_convolution, stream)
    stepped = Lambda((_X, _WEIGHT), softplus(_X + _WEIGHT))
    return Add(
        mixer_in(heads.inner + heads.convolved + heads.n_head, bias_in, stream),
        Block(convolved.name, Add(convolved.body, activation_step(act, heads.convolved, stream))),
        Block(
            "State space: Selection",
            Elementwise("time_step", f"x{_TOKENS} weight[head] -> dt{_TOKENS}", sizes, "activation", formula=stepped),
        ),
        scan(heads, stream),
        Block("State space: Gate", Add(skip_step(_CHANNELS, "head", sizes), *gated(heads, stream))),
        mixer_out(heads.inner, bias_out, stream),
    )


def _sizes(heads: StateHeads, stream: Stream) -> dict[str, Expr]:
    return {
        "batch": stream.batch, "seq": stream.seq, "head": heads.n_head, "d_head": heads.d_head, "n_state": n_state
    }  # fmt: skip


__all__ = [
    "StateHeads", "chunked_scan", "chunks", "gain", "gate_alone", "gated_norm", "ssd_mixer", "steps",
]  # fmt: skip
