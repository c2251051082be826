"""The verdict on each cell of a table: what was printed, what follows, and why they differ.

>>> from symflops.claims.reading import read_text
>>> table = read_text('''
... {id: toy, title: A toy, citation: {authors: A. Author, year: 2020},
...  columns: {params: {equals: 12*n*d**2}}, rows: [{n: 2, d: 8, params: 1.5K}, {n: 3, d: 8, params: 2.4K}]}''')
>>> [(verdict.cell, verdict.printed, verdict.computed, verdict.verdict) for verdict in judge(table)]
[('2/params', '1.5K', '1.536K', 'reproduces'), ('3/params', '2.4K', '2.304K', 'differs')]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from symflops.arithmetic import at_most, divide, subtract
from symflops.claims.figures import Figure, FigureError, figure
from symflops.claims.proving import prove_cell, prove_formulas
from symflops.claims.readings import NO_VALUE, claims, other_units, others, range_of, stated
from symflops.claims.relations import base, inputs, related, unsaid
from symflops.claims.scope import Missing, Range, Scope, is_priced
from symflops.claims.shown import compared, shown
from symflops.claims.table import UNKNOWN, Column, Row, Table
from symflops.claims.verdict import ANOTHER, DIFFERS, INCONSISTENT, REPRODUCES, Verdict


def judge(table: Table) -> tuple[Verdict, ...]:
    """Every verdict of a table, errata not yet looked at: formulas, then row by row cells and relations."""
    return (*prove_formulas(table), *(verdict for row in table.rows for verdict in judge_row(table, row)))


def judge_row(table: Table, row: Row) -> Iterator[Verdict]:
    """The verdicts of one row.

    Raises what `measure` and `network_of` raise for a file that asks for no measure of a network.
    """
    used: set[str] = set()
    for column, claim in claims(table, row).items():
        if claim.proves:
            yield prove_cell(table, row, column, claim)
        else:
            used |= inputs(table, claim.equals)
            yield _judged(table, row, column, claim)
    for relation in table.relations:
        used |= inputs(table, relation.replace("=", "-"))
        yield from related(table, row, relation)
    yield from unsaid(table, row, used)


def _judged(table: Table, row: Row, column: str, claim: Column) -> Verdict:
    """The verdict on one printed figure."""
    found, chosen = base(table, row, column, row.cells[column]), stated(table, column).convention
    try:
        printed = table.printed(row, column)
        computed = Scope(table, row, chosen).range(claim.equals, column)
    except Missing as missing:
        known = table.missing.get(missing.name)
        return replace(found, why=f"needs {missing.name}, which the table does not give{f': {known}' if known else ''}")
    except FigureError:
        return replace(found, why="the cell prints no single figure")
    except NO_VALUE as error:
        return replace(found, why=str(error))
    named = chosen.name if is_priced(table, claim.equals) else ""
    found = replace(found, computed=shown(computed.middle, printed), convention=named)
    if printed.holds(computed.low, computed.high):
        unstated = named and (claim.convention or table.convention) == UNKNOWN
        return replace(found, verdict=REPRODUCES, why=f"the source states none; {named} fits best" if unstated else "")
    wrong = replace(
        found,
        verdict=INCONSISTENT if computed.rounded else DIFFERS,
        residual=shown(subtract(printed.value, computed.middle), printed),
        why=_why(printed, computed),
    )
    return next(_otherwise(table, row, column, claim, wrong, computed), wrong)


def _otherwise(
    table: Table, row: Row, column: str, claim: Column, wrong: Verdict, computed: Range
) -> Iterator[Verdict]:
    """The other readings under which the figure reproduces."""
    printed = table.printed(row, column)
    for reading in others(table, claim, stated(table, column).convention):
        other = range_of(table, row, column, reading)
        if other is not None and printed.holds(other.low, other.high):
            why = f"{shown(other.middle, printed)} under {reading.name}; {wrong.computed} as stated"
            yield replace(wrong, verdict=ANOTHER, convention=reading.name, why=why)
    for unit, meaning in other_units(printed) if not claim.unit else ():
        if figure(row.cells[column], unit).holds(computed.low, computed.high):
            yield replace(wrong, verdict=ANOTHER, convention=meaning, why=f"it reproduces where {meaning}")


def _why(printed: Figure, computed: Range) -> str:
    """How far off a figure is, and what the printed figures that the computed one rests on allow."""
    middle = computed.middle
    off = compared(divide(subtract(printed.value, middle), middle)) if middle else "not"
    said = [f"the printed figure is {off} the computed one"]
    last = 2 * printed.half
    if at_most(printed.value, middle) and at_most(middle, printed.value + last):
        said.append("it is cut off after its last digit, not rounded")
    if computed.rounded:
        least, most = shown(computed.low, printed), shown(computed.high, printed)
        said.append(f"{', '.join(computed.rounded)} as printed allow {least} to {most}")
    return "; ".join(said)
