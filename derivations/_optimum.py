"""The best split of a budget by Hoffmann et al. 2022, equation 4, and what the printed projections follow from.

>>> balance()
0
>>> shown = {name: plain(best(fit, GOPHER), 3) for name, fit in FITS.items()}
>>> shown["equation 10, as printed"], shown["the same, not rounded"]
('32200000000', '40400000000')
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from sympy import Expr, Symbol, cancel, expand_log, log

from symflops.arithmetic import Value, divide, value
from symflops.claims.figures import figure
from symflops.claims.shown import percent, plain, scientific
from symflops.claims.table import Row
from symflops.claims.verifying import shipped
from symflops.derivation import Section
from symflops.documents import Cell, Forms, Table, prose
from symflops.grammar import parse
from symflops.training.scaling import at, law
from symflops.training.scaling_forms import form

GOPHER = Fraction("5.76e23")
"""Gopher's training FLOPs, the budget that the paper divides."""
FITS: Mapping[str, Mapping[str, Fraction]] = {
    "equation 10, as printed": law("chinchilla-3").constants,
    "the same, not rounded": law("chinchilla-3-unrounded").constants,
    "Besiroglu et al. 2024": law("besiroglu2024").constants,
}
"""Constants of L(N, D) = E + A/N**alpha + B/D**beta. Not rounded: the paper's TeX source, as Besiroglu et al. 2024
(arXiv:2404.10102) found it; they fit the same form to points read off the paper's figure 4."""


def balance() -> Expr:
    """What is left over of alpha*A/N**alpha = beta*B/D**beta at equation 4's N and D = C/(6 N): 0.

    Under C = 6 N D one percent more of N is one percent less of D, so that at the best N the two terms of the loss
    weigh the same with their exponents.
    """
    a, b, alpha, beta, c = (Symbol(name, positive=True) for name in ("A", "B", "alpha", "beta", "C"))
    n = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (c / 6) ** (beta / (alpha + beta))
    d = c / 6 / n
    left: Expr = cancel(expand_log(log(alpha * a * n**-alpha) - log(beta * b * d**-beta), force=True))
    return left


def best(fit: Mapping[str, Fraction], budget: Value) -> Value:
    """The number of parameters that a fit says is best for a budget of FLOPs, by equation 4."""
    return at(form("sum").best, {**fit, "C": budget})


def optimum() -> tuple[Section, ...]:
    """Equation 4 with each set of constants, and the projections of the three approaches."""
    return _split(), _projected()


def _split() -> Section:
    n, d = Symbol("N"), Symbol("D")
    a, b, alpha, beta = (Symbol(name) for name in ("A", "B", "alpha", "beta"))
    forms = Forms((("alpha*A/N**alpha - beta*B/D**beta at the best N", balance()), ("C", 6 * n * d)))
    said = prose(
        "Approach 3 fits L = E + ", a / n**alpha + b / d**beta, " and asks for the least loss under C = 6 N D. There "
        "the two terms balance, which gives equation 4, N = G (C/6)**a with a = ", beta / (alpha + beta), ":",
    )  # fmt: skip
    lines = tuple(_fitted(name, fit) for name, fit in FITS.items())
    head = ("Constants", "a", "N for Gopher's budget", "tokens for each parameter", "N for 1e21 FLOPs")
    after = prose(
        "Section 3.3 prints a = 0.46 and 40 billion: both follow from the constants before they were rounded, and "
        "neither from equation 10, whose exponents have two digits. The refit's split is near approaches 1 and 2's."
    )
    return Section("The best split of a budget", (said, forms, Table("", head, lines), after))


def _fitted(name: str, fit: Mapping[str, Fraction]) -> tuple[Cell, ...]:
    exponent = at(form("sum").exponent, fit)
    whole, small = best(fit, GOPHER), best(fit, Fraction(10**21))
    tokens = divide(GOPHER, value(parse("6*n**2"), {"n": whole}))
    return name, plain(exponent, 4), scientific(whole, 4), plain(tokens, 3), scientific(small, 4)


def line(low: Row, high: Row, column: str, params: Fraction) -> Value:
    """The FLOPs for a number of parameters on the power law through two rows of a table of projections."""
    given = {
        "n": params, "n1": _figure(low, "params"), "n2": _figure(high, "params"),
        "c1": _figure(low, column), "c2": _figure(high, column),
    }  # fmt: skip
    return value(parse("c1*(n/n1)**(log(c2/c1)/log(n2/n1))"), given)


def _figure(row: Row, column: str) -> Fraction:
    return figure(row.cells[column]).value


def _projected() -> Section:
    rows = {row.cells["params"]: row for row in shipped()["chinchilla_table_a3"].rows}
    low, high = rows["10 Billion"], rows["520 Billion"]
    lines = []
    for name, row in rows.items():
        flops, tokens = _figure(row, "a3_flops"), _figure(row, "a3_tokens")
        on_line = line(low, high, "a3_flops", _figure(row, "params"))
        identity = divide(flops, 6 * _figure(row, "params") * tokens) - 1
        anchor = row in (low, high)
        off = (percent(identity), "on it" if anchor else percent(divide(flops, on_line) - 1))
        again = (plain(best(FITS[fit], flops), 3) for fit in tuple(FITS)[:2])
        lines.append((name, row.cells["a3_flops"], row.cells["a3_tokens"], *off, *again))
    known = tuple(FITS)[:2]
    head = ("Parameters", "FLOPs", "Tokens", "against 6ND", "against the power law", *(f"N by {fit}" for fit in known))
    seventy = line(low, high, "a3_flops", Fraction(70 * 10**9))
    said = prose(
        "A projection has to satisfy C = 6 N D, and by equation 4 FLOPs are a power of N. Table A3's approach 3 "
        "against both, the power law drawn through its rows of 10 and 520 billion:"
    )
    tokens = divide(seventy, Fraction(6 * 70 * 10**9))
    after = prose(
        "At 175 billion FLOPs are a tenth of what both say. At 280 billion they lie on the power law and the tokens do "
        "not fit them. At 67 billion neither fits, and for 70 billion, Chinchilla's size, the law gives "
        f"{scientific(seventy, 3)} FLOPs and {scientific(tokens, 2)} tokens, which is what the row prints: it seems to "
        "have been computed for 70. Equation 4 with the constants that are known does not give back the parameters of "
        "any large row, so that the table seems to come from another fit."
    )
    return Section("Projections", (said, Table("", head, tuple(lines)), after))
