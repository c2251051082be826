"""Equal, or nowhere less: decided by expansion, with a certificate that anyone can check.

>>> from symflops.notation import n_ctx, n_layer
>>> equal((n_ctx + 1) * n_layer, n_layer + n_layer * n_ctx)
True
>>> at_most(n_ctx * (n_ctx + 1) / 2, n_ctx**2)
True
"""

from __future__ import annotations

from sympy import Expr, Poly, expand, fraction, together


def equal(left: Expr, right: Expr) -> bool:
    """Whether two closed forms are the same for all sizes. True is a proof; False may be an open question (floors)."""
    return bool(expand(fraction(together(left - right))[0]) == 0)


def residual(left: Expr, right: Expr) -> Expr:
    """What is left of ``left`` when ``right`` is taken away, factored: zero if, and only if, they are equal.

    >>> from symflops.notation import n_ctx, n_layer
    >>> residual(2 * n_layer * (n_ctx + 1), 2 * n_layer * n_ctx)
    2*n_layer
    """
    return together(expand(left - right)).factor()


def at_most(left: Expr, right: Expr) -> bool:
    """Whether ``left <= right`` is shown for all positive integer sizes.

    The certificate: with each size n = 1 + m, the difference is a polynomial in m without a negative coefficient. False
    means not shown, not false.
    """
    numerator, denominator = fraction(together(right - left))
    return _nowhere_negative(numerator) and _nowhere_negative(denominator)


def _nowhere_negative(expression: Expr) -> bool:
    sizes = sorted(expression.free_symbols, key=str)
    shifted = expand(expression.subs({size: size + 1 for size in sizes}, simultaneous=True))
    if not sizes:
        return bool(shifted >= 0)
    return shifted.is_polynomial(*sizes) and all(each >= 0 for each in Poly(shifted, *sizes).coeffs())
