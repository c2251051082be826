"""Hypothesis strategies: declarations, operations, networks, masks, configs; and numbers that count."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st
from sympy import Expr, Symbol, exp, sqrt, tanh

from symflops.formulas import Mean, Total
from symflops.laws.strategies import (
    LENGTHS,
    MASKS,
    OPERATIONS,
    SIZES,
    Einsum,
    assignments,
    einsums,
    masks,
    networks,
    operations,
    scores,
    softmax,
    token,
    up,
)

__all__ = [
    "AXES", "FORMULA_SYMBOLS", "LENGTHS", "MASKS", "OPERATIONS", "SIZES", "Einsum", "Number", "assignments", "configs",
    "einsums", "formulas", "llama_configs", "masks", "networks", "operations", "scores", "softmax", "token", "up",
]  # fmt: skip

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
