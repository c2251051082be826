"""What verify says, as a document: a line for each table, then the cells that do not simply reproduce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from symflops.claims.faults import Fault
from symflops.claims.table import Table
from symflops.claims.verdict import REPRODUCES, UNCHECKED, Verdict
from symflops.claims.verifying import Report
from symflops.documents import Block, Code, Document, Prose
from symflops.documents import Table as Grid

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
    if table.about:
        yield Prose(table.about)
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


def faults_page(planted: Mapping[str, Sequence[Fault]]) -> Document:
    """What planted faults say: the share of digits whose change is noticed, and the cells that are free to be wrong."""
    rows = tuple((name, *_shares(faults), _free(faults)) for name, faults in planted.items())
    every = [fault for faults in planted.values() for fault in faults]
    head = ("table", "noticed, of digits that claims speak of", "noticed, of all digits", "cells that are free")
    grid = Grid("", head, rows, ("all", *_shares(every), ""))
    data = {name: [vars(fault) for fault in faults] for name, faults in planted.items()}
    said = "Each digit of each figure of the rows is changed alone: is the row then wrong?"
    return Document("Planted faults", (Prose(said), grid), {"faults": data})


def _shares(faults: Sequence[Fault]) -> tuple[str, str]:
    caught, spoken = sum(fault.caught for fault in faults), sum(fault.spoken for fault in faults)
    return tuple(f"{caught} of {of} ({caught / of:.1%})" if of else "0 of 0" for of in (spoken, len(faults)))  # type: ignore[return-value]


def _free(faults: Sequence[Fault]) -> str:
    missed = list(dict.fromkeys(fault.cell for fault in faults if not fault.caught))
    return ", ".join(missed[:6]) + (f" and {len(missed) - 6} more" if len(missed) > 6 else "")
