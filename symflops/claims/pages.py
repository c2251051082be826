"""What verify says, as a document: a line for each table, then the cells that do not simply reproduce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from symflops.claims.faults import Fault
from symflops.claims.table import Table
from symflops.claims.verdict import REPRODUCES, UNCHECKED, Verdict
from symflops.claims.verifying import Report
from symflops.documents import Block, Document, Facts, Heading, Prose, Remarks
from symflops.documents import Table as Grid


def page(report: Report) -> Document:
    """The whole report; cells that reproduce are counted, all others shown with their reason."""
    blocks = tuple(block for table in report.tables for block in _of(table, report.of(table)))
    return Document(
        "Verdicts", (*blocks, Prose(conclusion(report))), {"verdicts": [each.as_json() for each in report.verdicts]}
    )


def conclusion(report: Report) -> str:
    """All verdicts in one line."""
    counts = "; ".join(f"{verdict}: {count:,}" for verdict, count in report.counts().items() if count)
    known = sum(verdict.declared and not verdict.fails for verdict in report.verdicts)
    declared = f"; declared as errata: {known}" if known else ""
    failing = f"; FAILING: {len(report.failing)}" if report.failing else ""
    tables = "1 table" if len(report.tables) == 1 else f"{len(report.tables)} tables"
    return f"{len(report.verdicts):,} cells of {tables}. {counts or 'Nothing claimed'}{declared}{failing}."


def _of(table: Table, verdicts: Sequence[Verdict]) -> Iterator[Block]:
    yield Heading(f"{table.id}: {summary(verdicts)}", 2)
    yield Prose(f"{table.title} ({table.cited})")
    if table.about:
        yield Prose(table.about)
    shown = [verdict for verdict in verdicts if verdict.verdict not in (REPRODUCES, UNCHECKED) or verdict.fails]
    if shown:
        yield Remarks(tuple((verdict.cell, told(verdict)) for verdict in shown))
    yield from unchecked(verdicts)


def told(verdict: Verdict) -> str:
    """A verdict in a sentence: what was printed, what was computed, how that is called, and why.

    >>> told(Verdict("s", "t", "a", "12", "10", "differs", residual="2", why="the figure is 20 % more"))
    'FAILS: printed 12, computed 10: differs. The figure is 20 % more.'
    """
    failing = "FAILS: " if verdict.fails else ""
    computed = f", computed {verdict.computed}" if verdict.computed else ""
    named = f" ({verdict.convention})" if verdict.convention else ""
    rest = f", residual {verdict.residual}" if verdict.residual and "**" in verdict.printed + verdict.residual else ""
    why = f" {verdict.why[0].upper()}{verdict.why[1:].rstrip('.')}." if verdict.why else ""
    known = ", declared" if verdict.declared and not verdict.fails else ""
    return f"{failing}printed {verdict.printed}{computed}: {verdict.verdict}{named}{known}{rest}.{why}"


def unchecked(verdicts: Sequence[Verdict]) -> Iterator[Facts]:
    """The cells without a verdict, those together that lack the same."""
    missing: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.verdict == UNCHECKED:
            missing.setdefault(verdict.why, []).append(verdict.cell)
    for why, cells in missing.items():
        yield Facts(f"unchecked, {why}", tuple(cells))


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many cells of each verdict.

    >>> summary([Verdict("s", "t", "a", "1", "1", REPRODUCES), Verdict("s", "t", "b", "1", "2", "differs")])
    '1 of 2 cells reproduces, 1 differs'
    """
    counts = Counter(verdict.verdict for verdict in verdicts)
    rest = (f"{count} {name}" for name, count in counts.items() if name != REPRODUCES)
    return ", ".join([f"{counts[REPRODUCES]} of {len(verdicts)} cells reproduces", *rest])


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
