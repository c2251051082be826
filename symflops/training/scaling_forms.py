"""The best split of a budget in closed form, derived from the form of a scaling law, each step checked by machine.

Under C = 6 N D a law says which N is best for a budget, N = k C**a; tokens, tokens for each parameter, the budget of a
model and that of a number of tokens, and the loss follow.

>>> found = form("sum")
>>> found.best
(C/6)**(beta/(alpha + beta))*(A*alpha/(B*beta))**(1/(alpha + beta))
>>> [step.quantity for step in found.steps]
['L', 'L', 'dL/dlog N', 'd2L/dlog N2', 'N**(alpha + beta)', 'N', 'L']
>>> found.exponent, found.budget(N).expression
(beta/(alpha + beta), 6*N**((alpha + beta)/beta)*(B*beta/(A*alpha))**(1/beta))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from sympy import (
    Add,
    Dummy,
    Expr,
    S,
    Symbol,
    cancel,
    diff,
    expand,
    expand_log,
    expand_power_base,
    log,
    powdenest,
    powsimp,
)

from symflops.errors import UnknownName
from symflops.steps import Step, WrongStep, start


def _positive(*names: str) -> tuple[Symbol, ...]:
    return tuple(Symbol(name, positive=True) for name in names)


N, D, C = _positive("N", "D", "C")
"""Parameters, as a law counts them, tokens, and FLOPs of a training."""
E, A, B, ALPHA, BETA = _positive("E", "A", "B", "alpha", "beta")
"""Constants of L(N, D) = E + A/N**alpha + B/D**beta."""
_N1, _C1, _N2, _C2 = _positive("N_1", "C_1", "N_2", "C_2")
_KN, _XN, _CC, _ALPHA_C, _UNIT = _positive("k_N", "x_N", "C_c", "alpha_C", "C_unit")
SIX = 6 * N * D
"""FLOPs of a training: 2 for each parameter and token forward, 4 backward (Kaplan et al. 2020, section 2.1)."""


@dataclass(frozen=True)
class Form:
    """What a law's form says: ``best`` N of C, a monomial in C, ``loss`` of N and D and ``least`` loss of C, where it
    has them, and the ``steps`` that lead there. ``exponent`` is d log N / d log C at the best N.
    """

    best: Expr
    exponent: Expr
    steps: tuple[Step, ...]
    loss: Expr | None = None
    least: Expr | None = None

    def __post_init__(self) -> None:
        slope = C * diff(expand_log(log(self.best), force=True), C)
        if cancel(expand_log(slope - self.exponent, force=True)) != 0:
            raise WrongStep(f"{self.exponent} is not the exponent of {self.best}")

    def budget(self, given: Symbol) -> Step:
        """The FLOPs for which a number of parameters ``N``, or of tokens ``D``, is best.

        Raises `WrongStep` where the best split of that budget is another one.
        """
        share = Dummy("share", positive=True)  # kept whole, so that powers of powers come out short
        best = self.best.subs(self.exponent, share)
        split, slope = (best, share) if given == N else (C / 6 / best, 1 - share)
        found = _short((given / split.subs(C, 1)) ** (1 / slope)).subs(share, self.exponent)
        found = found.replace(_has_rational_exponent, lambda power: power.base ** cancel(power.exp))
        _check_same("C", split.subs(share, self.exponent).subs(C, found), given, f"the best {given} of that budget")
        return Step("C", found, f"the best split, solved for the budget of {given}")


def _short(power: Expr) -> Expr:
    """Powers of powers as one."""
    return powdenest(expand_power_base(power, force=True), force=True)


def _has_rational_exponent(part: Expr) -> bool:
    return bool(part.is_Pow and not part.exp.has(log))


def _check_same(quantity: str, left: Expr, right: Expr, why: str) -> None:
    """Products of powers are the same where their logarithms are."""
    if cancel(expand_log(log(left) - log(right), force=True)) != 0:
        raise WrongStep(f"{quantity}: {right} does not follow from {left} ({why})")


def same(quantity: str, before: Expr, expression: Expr, why: str) -> Step:
    """A step from one product of powers to an equal one. All names are positive.

    >>> same("N", (C / 6) ** 2, C**2 / 36, "squared").expression
    C**2/36

    Raises `WrongStep` where they are not equal.
    """
    _check_same(quantity, before, expression, why)
    return Step(quantity, expression, why)


def plainly(form: Expr) -> Expr:
    """A sum of products of powers of positive names, each power written once.

    >>> plainly((C / 6) ** ALPHA * C)
    C*C**alpha/6**alpha
    """
    return expand(powsimp(expand(expand_power_base(form, force=True))))


def terms(form: Expr) -> tuple[Expr, Expr]:
    """The two terms of a derivative, the one that more parameters lower first."""
    falling, rising = sorted(Add.make_args(form), key=lambda term: not term.could_extract_minus_sign())
    return falling, rising


def _sum() -> Form:
    """Hoffmann et al. 2022, equation 4, from equation 2."""
    loss = E + A / N**ALPHA + B / D**BETA
    bound = plainly(loss.subs(D, C / 6 / N))
    slope = plainly(N * diff(bound, N))
    curve = plainly(N * diff(slope, N))
    falling, rising = terms(slope)
    alone = ALPHA * A / (BETA * B) * (C / 6) ** BETA
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (C / 6) ** (BETA / (ALPHA + BETA))
    _check_same("N", (-falling / rising).subs(N, best), S.One, "the two terms of the derivative cancel")
    small = A * best**-ALPHA
    _check_same("L", B * (C / 6 / best) ** -BETA, ALPHA / BETA * small, "what too few tokens lose there")
    return Form(
        best,
        BETA / (ALPHA + BETA),
        (
            *start("L", loss, "the form that was fitted (Hoffmann et al. 2022, equation 2)"),
            Step("L", bound, "tokens as the budget allows: D = C/(6*N)"),
            Step("dL/dlog N", slope, "of one percent more parameters"),
            Step("d2L/dlog N2", curve, "positive for all N, so that where the slope is 0 is the only minimum"),
            same("N**(alpha + beta)", -(N ** (ALPHA + BETA)) * falling / rising, alone,
                 "the two terms of the slope cancel"),
            same("N", alone ** (1 / (ALPHA + BETA)), best, "the best number of parameters (equation 4)"),
            Step("L", E + (1 + ALPHA / BETA) * small, "there the tokens' term is alpha/beta of the parameters'"),
        ),
        loss,
        E + (1 + ALPHA / BETA) * small,
    )  # fmt: skip


def _line() -> Form:
    """A power law through two points of a table."""
    slope = log(_N2 / _N1) / log(_C2 / _C1)
    best = _N1 * (C / _C1) ** slope
    _check_same("N", best.subs(C, _C1), _N1, "the first point")
    _check_same("N", best.subs(C, _C2), _N2, "the second point")
    return Form(best, slope, start("N", best, "the power law through two rows of a table"))


def _power() -> Form:
    """Kaplan et al. 2020: both the best N and the least loss are powers of C, in a unit of compute."""
    best, least = _KN * (C / _UNIT) ** _XN, (_CC * _UNIT / C) ** _ALPHA_C
    steps = (*start("N", best, "fitted (Table 6)"), *start("L", least, "fitted (equation 1.3)"))
    return Form(best, _XN, steps, least=least)


_MADE: Mapping[str, Callable[[], Form]] = MappingProxyType({"sum": _sum, "line": _line, "power": _power})
KINDS = tuple(_MADE)
"""The forms that laws have, by name."""


@cache
def form(kind: str) -> Form:
    """A form by its name. Raises `UnknownName`."""
    if kind not in _MADE:
        raise UnknownName("form of a scaling law", kind, KINDS)
    return _MADE[kind]()


def constants(kind: str) -> frozenset[str]:
    """The names of a form's constants.

    >>> sorted(constants("sum"))
    ['A', 'B', 'E', 'alpha', 'beta']
    """
    of = form(kind)
    return frozenset(
        each.name for part in (of.best, of.loss, of.least) if part is not None for each in part.free_symbols - {N, D, C}
    )
