"""The roofline: what a device computes and moves at its best, and which of both takes longer.

>>> roof = Roof(peak=1e12, bandwidth=1e10)
>>> roof.least(2 * 10**12, 10**9), roof.bound(2 * 10**12, 10**9), roof.bound(10**9, 10**9)
(2.0, 'compute', 'memory')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


class Work(Protocol):
    """What computes and moves: a sample, or a row of a prediction."""

    @property
    def flops(self) -> int: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Roof:
    """FLOP/s and bytes a second."""

    peak: float
    bandwidth: float

    def least(self, flops: int, bytes_: int) -> float:
        """Seconds at its best, computing and moving at once."""
        return max(flops / self.peak, bytes_ / self.bandwidth)

    def work(self, of: Work) -> float:
        """The same of what has FLOPs and bytes."""
        return self.least(of.flops, of.bytes)

    def bound(self, flops: int, bytes_: int) -> Literal["compute", "memory"]:
        """What takes longer at its best."""
        return "compute" if flops / self.peak >= bytes_ / self.bandwidth else "memory"
