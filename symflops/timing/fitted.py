"""What a fit says: seconds = latency + FLOPs at a peak and bytes at a bandwidth, the longer of both or one by one.

>>> fit = Fit(Estimate(4e-6, 3e-6, 5e-6), Estimate(7e14, 6.8e14, 7.1e14), Estimate(2.5e12, 2.4e12, 2.6e12), 40, 0.03)
>>> fit.seconds(flops=7e12, bytes=1e9), fit.bound(7e12, 1e9)
(0.010004, 'compute')
>>> fit.ridge
280.0
>>> from dataclasses import replace
>>> replace(fit, way="one by one").seconds(flops=7e12, bytes=1e9)
0.010404
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from symflops.timing.samples import RecordError

Side = Literal["compute", "memory"]
Way = Literal["at once", "one by one"]
"""Computing while it moves, where the longer counts, or one after the other, where both do."""


class FitError(RecordError):
    """Samples that do not settle what is asked of them."""


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds it in 95 of 100 repetitions."""

    value: float
    low: float
    high: float

    def holds(self, figure: float) -> bool:
        """Whether a figure lies inside the interval."""
        return self.low <= figure <= self.high


@dataclass(frozen=True)
class Fit:
    """``latency`` in seconds, ``peak`` in FLOP/s, ``bandwidth`` in bytes/s; None for a side that was not asked for.

    ``points`` is how many samples it is of, ``error`` the median of |predicted / measured - 1| over them.
    """

    latency: Estimate
    peak: Estimate | None
    bandwidth: Estimate | None
    points: int
    error: float
    way: Way = "at once"

    def sides(self, flops: float, bytes: float) -> dict[Side, float]:
        """Seconds of either side, without the latency; a side that was not asked for takes none."""
        compute = 0.0 if self.peak is None else flops / self.peak.value
        memory = 0.0 if self.bandwidth is None else bytes / self.bandwidth.value
        return {"compute": compute, "memory": memory}

    def seconds(self, flops: float, bytes: float) -> float:
        """The time of one kernel with so many FLOPs and bytes."""
        sides = self.sides(flops, bytes).values()
        return self.latency.value + (max(sides) if self.way == "at once" else sum(sides))

    def bound(self, flops: float, bytes: float) -> Side | Literal["latency"]:
        """What takes longest."""
        sides = self.sides(flops, bytes)
        longest: Side = "compute" if sides["compute"] >= sides["memory"] else "memory"
        return longest if sides[longest] >= self.latency.value else "latency"

    @property
    def ridge(self) -> float | None:
        """FLOPs for each byte from which on a kernel is bound by compute."""
        if self.peak is None or self.bandwidth is None:
            return None
        return self.peak.value / self.bandwidth.value
