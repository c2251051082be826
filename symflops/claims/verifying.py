"""Tables verified: every verdict, and whether the file declares what does not reproduce.

>>> report = verify("kaplan2020_table1")
>>> report.holds, sorted({verdict.verdict for verdict in report.verdicts})
(True, ['reproduces'])
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from symflops.claims.proving import prove_formulas
from symflops.claims.reading import ClaimFileError, read, read_own
from symflops.claims.table import Erratum, Row, Table
from symflops.claims.verdict import REPRODUCES, UNCHECKED, VERDICTS, Verdict
from symflops.claims.verdicts import judge, judge_row
from symflops.errors import UnknownName


@dataclass(frozen=True)
class Report:
    """The tables that were verified, and a verdict on every cell."""

    tables: tuple[Table, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def failing(self) -> tuple[Verdict, ...]:
        """What no file declares: cells that differ, and declared errata that reproduce."""
        return tuple(verdict for verdict in self.verdicts if verdict.fails)

    @property
    def holds(self) -> bool:
        """Whether nothing fails."""
        return not self.failing

    def of(self, table: Table) -> tuple[Verdict, ...]:
        """The verdicts of one table."""
        return tuple(verdict for verdict in self.verdicts if verdict.table == table.id)

    def counts(self) -> Mapping[str, int]:
        """How many cells have each verdict."""
        found = Counter(verdict.verdict for verdict in self.verdicts)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def _repr_html_(self) -> str:
        from symflops.claims.pages import page
        from symflops.render import render_document

        return render_document(page(self), "html")


def verify(*given: str | Path | Table) -> Report:
    """Verify tables: all of a source (``chinchilla2022``), one table by its id, a claim file, or, of nothing, all.

    Raises `UnknownName` for a name that is none, `ClaimFileError` for a file that is no claim file or whose errata are
    of no cell.
    """
    return report(tables(*given))


def tables(*given: str | Path | Table) -> tuple[Table, ...]:
    """The tables of sources, ids and files; of nothing, all that ship."""
    return tuple(table for each in given for table in _tables(each)) if given else tuple(shipped().values())


def report(chosen: Iterable[Table]) -> Report:
    """The verdicts on tables."""
    done = tuple((table, verify_table(table)) for table in chosen)
    return Report(tuple(table for table, _ in done), tuple(verdict for _, each in done for verdict in each))


def verify_table(table: Table) -> tuple[Verdict, ...]:
    """The verdicts of a table, with what it declares of them."""
    verdicts = judge(table)
    if strangers := sorted({erratum.cell for erratum in table.errata} - {verdict.cell for verdict in verdicts}):
        cells = ", ".join(verdict.cell for verdict in verdicts[:8])
        raise ClaimFileError(
            f"{table.id}: errata speak of {strangers[0]!r}, which is no cell with a verdict ({cells}, …)"
        )
    return tuple(declared(table, verdicts))


def declared(table: Table, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Verdicts, with what the errata of the table say of their cells."""
    errata = {erratum.cell: erratum for erratum in table.errata}
    for verdict in verdicts:
        yield _declared(table, verdict, errata[verdict.cell]) if verdict.cell in errata else verdict


def _declared(table: Table, verdict: Verdict, erratum: Erratum) -> Verdict:
    """The verdict on a cell that the file declares: known where it is still as it was, and still wrong."""
    if verdict.verdict == UNCHECKED:
        return replace(verdict, why=_both(verdict.why, f"declared an erratum: {erratum.why}"))
    if verdict.verdict == REPRODUCES:
        return replace(verdict, why="declared an erratum, but it reproduces: take it out of errata", declared=True)
    if erratum.printed != verdict.printed:
        return replace(verdict, why=_both(verdict.why, f"the declared erratum is of {erratum.printed!r}, not of this"))
    if _corrected(table, verdict, erratum):
        return replace(verdict, why=_both(erratum.why, verdict.why), declared=True)
    return replace(verdict, why=_both(verdict.why, f"{erratum.should_read!r}, as it should read, does not either"))


def _both(one: str, other: str) -> str:
    return "; ".join(filter(None, (one, other)))


def _corrected(table: Table, verdict: Verdict, erratum: Erratum) -> bool:
    """Whether the cell, or the formula, reproduces as the file says that it should read."""
    if not erratum.should_read:
        return True
    if verdict.cell in table.formulas:
        stated = replace(table.formulas[verdict.cell], states=erratum.should_read)
        again: Iterable[Verdict] = prove_formulas(replace(table, formulas={**table.formulas, verdict.cell: stated}))
    else:
        again = _mended(table, verdict.cell, erratum.should_read)
    return any(each.cell == verdict.cell and each.verdict == REPRODUCES for each in again)


def _mended(table: Table, cell: str, text: str) -> Iterator[Verdict]:
    """The verdicts of a cell's row with another text in the cell."""
    label, _, column = cell.rpartition("/")
    for number, row in enumerate(table.rows):
        if row.label == label and column in row.cells:
            mended = Row(row.label, {**row.cells, column: text}, row.equals)
            rows = (*table.rows[:number], mended, *table.rows[number + 1 :])
            yield from judge_row(replace(table, rows=rows), mended)


def _tables(given: str | Path | Table) -> tuple[Table, ...]:
    if isinstance(given, Table):
        return (given,)
    if isinstance(given, str) and given in _files():
        return (_shipped(given),)
    of_source = tuple(_shipped(name) for name, source in _files().items() if given and source == given)
    if of_source:
        return of_source
    path = Path(given)
    if isinstance(given, Path) or path.suffix in (".yaml", ".yml", ".json") or (given and path.exists()):
        return (read(path),)
    raise UnknownName("source, table or file", str(given), sorted({*_files(), *_files().values()} - {""}))


class Shipped(Mapping[str, Table]):
    """Every table that comes with symflops, by its id: those of `derivations`, each read when it is asked for."""

    def __getitem__(self, name: str) -> Table:
        if name not in _files():
            raise KeyError(name)
        return _shipped(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_files())

    def __len__(self) -> int:
        return len(_files())


def shipped() -> Shipped:
    """Every table that comes with symflops, by its id.

    >>> shipped()["kaplan2020_table1"].source
    'kaplan2020'
    """
    return Shipped()


_SOURCE = re.compile(r"^source:\s*(\w+)", re.MULTILINE)


@cache
def _files() -> Mapping[str, str]:
    """The source of every table that ships, by the table's id, which is its file's name; none of them is read whole."""
    found = {path.stem: _SOURCE.search(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.yaml"))}
    return {name: match[1] if match else "" for name, match in found.items()}


@cache
def _shipped(name: str) -> Table:
    table = read_own(_folder() / f"{name}.yaml")
    if table.id != name:
        raise ClaimFileError(f"{name}.yaml holds the table {table.id!r}; a file is named after its table")
    return table


def _folder() -> Path:
    import derivations

    return Path(derivations.__file__).parent / "tables"
