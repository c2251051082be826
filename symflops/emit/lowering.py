"""From a sympy formula to an integer program, over a whitelist of what sympy can write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import gcd, lcm
from typing import Any

from sympy import (
    Abs,
    Add,
    And,
    Basic,
    Dummy,
    Eq,
    Ge,
    Gt,
    Integer,
    Le,
    Lt,
    Max,
    Min,
    Mod,
    Mul,
    Ne,
    Not,
    Or,
    Piecewise,
    Poly,
    Pow,
    Rational,
    Symbol,
    ceiling,
    false,
    floor,
    fraction,
    together,
    true,
)

from symflops.emit.nesting import negative, nested, power
from symflops.emit.program import Builder, Op, Program, UnsupportedFormula
from symflops.emit.whole import EXPANSION_LIMIT, expanded_terms, proved_whole
from symflops.errors import SizeError

Ratio = tuple[int, int]
"""The places of a numerator and of a denominator, which is never negative."""

_SUPPORTED = "+, -, *, / by integers, sizes or formulas, integer powers, Max, Min, Abs, floor, ceiling, Mod, Piecewise"


def lower(expression: Any, arguments: Sequence[str] | None = None) -> Program:
    """The integer program of a formula; `arguments` orders its sizes, by default alphabetically.

    The formula is lowered as it is written and also multiplied out and nested again; the shorter program is taken.
    Raises `UnsupportedFormula` for a part that is not exact integer arithmetic.

    >>> from sympy import Symbol
    >>> a, b = (Symbol(name, positive=True, integer=True) for name in "ab")
    >>> lower(3 * a * b + 3 * a, ["b", "a"]).cost
    3
    >>> lower(a**0.5)
    Traceback (most recent call last):
    symflops.emit.program.UnsupportedFormula: cannot compute a**0.5 exactly; a formula may use +, -, *, / by integers, \
sizes or formulas, integer powers, Max, Min, Abs, floor, ceiling, Mod, Piecewise
    """
    formula = Integer(expression) if type(expression) is int else expression
    if not isinstance(formula, Basic):
        raise UnsupportedFormula(f"a formula is a sympy expression, not a {type(formula).__name__}; pass one or an int")
    names = argument_names(formula, arguments)
    programs = [_Lowering(names, nest).program(formula) for nest in (True, False)]
    return min(programs, key=lambda program: program.cost)


def argument_names(formula: Any, arguments: Sequence[str] | None) -> tuple[str, ...]:
    """The names of a formula's sizes, in the order asked for.

    Raises `SizeError` where the order leaves a size out, names one twice, or a name is not an identifier.
    """
    free = sorted({symbol.name for symbol in formula.free_symbols})
    names = tuple(free if arguments is None else arguments)
    missing = [name for name in free if name not in names]
    if missing:
        raise SizeError(f"arguments {', '.join(names) or '(none)'} leave out {', '.join(missing)}; add what is missing")
    for name in names:
        if not (name.isidentifier() and name.isascii()) or names.count(name) > 1:
            raise SizeError(f"argument {name!r} must be an ASCII identifier and be given once; rename or drop it")
    return names


class _Lowering:
    """One pass over a formula. `nest` multiplies polynomials out and factors them again by greedy Horner."""

    def __init__(self, arguments: Sequence[str], nest: bool) -> None:
        self.build = Builder(arguments)
        self.one = self.build.integer(1)
        self.nest = nest
        self.generators: dict[Any, int] = {}

    def program(self, formula: Any) -> Program:
        numerator, denominator = self.ratio(formula)
        a, b = self.build.constant(numerator), self.build.constant(denominator)
        whole = denominator == self.one or (b is not None and proved_whole(formula))
        if a is not None and b:
            numerator, denominator = (self.build.integer(value // gcd(a, b)) for value in (a, b))
        return self.build.program(numerator, denominator, whole=whole)

    def ratio(self, formula: Any) -> Ratio:
        """The nodes of a formula's numerator and denominator."""
        if isinstance(formula, Rational):
            return self.build.integer(formula.p), self.build.integer(formula.q)
        if isinstance(formula, Symbol):
            known = self.generators.get(formula)
            return self.build.size(formula.name) if known is None else known, self.one
        if isinstance(formula, Pow) and not formula.exp.is_Integer:
            raise _unsupported(formula)
        if self.nest and isinstance(formula, (Add, Mul, Pow)) and expanded_terms(formula) <= EXPANSION_LIMIT:
            return self._polynomials(formula)
        for kinds, method in _METHODS:
            if isinstance(formula, kinds):
                return method(self, formula)
        raise _unsupported(formula)

    # As written.

    def add(self, formula: Any) -> Ratio:
        terms = sorted(formula.args, key=lambda term: bool(term.as_coeff_Mul()[0].is_negative))
        total = self.ratio(terms[0])
        for term in terms[1:]:
            negative = bool(term.as_coeff_Mul()[0].is_negative)
            total = self._combine("sub" if negative else "add", total, self.ratio(-term if negative else term))
        return total

    def mul(self, formula: Any) -> Ratio:
        return reduce(self._times, (self.ratio(factor) for factor in formula.args))

    def pow(self, formula: Any) -> Ratio:
        base = self.ratio(formula.base)
        if formula.exp < 0:
            base = self._inverse(base, positive=bool(formula.base.is_positive))
        exponent = abs(int(formula.exp))
        return power(self.build, base[0], exponent), power(self.build, base[1], exponent)

    def maximum(self, formula: Any) -> Ratio:
        op: Op = "max" if isinstance(formula, Max) else "min"
        ordered = sorted(formula.args, key=lambda arg: (not arg.is_number, str(arg)))
        return reduce(lambda left, right: self._combine(op, left, right), map(self.ratio, ordered))

    def floor(self, formula: Any) -> Ratio:
        numerator, denominator = self.ratio(formula.args[0])
        if isinstance(formula, ceiling):
            numerator = self.build.apply("add", numerator, self.build.apply("sub", denominator, self.one))
        return self.build.apply("floordiv", numerator, denominator), self.one

    def modulo(self, formula: Any) -> Ratio:
        value, modulus = formula.args
        return self.ratio(value - modulus * floor(value / modulus))

    def absolute(self, formula: Any) -> Ratio:
        numerator, denominator = self.ratio(formula.args[0])
        return self.build.apply("max", numerator, negative(self.build, numerator)), denominator

    def piecewise(self, formula: Any) -> Ratio:
        *cases, last = formula.args
        if last.cond != true:
            raise UnsupportedFormula(f"{formula} has no value elsewhere; end the Piecewise with (value, True)")
        chosen = self.ratio(last.expr)
        for case in reversed(cases):
            chosen = self._select(self.truth(case.cond), self.ratio(case.expr), chosen)
        return chosen

    def truth(self, condition: Any) -> int:
        """The node that is 1 where a condition holds and else 0."""
        if condition in (true, false):
            return self.build.integer(int(condition == true))
        if isinstance(condition, (And, Or)):
            op: Op = "mul" if isinstance(condition, And) else "max"
            return reduce(lambda a, b: self.build.apply(op, a, b), map(self.truth, condition.args))
        if isinstance(condition, Not):
            return self._opposite(self.truth(condition.args[0]))
        if isinstance(condition, (Eq, Ne)):
            equal = self.build.apply("mul", *(self._opposite(self._less(*p)) for p in _both_ways(condition.args)))
            return equal if isinstance(condition, Eq) else self._opposite(equal)
        if isinstance(condition, (Lt, Ge)):
            below = self._less(*condition.args)
            return below if isinstance(condition, Lt) else self._opposite(below)
        if isinstance(condition, (Gt, Le)):
            above = self._less(*reversed(condition.args))
            return above if isinstance(condition, Gt) else self._opposite(above)
        raise _unsupported(condition)

    def _less(self, left: Any, right: Any) -> int:
        return self._combine("less", self.ratio(left), self.ratio(right))[0]

    def _opposite(self, truth: int) -> int:
        return self.build.apply("sub", self.one, truth)

    def _times(self, left: Ratio, right: Ratio) -> Ratio:
        return self.build.apply("mul", left[0], right[0]), self.build.apply("mul", left[1], right[1])

    def _inverse(self, ratio: Ratio, *, positive: bool) -> Ratio:
        numerator, denominator = ratio
        if positive:
            return denominator, numerator
        # The sign of the new denominator is not known, so it is squared: 1/x = x/x**2.
        return self.build.apply("mul", numerator, denominator), self.build.apply("mul", numerator, numerator)

    def _common(self, left: Ratio, right: Ratio) -> tuple[int, int, int]:
        """Two numerators over one denominator."""
        apply, (a, b) = self.build.apply, (left[1], right[1])
        if a == b:
            return left[0], right[0], a
        p, q = self.build.constant(a), self.build.constant(b)
        if p is not None and q is not None:
            bottom, up, down = lcm(p, q), self.build.integer(lcm(p, q) // p), self.build.integer(lcm(p, q) // q)
            return apply("mul", up, left[0]), apply("mul", down, right[0]), self.build.integer(bottom)
        return apply("mul", left[0], b), apply("mul", right[0], a), apply("mul", a, b)

    def _combine(self, op: Op, left: Ratio, right: Ratio) -> Ratio:
        a, b, denominator = self._common(left, right)
        return self.build.apply(op, a, b), denominator

    def _select(self, truth: int, left: Ratio, right: Ratio) -> Ratio:
        if all(self.build.constant(bottom) is not None for bottom in (left[1], right[1])):
            a, b, denominator = self._common(left, right)
            return self._choose(truth, a, b), denominator
        # Each part by its own choice: a denominator that is zero in the case not taken must not spoil the other.
        return self._choose(truth, left[0], right[0]), self._choose(truth, left[1], right[1])

    def _choose(self, truth: int, left: int, right: int) -> int:
        if left == right:
            return left
        chosen = self.build.apply("mul", truth, left)
        return self.build.apply("add", chosen, self.build.apply("mul", self._opposite(truth), right))

    # Multiplied out and nested again.

    def _polynomials(self, formula: Any) -> Ratio:
        top, bottom = fraction(together(self._rational(formula)))
        variables = top.free_symbols | bottom.free_symbols
        gens = sorted(variables, key=lambda s: (s in self.generators, s.name, s.sort_key()))
        if not gens:
            return self.ratio(top / bottom)
        scale, numerator, denominator = Poly(top, *gens).cancel(Poly(bottom, *gens))
        below = self._nested(denominator, int(scale.q))
        above = self._nested(numerator, int(scale.p))
        if denominator.is_ground or denominator.as_expr().is_positive:
            return above, below
        return self.build.apply("mul", above, below), self.build.apply("mul", below, below)

    def _rational(self, formula: Any) -> Any:
        """The formula with an integer variable in place of every part that is neither sum, product nor power."""
        if isinstance(formula, (Rational, Symbol)):
            return formula
        if isinstance(formula, (Add, Mul)):
            return formula.func(*map(self._rational, formula.args))
        if isinstance(formula, Pow):
            if not formula.exp.is_Integer:
                raise _unsupported(formula)
            return self._rational(formula.base) ** formula.exp
        numerator, denominator = self.ratio(formula)
        above = self._generator(numerator, positive=bool(formula.is_positive))
        bottom = self.build.constant(denominator)
        return above / (self._generator(denominator, positive=True) if bottom is None else Integer(bottom))

    def _generator(self, place: int, *, positive: bool) -> Any:
        variable = Dummy(f"g{place:06d}", integer=True, positive=positive or None)
        known = next((variable for variable, at in self.generators.items() if at == place), variable)
        self.generators[known] = place
        return known

    def _nested(self, polynomial: Any, scale: int) -> int:
        factors = [self.ratio(variable)[0] for variable in polynomial.gens]
        return nested(self.build, {powers: int(value) * scale for powers, value in polynomial.terms()}, factors)


def _both_ways(pair: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    return pair, tuple(reversed(pair))


def _unsupported(part: Any) -> UnsupportedFormula:
    return UnsupportedFormula(f"cannot compute {part} exactly; a formula may use {_SUPPORTED}")


_METHODS: tuple[tuple[Any, Callable[[_Lowering, Any], Ratio]], ...] = (
    (Add, _Lowering.add),
    (Mul, _Lowering.mul),
    (Pow, _Lowering.pow),
    ((Max, Min), _Lowering.maximum),
    ((floor, ceiling), _Lowering.floor),
    (Mod, _Lowering.modulo),
    (Abs, _Lowering.absolute),
    (Piecewise, _Lowering.piecewise),
)
