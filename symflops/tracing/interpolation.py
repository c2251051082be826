"""Exact interpolation: from a value at several points to the polynomial that gives it, confirmed at further points.

>>> points = [{"n_layer": n, "n_expert": e} for n, e in ((2, 4), (3, 4), (2, 6), (3, 5), (4, 7), (5, 6))]
>>> from sympy import Integer
>>> Interpolation(points).polynomial([Integer(3 * at["n_layer"] * at["n_expert"] + 1) for at in points])
3*n_expert*n_layer + 1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from math import prod

from sympy import Add, Expr, Integer, Matrix, Mul, expand

from symflops.errors import SymflopsError
from symflops.notation import symbol

CONFIRMING = 2
"""How many points, beyond those that determine a polynomial, must lie on it."""

Monomial = tuple[tuple[str, int], ...]
Basis = tuple[Monomial, ...]


class MorePoints(SymflopsError):
    """No small polynomial runs through all points, and the points are too few for a larger one."""


@dataclass(frozen=True, eq=False)
class _Solver:
    """A basis at some points: which of them determine the coefficients, and how."""

    basis: Basis
    rows: Matrix
    chosen: tuple[int, ...]
    inverse: Matrix

    def solve(self, values: Sequence[Expr]) -> Expr | None:
        """The polynomial over this basis through all values, or None."""
        factors = self.inverse * Matrix([values[row] for row in self.chosen])
        seen = self.rows * factors
        if any(expand(ours - theirs) != 0 for ours, theirs in zip(seen, values, strict=True)):
            return None
        return Add(*(Mul(factor, *_powers(each)) for factor, each in zip(factors, self.basis, strict=True)))


class Interpolation:
    """Polynomials through values at these points; ``points`` map the same names of the notation to integers."""

    def __init__(self, points: Sequence[Mapping[str, int]]) -> None:
        self.points = tuple(points)
        self._names = sorted({name for point in points for name in point})
        self._known: dict[tuple[Expr, ...], Expr] = {}

    def polynomial(self, values: Sequence[Expr]) -> Expr:
        """The smallest polynomial through all values, at least `CONFIRMING` of which confirm it.

        Values may hold further symbols. Raises `MorePoints` where none is found at these points.
        """
        key = tuple(values)
        if key not in self._known:
            self._known[key] = self._found(key)
        return self._known[key]

    def _found(self, values: tuple[Expr, ...]) -> Expr:
        if all(each == values[0] for each in values) and (len(values) > CONFIRMING or not self._names):
            return values[0]
        for solver in self._solvers:
            found = solver.solve(values)
            if found is not None:
                return expand(found)
        raise MorePoints(f"no polynomial through {_seen(values)} at {len(values)} values of {', '.join(self._names)}")

    @cached_property
    def _solvers(self) -> list[_Solver]:
        """A solver for each basis that the points determine and confirm, the smallest first."""
        bases = sorted(dict.fromkeys(_bases(self._names)), key=len)
        return [solver for basis in bases if (solver := self._solver(basis)) is not None]

    def _solver(self, basis: Basis) -> _Solver | None:
        names = sorted({name for each in basis for name, _ in each})
        # Runs that differ in other sizes alone confirm nothing.
        if len(basis) + CONFIRMING > len({tuple(at[name] for name in names) for at in self.points}):
            return None
        rows = Matrix([[prod(at[name] ** power for name, power in each) for each in basis] for at in self.points])
        chosen = rows.T.rref()[1]
        if len(chosen) < len(basis):
            return None
        inverse = rows.extract(list(chosen), list(range(rows.cols))).inv()
        return _Solver(basis, rows, tuple(chosen), inverse)


def _bases(names: Sequence[str]) -> Iterator[Basis]:
    """Sets of monomials to try: up to cubic in one size, quadratic in two, multilinear in three, affine in all.

    What layers do comes once for each, so that sums over kinds of layers times something else are tried too.
    """
    for name in names:
        yield from (_tensor({name: degree}) for degree in (1, 2, 3))
    for pair in combinations(names, 2):
        yield _affine(pair)
        yield _tensor(dict.fromkeys(pair, 1))
        yield _tensor(dict.fromkeys(pair, 2))
    for triple in combinations(names, 3):
        yield _affine(triple)
        yield _tensor(dict.fromkeys(triple, 1))
    layers = tuple(name for name in names if name.startswith("n_layer"))
    for kinds, others in ((layers, names), (tuple(names), ())):
        yield _affine(kinds)
        yield from (_times(_affine(kinds), other) for other in others if other not in kinds)


def _seen(values: Sequence[Expr]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return f"{shown}, …" if len(values) > 8 else shown


def _affine(names: Sequence[str]) -> Basis:
    return ((), *(((name, 1),) for name in names))


def _times(basis: Basis, name: str) -> Basis:
    return (*basis, *((*each, (name, 1)) for each in basis))


def _tensor(degrees: Mapping[str, int]) -> Basis:
    """All products of powers up to these degrees."""
    exponents = product(*(range(degree + 1) for degree in degrees.values()))
    return tuple(tuple((name, power) for name, power in zip(degrees, each, strict=True) if power) for each in exponents)


def _powers(each: Monomial) -> Iterator[Expr]:
    yield from (symbol(name) ** Integer(power) for name, power in each)
