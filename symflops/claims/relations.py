"""What a row says beside its claimed figures: relations between its cells, and figures that nothing speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from symflops.arithmetic import at_most, divide
from symflops.claims.figures import figure
from symflops.claims.readings import NO_VALUE, claims, stated_conventions
from symflops.claims.scope import Range, Scope, read
from symflops.claims.shown import compared, percent, shown
from symflops.claims.table import EMPTY, Row, Table
from symflops.claims.verdict import INCONSISTENT, REPRODUCES, UNCHECKED, Verdict
from symflops.grammar import names
from symflops.notation import TERMS

_LIKE = figure("1000")


def base(table: Table, row: Row, name: str, printed: str) -> Verdict:
    """A verdict that is still open."""
    return Verdict(table.source or table.id, table.id, f"{row.label}/{name}", printed, "", UNCHECKED)


def related(table: Table, row: Row, relation: str) -> Iterator[Verdict]:
    """Whether the cells of a row fit each other; nothing where the row lacks one of them."""
    left, _, right = (part.strip() for part in relation.partition("="))
    asked = names(read(left)) | names(read(right))
    models = {table.models[name.partition(".")[0]].named_by for name in asked if name.partition(".")[0] in table.models}
    wanted = (asked & _columns(table) - table.definitions.keys()) | models - {""}
    cells = sorted(asked & row.cells.keys())
    if not cells or any(row.cells.get(name, "") in EMPTY for name in wanted):
        return
    printed = ", ".join(f"{name} {row.cells[name]}" for name in cells)
    found = base(table, row, f"{left} = {right}", printed)
    scope = Scope(table, row, stated_conventions(table.convention)[0])
    try:
        yield _compared(found, scope.range(left), scope.range(right))
    except NO_VALUE as error:
        yield replace(found, why=f"needs what the row does not give: {error}")


def _columns(table: Table) -> set[str]:
    return {name for row in table.rows for name in row.cells}


def _compared(found: Verdict, one: Range, two: Range) -> Verdict:
    sides = replace(found, computed=f"{shown(one.middle, _LIKE)} = {shown(two.middle, _LIKE)}")
    if at_most(one.low, two.high) and at_most(two.low, one.high):
        return replace(sides, verdict=REPRODUCES)
    off = percent(divide(one.middle, two.middle) - 1) if two.middle else "not 0"
    said = compared(divide(one.middle, two.middle) - 1) if two.middle else "not"
    return replace(sides, verdict=INCONSISTENT, residual=off, why=f"the left side is {said} the right")


def unsaid(table: Table, row: Row, used: set[str]) -> Iterator[Verdict]:
    """Figures of a row that no formula claims or uses."""
    spoken = {*claims(table, row), *used, *(model.named_by for model in table.models.values())}
    for name, text in row.cells.items():
        if name in spoken or text in EMPTY or text in row.label.split(" ") or not table.is_figure(row, name):
            continue
        yield replace(base(table, row, name, text), why="no formula of the file says what it follows from, or uses it")


def inputs(table: Table, formula: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Every name that a formula rests on, also by what defines another.

    >>> from symflops.claims.reading import read_text
    >>> table = read_text('''{id: toy, title: A toy, citation: {authors: A. Author, year: 2020}, rows: [{n: 1}],
    ...  sizes: {d: 4*n}}''')
    >>> sorted(inputs(table, "d + 1"))
    ['d', 'n']
    """
    found: set[str] = set()
    for name in names(read(formula)) - seen:
        model = table.models.get(name.partition(".")[0])
        inside: Sequence[str] = [table.definitions[name]] if name in table.definitions else []
        if model is not None:
            inside = [*model.sizes.values(), *table.notation, *_columns(table) & TERMS.keys()]
        found |= {name, name.removeprefix("others.")}
        for each in inside:
            found |= inputs(table, each, seen | {name})
    return found
