"""Kaplan et al. 2020, beside Table 1: sizes of their models, and how the constants of their fits hang together.

The fits themselves follow from no algebra; C_min = 6*N*B*S does, and what it says of their constants is checked here.

>>> crossing("Table 6"), crossing("equation 6.7 with N of Table 6")
(11189.4..., 106446.0...)
"""

from __future__ import annotations

from sympy import Expr, factor

from symflops.claims.verifying import shipped
from symflops.derivation import Section
from symflops.documents import Prose, Table, prose
from symflops.notation import d_attn, d_ff, d_model, n_ctx, n_layer
from symflops.steps import share

PF_DAY = 8.64e19
"""FLOP of a day at 10**15 in a second."""
_SHAPE = {d_attn: d_model, d_ff: 4 * d_model}
_FITS = "equations 1.2 and 1.3, in 6.8 with N and D of Table 6"
_LAW = "Tables 3 and 5 in equation 6.4"
_OPTIMUM = "Table 6"


def sections(n: Expr, c_forward: Expr) -> tuple[Section, ...]:
    """What stands beside the table, with its N and C_forward."""
    return (_sizes(n, c_forward), _constants(), _crossings())


def printed(row: str, column: str) -> float:
    """A figure of the claim file of worked numbers."""
    table = shipped()["kaplan2020_examples"]
    [found] = (each for each in table.rows if each.label == row)
    return float(table.printed(found, column).value)


def _sizes(n: Expr, c_forward: Expr) -> Section:
    """Models that the paper names by their shape."""
    own, context = n.subs(_SHAPE), factor((c_forward - 2 * n).subs(_SHAPE))
    dropped = share(context, 2 * own)
    rows = []
    for layers, width in ((48, 1600), (6, 4288), (2, 128)):
        at = {n_layer: layers, d_model: width, n_ctx: 1024}
        rows.append((f"({layers}, {width})", f"{int(own.subs(at)):,}", f"{float(dropped.subs(at)):.1%}"))
    large, flat = (int(own.subs({n_layer: layers, d_model: width})) for layers, width in ((48, 1600), (6, 4288)))
    loss = (large / flat) ** printed("equation 1.1", "alpha_N") - 1
    text = (
        "The shape (6, 4288) is said to come within 3 % of the loss of (48, 1600), not of its N, which is "
        f"{1 - flat / large:.1%} smaller; the fit L(N) alone makes {loss:.1%} of loss out of that, and the figure's "
        "caption says that such differences are compensated for. The smallest model has 768 parameters, 12*64: its "
        "shape, which is not printed, has n_layer*d_model**2 = 64."
    )
    said = prose("With d_attn = d_model and d_ff = 4*d_model, what C = 6*N drops is ", dropped, " of it.")
    head = ("(n_layer, d_model)", "N", "context term at 1,024 tokens, of 2*N")
    return Section("Numbers: shapes", (said, Table("", head, tuple(rows)), Prose(text)))


def predicted_alpha() -> float:
    """The exponent of the loss in C_min that equation 6.4 makes of the fits' exponents."""
    return 1 / sum(1 / printed(_LAW, each) for each in ("alpha_S", "alpha_B", "alpha_N"))


def _constants() -> Section:
    """Table 6's constants against each other and against what the fits predict."""
    a, x = ({name: printed(_OPTIMUM, f"{kind}_{name}") for name in "NBSD"} for kind in "ax")
    product = 6 * a["N"] * a["B"] * a["S"] / PF_DAY
    law = predicted_alpha()
    alphas = {"N": "alpha_N", "B": "alpha_B", "S": "alpha_S"}
    rows = tuple(
        (
            name,
            f"{a[name]:.1e}",
            f"{x[name]:.2f}",
            f"{law / printed(_LAW, alphas[name]):.2f}" if name in alphas else "-",
        )
        for name in "NBSD"
    )
    text = (
        "N, B and S are of one training run, so that 6*N*B*S = C_min at every C_min: the exponents have to sum to 1, "
        f"and do ({x['N']:.2f} + {x['B']:.2f} + {x['S']:.2f}), and the constants have to make a PF-day, and make "
        f"{product:.2f} of one. At the critical batch size twice the steps are run on as much compute again, so that "
        f"D = 2*C_min/(6*N), with the constant {2 * PF_DAY / (6 * a['N']):.1e}: Table 6 prints 2e10, equation 6.7 the "
        f"same formula with 4e10. The predicted exponents rest on alpha_C_min = {law:.4f}, which equation 6.4 "
        "prints as 0.054 and appendix B as 0.052."
    )
    head = ("quantity", "constant of Table 6", "exponent", "predicted by the fits")
    return Section("Ratio: the constants of Table 6", (Table("", head, rows), Prose(text)))


def crossing(row: str) -> float:
    """Where L(C_min) meets L(D) of the tokens that a row says are read, in PF-days."""
    alpha_c, alpha_d = printed(_FITS, "alpha_C_min"), printed(_FITS, "alpha_D")
    level = printed(_FITS, "C_c_min") ** alpha_c * (printed(row, "a_D") / printed(_FITS, "D_c")) ** alpha_d
    return float(level ** (1 / (alpha_c - alpha_d * printed(row, "x_D"))))


def _crossings() -> Section:
    """The point at which the paper's fits contradict each other, by either printed D."""
    rows = []
    for row, name in ((_OPTIMUM, "2e10, Table 6"), ("equation 6.7 with N of Table 6", "4e10, equation 6.7")):
        at = crossing(row)
        n, d = (printed(row, f"a_{each}") * at ** printed(row, f"x_{each}") for each in "ND")
        loss = (printed(_FITS, "C_c_min") / at) ** printed(_FITS, "alpha_C_min")
        rows.append((name, f"{at:.1e}", f"{n:.1e}", f"{d:.1e}", f"{loss:.2f}"))
    rows.append(("printed, equation 6.8", "1e4", "1e12", "1e12", "1.7"))
    text = (
        "Section 6.3 follows both fits to where the tokens that compute-efficient training reads are too few for its "
        "loss, and calls the place uncertain by an order of magnitude. Table 6's tokens lead to the printed compute, "
        "parameters and loss; those of equation 6.7, twice as many, to ten times the compute."
    )
    head = ("tokens of", "C, PF-days", "N", "D", "loss")
    return Section("Numbers: where the fits cross", (Table("", head, tuple(rows)), Prose(text)))
