"""Equations between quantities, solved for whatever is not known.

>>> from symflops.plans.quantities import C, C_TOKEN
>>> from symflops.notation import n_token
>>> work = Relation(C, C_TOKEN * n_token, "so many FLOPs for each token")
>>> found = solved((work,), {C: Fraction(12), n_token: Fraction(4)})
>>> found.values[C_TOKEN], found.formulas[C_TOKEN]
(Fraction(3, 1), C/n_token)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from sympy import Expr, Rational, Symbol, solve

from symflops.arithmetic import fraction
from symflops.errors import SymflopsError


class PlanError(SymflopsError):
    """A plan that is asked too much, too little, or what cannot be."""


@dataclass(frozen=True)
class Relation:
    """``left = right``, a monomial in each of its symbols, and why."""

    left: Symbol
    right: Expr
    why: str

    @property
    def symbols(self) -> set[Symbol]:
        """What it relates."""
        return {self.left, *self.right.free_symbols}

    def form(self, unknown: Symbol) -> Expr:
        """The closed form of one of its symbols in the others."""
        if unknown == self.left:
            return self.right
        (found,) = solve(self.left - self.right, unknown)
        return found


@dataclass(frozen=True)
class Solved:
    """The values that are known or follow, the closed forms of those that follow, in order, and by which relation.

    ``idle`` are relations in which nothing was open.
    """

    values: Mapping[Symbol, Fraction]
    formulas: Mapping[Symbol, Expr] = field(default_factory=dict)
    by: Mapping[Symbol, Relation] = field(default_factory=dict)
    idle: tuple[Relation, ...] = ()


def at(form: Expr, values: Mapping[Symbol, Fraction]) -> Fraction:
    """A closed form at exact values."""
    found = form.xreplace({name: Rational(value.numerator, value.denominator) for name, value in values.items()})
    return fraction(found)


def solved(relations: tuple[Relation, ...], known: Mapping[Symbol, Fraction]) -> Solved:
    """Whatever follows from the relations, one unknown after the other."""
    found, left = Solved(dict(known)), list(relations)
    while ready := [each for each in left if len(each.symbols - found.values.keys()) <= 1]:
        left.remove(ready[0])
        found = _with(found, ready[0])
    return found


def _with(found: Solved, relation: Relation) -> Solved:
    """One unknown more by a relation in which at most one is open."""
    open_ = relation.symbols - found.values.keys()
    if not open_:
        return replace(found, idle=(*found.idle, relation))
    (unknown,) = open_
    form = relation.form(unknown)
    values, formulas = {**found.values, unknown: at(form, found.values)}, {**found.formulas, unknown: form}
    return replace(found, values=values, formulas=formulas, by={**found.by, unknown: relation})
