"""The least time of each operation on a device: its FLOPs at the peak, or its bytes at the bandwidth of memory.

Williams, Waterman and Patterson 2009, Roofline (doi:10.1145/1498765.1498785). An operation reads each operand and
writes its result once, so that the bound is of kernels that run one operation each; fused ones move less.

>>> from symflops.architectures import architecture
>>> from symflops.training.hardware import device
>>> rows = roofline(architecture("gpt2"), device("h100"), n_batch=1, n_seq=1024)
>>> [(row.path, row.bound) for row in rows if row.path.startswith("Feedforward")]
[('Feedforward/down', 'compute'), ('Feedforward/up', 'compute'), ('Feedforward/act', 'memory')]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from sympy import Expr, S

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import TORCH
from symflops.derivation import reading_position
from symflops.documents import Table
from symflops.measures import priced
from symflops.networks import Use, uses
from symflops.training.formats_known import number_format
from symflops.training.hardware import Device

ROWS = 12
"""The most operations that a table shows."""
Bound = Literal["compute", "memory", "nothing"]


@dataclass(frozen=True)
class Row:
    """One operation, all its runs together: FLOPs, bytes, and seconds of either at the device's best."""

    path: str
    flops: Fraction
    bytes: Fraction
    compute_seconds: Fraction
    memory_seconds: Fraction

    @property
    def seconds(self) -> Fraction:
        """The least time: computing and moving may overlap."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def bound(self) -> Bound:
        """What takes longer."""
        if self.seconds == 0:
            return "nothing"
        return "compute" if self.compute_seconds >= self.memory_seconds else "memory"

    @property
    def intensity(self) -> Fraction:
        """FLOPs for each byte; 0 where nothing is moved."""
        return self.flops / self.bytes if self.bytes else Fraction(0)


def roofline(
    model: Architecture, device: Device, form: str = "bf16", network: Expr | None = None, **sizes: int
) -> tuple[Row, ...]:
    """The forward pass of each operation, in reading order; ``network`` is the model's own unless given.

    Raises `DeviceError` where a device has no such peak or no bandwidth, `SizeError` for sizes that do not divide.
    """
    peak, bandwidth = Fraction(device.peak(form)), Fraction(device.needs("bandwidth"))
    element = number_format(form).bytes
    whole = model.network if network is None else network
    return tuple(_row(use, model, peak, bandwidth, element, sizes) for use in sorted(uses(whole), key=reading_position))


def _row(
    use: Use, model: Architecture, peak: Fraction, bandwidth: Fraction, element: Fraction, sizes: dict[str, int]
) -> Row:
    elements = use.runs * (use.operation.elements_read + use.operation.elements_written)
    work, moved = (_at(model, S.Zero + form, sizes) for form in (priced(use, TORCH, "forward"), elements))
    bytes_ = moved * element
    return Row(use.path, work, bytes_, work / peak, bytes_ / bandwidth)


def _at(model: Architecture, form: Expr, sizes: dict[str, int]) -> Fraction:
    found = model.at(form, **sizes)
    return fraction(found)


def table(rows: Iterable[Row], devices: int = 1) -> Table:
    """The operations that take longest, of ``devices`` that share each."""
    longest = sorted((row for row in rows if row.seconds), key=lambda row: -row.seconds)[:ROWS]
    head = ("operation", "FLOPs", "bytes", "FLOP/byte", "least µs", "bound")
    return Table("", head, tuple(_shown(row, devices) for row in longest))


def _shown(row: Row, devices: int) -> tuple[str, ...]:
    microseconds = row.seconds / devices * 10**6
    numbers = (f"{float(row.flops):.3e}", f"{float(row.bytes):.3e}", f"{float(row.intensity):.3g}")
    return (row.path, *numbers, f"{float(microseconds):.4g}", row.bound)


def total(rows: Iterable[Row]) -> Fraction:
    """The least seconds of all, one operation after the other."""
    return sum((row.seconds for row in rows), Fraction(0))
