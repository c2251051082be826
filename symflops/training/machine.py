"""This machine as a device, measured with numpy: matmuls of float32, copies of memory, and the memory there is.

The figures are those of the processor, best of several runs, since others may use it at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache

from symflops.training.hardware import THIS, Device

_SIDE, _COPY, _RUNS = 1024, 1 << 25, 5


@cache
def this_machine() -> Device:
    """Peak of float32 matmuls, bandwidth of a copy, and physical memory.

    >>> found = this_machine()
    >>> found.name, found.peak("fp32") > 10**8, found.needs("bandwidth") > 10**8
    ('this', True, True)
    """
    import numpy as np

    left = np.full((_SIDE, _SIDE), 0.5, np.float32)
    source, target = np.zeros(_COPY, np.float32), np.zeros(_COPY, np.float32)
    matmul = _fastest(lambda: left @ left)
    copy = _fastest(lambda: np.copyto(target, source))
    peak, bandwidth = 2 * _SIDE**3 * 10**9 // matmul, 2 * source.nbytes * 10**9 // copy
    said = f"measured on this machine: {_SIDE}-wide float32 matmuls and copies of {source.nbytes} bytes by numpy"
    return Device(THIS, "this machine", {"fp32": Fraction(peak)}, _memory(), Fraction(bandwidth), source=said)


def _fastest(run: Callable[[], object]) -> int:
    """Nanoseconds of the fastest run."""
    run()
    return max(1, min(_timed(run) for _ in range(_RUNS)))


def _timed(run: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
