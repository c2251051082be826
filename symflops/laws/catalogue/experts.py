"""Mixtures of experts: what is stored, what runs, and that one expert is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sympy import Add, Expr, Symbol, expand

from symflops.laws.catalogue.asking import (
    Number,
    alone,
    at_most,
    configured,
    no_curve,
    of_params,
    on_tokens,
    steps,
    tested,
)
from symflops.laws.catalogue.matmuls import ask_slope, slope
from symflops.laws.catalogue.predicted import at, of_matmuls, on_weights, owned, passed, tokens_of, weighed
from symflops.laws.catalogue.subjects import biased_experts, mixture, network, over
from symflops.laws.cost import MATMULS, Case, Claims, Cost
from symflops.laws.law import Instance, Law, never_negative, same
from symflops.layers.experts import shared_expert
from symflops.layers.feedforward import gated_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.measures import active_params, flops, params
from symflops.networks import Routed, of_role, uses
from symflops.notation import (
    d_expert,
    d_ff,
    d_head,
    d_model,
    n_active,
    n_batch,
    n_expert,
    n_head,
    n_layer,
    n_layer_dense,
    n_past,
    n_seq,
    n_shared,
)
from symflops.operations import Contraction

_FEEDFORWARD, _ROUTER = frozenset({"feedforward"}), frozenset({"router"})
DENSE = {"mixtral": "llama", "qwen3_moe": "qwen3"}
"""Families that differ in their experts alone."""


def stored(name: str, whole: Expr) -> Iterator[Instance]:
    """Each expert more stores as much as the last: a straight line."""
    form = params(whole)
    yield same(f"{name}: second difference", form.subs(n_expert, n_expert + 2) - form.subs(n_expert, n_expert + 1),
               form.subs(n_expert, n_expert + 1) - form)  # fmt: skip
    experts = Add(*(params(each) for each in whole.atoms(Routed)))
    yield same(f"{name}: of experts", experts, n_expert * experts.subs(n_expert, 1))


def ask_stored(cost: Cost, case: Case) -> Iterator[Instance]:
    """Equal steps in experts make equal steps in parameters."""
    yield from no_curve(cost, steps(case, "n_expert"), "n_expert")


def without_active(name: str, whole: Expr) -> Iterator[Instance]:
    """How many experts a token is sent to stores nothing."""
    form = params(whole)
    yield Instance(name, n_active not in form.free_symbols, "proved", str(form), "without n_active")


def ask_without_active(cost: Cost, case: Case) -> Iterator[Instance]:
    """As many parameters with another expert active."""
    for other in steps(case, "n_active", 1, 2)[1:]:
        yield tested(cost, case, cost.of(other), cost.of(case), f"n_active = {other.sizes['n_active']}")


def at_most_stored(name: str, whole: Expr) -> Iterator[Instance]:
    """No more parameters serve a token than there are; all of them where it is sent to all experts."""
    active, stored = active_params(whole), params(whole)
    inside = {n_expert: n_active + n_past, n_layer: n_layer_dense + n_layer}
    yield never_negative(f"{name}: at most all", expand((stored - active).subs(inside, simultaneous=True)))
    yield same(f"{name}: all active", active.subs(n_active, n_expert), stored)


def ask_at_most_stored(cost: Cost, case: Case) -> Iterator[Instance]:
    """What is claimed to be all parameters is no less than those that serve a token."""
    mine = (use for use in uses(case.model.network) if use.operation.role in cost.claims.counts)
    active = Add(*(use.active * each.count for use in mine for each in use.operation.parameters))
    yield at_most(cost, case, at(active, case), cost.of(case), "active against all parameters")


def one_is_dense(name: str, sparse: Expr, dense: Expr) -> Iterator[Instance]:
    """One expert, to which each token is sent, is a dense layer and a router."""
    one = {n_expert: 1, n_active: 1, d_expert: d_ff, n_layer_dense: 0}
    alike = dense if d_head in sparse.free_symbols else dense.subs(d_head, d_model / n_head)
    left = passed(sparse, MATMULS).subs(one) - passed(of_role(sparse, "router"), _ROUTER).subs(one)
    yield same(f"weights, {name}", left, passed(alike, MATMULS))
    router = flops(of_role(sparse, "router"), "torch").expr
    yield same(f"work, {name}", (flops(sparse, "torch").expr - router).subs(one), flops(alike, "torch").expr)


def ask_one_is_dense(cost: Cost, case: Case) -> Iterator[Instance]:
    """The same of a cost that takes both families."""
    family = DENSE.get(case.model.family.name)
    one = alone(case, n_expert=1, n_active=1) if family in cost.claims.families else None
    if one is None or "d_expert" in one.sizes or "n_window" in one.sizes:
        return
    dense = configured(one, {**one.model.config, "model_type": family, "mlp_bias": False})
    if dense is not None:
        router = cost.claims.counts & _ROUTER
        more = router_of(cost.claims, one, router)
        yield tested(cost, one, cost.of(one), cost.of(dense) + more, f"one expert against {family}: {more} of routers")


def router_of(claims: Claims, case: Case, router: frozenset[str]) -> Number:
    """What routers cost by the claims."""
    if claims.quantity == "params":
        return at(owned(case.model.network, router), case)
    if claims.quantity == "cache_bytes":
        return 0
    return at(weighed(case.model.network, replace(claims, counts=router)), case) * tokens_of(claims, case)


def finer(name: str, whole: Expr, parts: Symbol = n_past) -> Iterator[Instance]:
    """Experts cut into narrower ones, of which as many more are active, store and multiply the same."""
    width = d_expert if d_expert in whole.free_symbols else d_ff
    routed = Add(*(each for each in whole.atoms(Routed)))
    cut = {n_expert: parts * n_expert, n_active: parts * n_active, width: width / parts}
    for measure, form in (("weights", weights_of(routed)), ("work", flops(routed, "torch", "training").expr)):
        yield same(f"{measure}, {name}", form.subs(cut, simultaneous=True), form)


def weights_of(whole: Expr) -> Expr:
    """The weights of matmuls that are stored, biases apart."""
    mine = (use for use in uses(whole) if isinstance(use.operation, Contraction))
    pairs = ((use.copies, each) for use in mine for each in use.operation.parameters if each.name == "weight")
    return expand(Add(*(copies * each.count for copies, each in pairs)))


def ask_finer(cost: Cost, case: Case) -> Iterator[Instance]:
    """Twice the experts, twice as many active, half as wide: the same but for the router."""
    width = "d_expert" if "d_expert" in case.sizes else "d_ff"
    if "n_expert" not in case.sizes or case.sizes[width] % 2 or "n_shared" in case.sizes:
        return
    doubled = {name: 2 * case.sizes[name] for name in ("n_expert", "n_active")}
    other = alone(case, **doubled, **{width: case.sizes[width] // 2})
    if other is not None and not (cost.claims.quantity == "params" and biased_experts(case.model.family.name)):
        router = cost.claims.counts & _ROUTER
        left, right = (cost.of(each) - router_of(cost.claims, each, router) for each in (other, case))
        yield tested(cost, case, left, right, f"twice the experts of half {width}, routers apart")


def shares(name: str, whole: Expr) -> Iterator[Instance]:
    """A weight of an expert costs two FLOPs for each token that is sent there: n_active of n_expert."""
    for routed in whole.atoms(Routed):
        share = n_active / n_expert * n_batch * n_seq
        yield same(f"{routed}, {name}", flops(routed, "torch").expr, 2 * share * weights_of(routed))


def wide(routed: Expr, layer: Expr) -> Iterator[Instance]:
    """Experts that all run are one layer of their width together."""
    yield same("parameters", params(routed), params(layer))
    yield same("work", flops(routed, "torch", "training").expr, flops(layer, "torch", "training").expr)


def _wide() -> Iterator[Instance]:
    expert, layer = (gated_feedforward("silu", NO_BIAS, width) for width in (d_expert, n_expert * d_expert))
    yield from wide(Routed(n_expert, n_expert, expert), layer)
    several = Add(*(n_shared * part for part in expert.body.args))
    yield from wide(several, shared_expert(gated_feedforward("silu", NO_BIAS, n_shared * d_expert)))


def served_by_all(name: str, whole: Expr) -> Iterator[Instance]:
    """Without experts, all parameters serve each token."""
    yield same(name, active_params(whole), params(whole))


def _one_is_dense(sparse: str, whole: Expr) -> Iterator[Instance]:
    yield from one_is_dense(f"{sparse} against {DENSE[sparse]}", whole, network(DENSE[sparse]))


def _counts_feedforward(claims: Claims) -> bool:
    return of_matmuls(claims) and bool(claims.counts & _FEEDFORWARD)


def _priced_alike(claims: Claims) -> bool:
    return claims.quantity in ("params", "cache_bytes") or on_weights(claims)


LAWS: tuple[Law, ...] = (
    Law(
        "experts-cost-their-router",
        r"\partial C / \partial n_\mathrm{expert} = 2\,d_\mathrm{model}\ \text{for each token and router}",
        "One more expert that no token is sent to costs one more score of the router, and nothing else.",
        "Shazeer et al. 2017, arXiv:1701.06538, section 2: only chosen experts are computed",
        "all sizes",
        "families with experts; work of any cost",
        over(slope(n_expert, "router"), mixture),
        on_tokens(ask_slope(n_expert)),
        on_weights,
    ),
    Law(
        "active-experts-slope",
        r"\partial C / \partial n_\mathrm{active} = 2\,N_\mathrm{expert}\ \text{for each token}",
        "One more expert for each token costs two FLOPs for each of its weights.",
        "dFLOPs/dparams; the cookbook's calculator gave the dense number for two active experts",
        "n_active <= n_expert",
        "families with experts; work of any cost",
        over(slope(n_active, "feedforward"), mixture),
        on_tokens(ask_slope(n_active)),
        on_weights,
    ),
    Law(
        "experts-store-a-straight-line",
        r"N(n_\mathrm{expert}) = N_0 + n_\mathrm{expert}\,N_1",
        "Each expert stores the same, whether it runs or not.",
        "Shazeer et al. 2017, arXiv:1701.06538",
        "all sizes",
        "families with experts; parameters of any cost",
        over(stored, mixture),
        ask_stored,
        of_params,
    ),
    Law(
        "active-experts-store-nothing",
        r"\partial N / \partial n_\mathrm{active} = 0",
        "How many experts a token is sent to changes no parameter.",
        "all experts are stored",
        "n_active <= n_expert",
        "families with experts; parameters of any cost",
        over(without_active, mixture),
        ask_without_active,
        of_params,
    ),
    Law(
        "active-at-most-stored",
        r"N_\mathrm{active} \le N,\quad N_\mathrm{active}(n_\mathrm{active} = n_\mathrm{expert}) = N",
        "No more parameters serve a token than are stored, and all do where it is sent to all experts.",
        "Mixtral, arXiv:2401.04088, section 2.1: sparse against active parameter count",
        "n_active <= n_expert, n_layer_dense <= n_layer",
        "families with experts; parameters of any cost",
        over(at_most_stored, mixture),
        ask_at_most_stored,
        of_params,
    ),
    Law(
        "without-experts-all-is-active",
        r"n_\mathrm{expert} = 0 \Rightarrow N_\mathrm{active} = N",
        "Without experts, every parameter serves each token.",
        "nothing is routed",
        "all sizes",
        "families without experts and tied tables",
        over(served_by_all, without=mixture),
    ),
    Law(
        "one-expert-is-dense",
        r"n_\mathrm{expert} = n_\mathrm{active} = 1 \Rightarrow C = C_\mathrm{dense} + C_\mathrm{router}",
        "One expert, to which each token is sent, is a dense layer and a router.",
        "Shazeer et al. 2017, arXiv:1701.06538, equation 1 with one expert",
        "all sizes",
        "families that differ from a dense one in their experts alone; any cost that takes both",
        over(_one_is_dense, lambda family: family in DENSE),
        ask_one_is_dense,
        _priced_alike,
    ),
    Law(
        "finer-experts-cost-the-same",
        r"C(m\,n_\mathrm{expert}, m\,n_\mathrm{active}, d/m) = C(n_\mathrm{expert}, n_\mathrm{active}, d)",
        "Experts cut into narrower ones, of which as many more are active, store and multiply the same.",
        "DeepSeekMoE, arXiv:2401.06066, section 3.1",
        "the width is a multiple of the parts",
        "families with experts, their routers and biases apart; matmuls and parameters of any cost",
        over(finer, mixture),
        ask_finer,
        _counts_feedforward,
    ),
    Law(
        "expert-weight-share",
        r"\mathrm{d}C / \mathrm{d}N_\mathrm{expert} = 2\,n_\mathrm{active} / n_\mathrm{expert}\ \text{for each token}",
        "A stored weight of an expert costs two FLOPs for each token that is sent there, of all experts alike.",
        "dFLOPs/dparams: n_active of n_expert stored weights meet a token",
        "all sizes",
        "the experts of every family with some",
        over(shares, mixture),
    ),
    Law(
        "experts-that-all-run-are-one-layer",
        r"\sum_e C(d_\mathrm{expert}) = C(n_\mathrm{expert}\,d_\mathrm{expert})",
        "Experts that all run cost one layer of their width together; so do several shared experts.",
        "DeepSeekMoE, arXiv:2401.06066, section 3.2",
        "all sizes",
        "gated experts without biases, routed to all, and shared ones",
        _wide,
    ),
)
