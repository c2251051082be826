"""The sizes of each row under a choice of what is not printed: widths that follow from others, padding, heads.

A size is a polynomial in the one that is asked for, which is itself (0, 1); all others are numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

from sympy import Expr

from symflops.arithmetic import as_expression, value
from symflops.grammar import Call, FormulaError, Tree, names, parse, parts
from symflops.identify.choices import Assignment, Change, Dimension, Given, Option, Rule
from symflops.identify.forms import Missing, as_products, at_sizes, evaluated
from symflops.identify.polynomials import Polynomial, whole
from symflops.identify.rows import Row
from symflops.notation import symbol

OPEN: Polynomial = (0, 1)
"""The size that is asked for."""


@dataclass(frozen=True)
class Shape:
    """All sizes of every row, and the choices of sizes that come to them."""

    rows: tuple[Mapping[str, Polynomial], ...]
    choices: tuple[Assignment, ...]
    values: dict[Expr, tuple[Polynomial, ...]] = field(default_factory=dict, repr=False, compare=False)
    tables: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    """What fragments come to at these sizes, kept by whoever counts them."""

    def of(self, form: Expr) -> tuple[Polynomial, ...]:
        """The value of a form in every row. Raises `Missing` for a size that is not there."""
        if form not in self.values:
            self.values[form] = tuple(whole(at_sizes(form, sizes)) for sizes in self.rows)
        return self.values[form]


def known_sizes(row: Row, unknown: str | None) -> dict[str, Polynomial]:
    """The sizes of a row; of the context and the tokens of a sequence, one stands for the other."""
    sizes: dict[str, Polynomial] = {name: (size,) for name, size in row.sizes.items() if name != unknown}
    if unknown is not None:
        sizes[unknown] = OPEN
    for name, other in (("n_seq", "n_ctx"), ("n_ctx", "n_seq")):
        if name not in sizes and other in sizes:
            sizes[name] = sizes[other]
    return {"n_batch": (1,), **sizes}


def shapes(rows: Sequence[Row], dimensions: Sequence[Dimension], unknown: str | None) -> tuple[list[Shape], list[str]]:
    """Every different set of sizes that the choices give, and what could not be tried."""
    known = [known_sizes(row, unknown) for row in rows]
    common = frozenset(known[0]).intersection(*known)
    tried = [[each for each in dimension.options if _applies(each, dimension, common)] for dimension in dimensions]
    found: dict[tuple[tuple[tuple[str, Polynomial], ...], ...], list[Assignment]] = {}
    skipped: dict[str, None] = {}
    for chosen in product(*tried):
        assignment = dict(zip((each.name for each in dimensions), chosen, strict=True))
        try:
            sized = tuple(_sized(sizes, chosen) for sizes in known)
        except (Missing, FormulaError) as error:
            skipped[str(error)] = None
            continue
        # A choice of heads is one of parts too: what comes to the same sizes is not yet the same.
        key = (*(tuple(sorted(each.items())) for each in sized), _parts(assignment))
        found.setdefault(key, []).append(assignment)
    return [Shape(tuple(map(dict, key[:-1])), tuple(each)) for key, each in found.items()], list(skipped)


def _parts(assignment: Assignment) -> tuple[tuple[str, Polynomial], ...]:
    return tuple((each.name, ()) for name, each in assignment.items() if name == "heads")


def _applies(option: Option, dimension: Dimension, known: frozenset[str]) -> bool:
    """Whether an option is to be tried: a size that is given is not made up by a rule."""
    if not known.issuperset(option.needs):
        return False
    own = {each.effect.size for each in dimension.options if isinstance(each.effect, Given | Rule)}
    return isinstance(option.effect, Given | Change) or not own & known


def _sized(sizes: Mapping[str, Polynomial], options: Sequence[Option]) -> dict[str, Polynomial]:
    found = dict(sizes)
    for option in options:
        if isinstance(option.effect, Change) or (isinstance(option.effect, Rule) and option.effect.size not in found):
            found[option.effect.size] = _followed(option.effect.formula, found)
    return found


def _followed(formula: str, sizes: Mapping[str, Polynomial]) -> Polynomial:
    """The size that a formula gives. Raises `Missing` where the size asked for would have to be rounded."""
    tree = _parsed(formula)
    needed = {name: sizes[name] for name in names(tree) if name in sizes}
    if missing := names(tree) - needed.keys():
        raise Missing(f"{formula} needs {', '.join(sorted(missing))}")
    if all(len(each) == 1 for each in needed.values()):
        found = value(tree, {name: Fraction(each[0]) for name, each in needed.items()})
        return (int(found) if found == int(found) else Fraction(found),)
    if _rounds(tree):
        raise Missing(f"{formula} was not tried: the size that is asked for would be rounded")
    return evaluated(as_products(as_expression(tree, symbol)), sizes)


def _rounds(tree: Tree) -> bool:
    return isinstance(tree, Call) or any(map(_rounds, parts(tree)))


@cache
def _parsed(formula: str) -> Tree:
    return parse(formula)
