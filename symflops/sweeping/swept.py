"""A sweep's result in memory: columns as NumPy arrays, a DataFrame, a file, a table in a notebook.

>>> found = sweep("gpt2", {"n_layer": "12:48:12", "d_model": [768, 1024], "n_head": 12}, ["params"])
>>> found.columns["params"].tolist(), found.dropped
([124439808, 209494272, 294548736, 379603200], {'d_head = d_model/n_head is whole': 4})
>>> print(found.text())
n_layer  d_model  n_head       params
-------  -------  ------  -----------
     12      768      12  124,439,808
     24      768      12  209,494,272
     36      768      12  294,548,736
     48      768      12  379,603,200
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from symflops.errors import SizeError, SymflopsError
from symflops.sweeping.axes import Values
from symflops.sweeping.clusters import parts_of
from symflops.sweeping.files import Written, write
from symflops.sweeping.parts import Column, Part, Sweep
from symflops.sweeping.preparing import prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

MOST_HELD = 20_000_000
"""Points that are held in memory; more go to a file."""
_SHOWN = 20
_DTYPES: Mapping[str, Any] = {"float64": float, "text": object}
"""Of other columns, int64 is tried first."""
Progress = Callable[[int], None]


def _quiet(points: int) -> None:
    pass


@dataclass(frozen=True)
class Swept:
    """The values of every point that is left, by column; ``dropped`` says how many points a condition dropped.

    A column is int64 where that holds every value, else of objects: ints, and Fractions where a value is not whole; or
    of float64 where that was chosen.
    """

    columns: Mapping[str, NDArray[Any]]
    described: tuple[Column, ...]
    dropped: Mapping[str, int]
    chosen: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def frame(self) -> DataFrame:
        """A DataFrame of pandas. Raises `SymflopsError` where pandas is not installed."""
        try:
            from pandas import DataFrame
        except ImportError:
            raise SymflopsError("a DataFrame takes pandas: pip install 'symflops[sweep]'") from None
        return DataFrame(dict(self.columns))

    def to_csv(self, path: str | Path) -> Written:
        """Writes a CSV file, whole or not at all; exact fractions as ``p/q``."""
        return self._to(Path(path), ".csv")

    def to_parquet(self, path: str | Path) -> Written:
        """Writes a Parquet file, whole or not at all; integers beyond int64 as decimals, or text beyond 38 digits."""
        return self._to(Path(path), ".parquet")

    def _to(self, path: Path, suffix: str) -> Written:
        part = Part(len(self) + sum(self.dropped.values()), self.columns, self.dropped)
        return write(path, self.described, [part], suffix)

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """The first points as plain values."""
        columns = {name: values[:most].tolist() for name, values in self.columns.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def text(self, most: int = _SHOWN) -> str:
        """The first points as a table."""
        cells = [[_shown(value) for value in row.values()] for row in self.rows(most)]
        widths = [max(map(len, column)) for column in zip(list(self.columns), *cells, strict=True)]
        lines = [list(self.columns), ["-" * width for width in widths], *cells]
        more = [] if len(self) <= most else [f"… {len(self) - most:,} points more"]
        return "\n".join([*("  ".join(map(str.rjust, line, widths)) for line in lines), *more])

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Iterable[str]) -> str:
            return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

        heads = (f"{each.name} ({each.unit})" if each.unit not in ("", "1") else each.name for each in self.described)
        body = "".join(row("td", map(_shown, each.values())) for each in self.rows(_SHOWN))
        more = "" if len(self) <= _SHOWN else f"<p>… {len(self) - _SHOWN:,} points more</p>"
        return f"<table>{row('th', heads)}{body}</table>{more}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def sweep(
    model: Any,
    over: Mapping[str, Values],
    measures: Sequence[str] = ("params", "C_training"),
    *,
    scheduler: str | None = None,
    **choices: Any,
) -> Swept:
    """The measures of a model at every point of a grid, in memory; ``choices`` are those of `prepared`.

    ``scheduler`` is the address of a Dask scheduler, ``local`` for processes of this machine.
    Raises as `prepared` does, and `SizeError` for more points than are held in memory.
    """
    return held(prepared(model, over, measures, **choices), scheduler)


def held(of: Sweep, scheduler: str | None = None, progress: Progress = _quiet) -> Swept:
    """All parts of a prepared sweep in memory; ``progress`` is told how many points are done."""
    import numpy as np

    if of.grid.points > MOST_HELD:
        raise SizeError(
            f"the grid has {of.grid.points:,} points, more than the {MOST_HELD:,} that are held in memory; write "
            "them to a file with --out, or `symflops.sweeping.stream`"
        )
    columns = {each.name: np.empty(of.grid.points, _DTYPES.get(each.kind, np.int64)) for each in of.columns}
    dropped: Counter[str] = Counter()
    points = 0
    with parts_of(of, scheduler) as parts:
        for part in _counted(parts, progress):
            _store(columns, points, part)
            points += part.kept
            dropped.update(part.dropped)
    refuse_nothing(points, dropped)
    kept = {name: values if points == len(values) else values[:points].copy() for name, values in columns.items()}
    return Swept(MappingProxyType(kept), of.columns, dict(dropped), of.chosen, of.notes)


def _store(columns: dict[str, NDArray[Any]], start: int, part: Part) -> None:
    """The columns with a part's values from a place on: as objects from the first that int64 does not hold."""
    for name, values in part.blocks.items():
        if values.dtype == object and columns[name].dtype != object:
            columns[name] = columns[name].astype(object)
        columns[name][start : start + part.kept].reshape(values.shape)[...] = values


def stream(of: Sweep, path: str | Path, scheduler: str | None = None, progress: Progress = _quiet) -> Written:
    """Writes a prepared sweep to a .csv or .parquet file part by part, in bounded memory; whole or not at all."""
    with parts_of(of, scheduler) as parts:
        return write(Path(path), of.columns, _counted(parts, progress))


def _counted(parts: Iterable[Part], progress: Progress) -> Iterable[Part]:
    done = 0
    for part in parts:
        done += part.points
        progress(done)
        yield part


def refuse_nothing(kept: int, dropped: Mapping[str, int]) -> None:
    """Raises `SizeError` where no point is left."""
    if not kept:
        said = "; ".join(f"{count:,} points: not {text}" for text, count in dropped.items())
        raise SizeError(f"no point of the grid is left: {said}")


__all__ = ["MOST_HELD", "Swept", "held", "stream", "sweep"]
