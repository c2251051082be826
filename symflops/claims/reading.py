"""Claim files: YAML whose scalars are the text that was printed, checked by a published schema.

>>> table = read_text('''
... {id: toy, title: A toy, citation: {authors: A. Author, year: 2020}, sizes: {d: 4*n},
...  columns: {params: {equals: 12*n*d}}, rows: [{model: small, n: 2, params: 192}]}''')
>>> table.rows[0].label, table.rows[0].cells["params"]
('small', '192')
>>> read_text("{id: toy, title: A toy, rows: [{n: 2}]}")
Traceback (most recent call last):
symflops.claims.reading.ClaimFileError: the text is no claim file: 'citation' is a required property; see docs/claims.md
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from symflops.claims.drafting import draft, is_bare
from symflops.claims.models import MEASURES
from symflops.claims.table import UNKNOWN, Column, Erratum, Formula, Model, Row, Table
from symflops.conventions import convention
from symflops.errors import SymflopsError, UnknownName
from symflops.grammar import names, parse
from symflops.notation import TERMS

SCHEMA = Path(__file__).with_name("schema.json")
_LARGEST = 2_000_000
_WORDS = {"true": True, "false": False, "null": None}


class ClaimFileError(SymflopsError):
    """A file that is no claim file."""


def read(path: Path) -> Table:
    """The table of a claim file. Raises `ClaimFileError` in one line that says where and what is wrong."""
    return read_text(_text(path), str(path))


def read_own(path: Path) -> Table:
    """The table of a file that comes with symflops: its tests hold it to the schema, once and for all."""
    return _table(_loaded(_text(path), str(path)), str(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise ClaimFileError(f"{path} is larger than {_LARGEST:,} bytes; split it into several tables")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ClaimFileError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ClaimFileError(f"{path} is no UTF-8 text: {error}") from None


def read_text(text: str, where: str = "the text") -> Table:
    """The table that a text in YAML describes; a bare table is drafted into one first."""
    return _table(_valid(_loaded(text, where), where), where)


def drafted(path: Path) -> str:
    """The claim file, as YAML, that a bare table is read as, for its author to go on from."""
    import yaml

    data = _valid(_loaded(_text(path), str(path)), str(path))
    return str(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120))


def _valid(data: Any, where: str) -> Mapping[str, Any]:
    """The same, drafted if it is a bare table. Raises `ClaimFileError` where it does not fit the schema."""
    whole: Mapping[str, Any] = draft(data) if is_bare(data) else data
    for error in sorted(_validator().iter_errors(whole), key=lambda error: (len(error.path), str(error.path))):
        place = "/".join(map(str, error.absolute_path))
        said = " ".join(error.message.split())
        shown = said if len(said) < 160 else f"{said[:157]}..."
        raise ClaimFileError(f"{where} is no claim file: {f'{place}: ' if place else ''}{shown}; see docs/claims.md")
    return whole


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


@cache
def schema() -> Mapping[str, Any]:
    """The JSON schema of claim files.

    >>> schema()["required"]
    ['id', 'title', 'citation', 'rows']
    """
    read: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return read


def _loaded(text: str, where: str) -> Any:
    """Every scalar as the text that stands there, whatever YAML would make of it; no aliases, no key twice."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the faster, where libyaml is there
    try:
        return _plain(yaml.compose(text, Loader=loader), where, set())
    except yaml.YAMLError as error:
        raise ClaimFileError(f"{where} is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ClaimFileError(f"{where} is no claim file: it nests too deep") from None


def _plain(node: Any, where: str, seen: set[int]) -> Any:
    """A node's value; ``seen`` are the nodes that have stood before: an alias is the same node again."""
    import yaml

    if node is not None and id(node) in seen:
        raise ClaimFileError(f"{where} is no claim file: it uses an alias (*); write the value out")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = [key.value if isinstance(key, yaml.ScalarNode) else "" for key, _ in node.value]
        twice = [name for name, count in Counter(keys).items() if count > 1]
        if twice or "" in keys:
            line = node.start_mark.line + 1
            what = f"the key {twice[0]!r} stands twice" if twice else "a key is no text"
            raise ClaimFileError(f"{where} is no claim file: {what} in the mapping of line {line}")
        return {name: _plain(value, where, seen) for name, (_, value) in zip(keys, node.value, strict=True)}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, where, seen) for each in node.value]
    return "" if node is None else str(node.value)


def _table(data: Mapping[str, Any], where: str) -> Table:
    formulas = {name: _formula(each) for name, each in data.get("formulas", {}).items()}
    columns = {name: _column(each) for name, each in data.get("columns", {}).items()}
    table = Table(
        id=data["id"],
        title=data["title"],
        citation=data["citation"],
        rows=_rows(data["rows"], data.get("label", ())),
        source=data.get("source", ""),
        about=data.get("about", ""),
        convention=data.get("convention", "unknown"),
        notation=data.get("notation", {}),
        sizes=data.get("sizes", {}),
        models={name: _model(each) for name, each in data.get("models", {}).items()},
        formulas=formulas,
        columns=columns,
        relations=tuple(data.get("relations", ())),
        missing=data.get("missing", {}),
        exact=frozenset(data.get("exact", ())),
        rounded=frozenset(data.get("rounded", ())),
        errata=tuple(Erratum(**each) for each in data.get("errata", ())),
    )
    _refuse_unknown(table, where)
    return table


def _formula(given: str | Mapping[str, Any]) -> Formula:
    return Formula(given) if isinstance(given, str) else Formula(**given)


def _column(given: Mapping[str, Any]) -> Column:
    return Column(**{**given, "digits": int(given.get("digits", 0))})


def _model(given: Mapping[str, Any]) -> Model:
    settings = {name: _setting(value) for name, value in given.get("settings", {}).items()}
    return Model(**{**given, "settings": settings})


def _setting(value: Any) -> Any:
    """A field of a config: numbers, true, false and null are meant as such."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else _WORDS.get(value, value)
    if isinstance(value, list):
        return [_setting(each) for each in value]
    return {name: _setting(each) for name, each in value.items()}


def _rows(given: Sequence[Mapping[str, Any]], label: Sequence[str]) -> tuple[Row, ...]:
    cells = [{name: text for name, text in row.items() if name != "equals"} for row in given]
    labels = _labels(cells, label)
    return tuple(Row(name, row, each.get("equals", {})) for name, row, each in zip(labels, cells, given, strict=True))


def _labels(rows: Sequence[Mapping[str, str]], label: Sequence[str]) -> list[str]:
    """A name for each row: the columns that the file says, else as few of its first cells as tell all rows apart."""
    most = max(map(len, rows))
    for count in range(1, most + 1):
        chosen = [[row[name] for name in label if name in row] or list(row.values())[:count] for row in rows]
        found = [" ".join(each).replace("/", "|") for each in chosen]
        if len(set(found)) == len(found):
            return found
        if label:
            break
    return [f"{name} #{number}" for number, name in enumerate(found, 1)]


def _refuse_unknown(table: Table, where: str) -> None:
    """Raises `ClaimFileError` for parts that speak of columns, conventions or cells that the file does not have."""
    known = {name for row in table.rows for name in row.cells}
    spoken = {*table.columns, *table.exact, *table.rounded, *(name for row in table.rows for name in row.equals)}
    if strangers := sorted(spoken - known):
        raise ClaimFileError(f"{where}: no row has a column {strangers[0]!r}; columns are {', '.join(sorted(known))}")
    of_columns = [column.convention for column in table.columns.values()]
    for given in (table.convention, *of_columns, *(formula.convention for formula in table.formulas.values())):
        if given not in ("", UNKNOWN):
            convention(given)
    for text in table.texts:
        for name in names(parse(text)):
            _refuse_stranger(table, text, name, where)


def _refuse_stranger(table: Table, text: str, name: str, where: str) -> None:
    """Raises `ClaimFileError` for a name in a formula that nothing in the file gives a meaning."""
    start, dot, rest = name.partition(".")
    if dot and start == "others" and rest in table.names:
        return
    if dot and start in table.models:
        if rest.rpartition(".")[2] not in MEASURES:
            raise UnknownName("measure", rest.rpartition(".")[2], MEASURES)
        return
    if name not in table.names and name not in TERMS:
        known = sorted({*table.names, *(f"{model}.params" for model in table.models)})
        raise ClaimFileError(
            f"{where}: {name!r} in {text!r} is no column, size, formula or measure ({', '.join(known)}); if the source "
            "does not print it, say so in missing"
        )
