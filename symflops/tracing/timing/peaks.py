"""What a device reaches at its best: a large matmul, and a large copy, timed as everything else is.

>>> from symflops.tracing.timing.places import place
>>> [(each.operation, each.flops, each.bytes) for each in measured(place("cpu", "fp32"), 1)]
[('peak matmul', 2147483648, 12582912), ('peak copy', 0, 268435456)]
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from symflops.errors import SymflopsError
from symflops.timing.samples import COPY, PEAK, Product, Sample
from symflops.tracing.timing.clock import timed
from symflops.tracing.timing.places import Place

SIDES: Mapping[str, int] = MappingProxyType({"cpu": 1024, "cuda": 8192})
"""The side of the square matrices that are multiplied."""
COPIES: Mapping[str, int] = MappingProxyType({"cpu": 1 << 27, "cuda": 1 << 30})
"""Bytes that are copied."""


def measured(where: Place, repeat: int) -> tuple[Sample, Sample]:
    """The matmul and the copy of a place.

    Raises `SymflopsError` where there is no memory for them.
    """
    side, size = SIDES[where.kind], COPIES[where.kind]
    matrices = int(3 * side**2 * where.element)
    takes = matrices + 2 * size
    if takes > where.free:
        raise SymflopsError(f"the peaks take {takes / 1e9:.3g} GB, and {where.device} has {where.free / 1e9:.3g} GB")
    factors = [torch.randn(side, side, device=where.device, dtype=where.dtype) for _ in range(2)]
    multiply = timed(lambda: torch.mm(*factors), where, repeat)
    source, target = (torch.ones(size, dtype=torch.int8, device=where.device) for _ in range(2))
    copy = timed(lambda: target.copy_(source), where, repeat)
    square = Product(1, side, side, side)
    return (
        Sample(PEAK, "mm", "forward", {"side": side}, 2 * side**3, matrices, multiply, (square,)),
        Sample(COPY, "copy", "forward", {"bytes": size}, 0, 2 * size, copy),
    )
