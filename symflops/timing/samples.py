"""What was timed: one kernel at one set of sizes, many times over; and a record of many, with what they ran on.

>>> sample = Sample("up", "matmul", "forward", {"n_tokens": 1024, "d_model": 768, "d_ff": 3072},
...     flops=4831838208, bytes=12582912, seconds=(1.1e-5, 1.0e-5, 1.2e-5, 1.1e-5))
>>> sample.median, round(sample.spread, 3)
(1.1e-05, 0.045)
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
from dataclasses import astuple, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, get_args

from symflops.errors import SymflopsError

Phase = Literal["forward", "backward"]
PHASES: tuple[Phase, ...] = get_args(Phase)
PEAK, COPY = "peak matmul", "peak copy"
"""What a device is at its best at: a large square matmul, and a large copy."""
LAYER, MODEL, OPTIMIZER = "layer", "whole model", "optimizer step"
"""What runs as a module does, and not as one kernel."""
CORE, MASKED_CORE = "core", "masked core"
"""A whole attention core that runs as one kernel: scores, softmax and mix; that under a mask which is a tensor."""
ADAMW = "AdamW fused"
"""The kernel of the optimiser's step."""
WHOLE = (LAYER, MODEL, OPTIMIZER)
INTERRUPTED = "interrupted"
"""How the note of a run begins that was interrupted."""
_MOST = 10**40
"""Counts beyond this are no counts of one kernel."""


class RecordError(SymflopsError):
    """A record of timings that cannot be read, or a sample that cannot have been measured."""


@dataclass(frozen=True)
class Product:
    """``batch`` products of a matrix of rows x depth with one of depth x columns."""

    batch: int
    rows: int
    columns: int
    depth: int


@dataclass(frozen=True)
class Sample:
    """One kernel of one operation at one set of sizes, run many times.

    ``operation`` is the operation's name, ``kernel`` the implementation that ran (``mm``, ``flash``, …), ``sizes`` what
    its closed form has symbols for; ``flops`` and ``bytes`` are the closed form at those sizes, bytes with each operand
    read and each result written once; ``seconds`` is every run that counts, without the warm-up; ``products`` are the
    matrix products of a matmul, and queries by keys of a core of attention; ``estimates`` are seconds that others
    predict, by their name.

    Raises `RecordError` for a phase, size, count or time that cannot be.
    """

    operation: str
    kernel: str
    phase: Phase
    sizes: Mapping[str, int]
    flops: int
    bytes: int
    seconds: tuple[float, ...]
    products: tuple[Product, ...] = ()
    estimates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _need(self.phase in PHASES, f"{self.operation}: phase {self.phase!r} is not one of {', '.join(PHASES)}")
        for name, count in (("flops", self.flops), ("bytes", self.bytes)):
            _need(0 <= count <= _MOST, f"{self.operation}: {name} are a count of 0 or more, not {count}")
        wrong = [f"{name}={size}" for name, size in self.sizes.items() if not 1 <= size <= _MOST]
        _need(not wrong, f"{self.operation}: sizes are 1 or more, not {', '.join(wrong)}")
        impossible = [f"{name}: {said}" for name, said in self.estimates.items() if not (isfinite(said) and said >= 0)]
        _need(not impossible, f"{self.operation}: estimates are seconds, not {', '.join(impossible)}")
        _need(bool(self.seconds), f"{self.operation}: no seconds; a sample has one or more runs")
        never = [each for each in self.seconds if not (isfinite(each) and each > 0)]
        _need(not never, f"{self.operation}: seconds are above 0 and finite, not {never[:1]}")

    @property
    def median(self) -> float:
        """The median run, in seconds."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """The range of the middle half of the runs, as a share of the median; 0 for one run."""
        if len(self.seconds) == 1:
            return 0.0
        first, _, third = quantiles(self.seconds, n=4, method="inclusive")
        return (third - first) / self.median

    @property
    def intensity(self) -> float:
        """FLOPs for each byte; 0 where nothing is moved."""
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def figures(self) -> dict[str, Any]:
        """What ran, what it takes and took, as plain values: rates too, raw seconds not."""
        return {
            "operation": self.operation, "kernel": self.kernel, "phase": self.phase, "sizes": dict(self.sizes),
            "flops": self.flops, "bytes": self.bytes, "intensity": self.intensity, "seconds": self.median,
            "spread": self.spread, "flops_per_second": self.flops / self.median,
            "bytes_per_second": self.bytes / self.median,
        }  # fmt: skip

    @property
    def of_model(self) -> tuple[str, str]:
        """Of what runs as a module: the model's name, and the kernel's; no name for a kernel by itself."""
        if self.operation not in WHOLE:
            return "", self.kernel
        model, _, kernel = self.kernel.partition(": ")
        return model, kernel

    @property
    def is_core(self) -> bool:
        """Whether it is a whole attention core."""
        return self.operation.rpartition("/")[2] in (CORE, MASKED_CORE)

    @property
    def key(self) -> tuple[object, ...]:
        """What was measured, whatever it took."""
        return (self.operation, self.kernel, self.phase, tuple(sorted(self.sizes.items())))


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
        _need(name in given, f"no {name!r}; {has}")
        _need(holds(given[name]), f"{name!r} is {must}, not {_short(given[name])}")
    unknown = sorted(set(given) - set(checks))
    _need(not unknown, f"unknown {', '.join(map(repr, unknown))}; {has}")
    return given


def _short(given: object) -> str:
    text = json.dumps(given)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RecordError(otherwise)


def _text(given: object) -> bool:
    return isinstance(given, str) and bool(given)


def _count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _number(given: Any) -> bool:
    return isinstance(given, float) or (_count(given) and abs(given) <= _MOST)


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
