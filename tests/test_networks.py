"""Networks: every measure is a linear map, and wrappers do what a count by hand says."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import assignments, networks, operations, scores, softmax, token, up
from sympy import (
    Abs,
    Add,
    Eq,
    Expr,
    Integer,
    Matrix,
    Max,
    Mul,
    Piecewise,
    Pow,
    Sum,
    Symbol,
    collect,
    expand,
    factor,
    nsimplify,
    powsimp,
    simplify,
    sin,
    together,
)

from symflops import (
    CONVENTIONS,
    Block,
    Contraction,
    Recomputed,
    Routed,
    SymflopsError,
    Tied,
    active_params,
    bytes_read,
    bytes_written,
    flops,
    intensity,
    params,
    saved_elements,
    work,
)  # fmt: skip
from symflops.errors import NotLinearError
from symflops.masks import Causal
from symflops.measures import flops_of_all, params_without
from symflops.networks import blocks, uses
from symflops.notation import d_ff, d_model, n_layer, n_seq

PHASES = ("forward", "backward", "training")
Measure = Callable[[Expr], Expr]


def priced(convention: str, phase: Any) -> Measure:
    return lambda network: flops(network, convention, phase).expr


MEASURES: dict[str, Measure] = {
    "params": params,
    "params_without": params_without,
    "active_params": active_params,
    "bytes_read": bytes_read,
    "bytes_written": bytes_written,
    "saved_elements": saved_elements,
    **{f"{name}, {phase}": priced(name, phase) for name in CONVENTIONS for phase in PHASES},
    **{f"{name}, all": (lambda net, name=name: flops_of_all(net, name).expr) for name in CONVENTIONS},
}
measures = st.sampled_from(list(MEASURES)).map(MEASURES.__getitem__)
factors = st.sampled_from([Integer(0), Integer(1), Integer(5), n_layer, -n_layer, n_layer + 2])


@settings(deadline=None)
@given(measures, networks, networks, factors)
def test_every_measure_is_linear(measure: Measure, a: Expr, b: Expr, n: Expr) -> None:
    assert expand(measure(a + n * b) - measure(a) - n * measure(b)) == 0


@settings(deadline=None)
@given(measures, networks, assignments)
def test_substitution_before_or_after_measuring_agrees(
    measure: Measure, network: Expr, sizes: Mapping[Symbol, int]
) -> None:
    before, after = measure(network.subs(sizes)), measure(network).subs(sizes)
    assert before == after and after.is_Integer


@settings(deadline=None)
@given(measures, networks)
def test_a_network_less_itself_is_nothing(measure: Measure, network: Expr) -> None:
    assert network - network == 0 and measure(network - network) == measure(Integer(0)) == 0
    assert expand(measure(3 * network - network) - 2 * measure(network)) == 0


REWRITES: dict[str, Callable[[Expr], Expr]] = {
    "doit": lambda network: network.doit(),
    "pickle": lambda network: pickle.loads(pickle.dumps(network)),
    "deepcopy": copy.deepcopy,
    **{f.__name__: f for f in (simplify, expand, factor, together, nsimplify, powsimp)},
    "collect": lambda network: collect(network, n_layer),
    "evalf": lambda network: network.evalf() if not network.has(Integer(5)) else network,
    "rebuilt": lambda network: network.func(*network.args),
}
TYPICAL = n_layer * (up() + Block("core", scores() + softmax())) + token() + Tied(up("head")) + Recomputed(up("again"))


@pytest.mark.parametrize("name", REWRITES)
def test_sympys_rewriting_changes_no_measure(name: str) -> None:
    rewritten = REWRITES[name](TYPICAL)
    for measure in MEASURES.values():
        assert expand(measure(rewritten) - measure(TYPICAL)) == 0


def test_a_rewriting_that_loses_the_mask_would_be_seen() -> None:
    dense = scores().func(*(each if each != scores().mask else Causal(n_seq, n_seq + 1) for each in scores().args[:2]),
                          {"head": 1, "d": 1, "query": n_seq, "key": n_seq})  # fmt: skip
    causal = Contraction("scores", str(scores().args[1]), {"head": 1, "d": 1}, mask=Causal(n_seq, n_seq))
    assert expand(flops(dense, "exact").expr - flops(causal, "exact").expr) != 0


# By hand: a 2 x 3 layer with bias on 5 tokens has 9 parameters, 30 products, 15 bias additions, and keeps its input.
SMALL = up().subs({d_model: 2, d_ff: 3, n_seq: 5})
N, MAC, KEPT = 9, 30, 10


def found(network: Expr) -> tuple[Expr, Expr, Expr, Expr, Expr]:
    macs = (flops(network, "macs", phase).expr for phase in ("forward", "backward"))
    return (params(network), active_params(network), *macs, saved_elements(network))


@pytest.mark.parametrize(
    ("network", "by_hand"),
    [
        (SMALL, (N, N, MAC, 2 * MAC, KEPT)),
        (3 * SMALL, (3 * N, 3 * N, 3 * MAC, 6 * MAC, 3 * KEPT)),
        (Block("a", Block("b", SMALL)), (N, N, MAC, 2 * MAC, KEPT)),
        (Tied(SMALL), (0, 0, MAC, 2 * MAC, KEPT)),
        (SMALL + Tied(SMALL), (N, N, 2 * MAC, 4 * MAC, 2 * KEPT)),
        (Routed(8, 2, SMALL), (8 * N, 2 * N, 2 * MAC, 4 * MAC, 2 * KEPT)),
        (3 * Routed(8, 2, SMALL), (24 * N, 6 * N, 6 * MAC, 12 * MAC, 6 * KEPT)),
        (Routed(8, 2, 3 * SMALL), (24 * N, 6 * N, 6 * MAC, 12 * MAC, 6 * KEPT)),
        (Routed(4, 2, Routed(8, 3, SMALL)), (32 * N, 6 * N, 6 * MAC, 12 * MAC, 6 * KEPT)),
        (Tied(Routed(8, 2, SMALL)), (0, 0, 2 * MAC, 4 * MAC, 2 * KEPT)),
        (Recomputed(SMALL), (N, N, MAC, 3 * MAC, 0)),
        (SMALL + Recomputed(SMALL), (2 * N, 2 * N, 2 * MAC, 5 * MAC, KEPT)),
        (Recomputed(3 * SMALL), (3 * N, 3 * N, 3 * MAC, 9 * MAC, 0)),
        (Recomputed(Routed(8, 2, SMALL)), (8 * N, 2 * N, 2 * MAC, 6 * MAC, 0)),
        (Routed(8, 2, Recomputed(SMALL)), (8 * N, 2 * N, 2 * MAC, 6 * MAC, 0)),
        (Recomputed(Recomputed(SMALL)), (N, N, MAC, 4 * MAC, 0)),
        (Tied(Recomputed(SMALL)), (0, 0, MAC, 3 * MAC, 0)),
        (Integer(0), (0, 0, 0, 0, 0)),
    ],
    ids=str,
)
def test_wrappers_against_a_count_by_hand(network: Expr, by_hand: tuple[int, ...]) -> None:
    assert found(network) == by_hand


@pytest.mark.parametrize(
    ("network", "runs", "active"),
    [(SMALL, 1, 1), (Tied(SMALL), 1, 0), (Routed(8, 2, SMALL), 2, 2), (3 * Recomputed(SMALL), 3, 3)],
    ids=str,
)
def test_bytes_go_by_runs_and_palms_2n_by_active_parameters(network: Expr, runs: int, active: int) -> None:
    assert (bytes_read(network, 4), bytes_written(network, 4)) == (runs * 4 * (10 + N), runs * 4 * 15)
    assert flops(network, "palm") == 2 * active * N * 5


def test_paths_and_blocks() -> None:
    network = Block("layer", n_layer * Block("Feedforward", up())) + Tied(Block("out", up())) + up()
    assert {use.path: use.runs for use in uses(network)} == {"layer/Feedforward/up": n_layer, "out/up": 1, "up": 1}
    assert set(blocks(network)) == {"layer", "out", "up"} and Add(*blocks(network).values()) == network
    assert blocks(Integer(0)) == {} and uses(Integer(0)) == ()


@settings(deadline=None, max_examples=40)
@given(networks, measures)
def test_blocks_cut_a_network_without_loss(network: Expr, measure: Measure) -> None:
    assert expand(measure(Add(*blocks(network).values())) - measure(network)) == 0


A, B, C = up("a"), up("b"), up("c")
REFUSED: dict[str, Callable[[], Any]] = {
    "op*op": lambda: A * A,
    "op1*op2": lambda: A * B,
    "n*op1*op2": lambda: n_layer * A * B,
    "op1*(n*op2)": lambda: A * (n_layer * B),
    "block*op": lambda: Block("x", A) * B,
    "op**2": lambda: A**2,
    "1/op": lambda: 1 / A,
    "op/op": lambda: A / A,
    "op + 1": lambda: A + 1,
    "op - n": lambda: A - n_layer,
    "one": lambda: Integer(1),
    "size": lambda: d_model,
    "sin": lambda: sin(A),
    "(a+b)*(a+c)": lambda: (A + B) * (A + C),
    "(a+b)**2": lambda: (A + B) ** 2,
    "(a+b)*c": lambda: (A + B) * C,
    "Mul unevaluated": lambda: Mul(A, A, evaluate=False),
    "Mul of two unevaluated": lambda: Mul(A, B, evaluate=False),
    "Mul": lambda: Mul(A, B),
    "Pow unevaluated": lambda: Pow(A, 2, evaluate=False),
    "n**op": lambda: n_layer**A,
    "op**op": lambda: A**A,
    "Max": lambda: Max(A, 1),
    "Abs": lambda: Abs(A),
    "Mod": lambda: A % 2,
    "Piecewise": lambda: Piecewise((A, n_layer > 1), (B, True)),
    "Sum": lambda: Sum(A, (n_layer, 1, 3)),
    "Eq": lambda: Eq(A, B),
    "derivative": lambda: A.diff(n_seq),
    "operation as a factor": lambda: (n_layer * A).subs(n_layer, B),
    "operation as a size": lambda: A.subs(n_seq, B),
    "routed to operations": lambda: Routed(8, A, B),
    "as many experts as operations": lambda: Routed(A, 2, B),
    "tied number": lambda: Tied(n_layer),
    "nonlinear inside": lambda: Recomputed(Block("x", sin(A))),
    "a constant inside": lambda: Tied(A + 1),
    "text": lambda: "a",
    "a list": lambda: [A],
    "none": lambda: None,
    "a matrix": lambda: Matrix([A]),
}
ASKED: dict[str, Callable[[Any], Any]] = {
    "params": params, "flops": flops, "work": work, "uses": uses, "blocks": blocks, "saved": saved_elements,
    "bytes": bytes_read, "palm": lambda network: flops(network, "palm", "training"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_linear_is_refused_by_every_measure(name: str) -> None:
    for ask in ASKED.values():
        with pytest.raises(SymflopsError) as refusal:
            ask(REFUSED[name]())
        assert "\n" not in str(refusal.value)
        assert isinstance(refusal.value, NotLinearError) or name == "operation as a size"


def test_an_empty_network_has_no_intensity() -> None:
    with pytest.raises(SymflopsError, match="no bytes"):
        intensity(A - A)
    assert intensity(SMALL, "torch") == Integer(60) / (2 * (10 + 9 + 15))


@settings(deadline=None, max_examples=30)
@given(operations)
def test_training_is_forward_and_backward(op: Expr) -> None:
    for name in CONVENTIONS:
        whole = flops(op, name, "training").expr
        assert expand(whole - flops(op, name).expr - flops(op, name, "backward").expr) == 0


@settings(deadline=None, max_examples=40)
@given(networks)
def test_backward_is_twice_forward_where_it_is_derived(network: Expr) -> None:
    assume(not network.has(Recomputed))
    assert expand(flops(network, "torch", "backward").expr - 2 * flops(network, "torch").expr) == 0


def test_different_layers_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts what is walked, not seconds: twice the layers, twice the steps."""
    from symflops import networks as module

    def steps(layers: int) -> int:
        calls = 0
        walk = module._walk

        def counting(network: Expr) -> Any:
            nonlocal calls
            calls += 1
            return walk(network)

        monkeypatch.setattr(module, "_walk", counting)
        parts = Add(*(up(f"layer{layers}_{number}").subs(d_ff, number) for number in range(1, layers + 1)))
        total = params(parts)
        monkeypatch.setattr(module, "_walk", walk)
        assert expand(total - sum(n * d_model + n for n in range(1, layers + 1))) == 0
        return calls

    once, twice, four_times = (steps(layers) for layers in (63, 126, 252))
    assert twice <= 2 * once + 2 and four_times <= 2 * twice + 2
