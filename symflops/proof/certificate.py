"""What a proof shows: sizes written in numbers that are not negative, and a polynomial in them without a minus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sympy import Basic, Expr, Poly, Symbol, expand, fraction, together
from sympy.core.relational import Equality, GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

Outcome = Literal["proved", "counterexample", "open"]


def difference(claim: Basic) -> tuple[Expr, bool]:
    """What a claim says is not negative, and whether it may not vanish either.

    >>> from symflops.notation import d_model, d_ff
    >>> difference(d_model < d_ff)
    (d_ff - d_model, True)
    """
    if isinstance(claim, LessThan | StrictLessThan):
        return claim.rhs - claim.lhs, isinstance(claim, StrictLessThan)
    if isinstance(claim, GreaterThan | StrictGreaterThan):
        return claim.lhs - claim.rhs, isinstance(claim, StrictGreaterThan)
    raise TypeError(f"{claim} is no inequality")


@dataclass(frozen=True)
class Certificate:
    """All points of a domain, and the claim's difference there.

    ``sizes`` writes each size in symbols that are not negative, such that every point of the domain is reached;
    ``polynomial`` is the difference's numerator in them and ``denominator`` its denominator, neither with a minus.
    For an equality both are the expanded zero and one.
    """

    claim: Basic
    sizes: Mapping[Symbol, Expr]
    polynomial: Expr
    denominator: Expr

    def holds(self) -> bool:
        """Check it anew: the claim's difference is this fraction, and no coefficient is negative."""
        if isinstance(self.claim, Equality):
            return bool(expand(fraction(together(self.claim.lhs - self.claim.rhs))[0]) == 0)
        left, strict = difference(self.claim)
        again = left.xreplace(dict(self.sizes)) - self.polynomial / self.denominator
        same = expand(fraction(together(again))[0]) == 0
        return bool(same) and without_minus(self.polynomial, strict) and without_minus(self.denominator, True)


def without_minus(expression: Expr, strict: bool = False) -> bool:
    """Whether no coefficient of a polynomial in symbols >= 0 is negative; strictly, if it cannot vanish either.

    >>> from sympy import symbols
    >>> a, b = symbols("a b", nonnegative=True, integer=True)
    >>> without_minus(a * b + a), without_minus(a - b), without_minus(a * b + a, True), without_minus(a + 1, True)
    (True, False, False, True)
    """
    symbols = sorted(expression.free_symbols, key=str)
    if not symbols:
        return bool(expression > 0) if strict else bool(expression >= 0)
    if not expression.is_polynomial(*symbols):
        return False
    polynomial = Poly(expression, *symbols)
    rising = all(each.is_nonnegative for each in polynomial.coeffs())
    return rising and (not strict or bool(polynomial.coeff_monomial(1) > 0))


@dataclass(frozen=True)
class Proof:
    """What `prove` found: a certificate, a point where the claim is false, or neither."""

    claim: Basic
    domain: tuple[Basic, ...]
    outcome: Outcome
    certificates: tuple[Certificate, ...] = ()
    point: Mapping[Symbol, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.outcome == "proved"

    def __repr__(self) -> str:
        if self.outcome == "counterexample":
            if not self.point:
                return "counterexample: it is false for all sizes"
            return f"counterexample: {_point(self.point)} make it {_at(self.claim, self.point)}"
        if self.outcome == "open":
            return "open: neither a certificate nor a counterexample was found"
        return "; ".join(map(_shown, self.certificates))


def _point(point: Mapping[Symbol, int]) -> str:
    return ", ".join(f"{size} = {value}" for size, value in sorted(point.items(), key=lambda item: str(item[0])))


def _at(claim: Basic, point: Mapping[Symbol, int]) -> str:
    sides = [side.xreplace({size: _integer(value) for size, value in point.items()}).doit() for side in claim.args]
    return f" {claim.rel_op} ".join(map(str, sides)).replace("==", "=")


def _integer(value: int) -> Expr:
    from sympy import Integer

    return Integer(value)


def _shown(certificate: Certificate) -> str:
    if isinstance(certificate.claim, Equality):
        return "proved: both sides expand to the same"
    new = sorted({symbol for form in certificate.sizes.values() for symbol in form.free_symbols}, key=str)
    sizes = ", ".join(f"{size} = {form}" for size, form in certificate.sizes.items())
    over = "" if certificate.denominator == 1 else f", divided by {certificate.denominator}"
    strict = difference(certificate.claim)[1]
    sign = ">" if strict else ">="
    return f"proved: with {sizes} and {', '.join(map(str, new))} >= 0 it says {certificate.polynomial} {sign} 0{over}"
