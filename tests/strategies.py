"""Hypothesis strategies: declarations, operations, networks, masks, configs; and numbers that count."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from sympy import Expr, Integer, Lambda, Symbol, exp, sqrt, tanh

from symflops import Block, Contraction, Elementwise, Lookup, Recomputed, Routed, Tied
from symflops.formulas import Largest, Mean, Total
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_layer, n_seq, n_vocab, n_window
from symflops.operations import Operation

SIZES = st.integers(1, 4)
LENGTHS = st.integers(1, 8)
MASKS: tuple[type[AttendedPairs], ...] = (Full, Causal, CausalTopLeft, SlidingWindow, Prefix)
SYMBOLS = (n_layer, d_model, d_ff, n_vocab, n_head, d_head, n_batch, n_seq, n_window)


@dataclass(frozen=True)
class Einsum:
    """A declaration of two factors: their axes, the result's, and the size of each axis."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    result: tuple[str, ...]
    sizes: dict[str, int]

    @property
    def sentence(self) -> str:
        """As symflops reads it; the second factor is a parameter."""
        left, right, result = (" ".join(axes) for axes in (self.left, self.right, self.result))
        return f"x[{left}] weight[{right}] -> y[{result}]"

    @property
    def letters(self) -> str:
        """As torch.einsum reads it."""
        return f"{''.join(self.left)},{''.join(self.right)}->{''.join(self.result)}"


@st.composite
def einsums(draw: st.DrawFn) -> Einsum:
    """Each axis is contracted (left, right), kept of one factor, or of both (a batch axis); in any order."""
    places = draw(st.lists(st.sampled_from(["lr", "lo", "ro", "lro"]), min_size=1, max_size=4))
    axes = dict(zip("abcd", places, strict=False))
    of = {part: draw(st.permutations([axis for axis in axes if part in axes[axis]])) for part in "lro"}
    return Einsum(tuple(of["l"]), tuple(of["r"]), tuple(of["o"]), {axis: draw(SIZES) for axis in axes})


@st.composite
def masks(draw: st.DrawFn, within_domain: bool = False) -> AttendedPairs:
    """Any mask at small sizes, windows and prefixes longer than the sequence among them."""
    kind = draw(st.sampled_from(MASKS))
    n_query, n_key = draw(LENGTHS), draw(LENGTHS)
    if within_domain:
        n_query, n_key = sorted((n_query, n_key))
    most = n_key if within_domain and kind is Prefix else 10
    return kind(n_query, n_key, *(draw(st.integers(1, most)) for _ in kind.extra))


def up(name: str = "up") -> Contraction:
    """A linear layer with a bias."""
    sizes = {"seq": n_seq, "d": d_model, "f": d_ff}
    return Contraction(name, "x[seq d] weight[d f] + bias[f] -> y[seq f]", sizes, "feedforward")


def token() -> Lookup:
    """A token table."""
    sizes = {"vocab": n_vocab, "d": d_model, "batch": n_batch, "seq": n_seq}
    return Lookup("token", "weight[vocab d] -> x[batch seq d]", sizes, "embedding")


def scores(mask: AttendedPairs = Causal(n_seq, n_seq), name: str = "scores") -> Contraction:  # noqa: B008
    """QK^T over the attended pairs."""
    return Contraction(name, "q[head query d] k[head key d] -> s[head query key]", _HEADS, "scores", mask)


def softmax(mask: AttendedPairs = Causal(n_seq, n_seq)) -> Elementwise:  # noqa: B008
    """A softmax over the attended keys."""
    x = Symbol("x", real=True)
    weight = exp(x - Largest(x, "key"))
    formula = Lambda(x, weight / Total(weight, "key"))
    sentence = "x[head query key] -> w[head query key]"
    return Elementwise("softmax", sentence, _HEADS, "softmax", mask, formula=formula)


_HEADS = {"head": n_head, "d": d_head}
_WINDOW = SlidingWindow(n_seq, n_seq, n_window)
OPERATIONS: tuple[Operation, ...] = (up(), up("down"), token(), scores(), scores(_WINDOW, "windowed"), softmax())


def _wrapped(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    factors = st.sampled_from([Integer(2), Integer(3), n_layer, n_layer * n_head, n_layer - 1])
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(factors, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(st.sampled_from(["left", "right"]), inner).map(lambda pair: Block(*pair)),
        inner.map(Tied),
        inner.map(Recomputed),
        inner.map(lambda body: Routed(8, 2, body)),
    )


operations: st.SearchStrategy[Operation] = st.sampled_from(OPERATIONS)
networks: st.SearchStrategy[Expr] = st.recursive(operations, _wrapped, max_leaves=4)
assignments: st.SearchStrategy[dict[Symbol, int]] = st.fixed_dictionaries({each: st.integers(1, 6) for each in SYMBOLS})


X, Y, W, G = FORMULA_SYMBOLS = (*(Symbol(name, real=True) for name in ("x", "y", "weight")), Symbol("upstream"))
AXES = {X: frozenset("ab"), Y: frozenset("b"), W: frozenset("b"), G: frozenset("ab")}


def _grown(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] / (1 + pair[1] ** 2)),
        inner.map(tanh),
        inner.map(lambda body: exp(-(body**2))),
        inner.map(lambda body: 1 / sqrt(1 + body**2)),
        st.tuples(st.sampled_from([Total, Mean]), inner, st.sampled_from("ab")).map(lambda it: it[0](*it[1:])),
    )


formulas: st.SearchStrategy[Expr] = st.recursive(st.sampled_from(FORMULA_SYMBOLS[:3]), _grown, max_leaves=5)


def _fields(**choices: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})


# fmt: off
gpt2_configs = _fields(
    model_type=["gpt2"], n_layer=[1, 3], n_head=[1, 3, 5], n_embd=[15, 45], n_inner=[None, 7, 33],
    vocab_size=[41], n_positions=[17], tie_word_embeddings=[True, False], activation_function=["gelu_new", "relu"],
)
llama_configs = _fields(
    model_type=["llama"], num_hidden_layers=[1, 3], num_attention_heads=[3, 6], hidden_size=[36, 60],
    num_key_value_heads=[None, 1, 3], head_dim=[None, 2, 10], intermediate_size=[7, 33], vocab_size=[41],
    attention_bias=[False, True], mlp_bias=[False, True], tie_word_embeddings=[False, True],
    max_position_embeddings=[19],
)
neox_configs = _fields(
    model_type=["gpt_neox"], num_hidden_layers=[1, 3], num_attention_heads=[2, 3], hidden_size=[48, 96],
    intermediate_size=[7, 33], vocab_size=[41], attention_bias=[True, False], use_parallel_residual=[True, False],
    tie_word_embeddings=[False, True], rotary_pct=[0.25, 0.5, 1.0], max_position_embeddings=[19],
)
# fmt: on
configs = gpt2_configs | llama_configs | neox_configs


class Number:
    """A float that writes down every operation done to it; a change of sign is none."""

    done: ClassVar[Counter[str]] = Counter()

    def __init__(self, value: float) -> None:
        self.value = value

    def _with(self, kind: str, value: float) -> Number:
        Number.done[kind] += 1
        return Number(value)

    def __add__(self, other: Any) -> Number:
        return self._with("add", self.value + _plain(other))

    def __sub__(self, other: Any) -> Number:
        return self._with("add", self.value - _plain(other))

    def __mul__(self, other: Any) -> Number:
        return self._with("mul", self.value * _plain(other))

    def __truediv__(self, other: Any) -> Number:
        return self._with("div", self.value / _plain(other))

    def __rtruediv__(self, other: float) -> Number:
        return self._with("div", other / self.value)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Number:
        return Number(-self.value)

    def larger(self, other: Any) -> Number:
        return self._with("compare", max(self.value, _plain(other)))

    def apply(self, name: str) -> Number:
        return self._with(name, getattr(math, name)(self.value))


def _plain(value: Any) -> float:
    return value.value if isinstance(value, Number) else float(value)
