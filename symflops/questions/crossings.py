"""From which length on one closed form is more than another: solved in symbols, decided exactly at a model's sizes.

Work over whole sequences is a polynomial in n_seq, or one on each side of a window's length. In each such regime the
difference is solved for n_seq; at a model's sizes the last crossing counts, and the integers beside it are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cmp_to_key

from sympy import Eq as Equal
from sympy import Expr, Ge, Le, Max, Min, Ne, Poly, S, Symbol, expand, factor, floor, sqrt
from sympy.logic.boolalg import Boolean
from sympy.polys.polyerrors import PolynomialError

from symflops.notation import n_seq
from symflops.questions.answers import Answer, Case, shown
from symflops.questions.subjects import Subject, ratio


@dataclass(frozen=True)
class Regime:
    """A polynomial, common factors and powers taken out, on the lengths at which every bound is nowhere negative."""

    coefficients: tuple[Expr, ...]
    bounds: tuple[Expr, ...]


def crossing(quantity: str, more: Expr, less: Expr, of: Subject, unknown: Symbol = n_seq) -> Answer:
    """The length at which ``more`` is as much as ``less``, and the first integer from which on it is more.

    Where it never is, or is at all lengths, there is no such length, and the note says so.
    """
    difference = expand(more - less)
    if more == 0:
        return Answer(quantity, note="never: there is none of it, or it costs nothing")
    try:
        found = tuple(regimes(difference, unknown))
    except PolynomialError:
        return Answer(quantity, note=f"no closed form: the work is no polynomial in {unknown}")
    cases = tuple(case for regime in found for case in _cases(regime, unknown))
    if not of.sizes:
        return Answer(quantity, cases, note="" if cases else "never, or at all lengths")
    if of.at(difference, **{unknown.name: 1}).free_symbols:
        return Answer(quantity, cases, note="open: needs more sizes")
    return _decided(quantity, cases, difference, of, unknown, (more, less))


def regimes(form: Expr, unknown: Symbol, bounds: tuple[Expr, ...] = ()) -> Iterator[Regime]:
    """A form with every ``Max`` and ``Min`` over the unknown decided one way and the other.

    Raises `PolynomialError` where it is then no polynomial in the unknown.

    >>> from symflops.notation import n_window
    >>> for each in regimes(2 * n_window - Max(0, n_seq - n_window), n_seq):
    ...     print(each.coefficients, each.bounds)
    (1,) (-n_seq + n_window,)
    (-1, 3*n_window) (n_seq - n_window,)

    """
    choices = sorted((each for each in form.atoms(Max, Min) if each.has(unknown)), key=str)
    if not choices:
        coefficients = Poly(form, unknown).primitive()[1].all_coeffs()
        while coefficients[-1] == 0 and len(coefficients) > 1:
            coefficients.pop()
        yield Regime(tuple(coefficients), bounds)
        return
    choice = choices[0]
    one, other = choice.args[0], choice.func(*choice.args[1:])
    sign = 1 if isinstance(choice, Max) else -1
    for taken, left in ((one, other), (other, one)):
        yield from regimes(expand(form.xreplace({choice: taken})), unknown, (*bounds, expand(sign * (taken - left))))


def _cases(regime: Regime, unknown: Symbol) -> Iterator[Case]:
    """Where the polynomial of a regime crosses zero upwards, within its bounds."""
    for root, conditions in _roots(regime.coefficients):
        yield Case(root, (*conditions, *(_bound(bound, unknown) for bound in regime.bounds)))


def _roots(coefficients: tuple[Expr, ...]) -> Iterator[tuple[Expr, tuple[Boolean, ...]]]:
    """The root of a linear form; the larger one of a quadratic form, which is linear where its lead vanishes."""
    if len(coefficients) == 2:
        lead, rest = coefficients
        yield _shortest(-rest, lead), ()
    elif len(coefficients) == 3:
        lead, middle, rest = coefficients
        signs = [each for each in factor(lead).as_ordered_factors() if not each.is_positive]
        apart = (Ne(signs[0], 0),) if signs else ()
        half, product = _shortest(-middle, 2 * lead), _shortest(rest, lead)
        yield half + sqrt(half**2 - product), apart
        if signs:
            yield from ((root, (Equal(signs[0], 0), *more)) for root, more in _roots((middle, rest)))
    elif len(coefficients) > 3:
        raise PolynomialError("no closed form beyond the second degree is asked for")


def _shortest(above: Expr, below: Expr) -> Expr:
    """A fraction as a product, as a sum or as a quotient, whichever is shortest."""
    return min((factor(above / below), expand(above / below), ratio(above, below)), key=lambda each: len(str(each)))


def _bound(bound: Expr, unknown: Symbol) -> Boolean:
    """That a bound is nowhere negative, with the unknown alone on one side where it can be."""
    slope = bound.coeff(unknown)
    rest = expand(bound - slope * unknown)
    if slope == 1:
        return Ge(unknown, -rest)
    return Le(unknown, rest) if slope == -1 else Ge(bound, 0)


def _decided(
    quantity: str, cases: tuple[Case, ...], difference: Expr, of: Subject, unknown: Symbol, sides: tuple[Expr, Expr]
) -> Answer:
    def above(length: int) -> bool:
        return bool(of.at(difference, **{unknown.name: length}) > 0)

    found = [(value, case) for value, case in ((_at(case, of, unknown), case) for case in cases) if value is not None]
    if not found:
        return (
            Answer(quantity, first=1, note="at all lengths")
            if above(1)
            else Answer(quantity, note=_never(of, sides, unknown))
        )
    value, case = max(found, key=lambda each: each[0])
    first = int(floor(value)) + 1
    if not above(first) or (first > 1 and above(first - 1)):
        return Answer(quantity, (case,), note="crosses more than once")
    return Answer(quantity, (case,), value, first)


def _at(case: Case, of: Subject, unknown: Symbol) -> Expr | None:
    """The positive value of a case at the sizes, where the case applies."""
    value = of.value(case.form)
    if value is None or not value.is_finite or not value.is_positive:
        return None
    return value if all(of.at(each.subs(unknown, value)) == S.true for each in case.domain) else None


def _never(of: Subject, sides: tuple[Expr, Expr], unknown: Symbol) -> str:
    """What share of the other side is approached."""
    more, less = (Poly(_eventually(of.at(side), unknown), unknown) for side in sides)
    if more.degree() < less.degree():
        return "never"
    return f"never: in long sequences it approaches {shown(more.LC() / less.LC())} of that"


def _eventually(form: Expr, unknown: Symbol) -> Expr:
    """A form in the unknown alone, at lengths beyond every bound."""

    def ahead(one: Expr, other: Expr) -> int:
        return int(Poly(one - other, unknown).LC())

    ends = {
        each: (max if isinstance(each, Max) else min)(each.args, key=cmp_to_key(ahead)) for each in form.atoms(Max, Min)
    }
    return expand(form.xreplace(ends))
