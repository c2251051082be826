"""A mixture of experts against dense models: one with as many active parameters, one with as many in all.

>>> from symflops.layers.feedforward import NO_BIAS, gated_feedforward
>>> from symflops.notation import d_expert, n_active, n_expert, n_layer
>>> experts = n_layer * Routed(n_expert, n_active, gated_feedforward("silu", NO_BIAS, d_expert))
>>> reply = against_dense(experts)
>>> reply.flops_per_active.form, reply.flops_per_parameter.form, reply.all_flops.form
(2, 2*n_active/n_expert, n_expert/n_active)
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, S

from symflops.conventions import TORCH, Convention, convention
from symflops.measures import active_params, flops, params
from symflops.networks import Routed
from symflops.operations import Operation
from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.subjects import TOKENS, Given, ratio, subject, title

ROUTER = "router"
"""The role of what a dense model does not have: the choice of experts."""


@dataclass(frozen=True, repr=False)
class Dense(Reply):
    """A mixture of experts against dense models, each figure a ratio.

    ``flops_per_active`` and ``flops_per_parameter`` are its own work for one token; ``active_params`` and
    ``active_flops`` its parameters and work over those of the dense model with a token's experts side by side;
    ``all_params`` and ``all_flops`` those of the dense model with all its experts side by side over its own.
    """

    flops_per_active: Answer
    flops_per_parameter: Answer
    active_params: Answer
    active_flops: Answer
    all_params: Answer
    all_flops: Answer


def against_dense(given: Given, n_seq: int | None = None, under: str | Convention = TORCH) -> Dense:
    """A mixture of experts against the dense models made of its own experts, by default at the whole context.

    Side by side and all run, n_active experts are a dense feed-forward of n_active times the width; the router is left
    out of dense models, which is all that their parameters and work differ by.
    """
    of, chosen = subject(given), convention(under)
    length = of.length(n_seq)
    routed = of.network.has(Routed)

    def answer(quantity: str, part: Expr, whole: Expr) -> Answer:
        if not routed:
            return Answer(quantity, note="it has no experts")
        form = ratio(part, whole)
        return Answer(quantity, (Case(form),), of.value(form, length))

    few, many = dense_of_active(of.network), dense_of_all(of.network)
    work, work_of_few, work_of_many = (flops(each, chosen).expr / TOKENS for each in (of.network, few, many))
    size, own = params(of.network), title("experts against dense models", of, chosen)
    return Dense(
        own,
        ("Dense models have the same experts side by side, without a router.",),
        answer(f"{chosen.unit}s for one token, for each active parameter", work, active_params(of.network)),
        answer(f"{chosen.unit}s for one token, for each parameter", work, size),
        answer("parameters, over those of the dense model with a token's experts", size, params(few)),
        answer(
            f"{chosen.unit}s for one token, over those of the dense model with a token's experts", work, work_of_few
        ),
        answer("parameters of the dense model with all experts, over its own", params(many), size),
        answer(f"{chosen.unit}s for one token of the dense model with all experts, over its own", work_of_many, work),
    )


def dense_of_active(network: Expr) -> Expr:
    """The dense network in which every token passes the experts that a token is routed to, side by side."""
    return _without_router(network.xreplace({each: each.args[1] * each.body for each in network.atoms(Routed)}))


def dense_of_all(network: Expr) -> Expr:
    """The dense network in which every token passes all experts, side by side."""
    return _without_router(network.xreplace({each: each.args[0] * each.body for each in network.atoms(Routed)}))


def _without_router(network: Expr) -> Expr:
    return network.xreplace({each: S.Zero for each in network.atoms(Operation) if each.role == ROUTER})
