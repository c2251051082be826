"""Tables beside the best split of a budget: what every law says, and models of other sizes.

>>> brief(Fraction(1829, 3568)), brief(Fraction(70 * 10**9)), brief(None)
('0.5126', '7.000e+10', '-')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from symflops.arithmetic import Value
from symflops.claims.shown import plain, scientific
from symflops.derivation import Section
from symflops.documents import Cell, Table, prose
from symflops.plans.splits import Split, best, other
from symflops.training.scaling import rational
from symflops.training.scaling_forms import D, N
from symflops.training.scaling_off import K, off

_SIZES = tuple(Fraction(2) ** power for power in range(-3, 4))
_SHORT = 4


def brief(value: Value | None) -> str:
    """To four digits, sizes from ten thousand on with an exponent."""
    if value is None:
        return "-"
    return plain(value, _SHORT) if value < 10**4 else scientific(value, _SHORT)


def by_law(splits: Mapping[str, Split], given: int) -> Section:
    cells, head = (_cells_best, _HEAD_BEST) if given == 1 else (_cells_off, _HEAD_OFF)
    rows = tuple((name, split.law.counts, *cells(split)) for name, split in splits.items())
    return Section("By each law", (Table("", ("law", "N counts", *head), rows),))


_HEAD_BEST = ("exponent", "FLOPs", "parameters", "tokens", "tokens/parameter", "loss")
_HEAD_OFF = ("best parameters", "size over the best", "loss", "least loss", "budget over what the loss needs")


def _cells_best(split: Split) -> tuple[Cell, ...]:
    exponent = split.law.at(split.law.form.exponent)
    return tuple(map(brief, (exponent, split.budget, split.params, split.tokens, split.ratio, split.loss)))


def _cells_off(split: Split) -> tuple[Cell, ...]:
    best_params = split.law.best(split.budget)
    return tuple(map(brief, (best_params, split.size, split.loss, split.least, split.waste)))


def beside(own: Split) -> Iterator[Section]:
    """Models from an eighth to eight times the best size for the budget."""
    if own.law.form.loss is None:
        return
    top = best(own.law, {"C": own.budget})
    rows = tuple(_row(top, size) for size in _SIZES)
    said = prose(
        "At the same budget a model of another size loses more: a smaller budget would do for that loss. For the least "
        "loss of the budget it takes so many tokens, and so much compute, instead; below ",
        brief(own.law.at(off().smallest)), " times the best size no number of tokens is enough. A smaller model of "
        "that loss is served at 2 FLOPs for each parameter and token, and has cost less in all after so many.",
    )  # fmt: skip
    head = ("size over the best", "parameters", "loss at that budget", "budget over what that loss needs",
            "tokens for the least loss", "compute for it, over the budget", "cheaper after tokens served")  # fmt: skip
    yield Section(f"Other sizes, by {own.law.name}", (said, Table("", head, rows)))


def _row(top: Split, size: Fraction) -> tuple[Cell, ...]:
    params = top.law.at(K * N, k=size, N=top.params)
    beside = other(top.law, {"C": top.budget, "N": params})
    shown = (*map(brief, (size, params, beside.loss, beside.waste)),)
    if size <= rational(top.law.at(off().smallest)):
        return *shown, "never", "never", "never"
    tokens = top.law.at(D * off().tokens, k=size, D=top.tokens)
    served = "-" if size >= 1 else brief(top.law.at(D * off().served, k=size, D=top.tokens))
    return *shown, brief(tokens), brief(top.law.at(off().compute, k=size)), served
