"""Pearce and Song 2024: Kaplan's and Chinchilla's exponents reconciled by what N counts, derived from closed forms.

Kaplan et al. count parameters without embeddings, Hoffmann et al. all of them. The first are a power of the second only
for large models; put into Hoffmann et al.'s loss they change the exponent of the best model (arXiv:2406.12907).

>>> factor(OMEGA**3), EXPONENT.subs(U, 0).equals(BETA / (ALPHA + BETA))
(r*(n_ctx + n_vocab)**3/12, True)
>>> fit = law("besiroglu2024")
>>> [plain(local(fit, printed("omega"), size), 3) for size in (Fraction(768), Fraction("1.5e9"), Fraction(10**15))]
['0.762', '0.53', '0.513']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from sympy import Expr, Poly, Rational, S, Symbol, cancel, denom, diff, expand_log, factor, limit, log, oo

from symflops.architectures import architecture
from symflops.arithmetic import Value, divide, subtract, value
from symflops.claims.sections import checked
from symflops.claims.shown import plain
from symflops.claims.verifying import shipped
from symflops.derivation import Section, Step, Study, WrongStep, drop, rewrite, share, specialise, start
from symflops.documents import Cell, Forms, Steps, Table, prose
from symflops.grammar import parse
from symflops.measures import params, params_without
from symflops.notation import d_ff, d_model, n_ctx, n_layer, n_vocab
from symflops.training.scaling import Law, at, law
from symflops.training.scaling_forms import ALPHA, BETA, SIX, A, B, C, D, E, N, same

CITATION = "Pearce and Song, Reconciling Kaplan and Chinchilla Scaling Laws, 2024, arXiv:2406.12907"
LAWS = ("besiroglu2024", "chinchilla-3-unrounded")
SMALLEST, LARGEST = Fraction(768), Fraction("1.5e9")
"""Kaplan et al.'s models, without embeddings (arXiv:2001.08361, section 1)."""
_ASPECT, _ROOT, _OMEGA = (Symbol(name, positive=True) for name in ("r", "m", "omega"))
U = Symbol("u", positive=True)
"""Parameters of embeddings over all others: omega*N**(-2/3)."""

# A decoder in the line of GPT-2, as certified against the released module; width and depth grow together.
_GPT2 = architecture("gpt2").network.subs(d_ff, 4 * d_model)
OMEGA: Expr = (n_vocab + n_ctx) * (_ASPECT / 12) ** Rational(1, 3)
"""What N**(1/3) is multiplied by, for ``r`` = d_model/n_layer."""


def shape() -> tuple[Step, ...]:
    """From the parameters of GPT-2 to N + omega*N**(1/3)."""
    inside, rest = 12 * n_layer * d_model**2, 13 * n_layer * d_model + 2 * d_model
    chain = start("N", params_without(_GPT2), "GPT-2 without embeddings, d_ff = 4*d_model")
    chain = drop(chain, rest, inside, f"biases and norms are {share(rest, inside)} of it")
    chain = specialise(chain, {n_layer: d_model / _ASPECT}, 12 * d_model**3 / _ASPECT, "r = d_model/n_layer")
    outside = start("N_embedding", params(_GPT2) - params_without(_GPT2), "tables of tokens and positions")
    outside = rewrite(outside, (n_vocab + n_ctx) * d_model, "collected")
    width = same("d_model**3", chain[-1].expression * _ASPECT / 12, d_model**3, "N = 12*d_model**3/r solved for it")
    cube = outside[-1].expression ** 3 * (_ASPECT * N / 12) / d_model**3
    tables = same("N_embedding**3", cube, N * OMEGA**3, "at that width")
    named = (replace(width, expression=_ASPECT * N / 12), tables)
    total = Step("N_total", N + _OMEGA * N ** Rational(1, 3), "omega**3 = r*(n_vocab + n_ctx)**3/12")
    return (*chain, *outside, *named, total)


def _slope_terms() -> tuple[Expr, Expr]:
    """The loss's two terms at C = 6 N D, in m = N**(1/3), and their slopes in log N: the first falls."""
    total, each = _ROOT**3 + _OMEGA * _ROOT, _ROOT**3 + _OMEGA * _ROOT / 3
    falling = ALPHA * A * total ** (-ALPHA - 1) * each
    rising = BETA * B * (6 * _ROOT**3 / C) ** BETA
    for term, slope in ((A * total**-ALPHA, -falling), (B * (6 * _ROOT**3 / C) ** BETA, rising)):
        found = cancel(_ROOT / 3 * diff(log(term), _ROOT)) * term
        _same_ratio(found, slope)
    return falling, rising


def _same_ratio(found: Expr, claimed: Expr) -> None:
    ratio = cancel(expand_log(found / claimed, force=True))
    if cancel(ratio.simplify() - 1) != 0:
        raise WrongStep(f"{claimed} is not the slope {found}: they differ by the factor {ratio}")


def _best() -> Expr:
    """The budget for which N parameters without embeddings are best, in m = N**(1/3)."""
    falling, rising = _slope_terms()
    total, each = _ROOT**3 + _OMEGA * _ROOT, _ROOT**3 + _OMEGA * _ROOT / 3
    budget: Expr = 6 * _ROOT**3 * (BETA * B / (ALPHA * A) * total ** (1 + ALPHA) / each) ** (1 / BETA)
    same("slope", (falling / rising).subs(C, budget), S.One, "the two slopes cancel")
    return budget


BUDGET: Expr = _best().subs(_ROOT, N ** Rational(1, 3))
"""FLOPs without embeddings for which N parameters without embeddings are best."""


def _exponent() -> Expr:
    """d log N / d log C, in u alone."""
    slope = _ROOT / 3 * diff(expand_log(log(_best()), force=True), _ROOT)
    return factor(1 / cancel(slope.subs(_OMEGA, U * _ROOT**2)))


EXPONENT: Expr = _exponent()
"""The local exponent: d log N / d log C, without embeddings on both sides."""


def _mixed() -> Expr:
    """The exponent of all parameters, times d log N / d log N_total."""
    total = _ROOT**3 + _OMEGA * _ROOT
    growth = cancel((_ROOT / 3 * diff(total, _ROOT) / total).subs(_OMEGA, U * _ROOT**2))
    return BETA / (ALPHA + BETA) / factor(growth)


MIXED: Expr = _mixed()
"""The same where the budget counts embeddings and N does not."""


def exponents() -> tuple[Step, ...]:
    """From the loss to the exponent and its limits."""
    total = N + _OMEGA * N ** Rational(1, 3)
    small, large = limit(EXPONENT, U, oo), EXPONENT.subs(U, 0)
    if cancel(small - BETA / (BETA + ALPHA / 3)) != 0 or cancel(large - BETA / (ALPHA + BETA)) != 0:
        raise WrongStep(f"the exponent has the limits {small} and {large}")
    return (
        *start("L", E + A / total**ALPHA + B / D**BETA, "Hoffmann et al.'s loss of N_total, N without embeddings"),
        Step("C", SIX, "without embeddings, as Kaplan et al. count it"),
        Step("C", BUDGET, "where the slopes of both terms in log N cancel: the budget for which N is best"),
        Step("d log N / d log C", EXPONENT, "with u = omega*N**(-2/3), embeddings over all else"),
        Step("d log N / d log C", BETA / (BETA + ALPHA / 3), "of the smallest models, u without end"),
        Step("d log N / d log C", BETA / (ALPHA + BETA), "of the largest, u = 0: equation 4's"),
    )


def local(fit: Law, omega: Value, size: Value) -> Value:
    """The exponent at a number of parameters without embeddings."""
    return fit.at(EXPONENT, u=_share(omega, size))


def _share(omega: Value, size: Value) -> Value:
    return value(parse("omega*size**(-2/3)"), {"omega": omega, "size": size})


def secant(fit: Law, omega: Value, low: Fraction = SMALLEST, high: Fraction = LARGEST) -> Value:
    """The exponent of the power law through the best models of two sizes."""
    budgets = {name: fit.at(BUDGET, N=size, omega=omega) for name, size in (("c1", low), ("c2", high))}
    return value(parse("log(n2/n1)/log(c2/c1)"), {**budgets, "n1": low, "n2": high})


def fitted(fit: Law, omega: Value, points: int = 24) -> Value:
    """The exponent of a power law fitted by least squares to best models of Kaplan's sizes, spread evenly in log N."""
    sizes = [value(parse("768*(1.5e9/768)**x"), {"x": Fraction(step, points - 1)}) for step in range(points)]
    logs = [(_log(size), _log(fit.at(BUDGET, N=size, omega=omega))) for size in sizes]
    middle = [divide(sum(column), Fraction(points)) for column in zip(*logs, strict=True)]
    away = [(subtract(n, middle[0]), subtract(c, middle[1])) for n, c in logs]
    return divide(sum(n * c for n, c in away), sum(c * c for _, c in away))


def _log(number: Value) -> Value:
    return value(parse("log(x)"), {"x": number})


def of_models() -> tuple[Value, Value]:
    """The least and largest omega of Hoffmann et al.'s models, each by its own width (Table A9; 32,000 words)."""
    table = shipped()["chinchilla_table_a9"]
    found = []
    for row in table.rows:
        tables = 32000 * Fraction(row.cells["d_model"])
        rest = table.printed(row, "params_M_printed").value - tables
        found.append(value(parse("e*n**(-1/3)"), {"e": tables, "n": rest}))
    return min(found), max(found)


def printed(column: str) -> Fraction:
    """A constant of the authors' fit to Hoffmann et al.'s models, of 32,000 words.

    >>> printed("omega")
    Fraction(47491, 1)
    """
    table = shipped()["pearce2024_fit"]
    return table.printed(table.rows[0], column).value


def omegas() -> dict[str, Value]:
    """omega by a vocabulary and shape, by name: as the authors fitted it, and for the vocabulary of Kaplan et al."""
    gpt2 = {"n_vocab": Fraction(50257), "n_ctx": Fraction(1024), "r": Fraction(1600, 48)}
    return {
        "the authors' fit to 32,000 words": printed("omega"),
        "GPT-2's words and positions, Kaplan et al.'s largest shape": at(OMEGA, gpt2),
    }


def _omega() -> Section:
    low, high = of_models()
    own = at(OMEGA, {"n_vocab": printed("vocab"), "n_ctx": Fraction(0), "r": printed("aspect_ratio")})
    said = prose(
        "With a fixed shape, parameters without embeddings are a cube of the width and embeddings are proportional to "
        "it, so that the exponent 1/3 follows:"
    )
    after = prose(
        f"The authors' analysis script has omega = {int(printed('omega')):,}, and for it 32,000 words, no positions "
        f"and a shape of 39.2, of which the closed form makes {plain(own, 6)}. The fifty models of Hoffmann et al.'s "
        f"Table A9 have no fixed shape: each by its own width has an omega from {plain(low, 5)} to {plain(high, 5)}."
    )
    return Section("Parameters with and without embeddings", (said, Steps(shape()), after))


def _reconciled() -> Section:
    said = prose(
        "Put into Hoffmann et al.'s loss, with FLOPs that leave embeddings out as well, N has no single exponent: it "
        "depends on what share the embeddings have."
    )
    forms = Forms((("d log N / d log C", EXPONENT), ("d log N / d log C_total", MIXED)))
    after = prose(
        "C_total counts embeddings while N does not. The first exponent is positive at every u where 6*alpha + 12*beta "
        "is 4 or more, " + " and ".join(f"{plain(_margin(law(each)), 3)} ({each})" for each in LAWS) + " here, so that "
        "every budget has one best N."
    )
    return Section("The exponent of the best model", (said, Steps(exponents()), forms, after))


def _margin(fit: Law) -> Value:
    """The u that is left in the exponent's denominator without its -4*u: as no term is negative, neither is the sum."""
    below = Poly(denom(EXPONENT), U)
    return fit.at(below.coeff_monomial(U) + 4)


_SIZES = tuple(map(Fraction, ("768", "1e4", "1e5", "1e6", "1e7", "1e8", "1.5e9", "1e10", "1e11", "1e12")))


def _values() -> Iterator[Section]:
    for name, omega in omegas().items():
        lines = tuple(_line(omega, size) for size in _SIZES)
        head = ("N without embeddings", "u", *LAWS, *(f"{each}, C of all" for each in LAWS))
        over = ", ".join(
            f"{plain(secant(law(each), omega), 3)} through its ends and {plain(fitted(law(each), omega), 3)} by least "
            f"squares ({each})" for each in LAWS
        )  # fmt: skip
        after = prose(f"Over Kaplan's range, 768 to 1.5 billion, a power law has the exponent {over}. Kaplan: 0.73.")
        yield Section(f"Values: {name}", (prose("omega is ", plain(omega, 5), "."), Table("", head, lines), after))


def _line(omega: Value, size: Fraction) -> tuple[Cell, ...]:
    part = _share(omega, size)
    own = (plain(law(each).at(EXPONENT, u=part), 3) for each in LAWS)
    mixed = (plain(law(each).at(MIXED, u=part), 3) for each in LAWS)
    return f"{int(size):,}", plain(part, 3), *own, *mixed


def _rest() -> Section:
    kaplan = law("kaplan2020").constants["x_N"]
    ends = {each: law(each).at(BETA / (ALPHA + BETA)) for each in LAWS}
    return Section("What follows", (
        prose(
            "Measured without embeddings, models that follow Hoffmann et al.'s loss exactly show an exponent near "
            f"Kaplan's {plain(kaplan, 2)} over the sizes that Kaplan et al. trained. It is not constant there: it "
            "rises above both limits where embeddings and the rest are about as many, and falls to "
            + " or ".join(plain(each, 3) for each in ends.values())
            + " for large models. With N and C of all parameters it is that at every size."
        ),
        prose(
            "That is not all there is to it: Porian et al. 2024 (arXiv:2406.19146) train such models again and find "
            "three causes, the cost of the last layer, the length of the warmup, and optimisers that were not tuned to "
            "each size; only the first is a matter of counting."
        ),
    ))  # fmt: skip


def derive() -> Study:
    """The study: omega, the exponent, its values."""
    return Study("pearce2024", "Pearce and Song 2024 (Kaplan and Chinchilla reconciled)", CITATION,
                 (_omega(), _reconciled(), *_values(), _rest(), *checked("pearce2024")))  # fmt: skip


__all__ = ["BUDGET", "CITATION", "EXPONENT", "MIXED", "OMEGA", "derive", "fitted", "local", "omegas", "secant", "shape"]
