"""What verify says, as a document: a line for each table, then the cells that do not simply reproduce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from symflops.claims.table import Table
from symflops.claims.verdict import REPRODUCES, UNCHECKED, Verdict
from symflops.claims.verifying import Report
from symflops.render.document import Block, Code, Document, Prose
from symflops.render.document import Table as Grid

HEAD = ("cell", "printed", "computed", "verdict", "convention", "residual", "why")


def page(report: Report) -> Document:
    """The whole report; cells that reproduce are counted, all others shown with their reason."""
    blocks = tuple(block for table in report.tables for block in _of(table, report.of(table)))
    return Document(
        "Verdicts", (*blocks, Prose(conclusion(report))), {"verdicts": [each.as_json() for each in report.verdicts]}
    )


def conclusion(report: Report) -> str:
    """All verdicts in one line."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts().items() if count)
    known = sum(verdict.declared and not verdict.fails for verdict in report.verdicts)
    declared = f"; {known} declared as errata" if known else ""
    failing = f"; {len(report.failing)} fail" if report.failing else ""
    what = f"{len(report.verdicts)} cells of {len(report.tables)} tables"
    return f"{what}: {counts or 'nothing claimed'}{declared}{failing}."


def _of(table: Table, verdicts: Sequence[Verdict]) -> Iterator[Block]:
    yield Prose(f"{table.id}: {table.title} ({table.cited}): {summary(verdicts)}")
    shown = [verdict for verdict in verdicts if verdict.verdict not in (REPRODUCES, UNCHECKED) or verdict.fails]
    shown += [verdict for verdict in verdicts if verdict.verdict == UNCHECKED]
    if shown:
        yield grid("", shown)


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many cells of each verdict.

    >>> summary([Verdict("s", "t", "a", "1", "1", REPRODUCES), Verdict("s", "t", "b", "1", "2", "differs")])
    '1 of 2 reproduces, 1 differs'
    """
    counts = Counter(verdict.verdict for verdict in verdicts)
    rest = (f"{count} {name}" for name, count in counts.items() if name != REPRODUCES)
    return ", ".join([f"{counts[REPRODUCES]} of {len(verdicts)} reproduces", *rest])


def grid(title: str, verdicts: Sequence[Verdict]) -> Grid:
    """Verdicts as a table."""
    return Grid(title, HEAD, tuple(_line(verdict) for verdict in verdicts))


def _line(verdict: Verdict) -> tuple[str | Code, ...]:
    said = f"{verdict.verdict} (declared)" if verdict.declared else verdict.verdict
    said = f"FAILS: {said}" if verdict.fails else said
    return (
        verdict.cell, verdict.printed, verdict.computed, said, verdict.convention, verdict.residual, verdict.why,
    )  # fmt: skip
