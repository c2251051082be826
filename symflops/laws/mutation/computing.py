"""What a step computes, in numbers: its formula over a row, against the same function written with Python's floats.

>>> from symflops.layers.norm import rms_norm
>>> step = rms_norm("norm_attention")
>>> [instance.holds for instance in computes("llama", step)]
[True, True]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from sympy import Expr, Float, Lambda, Symbol, exp

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Mean, Reduction
from symflops.laws.catalogue.subjects import operations
from symflops.laws.law import Instance

Row = Sequence[float]
Function = Callable[..., Row]
"""A step over a row: a row of each operand, in the sentence's order, to a row, or to one number of a sum."""
_EPSILON, _LARGEST = 1e-5, 3.4e38
ROWS: tuple[tuple[Row, ...], ...] = (
    ((0.7, -1.9, 2.3), (0.4, 1.3, -0.6), (-0.2, 0.9, 0.5), (1.1, -0.3, 0.8)),
    ((900.0, 903.0, 901.5), (0.2, 0.1, 0.3), (0.5, 0.25, 0.1), (0.3, 0.2, 0.1)),
)
"""Operands, and scores whose exponentials are no numbers of 32 bits, nor of bfloat16."""


def _each(function: Callable[..., float]) -> Function:
    return lambda *rows: [function(*values) for values in zip(*rows, strict=True)]


def _mean(row: Row) -> float:
    return sum(row) / len(row)


def _layer_norm(x: Row) -> Row:
    centre = _mean(x)
    spread = math.sqrt(_mean([(each - centre) ** 2 for each in x]) + _EPSILON)
    return [(each - centre) / spread for each in x]


def _rms_norm(x: Row) -> Row:
    size = math.sqrt(_mean([each**2 for each in x]) + _EPSILON)
    return [each / size for each in x]


def _with(norm: Callable[[Row], Row], plus: float = 0.0) -> Function:
    """With a gain, and a bias where there is one."""

    def normed(x: Row, *parameters: Row) -> Row:
        gain = parameters[0] if parameters else [1.0] * len(x)
        bias = parameters[1] if len(parameters) > 1 else [0.0] * len(x)
        return [each * (g + plus) + b for each, g, b in zip(norm(x), gain, bias, strict=True)]

    return normed


def _softmax(x: Row, *sink: Row) -> Row:
    top = max(x)
    weights = [math.exp(each - top) for each in x]
    # A sink is one score of a head, the same for all keys: of each element, its own here.
    beside = [math.exp(min(each - top, 700.0)) for each in sink[0]] if sink else [0.0] * len(x)
    return [weight / (sum(weights) + more) for weight, more in zip(weights, beside, strict=True)]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


_ACTIVATIONS: Mapping[str, Callable[[float], float]] = {
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "gelu_new": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "silu": lambda x: x * _sigmoid(x),
    "relu": lambda x: x if x > 0 else 0.0,
    "tanh": math.tanh,
}


def _gpt_oss(x: float, up: float) -> float:
    return (min(max(up, -7), 7) + 1) * min(x, 7) * _sigmoid(1.702 * min(x, 7))


def _gates() -> Iterator[Function]:
    yield _each(_gpt_oss)
    for act in _ACTIVATIONS.values():
        yield _each(lambda x, up=1.0, act=act: act(x) * up)


def _sum(*rows: Row) -> Row:
    return [sum(a * b for a, b in zip(*rows, strict=True))] * len(rows[0])


_PLUS, _TIMES = _each(lambda x, y: x + y), _each(lambda x, y: x * y)
KNOWN: Mapping[str, tuple[Function, ...]] = {
    "softmax": (_softmax,),
    "act": tuple(_gates()),
    "add": (_PLUS,),
    "combine": (_sum, _each(lambda inside, outside, later: inside + outside * math.exp(later))),
    "cos": (_each(lambda position, frequency: math.cos(position * frequency)),),
    "sin": (_each(lambda position, frequency: math.sin(position * frequency)),),
    "rotary": (_each(lambda x, c, partner, s: x * c + partner * s),),
    "normalise": (lambda x: [each / sum(x) for each in x],),
    "sigmoid": (_each(_sigmoid),),
    "softcap": (_each(lambda x, cap: cap * math.tanh(x / cap)),),
    "bias": (_PLUS,), "logits_bias": (_PLUS,), "logits_shift": (_PLUS,), "position": (_PLUS,), "correct": (_PLUS,),
    "class_token": (_PLUS,), "cumulate": (_PLUS,), "cumulate_chunks": (_PLUS,),
    "gain": (_TIMES,), "input": (_TIMES, _each(lambda dt, b, x: dt * b * x)), "weigh": (_TIMES,),
    "scale": (_each(lambda x, weight: x * math.exp(weight)),),
    "share": (_each(lambda x, gate: x * _sigmoid(gate)),), "gate": (_each(lambda y, gate: y * gate * _sigmoid(gate)),),
    "softplus": (_each(lambda x: math.log1p(math.exp(x))),),
    "time_step": (_each(lambda x, weight: math.log1p(math.exp(x + weight))),),
    "decay": (
        _each(lambda dt, weight: math.exp(-dt * math.exp(weight))), _each(lambda dt, weight: -dt * math.exp(weight))),
    "recurrence": (_each(lambda decay, previous, x: decay * previous + x),),
    "skip": (_each(lambda y, x, weight: y + x * weight),),
    "segments": (_each(lambda later, earlier: math.exp(later - earlier)),),
    "segments_of_chunks": (_each(lambda later, earlier: math.exp(later - earlier)),),
    "decay_to_end": (_each(lambda b, last, earlier: b * math.exp(last - earlier)),),
    "gated_norm": (lambda x, gate: _rms_norm([a * g * _sigmoid(g) for a, g in zip(x, gate, strict=True)]),),
    "unit_length": (lambda x: [each / math.sqrt(sum(a**2 for a in x)) for each in x],),
}  # fmt: skip
"""The function of a step by its name; of an activation, one of those that there are."""
_NORMS: Mapping[str, Function] = {
    "rms": _with(_rms_norm), "gemma": _with(_rms_norm, 1.0), "layer": _with(_layer_norm),
}  # fmt: skip
_ROOT_MEAN_SQUARE = frozenset({
    "llama", "mistral", "qwen2", "qwen3", "granite", "phi3", "olmo2", "mixtral", "olmoe", "gpt_oss", "qwen2_moe",
    "qwen3_moe", "deepseek_v2", "deepseek_v3", "t5", "mamba", "mamba2", "bamba", "falcon_h1",
})  # fmt: skip
"""Families whose code in transformers has a class of RMSNorm; Gemma's has a gain of one more; others LayerNorm."""


def norm_of(family: str) -> Function:
    """The norm of a family's code."""
    if family.startswith("gemma"):
        return _NORMS["gemma"]
    return _NORMS["rms" if family in _ROOT_MEAN_SQUARE else "layer"]


def _functions(family: str, step: Elementwise) -> tuple[Function, ...]:
    name = "add" if step.name.startswith("add") else step.name
    if step.role == "rotary" and name in ("q", "k"):
        return KNOWN["rotary"]
    if name in KNOWN:
        return KNOWN[name]
    return (norm_of(family),) if step.role == "norm" else ()


def computes(family: str, step: Elementwise) -> Iterator[Instance]:
    """That the formula gives the numbers of its function, and that none on the way is too large."""
    functions = _functions(family, step)
    for rows in ROWS if step.name == "softmax" else ROWS[:1]:
        given = rows[: len(step.sentence.operands)]
        found = [_plain(each) for each in _numbers(step.args[6].rule, given)]
        fits = any(_close(found, each) for each in _values(functions, given))
        yield Instance(f"{family}: {step.name} in numbers", fits, "oracle", str(found))
        largest = _largest(step.args[6].rule, given)
        yield Instance(f"{family}: numbers of {step.name}", largest < _LARGEST, "oracle", str(largest))


def _values(functions: Sequence[Function], given: Sequence[Row]) -> Iterator[Row]:
    for function in functions:
        try:
            yield function(*given)
        except (TypeError, ValueError):  # a function of other operands
            continue


def _close(one: Row, other: Row) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(one, other, strict=True))


def _plain(number: Expr) -> float:
    return float(number) if number.is_real else math.nan


Places = tuple[tuple[tuple[Symbol, Float], ...], ...]


def _places(rule: Lambda, given: Sequence[Row]) -> Places:
    """The value of each operand, place by place."""
    pairs = (zip(rule.variables, values, strict=True) for values in zip(*given, strict=True))
    return tuple(tuple((symbol, Float(value, 30)) for symbol, value in each) for each in pairs)


@lru_cache(maxsize=4096)
def _numbers(rule: Lambda, given: Sequence[Row]) -> tuple[Expr, ...]:
    places = _places(rule, given)
    return tuple(_at(rule.expr, places, number) for number in range(len(places)))


def _at(form: Expr, places: Places, number: int) -> Expr:
    """A form at one place of a row; a reduction is over all of them."""
    return _reduced(form, places).xreplace(dict(places[number])).evalf(30)


def _reduced(form: Expr, places: Places) -> Expr:
    """The form with numbers for its reductions, the inner ones first."""
    while found := [each for each in form.atoms(Reduction) if not each.args[0].atoms(Reduction)]:
        form = form.xreplace({each: _over(each, places) for each in found})
    return form


def _over(reduction: Reduction, places: Places) -> Expr:
    values = [reduction.args[0].xreplace(dict(each)).evalf(30) for each in places]
    if isinstance(reduction, Largest):
        return max(values)
    total = sum(values, start=Float(0, 30))
    return total / len(values) if isinstance(reduction, Mean) else total


def _largest(rule: Lambda, given: Sequence[Row]) -> float:
    """The largest exponential on the way, as far as a float goes."""
    places = _places(rule, given)
    form = _exponents(rule.expr, places)
    powers = [each.xreplace(dict(place)).evalf(30) for each in form for place in places]
    return max((math.exp(min(_plain(each), 700.0)) for each in powers), default=0.0)


def _exponents(form: Expr, places: Places) -> list[Expr]:
    return [_reduced(each.args[0], places) for each in form.atoms(exp)]


def computed(family: str, whole: Expr) -> Iterator[Instance]:
    """Every step of a network in numbers."""
    for each in operations(whole):
        if isinstance(each, Elementwise):
            yield from _computes(family, each)


@lru_cache(maxsize=4096)
def _computes(family: str, step: Elementwise) -> tuple[Instance, ...]:
    return tuple(computes(family, step))
