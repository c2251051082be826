"""A claim file drafted from a bare table: its rows, what holds for all of them (``hyper``), and formulas as text.

Names are taken to mean what papers mostly mean by them (`letters`); what the draft took is written out in the claim
file that it makes, for its author to correct. A formula that the grammar does not read is left as text in ``about``.

>>> table = draft({"id": "bare", "title": "A table", "citation": {"authors": "A. Author", "year": "2026"},
...     "hyper": {"vocab": "50257"}, "formulas": ["N = V*d + 12*L*d^2   (tied)"],
...     "rows": [{"model": "a", "n_layers": "12", "d_model": "768", "params_M_printed": "123.5"}]})
>>> table["sizes"], table["formulas"], table["columns"]
({'vocab': '50257', 'V': 'vocab', 'd': 'd_model', 'L': 'n_layers'}, {'N': 'V*d + 12*L*d^2'},
 {'params_M_printed': {'equals': 'N', 'unit': 'M'}})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from symflops.claims.figures import FigureError, figure
from symflops.claims.letters import FIGURES, meant, plain_name, unit_of
from symflops.grammar import FormulaError, Tree, names, parse

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_STATED = re.compile(r"\s*([A-Za-z|_][\w |/+-]{0,38}?)\s*[=:]\s*(.+)", re.DOTALL)
_REMARK = re.compile(r"\[[^\]]*\]")
_PIECES = re.compile(r"[;,]\s+(?=[A-Za-z_|][\w|]*\s*=)|;\s+")
_COMMENTS = ("", "   ", "  (", ",  ", ", ", " with ")


def is_bare(data: Any) -> bool:
    """Whether this is a table without claims: sizes under ``hyper``, or formulas in a list."""
    return isinstance(data, Mapping) and ("hyper" in data or isinstance(data.get("formulas"), list))


def draft(data: Mapping[str, Any]) -> dict[str, Any]:
    """The claim file of a bare table, as plain values for the schema to check."""
    given = data.get("rows")
    rows = [dict(_cells(row)) for row in (given if isinstance(given, list) else ())]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    hyper = {name: text for name, text in _cells(data.get("hyper", {})) if name not in columns and _tree(text)}
    sizes = _closed(hyper, set(columns))
    stated = dict(_formulas(data.get("formulas", ())))
    letters = _letters(stated, [*columns, *sizes])
    formulas = _closed(stated, {*columns, *sizes, *letters})
    sizes |= {
        letter: name for letter, name in letters.items() if any(letter in names(parse(t)) for t in formulas.values())
    }
    found = {
        "id": data.get("id", "bare"),
        "title": data.get("title") or "A table",
        "citation": {"authors": "unknown", "year": "unknown", **_cited(data.get("citation"))},
        "about": _left(data, formulas),
        "sizes": sizes,
        "formulas": formulas,
        "columns": _columns(columns, formulas, rows),
        "rows": [row for row in rows if row],
    }
    return {name: each for name, each in found.items() if each or name in ("rows", "citation")}


def _closed(stated: Mapping[str, str], known: set[str]) -> dict[str, str]:
    """The formulas whose names all have a meaning; one that loses its meaning takes others with it."""
    left = {name: text for name, text in stated.items() if name not in known}
    while True:
        kept = {name: text for name, text in left.items() if names(parse(text)) <= (known | left.keys()) - {name}}
        if kept == left:
            return kept
        left = kept


def _cited(given: Any) -> dict[str, str]:
    return {name: text for name, text in _cells(given) if name in _CITED}


_CITED = ("authors", "year", "arxiv", "url", "table")


def _cells(given: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of a mapping and of the mappings inside it."""
    for name, value in given.items() if isinstance(given, Mapping) else ():
        key = re.sub(r"\W+", "_", f"{name}", flags=re.ASCII).strip("_")[:40]
        if isinstance(value, Mapping):
            yield from _cells(value)
        elif isinstance(value, str) and _NAME.fullmatch(key) and key != "equals":
            yield key, value


def _formulas(given: Any) -> Iterator[tuple[str, str]]:
    """Each stated formula with its name; of ``N = a = b`` what stands first after the name."""
    for text in _texts(given):
        for piece in _PIECES.split(_REMARK.sub("", text)):
            match = _STATED.fullmatch(piece)
            name = re.sub(r"\W+", "_", match[1], flags=re.ASCII).strip("_") if match else ""
            read = _readable(match[2].partition("=")[0]) if match else ""
            if read and _NAME.fullmatch(name):
                yield name, read


def _readable(text: str) -> str:
    """A formula, or the start of a text that is one up to a remark behind it."""
    for comment in _COMMENTS:
        start = text.partition(comment)[0] if comment else text
        if _tree(start) is not None:
            return start.strip()
    return ""


def _tree(text: str) -> Tree | None:
    try:
        return parse(text)
    except FormulaError:
        return None


def _letters(stated: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """What each letter of the formulas means that no column or size is called."""
    used = dict.fromkeys(name for text in stated.values() for name in sorted(names(parse(text)), key=text.index))
    found = {name: meant(name, known) for name in used if name not in known and name not in stated}
    return {name: each for name, each in found.items() if each}


def _columns(columns: Sequence[str], formulas: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What each printed column is computed from, where a formula is called like it."""
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        plain = plain_name(column)
        called = next((group for group in FIGURES.values() if plain in group), (plain,))
        equal = [name for name in formulas if name in (column, plain, *called)]
        equal = [*formulas] if plain == "printed" and len(formulas) == 1 and "time" not in formulas else equal
        unit = unit_of(column) if all(_bare(row[column]) for row in rows if column in row) else ""
        claim = {**({"equals": equal[0]} if equal else {}), **({"unit": unit} if unit else {})}
        if claim:
            found[column] = claim
    return found


def _bare(text: str) -> bool:
    try:
        return not figure(text).suffix.strip()
    except FigureError:
        return True


def _left(data: Mapping[str, Any], formulas: Mapping[str, str]) -> str:
    """The statements that became no formula, as text."""
    left = [text for text in _texts(data.get("formulas")) if not any(each in text for each in formulas.values())]
    return "; ".join(["drafted from a bare table", *left])


def _texts(given: Any) -> list[str]:
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
