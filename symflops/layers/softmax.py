"""From scores to weights: softmax, and what models add to it.

>>> from symflops.masks import Causal
>>> from symflops.measures import params
>>> sizes = {"batch": 1, "kv_head": 2, "group": 3, "d_head": 4}
>>> [step.name for step in with_cap(sizes, Causal(5, 5))], params(sum(with_sinks(sizes, Causal(5, 5))))
(['softcap', 'softmax'], 6)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympy import Expr, Lambda, Symbol, exp, tanh

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Total
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs
from symflops.operations import Operation

Softmax = Callable[[Mapping[str, Expr], AttendedPairs], tuple[Operation, ...]]
"""The steps from scores to weights, for the sizes of an attention's axes and its mask."""

_X, _BIAS, _SINK, _CAP = (Symbol(name, real=True) for name in ("x", "slope", "weight", "cap"))
_PAIRS = "[batch kv_head group query key]"
_SCORES, _SHIFT = f"x{_PAIRS}", Largest(_X, "key")


def plain(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """Softmax over keys, shifted by the largest score."""
    formula = Lambda(_X, exp(_X - _SHIFT) / Total(exp(_X - _SHIFT), "key"))
    return (Elementwise("softmax", f"{_SCORES} -> weights{_PAIRS}", sizes, "softmax", mask, formula=formula),)


def with_cap(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """Scores kept within a cap by tanh before the softmax (Gemma 2, arXiv:2408.00118, section 2)."""
    formula = Lambda((_X, _CAP), _CAP * tanh(_X / _CAP))
    sentence = f"{_SCORES} cap[] -> y{_PAIRS}"
    cap = Elementwise("softcap", sentence, sizes, "softcap", mask, constants=("cap",), formula=formula)
    return (cap, *plain(sizes, mask))


def with_alibi(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """A slope of each head times the distance is added to the scores (ALiBi, Press et al. 2022, arXiv:2108.12409)."""
    return (_added(f"{_SCORES} + slope[kv_head group key]", sizes, mask, ("slope",)), *plain(sizes, mask))


def with_relative_bias(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """A learned bias of each head and distance is added to the scores (T5, Raffel et al. 2020, arXiv:1910.10683)."""
    return (_added(f"{_SCORES} + slope[kv_head group query key]", sizes, mask, ()), *plain(sizes, mask))


def _added(operands: str, sizes: Mapping[str, Expr], mask: AttendedPairs, constants: tuple[str, ...]) -> Operation:
    formula = Lambda((_X, _BIAS), _X + _BIAS)
    return Elementwise("bias", f"{operands} -> y{_PAIRS}", sizes, "bias", mask, constants=constants, formula=formula)


def with_sinks(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    """A learned score of each head that takes weight from all keys (gpt-oss model card, arXiv:2508.10925)."""
    weight = exp(_X - _SHIFT)
    formula = Lambda((_X, _SINK), weight / (Total(weight, "key") + exp(_SINK - _SHIFT)))
    sentence = f"{_SCORES} weight[kv_head group] -> weights{_PAIRS}"
    return (Elementwise("softmax", sentence, sizes, "softmax", mask, formula=formula),)


def capped_logits(n_vocab: Expr, stream: Stream = STREAM) -> Elementwise:
    """Logits kept within a cap by tanh (Gemma 2, arXiv:2408.00118, section 2)."""
    axes = "[batch seq d_model]"
    formula = Lambda((_X, _CAP), _CAP * tanh(_X / _CAP))
    sizes = {**stream.sizes(), "d_model": n_vocab}
    return Elementwise("softcap", f"x{axes} cap[] -> y{axes}", sizes, "softcap", constants=("cap",), formula=formula)
