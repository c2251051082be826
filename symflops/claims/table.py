"""A published table as a value: what was printed, and what each figure is said to be computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from symflops.claims.figures import Figure, FigureError, figure

UNKNOWN = "unknown"
"""The convention of a source that states none: all are tried."""
EMPTY = frozenset({"", "-", "–", "—", "n/a", "None", "null"})
"""Cells that print nothing."""


@dataclass(frozen=True)
class Column:
    """A column: the formula of its figures (``equals``), or what its printed formulas have to be equal to (``proves``).

    ``under`` are other readings of the figures, by name; ``unit`` what they count in; ``digits`` how many are meant
    where zeros fill up.
    """

    equals: str = ""
    proves: str = ""
    under: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    digits: int = 0
    convention: str = ""


@dataclass(frozen=True)
class Formula:
    """A formula as the source states it; with ``equals``, a claim that is proved ``where`` some names are others."""

    states: str
    equals: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    convention: str = ""
    printed_in: str = ""


@dataclass(frozen=True)
class Model:
    """Where a network comes from: a family and its settings, a derivation's network, or the name in a column."""

    family: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    network: str = ""
    named_by: str = ""
    sizes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Erratum:
    """A cell that is known not to reproduce, as it was printed; ``should_read`` is what would."""

    cell: str
    printed: str
    why: str
    should_read: str = ""


@dataclass(frozen=True)
class Row:
    """The cells of a row as printed, its name, and formulas that are its own."""

    label: str
    cells: Mapping[str, str]
    equals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """One claim file."""

    id: str
    title: str
    citation: Mapping[str, str]
    rows: tuple[Row, ...]
    source: str = ""
    about: str = ""
    convention: str = UNKNOWN
    notation: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    formulas: Mapping[str, Formula] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    relations: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    rounded: frozenset[str] = frozenset()
    errata: tuple[Erratum, ...] = ()

    @cached_property
    def definitions(self) -> Mapping[str, str]:
        """Every name that a formula of the file may use, beside a row's columns: sizes and stated formulas."""
        return {**self.sizes, **{name: formula.states for name, formula in self.formulas.items()}}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every plain name that a formula of the file may use."""
        columns = {name for row in self.rows for name in row.cells}
        return frozenset({*columns, *self.definitions, *self.notation, *self.missing})

    @property
    def texts(self) -> tuple[str, ...]:
        """Every formula of the file, but for cells that print one."""
        columns = [text for each in self.columns.values() for text in (each.equals, each.proves, *each.under.values())]
        stated = [text for each in self.formulas.values() for text in (each.states, each.equals, *each.where.values())]
        own = [text for row in self.rows for text in row.equals.values()]
        sides = [side for relation in self.relations for side in relation.split("=")]
        models = [text for model in self.models.values() for text in model.sizes.values()]
        return tuple(filter(None, (*columns, *stated, *own, *sides, *models, *self.sizes.values())))

    @property
    def cited(self) -> str:
        """The citation in one line."""
        words = self.citation
        where = [f"arXiv:{words['arxiv']}" if "arxiv" in words else "", words.get("url", ""), words.get("table", "")]
        return ", ".join([words["authors"], words["year"], *filter(None, where)])

    def column(self, name: str) -> Column:
        """A column, also one of which nothing is said."""
        return self.columns.get(name, Column())

    def printed(self, row: Row, name: str) -> Figure:
        """The figure of a cell, exact or of the precision of its digits.

        Raises `FigureError` for a cell that prints no single figure.
        """
        column = self.column(name)
        found = figure(row.cells[name], column.unit)
        found = found.with_digits(column.digits) if column.digits else found
        claimed = bool(column.equals or column.unit or name in row.equals)
        whole = found.plain and not (claimed or name in self.rounded)
        return found.exactly() if whole or name in self.exact else found

    def is_figure(self, row: Row, name: str) -> bool:
        """Whether a cell prints one figure, so that formulas may use it."""
        try:
            self.printed(row, name)
        except FigureError:
            return False
        return True
