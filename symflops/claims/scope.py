"""What the names of a claim file's formulas are worth, in one row: numbers as far as the printed digits allow.

A rounded input stands for all numbers that are printed as it is. A formula is worth an interval then: it is evaluated
at every corner of its rounded inputs, which is exact where it rises or falls in each of them.

>>> from symflops.claims.reading import read_text
>>> table = read_text('''
... {id: toy, title: A toy, citation: {authors: A. Author, year: 2020},
...  columns: {flops: {equals: 6*params*tokens}}, rows: [{params: 67B, tokens: 1.5T, flops: 5.76e23}]}''')
>>> from symflops.conventions import KAPLAN
>>> found = Scope(table, table.rows[0], KAPLAN).range("6*params*tokens")
>>> float(found.low), float(found.middle), float(found.high)
(5.7855e+23, 6.03e+23, 6.2775e+23)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import product

from sympy import Expr, Rational

from symflops.arithmetic import Value, as_expression, fraction, inexact, value
from symflops.claims.figures import Figure
from symflops.claims.models import PRICED, Network, measure, network_of
from symflops.claims.table import EMPTY, Row, Table
from symflops.conventions import Convention
from symflops.errors import SizeError
from symflops.grammar import FormulaError, Tree, names, parse
from symflops.notation import TERMS, symbol

_OTHERS = "others"
_MOST_ROUNDED, _DEEPEST = 10, 40
read = lru_cache(maxsize=4096)(parse)


class Missing(FormulaError):
    """A name that neither the row nor the file says; its ``name`` is what is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not given")
        self.name = name


@dataclass(frozen=True)
class Range:
    """The number that inputs as printed give, and the least and largest that their digits allow."""

    middle: Value
    low: Value
    high: Value
    used: tuple[str, ...]
    """The columns that it rests on."""
    rounded: tuple[str, ...]
    """Those of them whose figures are rounded."""


@dataclass(frozen=True)
class Scope:
    """One row of a table, under one convention."""

    table: Table
    row: Row
    convention: Convention

    def range(self, formula: str, own: str = "") -> Range:
        """What a formula is worth; ``own`` is the column that it is for, which it may not use.

        Raises `Missing`, and `FormulaError` for a formula that has no value.
        """
        used: dict[str, Figure] = {}
        middle = self._at(read(formula), lambda name, printed: used.setdefault(name, printed).value, own)
        rounded = {name: printed for name, printed in used.items() if printed.half}
        if len(rounded) > _MOST_ROUNDED:
            raise FormulaError(f"it rests on {len(rounded)} rounded figures, over {_MOST_ROUNDED}; name some in exact:")
        ends = [middle]
        for corner in product(*((each.low, each.high) for each in rounded.values())):
            chosen = dict(zip(rounded, corner, strict=True))
            ends.append(
                self._at(read(formula), lambda name, printed, at=chosen: at.get(name, printed.value), own)  # type: ignore[misc]
            )
        return Range(middle, min(ends, key=inexact), max(ends, key=inexact), tuple(used), tuple(rounded))

    def _at(self, tree: Tree, choose: Callable[[str, Figure], Value], own: str, depth: int = 0) -> Value:
        if depth > _DEEPEST:
            raise FormulaError(f"{sorted(names(tree))[0]} is defined by itself")
        return value(tree, {name: self._named(name, choose, own, depth) for name in sorted(names(tree))})

    def _named(self, name: str, choose: Callable[[str, Figure], Value], own: str, depth: int) -> Value:
        start, _, rest = name.partition(".")
        if rest and start == _OTHERS:
            return choose(name, self._others(rest))
        if rest:
            return self._measured(start, rest, choose, own, depth)
        if name in self.row.cells and name != own and self.row.cells[name] not in EMPTY:
            return choose(name, self.table.printed(self.row, name))
        if name in self.table.definitions:
            return self._at(read(self.table.definitions[name]), choose, own, depth + 1)
        raise Missing(name)

    def _others(self, column: str) -> Figure:
        """The sum of a column over all other rows."""
        rows = [row for row in self.table.rows if row != self.row and row.cells.get(column, "") not in EMPTY]
        found = [self.table.printed(row, column) for row in rows]
        if not found:
            raise Missing(f"{_OTHERS}.{column}")
        total, half = sum(each.value for each in found), sum(each.half for each in found)
        return replace(found[0], text=column, value=Fraction(total), half=Fraction(half))

    def _measured(self, model: str, rest: str, choose: Callable[[str, Figure], Value], own: str, depth: int) -> Value:
        form = measured(self.table, self.row, f"{model}.{rest}", self.convention)
        numbers = {}
        for each in form.free_symbols:
            numbers[each] = self._size(model, each.name, choose, own, depth)
        exact = form.xreplace(
            {each: Rational(number.numerator, number.denominator) for each, number in numbers.items()}
        )
        if not exact.is_Rational:
            raise SizeError(f"{model}.{rest} is {exact} in this row, which is no number")
        return fraction(exact)

    def _size(self, model: str, size: str, choose: Callable[[str, Figure], Value], own: str, depth: int) -> Fraction:
        """A size of a model: as the file says, by the notation's letter, by its own name, of the named model."""
        letters = {each: letter for each, letter in _letters(self.table).items() if self._says(letter)}
        known = {**letters, **self.table.models[model].sizes}
        if size in known:
            found = self._at(read(known[size]), choose, own, depth + 1)
        elif size in self.row.cells or size in self.table.definitions:
            found = self._named(size, choose, own, depth)
        elif size in self.network(model).sizes:
            return Fraction(self.network(model).sizes[size])
        elif size == "n_batch":
            return Fraction(1)
        else:
            raise Missing(f"{size} of {model}")
        if not isinstance(found, Fraction):
            raise FormulaError(f"{size} is no exact number")
        return found

    def _says(self, name: str) -> bool:
        """Whether the row or the file gives a name."""
        return self.row.cells.get(name, "") not in EMPTY or name in self.table.definitions

    def network(self, model: str) -> Network:
        """The network of a model in this row."""
        return network_of(self.table.models[model], self.row.cells)


def _letters(table: Table) -> dict[str, str]:
    """The source's letter of each size that has one of its own."""
    return {meaning: letter for letter, meaning in table.notation.items() if meaning in TERMS}


def measured(table: Table, row: Row | None, name: str, chosen: Convention) -> Expr:
    """The closed form of a dotted name, such as ``model.C_forward``, in symbols of the notation.

    Raises `Missing` for a model that the file does not have, `UnknownName` for no measure.
    """
    model, *path = name.split(".")
    if model not in table.models:
        raise Missing(name)
    label, cells = ("", {}) if row is None else (row.label, row.cells)
    named_by = table.models[model].named_by
    if named_by and cells.get(named_by, "") in EMPTY:
        raise Missing(named_by)
    return measure(network_of(table.models[model], cells), tuple(path), chosen, label)


def symbolic(table: Table, formula: str, chosen: Convention, row: Row | None = None, depth: int = 0) -> Expr:
    """A formula of the file as a closed form in symbols of the notation, for all sizes.

    Raises `Missing` for a name without a meaning.
    """
    if depth > _DEEPEST:
        raise FormulaError(f"{formula} is defined by itself")

    def resolve(name: str) -> Expr:
        if "." in name:
            sizes = table.models[name.partition(".")[0]].sizes if name.partition(".")[0] in table.models else {}
            special = {symbol(size): symbolic(table, text, chosen, row, depth + 1) for size, text in sizes.items()}
            return measured(table, row, name, chosen).subs(special, simultaneous=True)
        if name in table.notation:
            return as_expression(read(table.notation[name]), symbol)
        if name in table.definitions:
            return symbolic(table, table.definitions[name], chosen, row, depth + 1)
        if name in TERMS:
            return symbol(name)
        raise Missing(name)

    return as_expression(read(formula), resolve)


def is_priced(table: Table, formula: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a formula's value depends on the convention."""
    for name in names(read(formula)) - seen:
        if "." in name and name.rpartition(".")[2] in PRICED:
            return True
        if name in table.definitions and is_priced(table, table.definitions[name], seen | {name}):
            return True
    return False
