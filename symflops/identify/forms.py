"""Closed forms as sums of products of sizes, which are evaluated exactly at a row's sizes, one of which may be open.

>>> from symflops.notation import d_model, n_layer, n_vocab
>>> form = as_products(12 * n_layer * d_model**2 + d_model * n_vocab)
>>> evaluated(form, {"n_layer": (12,), "d_model": (768,), "n_vocab": (0, 1)})
(84934656, 768)
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import TypeAlias

from sympy import Expr, Integer, Mul, expand

from symflops.arithmetic import fraction
from symflops.errors import SymflopsError
from symflops.identify.polynomials import Polynomial, plus, power, times
from symflops.notation import TERMS, symbol

Products: TypeAlias = tuple[tuple[Fraction, tuple[tuple[str, int], ...]], ...]
"""Terms: a coefficient, and each size with its power. Hashable."""
Sizes: TypeAlias = Mapping[str, Polynomial]


class Missing(SymflopsError):
    """A size that a form has and a row has not."""


class NotPolynomial(SymflopsError):
    """A form that is no polynomial in the unknown size."""


@cache
def as_products(form: Expr) -> Products:
    """The form, multiplied out.

    Raises `NotPolynomial` for anything but whole powers of sizes.
    """
    terms = expand(form).as_coefficients_dict()
    return tuple((fraction(value), _powers(term)) for term, value in terms.items() if value != 0)


def _powers(term: Expr) -> tuple[tuple[str, int], ...]:
    factors = [factor.as_base_exp() for factor in Mul.make_args(term) if factor != 1]
    if not all(base.is_Symbol and exponent.is_Integer for base, exponent in factors):
        raise NotPolynomial(f"{term} is no product of sizes")
    return tuple((base.name, int(exponent)) for base, exponent in factors)


def evaluated(form: Products, sizes: Sizes) -> Polynomial:
    """The value, a polynomial in the size that is open.

    Raises `Missing` for a size that is not there, `NotPolynomial` where the open size divides.
    """
    total: Polynomial = (0,)
    for coefficient, powers in form:
        value: Polynomial = (coefficient.numerator if coefficient.denominator == 1 else coefficient,)
        for name, exponent in powers:
            if name not in sizes:
                raise Missing(name)
            raised = power(sizes[name], exponent)
            if raised is None:
                raise NotPolynomial(f"a form divides by {name}, which is not given")
            value = times(value, raised)
        total = plus(total, value)
    return total


def at_sizes(form: Expr, sizes: Sizes) -> Polynomial:
    """The value of any closed form: what is no sum of products once the given sizes are put in is refused.

    >>> from sympy import floor
    >>> from symflops.notation import d_model
    >>> at_sizes(floor(d_model / 7), {"d_model": (15,)})
    (2,)

    Raises as `evaluated` and `as_products` do.
    """
    try:
        return evaluated(as_products(form), sizes)
    except NotPolynomial:
        known = {name: each[0] for name, each in sizes.items() if len(each) == 1 and name in TERMS}
        put_in = {symbol(name): Integer(each) for name, each in known.items() if Fraction(each).denominator == 1}
        return evaluated(as_products(form.xreplace(put_in)), sizes)
