"""The cost of a model that is not of the best size, in closed form, for laws L = E + A/N**alpha + B/D**beta.

A model ``k`` times the best size either loses something at the same budget, or takes a larger one for the same loss.
Neither depends on the budget. De Vries, Go smol or go home, 2023, plots the second for the printed constants; of a
model that serves many tokens a small ``k`` is cheaper in all (Sardana et al. 2024, arXiv:2401.00448).

>>> found = off()
>>> found.excess.subs(K, 1), found.tokens.subs(K, 1), found.smallest
(1, 1, (alpha/beta + 1)**(-1/alpha))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import Expr, S, Symbol, powdenest

from symflops.proof import equal
from symflops.steps import Step, WrongStep, rewrite, start
from symflops.training.scaling_forms import ALPHA, BETA, C, E, form, same

K = Symbol("k", positive=True)
"""Parameters over the best number of them."""
_WASTE = Symbol("waste", positive=True)


@dataclass(frozen=True)
class Off:
    """Closed forms in ``K`` and the law's exponents alone.

    ``excess``, reducible loss over the best there is at the budget; ``waste``, the budget over that of the best model
    of the same loss; ``tokens`` over the best number and ``compute`` over the best budget, for the loss of the best
    model; ``smallest``, below which no number of tokens reaches it.
    """

    excess: Expr
    waste: Expr
    tokens: Expr
    compute: Expr
    smallest: Expr
    served: Expr
    steps: tuple[Step, ...]


@cache
def off() -> Off:
    """The closed forms, with the steps that lead there."""
    excess = (BETA * K**-ALPHA + ALPHA * K**BETA) / (ALPHA + BETA)
    waste = excess ** ((ALPHA + BETA) / (ALPHA * BETA))
    tokens = (1 + BETA / ALPHA * (1 - K**-ALPHA)) ** (-1 / BETA)
    smallest = (1 + ALPHA / BETA) ** (-1 / ALPHA)
    served = 3 * (K * tokens - 1) / (1 - K)
    return Off(excess, waste, tokens, K * tokens, smallest, served, (
        *_of_excess(excess), _of_waste(waste), _of_tokens(tokens),
        Step("compute over the best", K * tokens, "6*N*D over the best budget"), _of_smallest(tokens, smallest),
        _of_served(tokens, served),
    ))  # fmt: skip


def _of_excess(excess: Expr) -> tuple[Step, ...]:
    """k N and D/k against N and D, where the tokens' term is alpha/beta of the parameters'."""
    terms = K**-ALPHA + ALPHA / BETA * K**BETA
    best = 1 + ALPHA / BETA
    chain = start("excess", terms / best, "k*N parameters and D/k tokens: the two terms, of which one was alpha/beta")
    return rewrite(chain, excess, "what can be lost, over the least of it")


def _of_waste(waste: Expr) -> Step:
    least = form("sum").least
    assert least is not None
    before = (least - E).subs(C, _WASTE * C) / (least - E)
    fall = same("excess", before, _WASTE ** (-ALPHA * BETA / (ALPHA + BETA)), "the least loss of another budget")
    excess = 1 / fall.expression.subs(_WASTE, waste)
    meant = waste ** (ALPHA * BETA / (ALPHA + BETA))
    return same("waste", waste * excess / meant, waste, "the least loss falls with C**(alpha*beta/(alpha + beta))")


def _of_tokens(tokens: Expr) -> Step:
    """Solved from k**-alpha + alpha/beta*d**-beta = 1 + alpha/beta, checked by putting it back."""
    left = K**-ALPHA + ALPHA / BETA * powdenest(tokens**-BETA, force=True)
    if not equal(left, 1 + ALPHA / BETA):
        raise WrongStep(f"tokens: {tokens} do not give the loss of the best model")
    return Step(
        "tokens over the best", tokens, "k**-alpha + alpha/beta*tokens**-beta = 1 + alpha/beta solved for the tokens"
    )


def _of_smallest(tokens: Expr, smallest: Expr) -> Step:
    at_it = powdenest(powdenest(tokens**-BETA, force=True).subs(K, smallest), force=True)
    if not equal(at_it, S.Zero):
        raise WrongStep(f"smallest: {smallest} needs {at_it} and not no end of tokens")
    return Step("smallest size", smallest, "there the tokens are infinite: below it no number of them is enough")


def _of_served(tokens: Expr, served: Expr) -> Step:
    """6 FLOPs for each parameter and token of training, 2 for each that is served, of both models."""
    if not equal(6 * K * tokens + 2 * K * served, 6 + 2 * served):
        raise WrongStep(f"served: after {served} tokens the models have not cost the same")
    return Step(
        "tokens served over the best", served, "6*k*tokens + 2*k*served = 6 + 2*served solved for what is served"
    )
