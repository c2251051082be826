"""Proofs that a rational formula is an integer for all integer sizes, as ``n*(n + 1)/2`` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from math import comb, lcm, prod
from typing import Any

from sympy import Add, Dummy, Max, Min, Mod, Mul, Piecewise, Poly, Pow, ceiling, floor
from sympy.polys.polyerrors import PolynomialError

Terms = Mapping[tuple[int, ...], Fraction]

EXPANSION_LIMIT = 500
_BRANCH_LIMIT = 64
_POINT_LIMIT = 20_000


def expanded_terms(expression: Any) -> int:
    """At most how many terms the formula has once multiplied out; stops counting past the limit.

    >>> from sympy.abc import a, b
    >>> expanded_terms((a + b) ** 2 * (a + 1)), expanded_terms((a + b) ** 10**9) > EXPANSION_LIMIT
    (6, True)
    """
    if isinstance(expression, Add):
        return min(sum(map(expanded_terms, expression.args)), EXPANSION_LIMIT + 1)
    if isinstance(expression, Mul):
        return min(prod(map(expanded_terms, expression.args)), EXPANSION_LIMIT + 1)
    if isinstance(expression, Pow) and expression.exp.is_Integer:
        base, power = expanded_terms(expression.base), abs(int(expression.exp))
        if power > EXPANSION_LIMIT:  # One term of a huge degree counts too: polynomials are stored densely.
            return EXPANSION_LIMIT + 1
        return min(comb(base + power - 1, power), EXPANSION_LIMIT + 1)
    return 1


def proved_whole(expression: Any) -> bool:
    """Whether the formula is proved an integer wherever its symbols are integers. False says only: not proved.

    A maximum equals one of its arguments, so each is tried in its place; a floor is an integer whatever is in it.

    >>> from sympy.abc import n
    >>> proved_whole(n * (n + 1) / 2), proved_whole(n**2 / 2)
    (True, False)
    """
    floors = expression.atoms(floor, ceiling)
    opaque = expression.xreplace({atom: Dummy(integer=True) for atom in floors})
    branches = list(_branches(opaque, _BRANCH_LIMIT))
    return len(branches) < _BRANCH_LIMIT and all(map(_polynomial_is_whole, branches))


def _branches(expression: Any, limit: int) -> Iterator[Any]:
    """The formula with each choice made, at most `limit` of them."""
    waiting = [expression]
    for _ in range(limit):
        if not waiting:
            return
        current = waiting.pop()
        choice = next(iter(sorted(current.atoms(Max, Min, Piecewise), key=str)), None)
        while choice is not None:
            options = [arg.expr for arg in choice.args] if isinstance(choice, Piecewise) else choice.args
            waiting += [current.xreplace({choice: option}) for option in options[1:]]
            current = current.xreplace({choice: options[0]})
            choice = next(iter(sorted(current.atoms(Max, Min, Piecewise), key=str)), None)
        yield current


def _polynomial_is_whole(expression: Any) -> bool:
    if expression.has(Mod) or expanded_terms(expression) > EXPANSION_LIMIT:
        return False
    if expression.is_Rational or not expression.free_symbols:
        return bool(expression.is_Integer)
    try:
        terms = Poly(expression, *expression.free_symbols).terms()
    except PolynomialError:
        return False
    return all(c.is_Rational for _, c in terms) and integer_valued({e: Fraction(c.p, c.q) for e, c in terms})


def integer_valued(terms: Terms) -> bool:
    """Whether a polynomial with these terms, by their exponents, takes integer values at all integers.

    Terms with integer coefficients are left out. What remains is periodic in each variable with the common denominator
    and of some degree in it: it is an integer everywhere if it is so at all residues, or at 0..degree (Pólya 1915:
    its coefficients over the binomials are then integers). The fewer points of the two are tried in each variable.

    >>> integer_valued({(2,): Fraction(1, 2), (1,): Fraction(1, 2)}), integer_valued({(2,): Fraction(1, 2)})
    (True, False)
    """
    broken = {powers: value % 1 for powers, value in terms.items() if value.denominator > 1}
    if not broken:
        return True
    period = lcm(*(value.denominator for value in broken.values()))
    spans = [range(min(max(degrees) + 1, period)) for degrees in zip(*broken, strict=True)]
    if prod(map(len, spans)) * len(broken) > _POINT_LIMIT:
        return False
    return all(_value(broken, period, point) % period == 0 for point in product(*spans))


def _value(terms: Terms, period: int, point: tuple[int, ...]) -> int:
    return sum(int(value * period) * prod(map(pow, point, powers)) for powers, value in terms.items())
