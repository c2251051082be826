"""Operations against loops that multiply one pair of numbers at a time, and against what torch keeps for backward."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import OPERATIONS, SIZES, Einsum, einsums, masks, operations, scores, softmax, token, up
from sympy import (
    Abs,
    Expr,
    Integer,
    Lambda,
    Max,
    Piecewise,
    Rational,
    Symbol,
    cse,
    erf,
    exp,
    latex,
    simplify,
    sqrt,
    srepr,
    tanh,
)  # fmt: skip

from symflops import Contraction, Elementwise, Lookup, SymflopsError
from symflops.formulas import Total
from symflops.layers.norm import layer_norm
from symflops.masks import AttendedPairs, Causal
from symflops.notation import d_ff, d_model, n_batch, n_seq
from symflops.operations import Operation

torch = pytest.importorskip("torch")
X = Symbol("x", real=True)
_ATTENTION = {"head": 2, "d": 3}


def declared(of: Einsum) -> Contraction:
    return Contraction("op", of.sentence, of.sizes)


def tensors(of: Einsum) -> list[Any]:
    shapes = [[of.sizes[axis] for axis in axes] for axes in (of.left, of.right)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def looped(
    one: Any, its: tuple[str, ...], two: Any, others: tuple[str, ...], into: tuple[str, ...], sizes: dict[str, int],
    attended: Callable[[dict[str, int]], bool] = lambda at: True,
) -> tuple[Any, int]:  # fmt: skip
    """An einsum by loops over all its axes: the result, and how many products were formed."""
    result, products = torch.zeros([sizes[axis] for axis in into], dtype=torch.float64), 0
    axes = sorted({*its, *others, *into})
    for point in itertools.product(*(range(sizes[axis]) for axis in axes)):
        at = dict(zip(axes, point, strict=True))
        if attended(at):
            left, right, place = (tuple(at[axis] for axis in each) for each in (its, others, into))
            result[place] += one[left] * two[right]
            products += 1
    return result, products


@settings(deadline=None)
@given(einsums())
def test_forward_and_each_gradient_are_the_products_of_a_loop(of: Einsum) -> None:
    work = declared(of).work
    left, right = tensors(of)
    with torch.no_grad():
        by_hand, products = looped(left, of.left, right, of.right, of.result, of.sizes)
    result = torch.einsum(of.letters, left, right)
    assert torch.allclose(by_hand, result) and work["mac", "forward"] == products
    upstream = torch.randn_like(result)
    true_left, true_right = torch.autograd.grad(result, (left, right), upstream)
    with torch.no_grad():
        to_left, left_products = looped(upstream, of.result, right, of.right, of.left, of.sizes)
        to_right, right_products = looped(upstream, of.result, left, of.left, of.right, of.sizes)
    assert torch.allclose(to_left, true_left) and torch.allclose(to_right, true_right)
    assert work["mac", "input_gradient"] == left_products
    assert work["mac", "weight_gradient"] == right_products


def test_an_operation_that_forgets_the_contracted_axis_is_caught_by_the_loop() -> None:
    class Forgetful(Contraction):
        @property
        def _volume(self) -> Expr:
            return self.elements_written

    of = Einsum(("a", "b"), ("b", "c"), ("a", "c"), {"a": 2, "b": 3, "c": 4})
    left, right = tensors(of)
    with torch.no_grad():
        _, products = looped(left, of.left, right, of.right, of.result, of.sizes)
    assert declared(of).work["mac", "forward"] == products == 24
    assert Forgetful("op", of.sentence, of.sizes).work["mac", "forward"] != products


@settings(deadline=None, max_examples=40)
@given(masks(within_domain=True))
def test_masked_work_is_over_attended_pairs_alone(mask: AttendedPairs) -> None:
    core = Contraction("scores", "q[head query d] k[head key d] -> s[head query key]", _ATTENTION, mask=mask)
    sizes = {axis: int(size) for axis, size in core.sizes.items()}
    q, k = (torch.ones([sizes[axis] for axis in ("head", other, "d")]) for other in ("query", "key"))

    def attended(at: dict[str, int]) -> bool:
        return mask.attends(at["query"], at["key"])

    axes = (("head", "query", "d"), ("head", "key", "d"), ("head", "query", "key"))
    _, products = looped(q, axes[0], k, axes[1], axes[2], sizes, attended)
    assert core.work["mac", "forward"].doit() == products
    assert core.work["mac", "input_gradient"].doit() == 2 * products
    assert core.elements_written == 2 * sizes["query"] * sizes["key"]


@given(einsums())
def test_parameters_and_bytes_are_the_declared_shapes(of: Einsum) -> None:
    op = declared(of)
    left, right = (math.prod(of.sizes[axis] for axis in axes) for axes in (of.left, of.right))
    assert [parameter.count for parameter in op.parameters] == [right]
    assert op.elements_read == left + right
    assert op.elements_written == math.prod(of.sizes[axis] for axis in of.result)


def test_constants_cost_no_gradient_and_free_what_the_gradient_would_need() -> None:
    sentence, sizes = "x[a d] weight[d f] -> y[a f]", {"a": 2, "d": 3, "f": 5}
    passes = {key for key in Contraction("op", sentence, sizes, constants=["x"]).work if key[0] == "mac"}
    assert passes == {("mac", "forward"), ("mac", "weight_gradient")}
    assert Contraction("op", sentence, sizes, constants=["weight"]).saved == ()
    assert Contraction("op", sentence, sizes).saved == (("x", 6),)


@given(SIZES, SIZES, SIZES)
def test_a_bias_is_added_everywhere_and_its_gradient_summed(a: int, d: int, f: int) -> None:
    op = Contraction("op", "x[a d] weight[d f] + bias[f] -> y[a f]", {"a": a, "d": d, "f": f})
    assert op.work["bias_add", "forward"] == sum(1 for _ in itertools.product(range(a), range(f)))
    assert op.work["bias_add", "weight_gradient"] == sum(1 for _ in itertools.product(range(1, a), range(f)))
    assert [parameter.count for parameter in op.parameters] == [d * f, f]


@given(SIZES, SIZES, SIZES)
def test_a_lookup_copies_rows_and_scatters_their_gradient(vocab: int, d: int, n: int) -> None:
    op = Lookup("token", "weight[vocab d] -> x[seq d]", {"vocab": vocab, "d": d, "seq": n})
    assert op.work["lookup", "forward"] == op.work["add", "weight_gradient"] == n * d
    one_hot = torch.nn.functional.one_hot(torch.zeros(n, dtype=torch.long), vocab).double()
    sizes = {"n": n, "v": vocab, "d": d}
    _, products = looped(one_hot, ("n", "v"), torch.ones(vocab, d), ("v", "d"), ("n", "d"), sizes)
    assert op.work["one_hot_mac", "forward"] == products
    assert op.elements_read == n * d + n


def kept_by_torch(run: Callable[..., Any], *inputs: Any) -> list[int]:
    """Elements of the tensors that autograd saves, parameters apart."""
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
        run(*inputs)
    weight = torch.nn.Parameter
    return sorted(each.numel() for each in kept if not isinstance(each, weight) and not isinstance(each._base, weight))


def pointwise(formula: Any) -> Elementwise:
    return Elementwise("f", "x[a b] -> y[a b]", {"a": 4, "b": 6}, formula=Lambda(X, formula))


F = torch.nn.functional
_LINEAR = Contraction("l", "x[a b] weight[b c] -> y[a c]", {"a": 4, "b": 6, "c": 5})
_MATMUL = Contraction("m", "x[a b] v[b c] -> y[a c]", {"a": 4, "b": 6, "c": 5})
_SOFTMAX = Lambda(X, exp(X) / Total(exp(X), "b"))
SAVED: dict[str, tuple[Operation, Callable[[Any], Any]]] = {
    "linear": (_LINEAR, torch.nn.Linear(6, 5, bias=False)),
    "matmul": (_MATMUL, lambda x: x @ torch.randn(6, 5, requires_grad=True)),
    "softmax": (
        Elementwise("s", "x[a b] -> y[a b]", {"a": 4, "b": 6}, formula=_SOFTMAX),
        lambda x: F.softmax(x, dim=-1),
    ),
    "layer_norm": (layer_norm("n").subs({n_batch: 4, n_seq: 1, d_model: 6}), torch.nn.LayerNorm(6)),
    "tanh": (pointwise(tanh(X)), torch.tanh),
    "exp": (pointwise(exp(X)), torch.exp),
    "gelu": (pointwise(X * (1 + erf(X / sqrt(2))) / 2), F.gelu),
    "relu": (pointwise(Max(X, 0)), torch.relu),
}


@pytest.mark.parametrize("name", SAVED)
def test_saved_is_what_torch_saves(name: str) -> None:
    op, run = SAVED[name]
    assert sorted(size for _, size in op.saved) == kept_by_torch(run, torch.randn(4, 6, requires_grad=True))


def test_saved_index_of_a_lookup_is_what_torch_saves() -> None:
    op = token().subs({"vocab": 9})
    table = torch.nn.Embedding(9, 4)
    assert op.saved == (("index", n_batch * n_seq),)
    assert kept_by_torch(table, torch.zeros(2, 3, dtype=torch.long)) == [6]


def test_a_gradient_that_needs_the_result_is_not_said_to_need_the_operand() -> None:
    assert pointwise(tanh(X)).saved == (("y", 24),)
    assert pointwise(X**2).saved == (("x", 24),)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_an_operation_is_its_arguments(op: Operation) -> None:
    again = op.func(*op.args)
    assert again == op and hash(again) == hash(op) and again.work == op.work
    assert pickle.loads(pickle.dumps(op)) == copy.deepcopy(op) == op
    assert all(symbol.is_positive and symbol.is_integer for symbol in op.free_symbols)
    assert str(op) == op.name and srepr(op) and op.name in latex(op)


def test_a_pickle_means_the_same_in_a_fresh_interpreter() -> None:
    code = (
        "import pickle, sys; given = pickle.load(sys.stdin.buffer); from symflops import params, flops;"
        "print([(params(each), flops(each, 'all-operations', 'training').expr) for each in given]);"
        "sys.path.insert(0, 'tests'); import strategies; print(list(strategies.OPERATIONS) == given)"
    )
    found = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(list(OPERATIONS)), capture_output=True)
    from symflops import flops, params

    here = [(params(each), flops(each, "all-operations", "training").expr) for each in OPERATIONS]
    assert found.stdout.decode().splitlines() == [str(here), "True"], found.stderr.decode()


def test_substitution_reaches_the_sizes() -> None:
    assert up().subs(d_model, 7).sizes["d"] == up().xreplace({d_model: Integer(7)}).sizes["d"] == 7
    assert scores().subs(n_seq, 5).mask == Causal(5, 5)
    assert up().subs({d_model: d_ff, d_ff: d_model}, simultaneous=True).sizes["d"] == d_ff


@given(operations)
def test_rewriting_leaves_a_declaration_alone(op: Operation) -> None:
    assert op.doit() == simplify(op) == op.expand() == op


def test_a_counted_mask_cannot_take_the_place_of_a_mask() -> None:
    with pytest.raises(SymflopsError, match="is no mask"):
        softmax().xreplace({Causal(n_seq, n_seq): Causal(n_seq, n_seq).doit()})
    with pytest.raises(SymflopsError, match="is no mask"):
        cse(scores() + softmax())


_SENTENCE, _GIVEN = "x[a d] weight[d f] -> y[a f]", {"a": 2, "d": 3, "f": 5}
BAD: dict[str, Callable[[], Any]] = {
    "no sentence": lambda: Contraction("op", "x weight", _GIVEN),
    "axis twice": lambda: Contraction("op", "x[a a] weight[a f] -> y[a f]", _GIVEN),
    "name twice": lambda: Contraction("op", "x[a d] x[d f] -> y[a f]", _GIVEN),
    "axis from nowhere": lambda: Contraction("op", "x[a d] weight[d f] -> y[a z]", _GIVEN),
    "three factors": lambda: Contraction("op", "x[a d] z[a d] weight[d f] -> y[a f]", _GIVEN),
    "bias elsewhere": lambda: Contraction("op", "x[a d] weight[d f] + bias[d] -> y[a f]", _GIVEN),
    "size missing": lambda: Contraction("op", _SENTENCE, {"a": 2, "d": 3}),
    "unknown constant": lambda: Contraction("op", _SENTENCE, _GIVEN, constants=["wieght"]),
    "mask is a number": lambda: Contraction("op", _SENTENCE, _GIVEN, mask=Integer(3)),
    "mask of other sizes": lambda: Contraction("o", "q[query] k[key] -> s[query key]", {"key": 2}, mask=Causal(4, 4)),
    "two tables": lambda: Lookup("op", "a[v d] b[v d] -> y[s d]", {"v": 2, "d": 3, "s": 5}),
    "no formula": lambda: Elementwise("op", "x[a] -> y[a]", {"a": 2}),
    "formula of others": lambda: Elementwise("op", "z[a] -> y[a]", {"a": 2}, formula=Lambda(X, X)),
    "axis misspelt": lambda: Elementwise("op", "x[a b] -> y[a]", {"a": 2, "b": 3}, formula=Lambda(X, Total(X, "bb"))),
    "value too wide": lambda: Elementwise("op", "x[a b] -> y[a]", {"a": 2, "b": 3}, formula=Lambda(X, exp(X))),
    **{f"size {bad!r}": lambda bad=bad: up().func("up", _SENTENCE, {**_GIVEN, "a": bad})
       for bad in (0, -1, 2.0, 2.5, "2", None, True, float("nan"), up())},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_declaration_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SymflopsError) as refusal:
        BAD[name]()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("formula", [Abs(X), 2**X, X ** Rational(1, 3), Piecewise((X, X > 0), (0, True))], ids=str)
def test_a_function_without_a_price_is_refused_and_not_free(formula: Expr) -> None:
    with pytest.raises(SymflopsError) as refusal:
        pointwise(formula).work  # noqa: B018
    assert "\n" not in str(refusal.value)


def test_a_size_that_stops_being_whole_is_refused() -> None:
    with pytest.raises(SymflopsError, match="3/2"):
        up().subs(d_model, 3 * d_ff / 2).subs(d_ff, 1)
