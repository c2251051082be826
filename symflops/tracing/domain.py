"""Where a traced formula holds: the questions that code asked of its sizes, reduced to readable conditions.

>>> from sympy import Eq, Mod, floor
>>> from symflops.notation import d_head, n_ctx, n_head, n_kv_head, n_seq
>>> found = domain([Eq(n_head, n_kv_head * floor(n_head / n_kv_head)), n_seq <= n_ctx, n_seq * d_head > 1])
>>> found.conditions
(Eq(Mod(n_head, n_kv_head), 0), n_ctx >= n_seq)
>>> found.resolve(n_kv_head * floor(n_head / n_kv_head) * d_head)
d_head*n_head
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sympy import (
    And,
    Dummy,
    Eq,
    Expr,
    Integer,
    Max,
    Min,
    Mod,
    Ne,
    Not,
    Or,
    Poly,
    Symbol,
    cancel,
    ceiling,
    expand,
    false,
    floor,
    fraction,
    together,
    true,
)
from sympy.core.relational import Relational

_ROUNDING = (floor, ceiling, Mod, Max, Min)
_LEAST = 2
"""The least value of a size in a trace; smaller ones broadcast, which is another computation."""
_END = 2**60
"""What stands for the end of an axis in slices is larger: comparing a size with it says nothing."""


@dataclass(frozen=True)
class Domain:
    """Conditions under which a formula holds, for sizes of at least 2.

    ``divisible`` are pairs of a size and what divides it; ``conditions`` are those and all other conditions, reduced;
    ``generic`` are the special cases that were left out: two sizes that are equal, a quotient of 1. Formulas rarely
    depend on them, but the run did not go through them.
    """

    conditions: tuple[Any, ...]
    divisible: tuple[tuple[Symbol, Expr], ...] = ()
    generic: tuple[Any, ...] = ()
    _quotients: Mapping[Symbol, Symbol] = field(default_factory=dict, repr=False, compare=False)

    def resolve(self, size: Any) -> Any:
        """A size without the floors, remainders and maxima that these conditions decide.

        Other floors stay as they are.
        """
        if not isinstance(size, Expr) or not size.has(*_ROUNDING):
            return size
        return _readable(_decided(size, self._multiples), self._quotients, self.divisible)

    def implies(self, condition: Any) -> bool:
        """Whether a condition is shown to hold for all sizes of this domain. False means not shown."""
        return _decided(condition, self._multiples) is true

    @property
    def _multiples(self) -> dict[Symbol, Expr]:
        return {size: divisor * self._quotients[size] for size, divisor in self.divisible}


def domain(guards: Iterable[Any], known: Mapping[Symbol, Expr] = MappingProxyType({})) -> Domain:
    """Reduce conditions that held. What positive integers of at least 2 satisfy anyway is dropped.

    ``known`` says beforehand what divides a size.
    """
    # Nothing rounded is decided before it is known what divides what, and trying takes long.
    quotients = {size: _quotient(size) for size in known}
    multiples = _multiples(known, quotients)
    real = [guard for guard in guards if not any(abs(number) >= _END for number in guard.atoms(Integer))]
    asked = [guard for guard in real if guard.has(*_ROUNDING) or _decided(guard, multiples) is not true]
    facts = _facts([guard for guard in asked if isinstance(guard, Eq)], dict(known), quotients)
    pairs = tuple(facts.items())
    conditions: dict[Any, None] = {Eq(Mod(size, divisor), 0): None for size, divisor in pairs}
    generic: dict[Any, None] = {}
    for guard in (_decided(guard, _multiples(facts, quotients)) for guard in asked):
        if guard is not true:
            special = isinstance(guard, Ne) or _decided(guard, {}, _LEAST) is true
            (generic if special else conditions)[_tidied(_readable(guard, quotients, pairs))] = None
    # What is known to be a multiple was run as one of at least 2, and no guard says so.
    generic |= {Ne(size, divisor): None for size, divisor in known.items()}
    return Domain(tuple(conditions), pairs, tuple(generic), quotients)


def _quotient(size: Symbol) -> Symbol:
    return Dummy(f"{size}_quotient", positive=True, integer=True)


def _facts(equalities: list[Any], facts: dict[Symbol, Expr], quotients: dict[Symbol, Symbol]) -> dict[Symbol, Expr]:
    """What divides what, from the equalities that this makes true; one fact may bring out the next."""
    tried: set[tuple[Symbol, Expr]] = set()
    while True:
        decided = [_decided(each, _multiples(facts, quotients)) for each in equalities]
        shown = [_readable(each, quotients, tuple(facts.items())) for each in decided]
        pairs = dict.fromkeys(pair for each in shown for pair in _candidates(each))
        new = [pair for pair in pairs if pair not in tried]
        if not new:
            return facts
        tried.update(new[:1])
        trial = _added(facts, *new[0], quotients)
        if trial is not None and _explains(equalities, decided, trial, quotients):
            facts = trial


def _candidates(guard: Any) -> Iterator[tuple[Symbol, Expr]]:
    """Pairs of a size and a divisor which, if it divides, would decide a floor or a remainder."""
    for each in guard.atoms(floor, ceiling, Mod):
        ratio = each.args[0] / each.args[1] if isinstance(each, Mod) else each.args[0]
        numerator, divisor = fraction(together(ratio))
        for size in sorted(numerator.free_symbols - divisor.free_symbols, key=str):
            if divisor != 1 and not divisor.has(*_ROUNDING) and expand(numerator).coeff(size, 1) == 1:
                yield size, divisor


def _added(
    facts: Mapping[Symbol, Expr], size: Symbol, divisor: Expr, quotients: dict[Symbol, Symbol]
) -> dict[Symbol, Expr] | None:
    """The facts with one more; a size keeps its first divisor, or the least common multiple of two numbers."""
    before = facts.get(size)
    if before is not None:
        if not (before.is_Integer and divisor.is_Integer):
            return None
        divisor = before * divisor / before.gcd(divisor)
    quotients.setdefault(size, _quotient(size))
    return {**facts, size: divisor}


def _multiples(facts: Mapping[Symbol, Expr], quotients: Mapping[Symbol, Symbol]) -> dict[Symbol, Expr]:
    return {size: divisor * quotients[size] for size, divisor in facts.items()}


def _explains(
    equalities: list[Any], before: list[Any], facts: Mapping[Symbol, Expr], quotients: Mapping[Symbol, Symbol]
) -> bool:
    """Whether facts make an equality that was open true, and none false."""
    after = [_decided(each, _multiples(facts, quotients)) for each in equalities]
    return after.count(true) > before.count(true) and false not in after


def _decided(expression: Any, multiples: Mapping[Symbol, Expr], least_quotient: int = 1) -> Any:
    """An expression with sizes written as multiples, its roundings and comparisons decided where they can be."""
    return _decide(expression, tuple(multiples.items()), least_quotient)


@lru_cache(maxsize=4096)
def _decide(expression: Any, multiples: tuple[tuple[Symbol, Expr], ...], least_quotient: int) -> Any:
    chained = expression
    for _ in range(len(multiples)):
        chained = chained.xreplace(dict(multiples))
    least = {each: least_quotient if isinstance(each, Dummy) else _LEAST for each in chained.free_symbols}
    shifted = {each: Dummy(str(each), nonnegative=True, integer=True) for each in least}
    # What is rounded is brought to lowest terms first: (n*g + 2*n)/(g + 2) is n.
    chained = chained.replace(lambda each: isinstance(each, floor | ceiling), _lowest_terms)
    found = chained.xreplace({each: shifted[each] + least[each] for each in least})
    found = found.replace(lambda each: isinstance(each, Mod | Max), _settled)
    back = {shifted[each]: each - least[each] for each in least}
    if isinstance(expression, Expr):
        return found.xreplace(back)
    verdict = _verdict(found)
    return chained if verdict is None else verdict


def _settled(each: Any) -> Any:
    """A remainder of a number less than the divisor is that number, and of 1 and a size the larger is the size."""
    if isinstance(each, Mod):
        rest, divisor = each.args
        small = rest.is_Integer and rest >= 0 and not divisor.has(*_ROUNDING) and _positive(expand(divisor - rest))
        return rest if small else each
    sizes = [size for size in each.args if size != 1]
    larger = len(sizes) == 1 < len(each.args) and not sizes[0].has(*_ROUNDING) and _positive(expand(sizes[0]))
    return sizes[0] if larger else each


def _lowest_terms(rounded: Any) -> Any:
    return rounded.func(cancel(rounded.args[0]))


def _verdict(condition: Any) -> Any:
    """True, or None where it is open; every symbol runs from 0."""
    if condition is true or condition is false:
        return condition
    if isinstance(condition, Not):
        return None
    if isinstance(condition, And | Or):
        parts = [_verdict(each) for each in condition.args]
        sure = all(each is true for each in parts) if isinstance(condition, And) else true in parts
        return true if sure else None
    if not isinstance(condition, Relational):
        return None
    return true if _holds(condition) else None


def _holds(condition: Relational) -> bool:
    if condition.has(*_ROUNDING):  # No polynomial: only what is seen at once, for expanding it takes long.
        return isinstance(condition, Eq) and _rounds_to(condition.lhs, condition.rhs)
    difference = expand(condition.lhs - condition.rhs)
    if isinstance(condition, Eq):
        return bool(difference == 0)
    if isinstance(condition, Ne):
        return _positive(difference) or _positive(-difference)
    bigger = condition.gts - condition.lts
    return _positive(expand(bigger)) if condition.rel_op in (">", "<") else _nonnegative(expand(bigger))


def _rounds_to(rounded: Expr, value: Expr) -> bool:
    """floor((3*n - 1)/n) is 2 for every n: it is at least 2 and less than 3. Splits count their pieces so."""
    if not isinstance(rounded, floor) or rounded.args[0].has(*_ROUNDING):
        return False
    rest, divisor = (expand(each) for each in fraction(together(rounded.args[0] - value)))
    return _positive(divisor) and _nonnegative(rest) and _positive(expand(divisor - rest))


def _nonnegative(expression: Expr) -> bool:
    symbols = sorted(expression.free_symbols, key=str)
    if not symbols:
        return bool(expression >= 0)
    if not expression.is_polynomial(*symbols):
        return False
    return all(each >= 0 for each in Poly(expression, *symbols).coeffs())


def _positive(expression: Expr) -> bool:
    """Integers: above 0 is at least 1."""
    return _nonnegative(expression - 1)


def _readable(expression: Any, quotients: Mapping[Symbol, Symbol], facts: tuple[tuple[Symbol, Expr], ...]) -> Any:
    return expression.xreplace({quotients[size]: size / divisor for size, divisor in facts})


def _tidied(condition: Any) -> Any:
    """One spelling of each comparison."""
    return condition.canonical if isinstance(condition, Relational) else condition
