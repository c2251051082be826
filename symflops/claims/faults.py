"""Planted faults: one digit of one cell changed, and whether its row then fails.

The share that is caught says how much of a table its claims hold; a digit that no claim speaks of is free to be wrong.

>>> from symflops.claims.reading import read_text
>>> table = read_text('''
... {id: toy, title: A toy, citation: {authors: A. Author, year: 2020},
...  columns: {params: {equals: 12*n*d**2}}, rows: [{n: 2, d: 8, lr: 3e-4, params: 1.5K}]}''')
>>> found = plant(table)
>>> len(found), sum(fault.caught for fault in found), [fault.cell for fault in found if not fault.caught]
(6, 4, ['2/lr', '2/lr'])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from symflops.claims.readings import claims
from symflops.claims.relations import inputs
from symflops.claims.table import EMPTY, Row, Table
from symflops.claims.verdicts import judge_row
from symflops.claims.verifying import declared
from symflops.errors import SymflopsError


@dataclass(frozen=True)
class Fault:
    """A cell with one digit changed, whether some claim speaks of the cell, and whether its row then fails."""

    cell: str
    printed: str
    planted: str
    spoken: bool
    caught: bool


def plant(table: Table) -> tuple[Fault, ...]:
    """Every digit of every figure of a table's rows, each changed alone (9 to 8, any other to the next)."""
    return tuple(fault for number in range(len(table.rows)) for fault in _of_row(table, number))


def _of_row(table: Table, number: int) -> Iterator[Fault]:
    row = table.rows[number]
    before = _failing(table, row)
    spoken = _spoken(table, row)
    for name, text in row.cells.items():
        if text in EMPTY or name in _models(table) or not (name in spoken or table.is_figure(row, name)):
            continue
        for planted in _changed(text):
            changed = replace(row, cells={**row.cells, name: planted})
            rows = (*table.rows[:number], changed, *table.rows[number + 1 :])
            caught = not _failing(replace(table, rows=rows), changed) <= before
            yield Fault(f"{row.label}/{name}", text, planted, name in spoken, caught)


def _changed(text: str) -> Iterator[str]:
    for place, digit in enumerate(text):
        if digit.isascii() and digit.isdigit():
            yield f"{text[:place]}{8 if digit == '9' else int(digit) + 1}{text[place + 1 :]}"


def _spoken(table: Table, row: Row) -> set[str]:
    """The columns of a row that a claim or a relation speaks of."""
    found: set[str] = set()
    for name, claim in claims(table, row).items():
        found |= {name} | (inputs(table, claim.equals) if claim.equals else set())
    for relation in table.relations:
        found |= inputs(table, relation.replace("=", "-"))
    return found & row.cells.keys()


def _models(table: Table) -> set[str]:
    return {model.named_by for model in table.models.values()}


def _failing(table: Table, row: Row) -> frozenset[str]:
    """The cells of a row that fail; the errata of the file speak of the row as it was."""
    try:
        return frozenset(verdict.cell for verdict in declared(table, judge_row(table, row)) if verdict.fails)
    except SymflopsError as error:
        return frozenset({str(error)})
