"""Formulas that a source states, proved against the algebra for all sizes, or their factored residual.

>>> from symflops.claims.reading import read_text
>>> table = read_text('''
... {id: toy, title: A toy, citation: {authors: A. Author, year: 2020},
...  models: {model: {family: gpt2, sizes: {d_ff: 4*d_model}}}, rows: [{n: 1}],
...  formulas: {N: {states: 12*n_layer*d_model**2, equals: model.N}}}''')
>>> [(verdict.verdict, verdict.residual) for verdict in prove_formulas(table)]
[('differs', '-d_model*(13*n_layer + 2)')]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sympy import Expr, expand

from symflops.claims.readings import NO_VALUE, stated_conventions
from symflops.claims.scope import is_priced, symbolic
from symflops.claims.table import Column, Formula, Row, Table
from symflops.claims.verdict import ANOTHER, DIFFERS, REPRODUCES, UNCHECKED, Verdict
from symflops.conventions import CONVENTIONS, Convention
from symflops.proof import residual


def prove_formulas(table: Table) -> Iterator[Verdict]:
    """A verdict on every formula of a file that says what it equals."""
    for name, formula in table.formulas.items():
        if formula.equals:
            yield _proved(table, name, formula)


def prove_cell(table: Table, row: Row, column: str, claim: Column) -> Verdict:
    """The verdict on a cell that prints a formula; of ``N = 12*n`` the right side counts."""
    states = row.cells[column].rpartition("=")[2].strip()
    return _proved(table, f"{row.label}/{column}", Formula(states, claim.proves, convention=claim.convention), row)


def _proved(table: Table, cell: str, formula: Formula, row: Row | None = None) -> Verdict:
    found = Verdict(table.source or table.id, table.id, cell, formula.states, "", UNCHECKED)
    asked = stated_conventions(formula.convention or table.convention)
    priced = is_priced(table, formula.equals)
    try:
        theirs = _side(table, formula, formula.states, asked[0], row)
        stated = _forms(table, formula, asked if priced else asked[:1], row)
        for name, form in stated.items():
            if residual(theirs, form) == 0:
                return replace(found, computed=str(form), verdict=REPRODUCES, convention=name * priced, why=_PROVED)
        others = _forms(table, formula, tuple(CONVENTIONS.values()) if priced else (), row)
    except NO_VALUE as error:
        return replace(found, why=f"needs what the file does not give: {error}")
    name, form = next(iter(stated.items()))
    left = str(residual(theirs, form))
    wrong = replace(found, computed=str(form), verdict=DIFFERS, convention=name * priced, residual=left, why=_LEFT)
    again = (other for other, its in others.items() if residual(theirs, its) == 0)
    return next(
        (replace(wrong, verdict=ANOTHER, convention=other, why=f"{_PROVED} under {other}") for other in again), wrong
    )


def _forms(table: Table, formula: Formula, conventions: tuple[Convention, ...], row: Row | None) -> dict[str, Expr]:
    """What a formula should equal, under each convention."""
    return {each.name: _side(table, formula, formula.equals, each, row) for each in conventions}


_LEFT = "what is left over does not vanish"
_PROVED = "proved for all sizes by expansion"


def _side(table: Table, formula: Formula, text: str, chosen: Convention, row: Row | None) -> Expr:
    """One side of a claim, with what it holds for put in."""
    form = symbolic(table, text, chosen, row)
    special = {
        symbolic(table, name, chosen, row): symbolic(table, other, chosen, row) for name, other in formula.where.items()
    }
    return expand(form.subs(special, simultaneous=True))
