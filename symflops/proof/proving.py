"""Prove a claim on closed forms for all sizes of a domain, or find sizes that refute it; never more than is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product

from sympy import Basic, Eq, Expr, Integer, Max, Min, Symbol, expand, fraction, together
from sympy.core.relational import Equality, Relational

from symflops.proof.certificate import Certificate, Proof, difference, without_minus
from symflops.proof.domains import DomainError, holds_at, parametrised
from symflops.proof.equality import equal

_POINTS, _TRIED, _SPLITS = 3000, (1, 2, 3, 4, 6, 8, 64, 1024, 10**6), 4


def prove(claim: Basic, domain: Iterable[Basic] = ()) -> Proof:
    """Whether a claim, such as ``a <= b`` or ``Eq(a, b)``, holds for all positive integer sizes of a domain.

    ``domain`` are conditions on sizes: ``n_kv_head <= n_head``, ``Eq(Mod(n_head, n_kv_head), 0)``, ``n_seq >= 2``.
    The answer is *proved*, with a certificate that ``certificate.holds()`` checks anew; *counterexample*, with the
    smallest sizes found that make the claim false; or *open*: neither was found, and nothing is claimed.

    >>> from symflops.notation import n_seq, n_window
    >>> prove(n_seq * (n_seq + 1) / 2 <= n_seq**2).outcome, prove(n_seq**2 <= 1000 * n_seq)
    ('proved', counterexample: n_seq = 1024 make it 1048576 <= 1024000)
    >>> prove(2 * n_seq * n_window <= n_seq**2 + n_window**2).outcome
    'open'
    >>> prove(Min(n_seq, n_window) <= n_seq)
    proved: ...

    Raises `DomainError` for what is no condition.
    """
    conditions = tuple(domain)
    if claim in (True, False) or not isinstance(claim, Relational):
        return _trivial(claim, conditions)
    certificates = _certificates(claim, conditions)
    if certificates is not None:
        return Proof(claim, conditions, "proved", certificates)
    point = next(_refuting(claim, conditions), None)
    return Proof(claim, conditions, "open") if point is None else Proof(claim, conditions, "counterexample", (), point)


def _trivial(claim: Basic, domain: tuple[Basic, ...]) -> Proof:
    """A claim that sympy decided when it was written: true of all positive integers, or false of all."""
    if claim == True:  # noqa: E712
        return Proof(claim, domain, "proved")
    if claim == False:  # noqa: E712
        return Proof(claim, domain, "counterexample")
    raise DomainError(f"{claim} is no claim; a claim is an equality or inequality of closed forms")


def _certificates(claim: Relational, domain: Sequence[Basic], splits: int = _SPLITS) -> tuple[Certificate, ...] | None:
    """A certificate, or one for each case of the least or larger of two; None where none is found."""
    if isinstance(claim, Equality):
        return (Certificate(claim, {}, Integer(0), Integer(1)),) if equal(claim.lhs, claim.rhs) else None
    choices = claim.atoms(Min, Max)
    if choices and splits:
        return _by_cases(claim, min(choices, key=str), domain, splits)
    left, strict = difference(claim)
    sizes = parametrised(left.free_symbols, domain)
    above, below = fraction(together(left.xreplace(sizes)))
    polynomial, denominator = expand(above), expand(below)
    if without_minus(-denominator, True):
        polynomial, denominator = -polynomial, -denominator
    if without_minus(denominator, True) and without_minus(polynomial, strict):
        used = {size: form for size, form in sizes.items() if size in left.free_symbols}
        return (Certificate(claim, used, polynomial, denominator),)
    return None


def _by_cases(claim: Relational, choice: Expr, domain: Sequence[Basic], splits: int) -> tuple[Certificate, ...] | None:
    """The claim in each order of two things of which the least or larger is meant."""
    first, *others = choice.args
    rest = choice.func(*others)
    less, more = (first, rest) if isinstance(choice, Min) else (rest, first)
    found: list[Certificate] = []
    for taken, condition in ((first, less <= more), (rest, more <= less)):
        case = claim.xreplace({choice: taken})
        if condition == False or case == True:  # noqa: E712
            continue
        inside = [*domain] if condition == True else [*domain, condition]  # noqa: E712
        part = None if case == False else _certificates(case, inside, splits - 1)  # noqa: E712
        if part is None:
            return None
        found += part
    return tuple(found)


def _refuting(claim: Relational, domain: Sequence[Basic]) -> Iterator[dict[Symbol, int]]:
    """Points of the domain that make the claim false, small ones first."""
    symbols = sorted(claim.free_symbols | {each for condition in domain for each in condition.free_symbols}, key=str)
    grid = sorted(islice(product(_TRIED, repeat=len(symbols)), 9**5), key=sum)
    for values in grid[:_POINTS]:
        point = dict(zip(symbols, map(Integer, values), strict=True))
        if holds_at(domain, point) and _value(claim, point) == False:  # noqa: E712
            yield {size: int(value) for size, value in point.items()}


def _value(claim: Relational, point: dict[Symbol, Expr]) -> Basic:
    sides = [side.xreplace(point).doit() for side in claim.args]
    return Eq(*sides) if isinstance(claim, Equality) else claim.func(*sides)
