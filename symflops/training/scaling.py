"""Scaling laws as cited data: their constants, each a cell of a published table, and the best split by each.

>>> round(float(law("besiroglu2024").best(Fraction("5.76e23"))) / 1e9, 1)
72.2
>>> law("chinchila-3")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown scaling law 'chinchila-3'; did you mean 'chinchilla-3' or ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from sympy import Expr

from symflops.arithmetic import Value, inexact, value
from symflops.claims.figures import figure
from symflops.claims.verifying import shipped
from symflops.errors import SymflopsError, UnknownName
from symflops.grammar import parse
from symflops.training.scaling_forms import Form, constants, form


@dataclass(frozen=True)
class Law:
    """A scaling law: the name of its form, its constants by name, what its N counts, which models it was fitted to, and
    where it was published.
    """

    name: str
    title: str
    kind: str
    counts: str
    constants: Mapping[str, Fraction]
    fitted: str = field(repr=False)
    citation: str = field(repr=False)
    note: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        needed = constants(self.kind)
        if needed != self.constants.keys():
            said = ", ".join(sorted(needed ^ self.constants.keys()))
            raise SymflopsError(f"{self.name}: a law of the form {self.kind} has other constants; look at {said}")

    @property
    def form(self) -> Form:
        """What is said for any constants."""
        return form(self.kind)

    def at(self, of: Expr, **given: Value) -> Value:
        """A closed form in this law's constants and in what is ``given``: exact where it can be, else to 50 digits."""
        return at(of, {**self.constants, **given})

    def best(self, budget: Value) -> Value:
        """The best number of parameters for a budget in FLOPs."""
        return self.at(self.form.best, C=budget)


def at(of: Expr, given: Mapping[str, Value]) -> Value:
    """A closed form at numbers: exact where it can be, else to 50 digits.

    >>> from symflops.training.scaling_forms import C, D, N
    >>> at(C / 6 / N, {"C": Fraction(12), "N": Fraction(4)})
    Fraction(1, 2)
    """
    return value(parse(str(of)), given)


def rational(number: Value) -> Fraction:
    """A fraction as it is, and an irrational number as it is to 50 digits."""
    return number if isinstance(number, Fraction) else Fraction(str(inexact(number)))


@cache
def laws() -> Mapping[str, Law]:
    """Every law that is declared, by name, oldest first."""
    loaded = yaml.safe_load((files("symflops.training") / "scaling.yaml").read_text("utf-8"))
    return {each["name"]: _law(each) for each in loaded}


def law(name: str) -> Law:
    """A law by its name. Raises `UnknownName` with the nearest names."""
    if name not in laws():
        raise UnknownName("scaling law", name, laws())
    return laws()[name]


def _law(data: Mapping[str, Any]) -> Law:
    found = {name: _cell(each) for name, each in data["constants"].items()}
    name, title, kind, counts = (data[each] for each in ("name", "title", "form", "counts"))
    return Law(name, title, kind, counts, found, data["fitted"], data["citation"], data.get("note", ""))


def _cell(where: Mapping[str, str]) -> Fraction:
    """The figure of a cell, or a size that a claim file names."""
    table = shipped()[where["table"]]
    if "size" in where:
        return figure(table.sizes[where["size"]]).value
    [row] = (each for each in table.rows if each.label == where["row"])
    return table.printed(row, where["column"]).value
