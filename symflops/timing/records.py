"""A record: samples of many kernels, with what they ran on, as a value and as a file.

>>> sample = Sample("up", "mm", "forward", {"n_tokens": 1024}, flops=4831838208, bytes=12582912, seconds=(1.1e-5,))
>>> record = Record("NVIDIA H100", {"torch": "2.9.0"}, "2026-01-31", "bf16", ("clocks as found",), (sample,))
>>> parsed(record.to_json()) == record
True
>>> parsed('{"device": "NVIDIA H100"}')
Traceback (most recent call last):
symflops.timing.samples.RecordError: record: no 'versions'; a record has device, versions, date, dtype, notes, samples
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from symflops.timing.samples import MOST, WHOLE, Product, RecordError, Sample, need

INTERRUPTED = "interrupted"
"""How the note of a run begins that was interrupted."""


@dataclass(frozen=True)
class Record:
    """Samples of one device at one number format, with what a reader needs to measure them again.

    ``versions`` holds torch, the driver and what else matters, ``date`` is as ISO 8601 writes it, ``notes`` say what
    was seen: clocks, throttling, what was left out.
    """

    device: str
    versions: Mapping[str, str]
    date: str
    dtype: str
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def kernels(self) -> tuple[Sample, ...]:
        """The samples of kernels by themselves, without those of modules."""
        return tuple(each for each in self.samples if each.operation not in WHOLE)

    @property
    def interrupted(self) -> str | None:
        """After how much a run was interrupted; None where it was not."""
        return next((note for note in self.notes if note.startswith(INTERRUPTED)), None)

    def with_sample(self, sample: Sample) -> Record:
        """The record with one more sample; one of the same kernel and sizes gives way to it."""
        kept = tuple(each for each in self.samples if each.key != sample.key)
        return replace(self, samples=(*kept, sample))

    def with_more(self, sample: Sample) -> Record:
        """The record with more runs of a kernel that it has; what it does not have is left out."""
        joined = (
            replace(each, seconds=(*each.seconds, *sample.seconds)) if each.key == sample.key else each
            for each in self.samples
        )
        return replace(self, samples=tuple(joined))

    def to_json(self) -> str:
        """The record as JSON text that `parsed` reads back the same, a line for each sample."""
        plain = {**vars(self), "versions": dict(self.versions), "samples": []}
        samples = ",\n  ".join(json.dumps(_plain(each)) for each in self.samples)
        return json.dumps(plain, indent=1).replace('"samples": []', f'"samples": [\n  {samples}\n ]') + "\n"

    def write(self, path: str | Path) -> None:
        """The record as a file, whole or not at all, so that an interrupted run keeps what was written before.

        Raises `RecordError` for a place that cannot be written.
        """
        place = Path(path)
        beside = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            beside.write_text(self.to_json(), encoding="utf-8")
            beside.replace(place)
        except OSError as error:
            raise RecordError(f"cannot write {place}: {error.strerror or error}") from None
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """A record from a file. Raises `RecordError` for one that is not there or is not a record."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
        return parsed(text, str(path))


def parsed(text: str, name: str = "record") -> Record:
    """A record from JSON text; ``name`` says in errors whose it is. Raises `RecordError` for what is not a record."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RecordError(f"{name}: this is not JSON{where}; write records with Record.write") from None
    try:
        data = _object(read, "a record", _RECORD)
        return Record(**{**data, "notes": tuple(data["notes"]), "samples": tuple(map(_sample, data["samples"]))})
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None


def _plain(sample: Sample) -> dict[str, object]:
    products = [astuple(each) for each in sample.products]
    return {**vars(sample), "sizes": dict(sample.sizes), "products": products, "estimates": dict(sample.estimates)}


def _sample(given: object) -> Sample:
    data = _object(given, "a sample", _SAMPLE)
    products = tuple(Product(*each) for each in data["products"])
    return Sample(**{**data, "seconds": tuple(map(float, data["seconds"])), "products": products})


def _object(given: object, what: str, checks: Mapping[str, tuple[str, Callable[[Any], bool]]]) -> dict[str, Any]:
    """The fields of a JSON object, each there, none besides, and each what it must be."""
    has = f"{what} has {', '.join(checks)}"
    if not isinstance(given, dict):
        raise RecordError(f"{what} is an object, not {_short(given)}")
    for name, (must, holds) in checks.items():
        need(name in given, f"no {name!r}; {has}")
        need(holds(given[name]), f"{name!r} is {must}, not {_short(given[name])}")
    unknown = sorted(set(given) - set(checks))
    need(not unknown, f"unknown {', '.join(map(repr, unknown))}; {has}")
    return given


def _short(given: object) -> str:
    text = json.dumps(given)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _text(given: object) -> bool:
    return isinstance(given, str) and bool(given)


def _count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _number(given: Any) -> bool:
    return isinstance(given, float) or (_count(given) and abs(given) <= MOST)


def _is_product(given: Any) -> bool:
    return isinstance(given, list) and len(given) == len(fields(Product)) and all(map(_count, given))


def _list_of(each: Callable[[object], bool]) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, list) and all(map(each, given))


def _map_of(each: Callable[[object], bool]) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, dict) and all(map(each, given.values()))


_RECORD: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "device": ("a text", _text),
    "versions": ("texts by name", _map_of(_text)),
    "date": ("a text", _text),
    "dtype": ("a text", _text),
    "notes": ("a list of texts", _list_of(_text)),
    "samples": ("a list of samples", _list_of(lambda given: isinstance(given, dict))),
}
_SAMPLE: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "operation": ("a text", _text),
    "kernel": ("a text", _text),
    "phase": ("a text", _text),
    "sizes": ("whole numbers by name", _map_of(_count)),
    "flops": ("a whole number", _count),
    "bytes": ("a whole number", _count),
    "seconds": ("a list of numbers", _list_of(_number)),
    "products": ("a list of batch, rows, columns, depth", _list_of(_is_product)),
    "estimates": ("numbers by name", _map_of(_number)),
}
assert list(_RECORD) == [each.name for each in fields(Record)]
assert list(_SAMPLE) == [each.name for each in fields(Sample)]
