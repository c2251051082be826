"""The last parts of a source's page: its tables, checked, and the mistakes that were found in them.

>>> [section.title for section in checked("kaplan2020")]
['Checked tables', 'Mistakes found']
"""

from __future__ import annotations

from collections.abc import Iterator

from symflops.claims.pages import summary
from symflops.claims.table import Table
from symflops.claims.verdict import ANOTHER, DIFFERS, INCONSISTENT, REPRODUCES, UNCHECKED, Verdict
from symflops.claims.verifying import Report, verify
from symflops.documents import Block, Cell, Code, Prose, Remarks, Section
from symflops.documents import Table as Grid

_HEAD = ("Cell", "Printed", "Computed", "Verdict")
_LONG = 12
"""Rows of a table of verdicts, above which only those are shown that do not simply reproduce."""


def checked(source: str) -> tuple[Section, ...]:
    """The sections ``Checked tables`` and, where there are any, ``Mistakes found`` of a source's claim files."""
    report = verify(source)
    tables = Section("Checked tables", tuple(block for table in report.tables for block in _table(table, report)))
    found = tuple(mistakes(report))
    return (tables, Section("Mistakes found", (Remarks(found),))) if found else (tables,)


def _table(table: Table, report: Report) -> Iterator[Block]:
    verdicts = report.of(table)
    yield Prose(
        (f"{table.title} ({table.cited}): {summary(verdicts)}. ", "Run ", Code(f"symflops verify {table.id}"), ".")
    )
    if table.about:
        yield Prose(table.about)
    shown = [each for each in verdicts if each.verdict != UNCHECKED]
    if len(shown) > _LONG:
        shown = [each for each in shown if each.verdict != REPRODUCES]
    if shown:
        yield Grid("", _HEAD, tuple(map(_line, shown)))


def _line(verdict: Verdict) -> tuple[Cell, ...]:
    named = f" ({verdict.convention})" if verdict.convention else ""
    return _figure(verdict.cell), _figure(verdict.printed), _figure(verdict.computed), f"{verdict.verdict}{named}"


def _figure(text: str) -> Cell:
    return Code(text) if any(sign in text for sign in "*_") else text


def mistakes(report: Report) -> Iterator[tuple[str, Cell]]:
    """Each cell that does not follow from the stated inputs: what was printed, what follows, possible reasons."""
    for verdict in report.verdicts:
        if verdict.verdict in (DIFFERS, INCONSISTENT) or (verdict.verdict == ANOTHER and verdict.declared):
            follows = f"; from the stated inputs follows {verdict.computed}" if verdict.computed else ""
            yield f"{verdict.table}, {verdict.cell}", f"printed {verdict.printed}{follows}. {verdict.why}."
