"""A column of a published table with the sizes beside it: of a table that ships, a claim file, or a bare table.

>>> found = read("gpt2_table2", "printed")
>>> found.rows[0].figure.text, found.rows[0].sizes
('117M', {'d_ff': 3072, 'd_model': 768, 'n_ctx': 1024, 'n_layer': 12, 'n_vocab': 50257})
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from symflops.claims.readings import NO_VALUE
from symflops.claims.scope import Scope
from symflops.claims.table import EMPTY
from symflops.claims.table import Row as Printed
from symflops.claims.table import Table as Claims
from symflops.claims.verifying import tables
from symflops.conventions import TORCH
from symflops.errors import SymflopsError, UnknownName
from symflops.identify.rows import ALIASES, Row
from symflops.notation import TERMS

_SUFFIXES = ("K", "M", "B", "G", "T")


class TableError(SymflopsError):
    """A table that cannot be searched."""


@dataclass(frozen=True)
class Table:
    """A column of a table with the sizes beside it; ``notes`` say what was passed over, and in what it is printed."""

    name: str
    title: str
    citation: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def read(given: str | Path, column: str, unit: str = "") -> Table:
    """A column of figures of a table, by its id or file, with the sizes of each row.

    ``unit`` is what the figures are printed in, such as M; without it what the claim file says, else a column called
    ``params_M_printed`` is in M. Raises `TableError` for several tables, `UnknownName` for a column that is none, and
    what `symflops.claims.read` raises.
    """
    found = tables(given)
    if len(found) != 1:
        raise TableError(f"{given} has {len(found)} tables; name one of {', '.join(table.id for table in found)}")
    table = found[0]
    columns = {name for row in table.rows for name in row.cells}
    if column not in columns:
        raise UnknownName("column", column, columns)
    unit = unit or table.column(column).unit or next((part for part in column.split("_") if part in _SUFFIXES), "")
    notes = [f"figures of column {column} are read in {unit}"] * bool(unit)
    rows = tuple(_rows(table, column, unit, notes))
    return Table(table.id, table.title, table.cited, rows, tuple(notes))


def _rows(table: Claims, column: str, unit: str, notes: list[str]) -> Iterator[Row]:
    from symflops.claims.figures import figure

    for row in table.rows:
        if row.cells.get(column, "") in EMPTY:
            notes.append(f"row {row.label} has no {column} and is passed over")
            continue
        yield Row(row.label, figure(row.cells[column], unit), _sizes(table, row, column, notes))


def _sizes(table: Claims, row: Printed, column: str, notes: list[str]) -> dict[str, int]:
    """The sizes of a row that are integers: by its columns, by what holds for all rows, by what its model is given."""
    found: dict[str, int] = {}
    for name, formula in _named(table, row, column):
        try:
            middle = Scope(table, row, TORCH).range(formula, column).middle
        except NO_VALUE:
            middle = Fraction(0)
        if isinstance(middle, Fraction) and middle.denominator == 1 and middle > 0:
            found.setdefault(name, int(middle))
        else:
            note = f"{name} {row.cells.get(formula, formula)!r} is not taken; give it with --set if it is one integer"
            notes += [note] if note not in notes else []
    return dict(sorted(found.items()))


def _named(table: Claims, row: Printed, column: str) -> Iterator[tuple[str, str]]:
    """Names of the notation, each with the formula of the file that it is."""
    cells = [name for name, text in row.cells.items() if text not in EMPTY and name != column]
    for name in (*cells, *table.sizes):
        ours = table.notation.get(name) if table.notation.get(name) in TERMS else ALIASES.get(name, name)
        if ours in TERMS:
            yield str(ours), name
    if len(table.models) == 1:
        (model,) = table.models.values()
        yield from model.sizes.items()
