"""A published table from a YAML file: sizes that all rows share under ``hyper``, and rows of sizes and figures.

Every scalar is read as the text that was printed. A richer reader can take this one's place: `read` is all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from symflops.arithmetic import value
from symflops.claims.figures import figure
from symflops.errors import SymflopsError, UnknownName
from symflops.grammar import FormulaError, parse
from symflops.identify.rows import ALIASES, Row
from symflops.notation import TERMS

_LARGEST = 1_000_000
_LABELS = ("model", "name", "label", "what", "params")
_SUFFIXES = ("K", "M", "B", "G", "T")


class TableError(SymflopsError):
    """A file that is no table of this kind."""


@dataclass(frozen=True)
class Table:
    """A column of a table with the sizes beside it; ``notes`` say what was passed over, and in what it is printed."""

    name: str
    title: str
    citation: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def read(path: Path, column: str, unit: str = "") -> Table:
    """A column of figures of a file, with the sizes of each row.

    ``unit`` is what the figures are printed in, such as M; without it, a column called ``params_M_printed`` is in M.
    Raises `TableError` for a file that cannot be read or has no such column.
    """
    data = _loaded(path)
    given = data.get("rows")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise TableError(f"{path} has no rows; a table has id, title, citation, hyper and rows, a list of mappings")
    columns = {key for each in given for key, cell in each.items() if isinstance(cell, str)}
    if column not in columns:
        raise UnknownName("column", column, columns)
    unit = unit or next((part for part in column.split("_") if part in _SUFFIXES), "")
    notes = [f"figures of column {column} are read in {unit}"] * bool(unit)
    rows = tuple(_rows(given, column, unit, data.get("hyper"), notes))
    return Table(str(data.get("id", path.stem)), str(data.get("title", path.stem)), _cited(data), rows, tuple(notes))


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise TableError(f"{path} is over 1 MB; give the one table that is meant")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.BaseLoader)):
            raise TableError(f"{path} has a YAML alias; write each value where it stands")
        data = yaml.load(text, yaml.BaseLoader)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise TableError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise TableError(f"{path} holds no mapping; a table has id, title, citation, hyper and rows")
    return data


def _cited(data: Mapping[str, Any]) -> str:
    cited = data.get("citation")
    parts = cited if isinstance(cited, dict) else {"": cited or "no citation"}
    return ", ".join(f"arXiv:{text}" if key == "arxiv" else str(text) for key, text in parts.items())


def _rows(given: list[dict[str, Any]], column: str, unit: str, hyper: Any, notes: list[str]) -> Iterator[Row]:
    for number, cells in enumerate(given, 1):
        if not isinstance(cells.get(column), str):
            notes.append(f"row {number} has no {column} and is passed over")
            continue
        label = next((cells[key] for key in _LABELS if key != column and isinstance(cells.get(key), str)), "")
        name = f"row {number}" + f" ({label})" * bool(label)
        yield Row(name, figure(cells[column], unit), _sizes(_texts(hyper), _texts(cells), notes))


def _texts(cells: Any) -> list[tuple[str, str]]:
    """The cells that may be sizes: what our name of each is, and its text."""
    found = cells.items() if isinstance(cells, dict) else ()
    return [
        (ALIASES.get(key, key), text) for key, text in found if isinstance(text, str) and ALIASES.get(key, key) in TERMS
    ]


def _sizes(shared: list[tuple[str, str]], own: list[tuple[str, str]], notes: list[str]) -> dict[str, int]:
    """The sizes of a row, its own before those that all share; one may be a formula of others, such as 4*d_model."""
    found: dict[str, int] = {}
    for cells in (own, shared, own, shared):  # a formula may be of what comes later
        for name, text in cells:
            size = _size(text, found)
            if size is not None:
                found.setdefault(name, size)
    for name, text in (*own, *shared):
        note = f"{name} {text!r} is not taken; give it with --set where it is one integer"
        if name not in found and note not in notes:
            notes.append(note)
    return found


def _size(text: str, known: Mapping[str, int]) -> int | None:
    """An integer, or a formula of sizes that are known and comes to one."""
    digits = text.replace(",", "").replace("_", "")
    if digits.isascii() and digits.isdigit() and len(digits) < 30:
        return int(digits) or None
    try:
        found = value(parse(text, 200), {name: Fraction(size) for name, size in known.items()})
    except FormulaError:
        return None
    return int(found) if isinstance(found, Fraction) and found.denominator == 1 and found > 0 else None
