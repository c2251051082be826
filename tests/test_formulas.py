"""Elementwise steps: their work against programs run on numbers that count, their gradients against autograd."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from strategies import AXES, Number, formulas
from strategies import FORMULA_SYMBOLS as _SYMBOLS
from sympy import Expr, Max, Mul, Pow, Rational, Symbol, erf, exp, log, sqrt, tanh

from symflops.formulas import Largest, Mean, Total, _outermost_reductions, axes_of, backward, sigmoid, steps
from symflops.layers.attention import Heads, attention_core
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.norm import layer_norm, residual, rms_norm
from symflops.layers.rotary import rotate
from symflops.masks import Causal, SlidingWindow
from symflops.networks import uses
from symflops.notation import d_ff, d_model, n_batch, n_head, n_kv_head, n_seq
from symflops.operations import Operation

torch = pytest.importorskip("torch")


Row = list[Number]


def _sum(row: Row) -> Number:
    total = row[0]
    for each in row[1:]:
        total = total + each
    return total


def softmax(row: Row) -> Row:
    most = row[0]
    for each in row[1:]:
        most = most.larger(each)
    weights = [(each - most).apply("exp") for each in row]
    total = _sum(weights)
    return [weight / total for weight in weights]


def layer_normed(row: Row, weight: Row, bias: Row) -> Row:
    mean = _sum(row) / len(row)
    centred = [each - mean for each in row]
    scale = 1 / (_sum([each * each for each in centred]) / len(row) + 1e-5).apply("sqrt")
    return [each * scale * w + b for each, w, b in zip(centred, weight, bias, strict=True)]


def rms_normed(row: Row, weight: Row) -> Row:
    scale = 1 / (_sum([each * each for each in row]) / len(row) + 1e-5).apply("sqrt")
    return [each * scale * w for each, w in zip(row, weight, strict=True)]


def gated(x: Number, other: Number) -> Number:
    return x / (1 + (-x).apply("exp")) * other


def gelu(x: Number) -> Number:
    return 0.5 * x * (1 + (x * math.sqrt(0.5)).apply("erf"))


def gelu_tanh(x: Number) -> Number:
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))).apply("tanh"))


def numbers(count: int) -> Row:
    return [Number(0.5 + 0.1 * each) for each in range(count)]


def counted(run: Callable[[], Any]) -> dict[str, int]:
    """The operations of a program on numbers that count."""
    Number.done = Counter()
    run()
    return dict(Number.done)


def forward_work(op: Operation) -> dict[str, int]:
    """What symflops says of the same, element and parameter counts apart."""
    done = {kind: int(amount.doit()) for (kind, pass_), amount in op.work.items() if pass_ == "forward"}
    return {kind: amount for kind, amount in done.items() if amount and kind not in ("element", "parameter")}


B, S, D, H, K = 2, 3, 5, 4, 2
_SQUARE = Causal(n_seq, n_seq)
AT = {n_batch: B, n_seq: S, d_model: D, d_ff: D, n_head: H, n_kv_head: K}


def only(network: Expr, name: str) -> Operation:
    return next(use.operation for use in uses(network) if use.operation.name == name)


_CORES = [attention_core(Heads(n_head, n_kv_head, d_model), mask) for mask in (_SQUARE, SlidingWindow(n_seq, n_seq, 2))]
_PLAIN = {act: only(plain_feedforward(act, "bias"), "act") for act in ("gelu", "gelu_new", "relu")}
_EACH = range(B * S)
# fmt: off
PROGRAMS: dict[str, tuple[Operation, Callable[[], Any]]] = {
    "layer_norm": (layer_norm("n"), lambda: [layer_normed(numbers(D), numbers(D), numbers(D)) for _ in _EACH]),
    "rms_norm": (rms_norm("n"), lambda: [rms_normed(numbers(D), numbers(D)) for _ in _EACH]),
    "gelu": (_PLAIN["gelu"], lambda: [gelu(x) for x in numbers(B * S * D)]),
    "gelu_new": (_PLAIN["gelu_new"], lambda: [gelu_tanh(x) for x in numbers(B * S * D)]),
    "relu": (_PLAIN["relu"], lambda: [x.larger(0) for x in numbers(B * S * D)]),
    "silu gate": (
        only(gated_feedforward("silu", "no bias"), "act"), lambda: [gated(x, x) for x in numbers(B * S * D)],
    ),
    "residual": (residual("r"), lambda: [x + x for x in numbers(B * S * D)]),
    "rotary": (rotate("q", n_head, d_model), lambda: [x * 0.5 + x * 0.25 for x in numbers(B * S * H * D)]),
    "softmax": (
        only(_CORES[0], "softmax"),
        lambda: [softmax(numbers(keys)) for keys in range(1, S + 1) for _ in range(B * H)],
    ),
    "windowed softmax": (
        only(_CORES[1], "softmax"),
        lambda: [softmax(numbers(min(keys, 2))) for keys in range(1, S + 1) for _ in range(B * H)],
    ),
}
# fmt: on


@pytest.mark.parametrize("name", PROGRAMS)
def test_forward_work_is_what_a_program_does(name: str) -> None:
    op, program = PROGRAMS[name]
    assert forward_work(op.subs(AT)) == counted(program)


def test_a_program_with_one_operation_less_is_told_apart() -> None:
    op, _ = PROGRAMS["silu gate"]
    assert forward_work(op.subs(AT)) != counted(lambda: [x / (-x).apply("exp") * x for x in numbers(B * S * D)])


X, Y, W, G = _SYMBOLS
WRITTEN: list[tuple[Expr, Callable[[Number, Number], Any]]] = [
    (X + 1, lambda x, y: x + 1),
    (X - 1, lambda x, y: x - 1),
    (-X, lambda x, y: -x),
    (1 / X, lambda x, y: 1 / x),
    (-1 / X, lambda x, y: -(1 / x)),
    (1 / (X * W), lambda x, y: 1 / (x * y)),
    (2 * X**3 - W, lambda x, y: 2 * (x * x * x) - y),
    (3 / X + 1, lambda x, y: 3 / x + 1),
    (Max(X, W, 0), lambda x, y: x.larger(y).larger(0)),
    (X * sigmoid(X), lambda x, y: x / (1 + (-x).apply("exp"))),
    (exp(X) / (1 + exp(X)), lambda x, y: (e := x.apply("exp")) / (1 + e)),
    (sqrt(X), lambda x, y: x.apply("sqrt")),
    (1 / sqrt(X), lambda x, y: 1 / x.apply("sqrt")),
    (tanh(X) * log(W), lambda x, y: x.apply("tanh") * y.apply("log")),
]


@pytest.mark.parametrize(("formula", "program"), WRITTEN, ids=lambda each: str(each)[:20])
def test_every_operation_of_a_formula_counts(formula: Expr, program: Callable[[Number, Number], Any]) -> None:
    tally: Counter[str] = Counter()
    for step in steps([formula], {X: frozenset(), W: frozenset()}):
        tally[step.kind] += step.times
    seen = counted(lambda: program(Number(0.5), Number(0.25)))
    both = ("mul", "div")  # x*y/z and x/(z/y) may differ in which of the two they take
    assert sum(tally[kind] for kind in both) == sum(seen.get(kind, 0) for kind in both)
    assert {k: v for k, v in tally.items() if k not in both} == {k: v for k, v in seen.items() if k not in both}


SIZES = {"a": 3, "b": 4}


def evaluate(node: Expr, values: Mapping[Symbol, Any]) -> Any:
    """A formula on tensors whose dimensions are the axes in order of the alphabet, of length 1 where absent."""
    if node in values:
        return values[node]
    if node.is_number:
        return torch.tensor(float(node), dtype=torch.float64).reshape(1, 1)
    if isinstance(node, Total | Mean | Largest):
        inner = evaluate(node.args[0], values).expand(*(SIZES[axis] if axis in node.over else -1 for axis in SIZES))
        reduce = {Total: torch.sum, Mean: torch.mean, Largest: torch.amax}[type(node)]
        return reduce(inner, dim=[list(SIZES).index(axis) for axis in node.over], keepdim=True)
    if isinstance(node, Symbol):
        return torch.tensor(float(SIZES[node.name.removeprefix("size_")]))
    parts = [evaluate(part, values) for part in node.args]
    if isinstance(node, Pow):
        return parts[0] ** parts[1]
    if isinstance(node, Max):
        return torch.maximum(*parts)
    if len(parts) == 1 or type(node).__name__ == "Heaviside":
        return getattr(torch, type(node).__name__.lower())(*(p.expand(1, 1) if p.ndim < 2 else p for p in parts))
    result = parts[0]
    for part in parts[1:]:
        result = result * part if isinstance(node, Mul) else result + part
    return result


def operands() -> dict[Symbol, Any]:
    generator = torch.Generator().manual_seed(7)
    shapes = {symbol: [SIZES[axis] if axis in AXES[symbol] else 1 for axis in SIZES] for symbol in (X, Y, W)}
    return {
        symbol: (torch.rand(shape, dtype=torch.float64, generator=generator) * 2 - 0.6).requires_grad_()
        for symbol, shape in shapes.items()
    }


def gradients_agree(formula: Expr, wanted: Sequence[Symbol]) -> bool:
    """Whether the gradients, evaluated from nothing but what is kept, are autograd's."""
    values = operands()
    result = evaluate(formula, values)
    upstream = torch.cos(torch.arange(result.numel(), dtype=torch.float64)).reshape(result.shape)
    truth = torch.autograd.grad(result, [values[each] for each in wanted], upstream, allow_unused=True)
    axes = {**AXES, G: axes_of(formula, AXES)}
    back = backward(formula, wanted, G, axes, frozenset({W}))
    rows = dict(enumerate(_outermost_reductions(formula)))
    held = {G: upstream, W: values[W], Symbol("output"): result, **{each: values[each] for each in (X, Y)}}
    kept = {symbol: value for symbol, value in held.items() if symbol in (G, W) or symbol.name in back.kept}
    for symbol, _ in back.rows:
        kept[symbol] = evaluate(rows[int(symbol.name.removeprefix("row_"))], values)
    for operand, gradient, true in zip(wanted, back.gradients, truth, strict=True):
        found = evaluate(gradient, kept).detach().expand(values[operand].shape)
        if not torch.allclose(found, torch.zeros_like(found) if true is None else true, rtol=1e-8, atol=1e-10):
            return False
    return True


_CENTRED = X - Mean(X, "b")
_SHIFTED = exp(X - Largest(X, "b"))
KNOWN: dict[str, Expr] = {
    "softmax": _SHIFTED / Total(_SHIFTED, "b"),
    "layer_norm": _CENTRED / sqrt(Mean(_CENTRED**2, "b") + Rational(1, 10**5)) * W + Y,
    "rms_norm": X / sqrt(Mean(X**2, "b") + Rational(1, 10**5)) * W,
    "silu gate": X * sigmoid(X) * Y,
    "gelu": X * (1 + erf(X / sqrt(2))) / 2,
    "tanh": tanh(X),
    "relu": Max(X, 0),
    "exp": exp(X),
    "log-sum-exp": log(Total(exp(X), "b")) * W,
    "variance over both axes": Mean((X - Mean(X, "a", "b")) ** 2, "a", "b") + X,
}


@pytest.mark.parametrize("name", KNOWN)
def test_gradients_from_the_kept_values_are_autograds(name: str) -> None:
    assert gradients_agree(KNOWN[name], [X, Y, W])


def _reduces_what_is_there(formula: Expr) -> bool:
    return all(node.over <= axes_of(node.args[0], AXES) for node in formula.atoms(Total, Mean))


@settings(deadline=None, max_examples=80)
@given(formulas)
def test_gradients_of_any_formula_are_autograds(formula: Expr) -> None:
    assume(formula.free_symbols and _reduces_what_is_there(formula))
    assert gradients_agree(formula, [X, Y, W])


def test_a_wrong_gradient_and_a_value_not_kept_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    import test_formulas

    true = backward

    def halved(*args: Any) -> Any:
        back = true(*args)
        return type(back)(tuple(each / 2 for each in back.gradients), back.kept, back.rows)

    def forgetful(*args: Any) -> Any:
        back = true(*args)
        return type(back)(back.gradients, (), back.rows)

    monkeypatch.setattr(test_formulas, "backward", halved)
    assert not test_formulas.gradients_agree(tanh(X), [X])
    monkeypatch.setattr(test_formulas, "backward", forgetful)
    with pytest.raises((KeyError, ValueError)):
        test_formulas.gradients_agree(X**2, [X])


def test_kept_values_are_the_least() -> None:
    kept = {name: backward(formula, [X], G, AXES, frozenset({W})) for name, formula in KNOWN.items()}
    assert {name: back.kept for name, back in kept.items() if name in ("softmax", "tanh", "exp")} == {
        "softmax": ("output",), "tanh": ("output",), "exp": ("output",),
    }  # fmt: skip
    assert kept["layer_norm"].kept == ("x",) and len(kept["layer_norm"].rows) == 2
    assert kept["rms_norm"].kept == ("x",) and len(kept["rms_norm"].rows) == 1
    assert kept["softmax"].rows == ()
