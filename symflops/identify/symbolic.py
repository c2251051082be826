"""The closed form of a fit: the same operations and prices, in symbols."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Add, Expr, Rational

from symflops.identify.choices import Assignment, Option, Pricing, Without
from symflops.identify.counting import Quantity
from symflops.identify.parts import Piece
from symflops.identify.pricing import Terms, params_of, work_of
from symflops.identify.search import Space
from symflops.notation import n_batch


def closed_form(chosen: Assignment, space: Space, asked: Quantity) -> Expr:
    """What is counted, of one sequence where it is work, before anything divides it."""
    pieces = _pieces(chosen, space)
    if asked.measure == "params":
        return counted_params(chosen, space)
    return _sum(work_of(each.use, _about(each, chosen, space)) for each in pieces)


def counted_params(chosen: Assignment, space: Space) -> Expr:
    """The parameters that are counted: N, where a figure is divided by 6*N*D."""
    without = next((each.effect.roles for each in chosen.values() if isinstance(each.effect, Without)), frozenset())
    return _sum(params_of(each.use) for each in _pieces(chosen, space) if each.role not in without)


def _pieces(chosen: Assignment, space: Space) -> list[Piece]:
    built = (one.build({name: chosen[name].name for name in one.choices}) for one in space.fragments)
    return [each for pieces in built for each in pieces]


def _about(piece: Piece, chosen: Assignment, space: Space) -> tuple[Option, ...]:
    roles = {each.name: each.roles for each in space.dimensions if each.of(Pricing)}
    return tuple(option for name, option in chosen.items() if piece.role in roles.get(name, {piece.role}))


def _sum(terms: Iterable[Terms]) -> Expr:
    priced = (Rational(price.numerator, price.denominator) * amount for each in terms for price, amount in each)
    return Add(*priced).subs(n_batch, 1)
