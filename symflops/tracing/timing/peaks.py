"""What a device reaches at its best: a large matmul, and a large copy, timed as everything else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

import torch

from symflops.errors import SymflopsError
from symflops.timing.roof import Roof
from symflops.tracing.timing.clock import timed
from symflops.tracing.timing.places import Place
from symflops.training.hardware import device, names

SIDES: Mapping[str, int] = MappingProxyType({"cpu": 1024, "cuda": 8192})
"""The side of the square matrices that are multiplied."""
COPIES: Mapping[str, int] = MappingProxyType({"cpu": 1 << 27, "cuda": 1 << 30})
"""Bytes that are copied."""


@dataclass(frozen=True)
class Peaks(Roof):
    """FLOP/s and bytes a second that were measured, and the data sheet's FLOP/s where the device is known."""

    sheet: float | None = None

    @property
    def note(self) -> str:
        """The figures in words."""
        sheet = "" if self.sheet is None else f"; the data sheet says {self.sheet:.4g} FLOP/s"
        return f"measured peaks: {self.peak:.4g} FLOP/s, {self.bandwidth:.4g} bytes/s{sheet}"


def measured(where: Place, repeat: int) -> Peaks:
    """The peaks of a place: medians of ``repeat`` runs.

    Raises `SymflopsError` where there is no memory for them.
    """
    side, size = SIDES[where.kind], COPIES[where.kind]
    takes = int(3 * side**2 * where.element) + 2 * size
    if takes > where.free:
        raise SymflopsError(f"the peaks take {takes / 1e9:.3g} GB, and {where.device} has {where.free / 1e9:.3g} GB")
    matrices = [torch.randn(side, side, device=where.device, dtype=where.dtype) for _ in range(2)]
    multiply = median(timed(lambda: torch.mm(*matrices), where, repeat))
    source, target = (torch.ones(size, dtype=torch.int8, device=where.device) for _ in range(2))
    copy = median(timed(lambda: target.copy_(source), where, repeat))
    return Peaks(2 * side**3 / multiply, 2 * size / copy, _sheet(where))


def _sheet(where: Place) -> float | None:
    """The data sheet of a device whose name stands in what the driver calls it: the longest such name."""
    if where.kind != "cuda":
        return None
    words = where.name.lower().replace("-", " ")
    known = [name for name in names() if name.replace("-", " ") in words]
    if not known:
        return None
    found = device(max(known, key=len))
    return float(found.peaks[where.form]) if where.form in found.peaks else None
