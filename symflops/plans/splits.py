"""A budget divided between parameters and tokens by one scaling law: the best way, or a way that is given.

>>> from symflops.training.scaling import law
>>> split = best(law("chinchilla-3-unrounded"), {"C": Fraction("5.76e23")})
>>> f"{float(split.params):.3g}", f"{float(split.ratio):.3g}", f"{float(split.loss):.4g}"
('4.04e+10', '58.9', '1.918')
>>> off = other(law("chinchilla-3-unrounded"), {"N": split.params / 2, "D": split.tokens * 2})
>>> f"{float(off.size):.3g}", f"{float(off.waste):.4g}"
('0.5', '1.163')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from sympy import Expr, Symbol

from symflops.arithmetic import Value, divide
from symflops.steps import Step
from symflops.training.scaling import Law, at
from symflops.training.scaling_forms import SIX, C, D, N
from symflops.training.scaling_off import K, off

TOKENS_LEFT = C / 6 / N
"""The tokens that a budget leaves for a number of parameters."""
_PRODUCT: Mapping[Symbol, Expr] = {C: SIX, N: C / 6 / D, D: TOKENS_LEFT}


@dataclass(frozen=True)
class Split:
    """FLOPs, parameters and tokens with C = 6 N D, of which ``forms`` says what was not given, and a law's word on it.

    ``size`` is the parameters over the best number of them for the budget.
    """

    law: Law
    budget: Value
    params: Value
    tokens: Value
    size: Value
    forms: Mapping[str, Expr] = field(default_factory=dict)

    @property
    def ratio(self) -> Value:
        """Tokens for each parameter."""
        return divide(self.tokens, self.params)

    @property
    def loss(self) -> Value | None:
        """The loss in nats for each token; None where the law has none for these sizes."""
        if self.law.form.loss is not None:
            return self.law.at(self.law.form.loss, N=self.params, D=self.tokens)
        return self.least if self.size == 1 else None

    @property
    def least(self) -> Value | None:
        """The least loss of the budget; None where the law has none."""
        least = self.law.form.least
        return None if least is None else self.law.at(least, C=self.budget)

    @property
    def waste(self) -> Value | None:
        """The budget over that of the best model of the same loss; None where the law has no loss of other sizes."""
        return None if self.law.form.loss is None else self.law.at(off().waste, **{K.name: self.size})


def best(law: Law, given: Mapping[str, Value]) -> Split:
    """The best split of the budget, or that for which the parameters ``N`` or the tokens ``D`` are best."""
    forms = {name: form for name, form in best_forms(law, *given).items() if name not in given}
    known = dict(given)
    for name, form in forms.items():
        known[name] = law.at(form, **known)
    return Split(law, known["C"], known["N"], known["D"], Fraction(1), forms)


def best_forms(law: Law, given: str) -> dict[str, Expr]:
    """C, N and D in this order, each in what is given or stands before it."""
    budget = {} if given == "C" else {"C": budget_step(law, given).expression}
    return {**budget, "N": law.form.best, "D": TOKENS_LEFT}


def budget_step(law: Law, given: str) -> Step:
    """The budget for which a number of parameters or tokens is best, solved and checked."""
    return law.form.budget({"N": N, "D": D}[given])


def other(law: Law, given: Mapping[str, Value]) -> Split:
    """Two of C, N and D are given, so that the third follows; the law says how far from the best that is."""
    (missing,) = (each for each in _PRODUCT if each.name not in given)
    form = _PRODUCT[missing]
    known = {**given, missing.name: at(form, given)}
    size = divide(known["N"], law.best(known["C"]))
    return Split(law, known["C"], known["N"], known["D"], size, {missing.name: form})
