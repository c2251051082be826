"""A domain of sizes, written in symbols that are not negative: every point of it is reached.

>>> from symflops.notation import n_head, n_kv_head
>>> parametrised({n_head, n_kv_head}, [n_kv_head <= n_head])
{n_head: a + b + 1, n_kv_head: a + 1}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count
from string import ascii_lowercase
from typing import TypeAlias

from sympy import Basic, Eq, Expr, Mod, Symbol
from sympy.core.relational import GreaterThan, LessThan, Relational, StrictGreaterThan, StrictLessThan

from symflops.errors import SymflopsError

Bound: TypeAlias = tuple[str, Expr]


class DomainError(SymflopsError):
    """A condition that is none."""


def parametrised(sizes: Collection[Symbol], domain: Sequence[Basic]) -> dict[Symbol, Expr]:
    """Each size in new symbols that are not negative integers.

    A size is at least 1, at least a number or another size (``n_kv_head <= n_head``), or a multiple of one
    (``Eq(Mod(n_head, n_kv_head), 0)``). A condition of another form is not used: what is shown then holds for more.
    """
    bounds = {size: list(_bounds(size, domain)) for size in {*sizes, *_named(domain)}}
    new = _new_symbols()
    found: dict[Symbol, Expr] = {}
    while waiting := sorted(bounds.keys() - found.keys(), key=str):
        # A size comes after all those that bound it; in a circle of bounds one of them is left out.
        size = next((each for each in waiting if _open(bounds[each]) <= found.keys()), waiting[0])
        found[size] = _written(_usable(bounds[size], found), found, next(new))
    return {size: found[size].expand() for size in sorted(found, key=str)}


def _open(bounds: Sequence[Bound]) -> set[Symbol]:
    return {each for _, least in bounds for each in least.free_symbols}


def _written(bounds: Sequence[Bound], found: dict[Symbol, Expr], slack: Symbol) -> Expr:
    """A size by the first of its bounds, multiples before sizes before numbers."""
    if not bounds:
        return 1 + slack
    kind, least = max(bounds, key=lambda bound: (bound[0] == "multiple of", len(bound[1].free_symbols)))
    return least.xreplace(found) * (slack + 1) if kind == "multiple of" else least.xreplace(found) + slack


def holds_at(domain: Sequence[Basic], point: dict[Symbol, Expr]) -> bool:
    """Whether a point is in the domain."""
    return all(condition.xreplace(point) == True for condition in domain)  # noqa: E712


def _named(domain: Sequence[Basic]) -> set[Symbol]:
    for condition in domain:
        if not isinstance(condition, Relational):
            raise DomainError(f"{condition} is no condition on sizes, such as n_kv_head <= n_head")
    return {each for condition in domain for each in condition.free_symbols}


def _new_symbols() -> Iterator[Symbol]:
    for round_ in count():
        for letter in ascii_lowercase:
            yield Symbol(f"{letter}{round_ or ''}", integer=True, nonnegative=True)


def _bounds(size: Symbol, domain: Sequence[Basic]) -> Iterator[Bound]:
    """What a size is a multiple of, or at least."""
    for condition in domain:
        if isinstance(condition, Eq) and isinstance(condition.lhs, Mod) and condition.rhs == 0:
            number, divisor = condition.lhs.args
            if number == size:
                yield "multiple of", divisor
    for condition in domain:
        if isinstance(condition, LessThan | StrictLessThan) and condition.rhs == size:
            yield "at least", condition.lhs + int(isinstance(condition, StrictLessThan))
        if isinstance(condition, GreaterThan | StrictGreaterThan) and condition.lhs == size:
            yield "at least", condition.rhs + int(isinstance(condition, StrictGreaterThan))


def _usable(bounds: Sequence[Bound], found: dict[Symbol, Expr]) -> list[Bound]:
    """The bounds whose own sizes are written already and that no size can be below."""
    return [
        (kind, least)
        for kind, least in bounds
        if least.free_symbols <= found.keys() and _at_least_one(least.xreplace(found))
    ]


def _at_least_one(form: Expr) -> bool:
    return bool((form - 1).expand().is_nonnegative)
