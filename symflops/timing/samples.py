"""What was timed: one kernel at one set of sizes, many times over.

>>> sample = Sample("up", "matmul", "forward", {"n_tokens": 1024, "d_model": 768, "d_ff": 3072},
...     flops=4831838208, bytes=12582912, seconds=(1.1e-5, 1.0e-5, 1.2e-5, 1.1e-5))
>>> sample.median, round(sample.spread, 3)
(1.1e-05, 0.045)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
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
MOST = 10**40
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
        need(self.phase in PHASES, f"{self.operation}: phase {self.phase!r} is not one of {', '.join(PHASES)}")
        for name, count in (("flops", self.flops), ("bytes", self.bytes)):
            need(0 <= count <= MOST, f"{self.operation}: {name} are a count of 0 or more, not {count}")
        wrong = [f"{name}={size}" for name, size in self.sizes.items() if not 1 <= size <= MOST]
        need(not wrong, f"{self.operation}: sizes are 1 or more, not {', '.join(wrong)}")
        impossible = [f"{name}: {said}" for name, said in self.estimates.items() if not (isfinite(said) and said >= 0)]
        need(not impossible, f"{self.operation}: estimates are seconds, not {', '.join(impossible)}")
        need(bool(self.seconds), f"{self.operation}: no seconds; a sample has one or more runs")
        never = [each for each in self.seconds if not (isfinite(each) and each > 0)]
        need(not never, f"{self.operation}: seconds are above 0 and finite, not {never[:1]}")

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


def need(holds: bool, otherwise: str) -> None:
    """Raises `RecordError` with what is said, unless it holds."""
    if not holds:
        raise RecordError(otherwise)
