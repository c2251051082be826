"""The ways to read a printed column: as stated, as the file names otherwise, under every other convention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from symflops.claims.figures import Figure
from symflops.claims.scope import Range, Scope, is_priced
from symflops.claims.table import EMPTY, UNKNOWN, Column, Row, Table
from symflops.conventions import CONVENTIONS, TORCH, Convention, convention
from symflops.errors import SizeError
from symflops.grammar import FormulaError

NO_VALUE = (FormulaError, SizeError)
"""What a formula raises that has no value in a row. Anything else is a mistake of the file."""


@dataclass(frozen=True)
class Reading:
    """A formula, priced by a convention; ``name`` is what another reading than the stated one is called."""

    formula: str
    convention: Convention
    name: str = ""


def claims(table: Table, row: Row) -> dict[str, Column]:
    """The columns of a row of which something is claimed, each with the row's own formula where it has one."""
    found = {}
    for name, text in row.cells.items():
        column = table.column(name)
        own = replace(column, equals=row.equals[name], proves="", under={}) if name in row.equals else column
        if column.proves and own is not column:
            own = replace(own, proves=own.equals, equals="")
        if (own.equals or own.proves) and text not in EMPTY:
            found[name] = own
    return found


def stated_conventions(given: str) -> tuple[Convention, ...]:
    """The convention of a claim, or all where it is unknown, what PyTorch dispatches first.

    >>> [each.name for each in stated_conventions("palm")], len(stated_conventions("unknown")) == len(CONVENTIONS)
    (['palm'], True)
    """
    return tuple(dict.fromkeys((TORCH, *CONVENTIONS.values()))) if given == UNKNOWN else (convention(given),)


def stated(table: Table, column: str) -> Reading:
    """How the file says that a column is read; where its convention is unknown, under the one that fits most rows."""
    fits = stated_conventions(table.column(column).convention or table.convention)
    formula = table.column(column).equals
    decides = len(fits) > 1 and bool(formula) and is_priced(table, formula)
    return Reading(formula, _best(_ById(table), column) if decides else fits[0])


def others(table: Table, claim: Column, chosen: Convention) -> Iterator[Reading]:
    """Other readings: those that the file names and, where work is priced, every other convention."""
    for name, formula in claim.under.items():
        yield Reading(formula, chosen, name)
    if is_priced(table, claim.equals):
        yield from (Reading(claim.equals, each, each.name) for each in CONVENTIONS.values() if each != chosen)


def other_units(printed: Figure) -> Iterator[tuple[str, str]]:
    """The other meaning of bytes with a prefix, powers of 1024 for those of 1000: a unit, and what that says."""
    unit = printed.unit
    if len(unit) == 2 and unit[1] == "B" and unit[0] in "KMGT":
        yield f"{unit[0]}iB", f"{unit} = 2**{10 * (1 + 'KMGT'.index(unit[0]))} bytes"


def range_of(table: Table, row: Row, column: str, reading: Reading) -> Range | None:
    """What a reading is worth in a row, if anything."""
    try:
        return Scope(table, row, reading.convention).range(reading.formula, column)
    except NO_VALUE:
        return None


@dataclass(frozen=True, eq=False)
class _ById:
    """A table as the key of a cache: the same object."""

    table: Table

    def __hash__(self) -> int:
        return hash(self.table.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.table is self.table


@lru_cache(maxsize=256)
def _best(by_id: _ById, column: str) -> Convention:
    """The first convention under which most rows of a column reproduce."""
    counts = {each: _held(by_id.table, column, each) for each in stated_conventions(UNKNOWN)}
    return max(counts, key=lambda each: counts[each])


def _held(table: Table, column: str, chosen: Convention) -> int:
    held = 0
    for row in table.rows:
        claim = claims(table, row).get(column)
        if claim is not None and claim.equals and table.is_figure(row, column):
            found = range_of(table, row, column, Reading(claim.equals, chosen))
            held += found is not None and table.printed(row, column).holds(found.low, found.high)
    return held
