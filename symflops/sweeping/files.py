"""Sweeps as CSV and Parquet files: part by part beside the file, which takes its place when all is written.

Parquet takes pyarrow. A file is whole or as it was: an interrupted sweep leaves nothing half-written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import replace
from pathlib import Path
from tempfile import mkstemp
from types import MappingProxyType
from typing import Any, Protocol

from symflops.errors import SizeError, SymflopsError, UnknownName
from symflops.sweeping.parts import Column, Part

_ROW_GROUP = 2**20
_DIGITS = 38
"""Decimal digits of the widest integers that Parquet readers hold everywhere."""


@dataclass(frozen=True)
class Written:
    """A file that was written, its points, and how many a condition dropped."""

    path: Path
    points: int
    dropped: Mapping[str, int]


class Writer(Protocol):
    """Takes parts one after the other."""

    def add(self, part: Part) -> None:
        """Writes a part."""

    def close(self) -> None:
        """Ends the file."""


def write(path: Path, columns: Sequence[Column], parts: Iterable[Part], suffix: str | None = None) -> Written:
    """Writes parts to a file whose kind is that of its name.

    Raises `UnknownName` for a kind that is unknown, `SymflopsError` for a folder that cannot be written to or a missing
    package, `SizeError` where no point is left; then there is no new file.
    """
    make = writer_of(path, suffix)
    dropped: Counter[str] = Counter()
    points = 0
    with _aside(path) as beside:
        writer = make(beside, columns)
        try:
            for part in parts:
                writer.add(part)
                points += part.kept
                dropped.update(part.dropped)
        finally:
            writer.close()
        if not points:
            raise SizeError(f"no point of the grid is left, so that {path} would be empty: {', '.join(dropped)}")
    return Written(path, points, dict(dropped))


def writer_of(path: Path, suffix: str | None = None) -> Callable[[Path, Sequence[Column]], Writer]:
    """What writes a kind of file. Raises as `write` does, before anything is computed.

    >>> writer_of(Path("sweep.xlsx"))
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown kind of file '.xlsx' (known: .csv, .parquet)
    """
    kind = suffix or path.suffix.lower()
    if kind not in _WRITERS:
        raise UnknownName("kind of file", kind or path.name, _WRITERS)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise SymflopsError(
            f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'there is no such folder'}"
        )
    return _WRITERS[kind]


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A file beside the one that is written, which replaces it at the end, or is removed where that is not reached."""
    try:
        handle, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent)
    except OSError as error:
        raise SymflopsError(f"{path} cannot be written: {error.strerror or error}") from None
    beside = Path(name)
    try:
        open(handle, "wb").close()
        yield beside
        beside.chmod(0o644)
        replace(beside, path)
    except OSError as error:
        raise SymflopsError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


class _Csv:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._names = [each.name for each in columns]
        self._file.write(",".join(self._names) + "\n")

    def add(self, part: Part) -> None:
        texts = [map(_text, part.columns[name].tolist()) for name in self._names]
        self._file.writelines(map("{}\n".format, map(",".join, zip(*texts, strict=True))))

    def close(self) -> None:
        self._file.close()


def _text(value: Any) -> str:
    """A cell; names of devices have neither commas nor quotes."""
    return repr(value) if isinstance(value, float) else str(value)


class _Parquet:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise SymflopsError(
                "a Parquet file takes pyarrow: pip install 'symflops[sweep]'; or name a .csv file"
            ) from None
        self._arrow = pyarrow
        self._schema = pyarrow.schema([self._field(each) for each in columns])
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._waiting: list[Any] = []
        self._rows = 0

    def _field(self, column: Column) -> Any:
        said = {"unit": column.unit, "meaning": column.meaning}
        return self._arrow.field(
            column.name, self._type(column), metadata={key: text for key, text in said.items() if text}
        )

    def _type(self, column: Column) -> Any:
        if column.kind in ("int64", "float64"):
            return getattr(self._arrow, column.kind)()
        fits = column.kind == "integer" and column.bound < 10**_DIGITS
        return self._arrow.decimal128(_DIGITS, 0) if fits else self._arrow.string()

    def add(self, part: Part) -> None:
        arrays = [self._array(part.columns[field.name], field.type) for field in self._schema]
        self._waiting.append(self._arrow.record_batch(arrays, schema=self._schema))
        self._rows += part.kept
        if self._rows >= _ROW_GROUP:
            self._flush()

    def _array(self, values: Any, type_: Any) -> Any:
        if self._arrow.types.is_string(type_):
            return self._arrow.array(list(map(str, values.tolist())), type_)
        if self._arrow.types.is_decimal(type_):
            from decimal import Decimal

            return self._arrow.array(list(map(Decimal, values.tolist())), type_)
        return self._arrow.array(values, type_)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._arrow.Table.from_batches(self._waiting).combine_chunks(), _ROW_GROUP)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


_WRITERS: Mapping[str, Callable[[Path, Sequence[Column]], Writer]] = MappingProxyType(
    {".csv": _Csv, ".parquet": _Parquet}
)
