"""What was certified: traces of families of models, with their closed forms and the versions that they hold for.

The record is written by `benchmarks/certify_families.py`, which traces each family anew.

>>> record = certified()
>>> {"llama", "gpt2"} <= {entry.family for entry in record.entries}
True
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "certified.json"


@dataclass(frozen=True)
class Entry:
    """One trace that was certified: the target, its kernels, at how many random sizes, and what was found.

    ``forms`` are closed forms as text, by name; ``recovered`` names the sizes that were numbers in every run, and
    ``domain`` says where the forms hold.
    """

    family: str
    target: str
    attention: str
    experts: str
    points: int
    recovered: tuple[str, ...]
    domain: tuple[str, ...]
    notes: tuple[str, ...]
    dimensions: Mapping[str, str]
    forms: Mapping[str, str | None]

    @property
    def kernels(self) -> str:
        """Attention and, where there are any, experts."""
        return f"{self.attention}, {self.experts} experts" if self.experts else self.attention


@dataclass(frozen=True)
class Record:
    """All entries, the versions they were made with, the date, and what was tried and refused, with the reason."""

    versions: Mapping[str, str]
    date: str
    entries: tuple[Entry, ...]
    refused: Mapping[str, str]

    def rows(self) -> Iterator[list[str]]:
        """A table for `symflops trace --list`."""
        for each in self.entries:
            numbers = ", ".join(name for name in each.recovered if not name.startswith("n_layer"))
            yield [each.family, each.target, each.kernels, str(each.points), numbers]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@cache
def certified() -> Record:
    """The record that is shipped."""
    read = json.loads(RECORD.read_text(encoding="utf-8"))
    entries = tuple(Entry(**{name: _frozen(value) for name, value in entry.items()}) for entry in read["entries"])
    return Record(read["versions"], read["date"], entries, read["refused"])


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
