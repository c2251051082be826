"""All tables on one page: how much of each reproduces, what its claims hold, and the mistakes that were found.

>>> from symflops.claims.verifying import verify
>>> report = verify("kaplan2020_table1")
>>> print(overview(report).show().splitlines()[0])
Verdicts on published tables
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from symflops.claims.faults import Fault, plant
from symflops.claims.pages import conclusion
from symflops.claims.sections import mistakes
from symflops.claims.table import Table
from symflops.claims.verdict import UNCHECKED, VERDICTS, Verdict
from symflops.claims.verifying import Report
from symflops.derivation import Study
from symflops.documents import Block, Cell, Code, Facts, Prose, Remarks, Section
from symflops.documents import Table as Grid

_SAID = (
    "Each figure of these tables was computed from the inputs that its source states, and compared to the precision of "
    "its own digits. What follows from what stands in the claim files, in derivations/tables; symflops verify prints "
    "every cell. A mistake is named as what it is: what was printed, what follows from the stated inputs, and what may "
    "have happened; the tables were transcribed, and a slip may be the copy's."
)


def overview(report: Report) -> Study:
    """The page of a report: a line for each table, then its mistakes."""
    planted = {table.id: plant(table) for table in report.tables}
    sections = (Section("Tables", (Prose(conclusion(report)), _lines(report, planted))), *_mistakes(report))
    return Study("verdicts", "Verdicts on published tables", _SAID.rstrip("."), (*sections, _unchecked(report)))


def _lines(report: Report, planted: Mapping[str, Sequence[Fault]]) -> Grid:
    head = ("table", "source", "cells", *VERDICTS, "digits noticed")
    rows = tuple(_line(table, report.of(table), planted[table.id]) for table in report.tables)
    every = [fault for faults in planted.values() for fault in faults]
    return Grid("", head, rows, ("all", "", *_counts(report.verdicts), _noticed(every)))


def _line(table: Table, verdicts: Sequence[Verdict], faults: Sequence[Fault]) -> tuple[Cell, ...]:
    return Code(table.id), table.cited, *_counts(verdicts), _noticed(faults)


def _counts(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    counts = Counter(verdict.verdict for verdict in verdicts)
    return str(len(verdicts)), *(str(counts[name]) for name in VERDICTS)


def _noticed(faults: Sequence[Fault]) -> str:
    """The share of changed digits, of cells that a claim speaks of, after which the row is wrong."""
    spoken = [fault for fault in faults if fault.spoken]
    return f"{sum(fault.caught for fault in spoken)} of {len(spoken)}" if spoken else "no figures"


def _mistakes(report: Report) -> Iterator[Section]:
    for table in report.tables:
        found = tuple(
            (about.removeprefix(f"{table.id}, "), said) for about, said in mistakes(Report((table,), report.of(table)))
        )
        if found:
            yield Section(f"{table.id}: {table.title}", (Remarks(found),))


def _unchecked(report: Report) -> Section:
    """The cells without a verdict, by what is missing."""
    missing: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        if verdict.verdict == UNCHECKED:
            missing.setdefault(f"{verdict.table}: {verdict.why}", []).append(verdict.cell)
    blocks: tuple[Block, ...] = tuple(Facts(why, tuple(cells)) for why, cells in missing.items())
    return Section("Unchecked", blocks or (Prose("Nothing."),))
