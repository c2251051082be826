"""How time rises with a size: the slope of log seconds over log size, with its interval.

A slope of 1 says that doubling the size doubles the time, 2 that it makes four times as much. Samples that differ in
that size alone lie on one line; all lines share the slope. The interval is Student's (1908, doi:10.2307/2331554).

>>> from symflops.timing.samples import Sample
>>> core = [Sample("core", "flash", "forward", {"n_seq": n, "d_head": d}, 4 * n * n * d, 8 * n * d, (n * n * d / 1e12,))
...     for n in (1024, 2048, 4096) for d in (64, 128)]
>>> found = slope(core, "n_seq")
>>> round(found.value, 6), found.points
(2.0, 6)
>>> slope(core[:2], "n_seq")
Traceback (most recent call last):
symflops.timing.fitted.FitError: core, flash, forward: 2 samples on 2 lines are too few for a slope ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import mean, stdev

from symflops.timing.fitted import Estimate, FitError
from symflops.timing.samples import Sample

_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t, two sides, 95 of 100, for 1 to 30 degrees of freedom."""
_NORMAL = 2.0
"""For more than 30: between Student's 2.04 and the normal's 1.96."""


@dataclass(frozen=True)
class Slope(Estimate):
    """A slope with its interval, of so many ``points``."""

    points: int


def student(freedom: int) -> float:
    """Student's t for an interval of 95 of 100, by degrees of freedom, 1 or more."""
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else _NORMAL


def slope(samples: Iterable[Sample], size: str, of: Callable[[Sample], float] = lambda sample: sample.median) -> Slope:
    """The slope of log ``of``, by default the median seconds, over the log of a size, on lines that differ in it alone.

    Raises `FitError` where fewer than two points are left to tell the scatter, or a sample lacks the size.
    """
    given = list(samples)
    lines = lines_of(given, size)
    points = [centred(line, size, of) for line in lines]
    flat = [point for line in points for point in line]
    freedom = len(flat) - len(lines) - 1
    if freedom < 2:
        name = ", ".join(named(given[0])) if given else "no samples"
        said = f"{len(given)} samples on {len({_others(each, size) for each in given})} lines are too few"
        raise FitError(f"{name}: {said} for a slope in {size}; give {size} 4 values or more, or more lines of 3")
    across = sum(x * x for x, _ in flat)
    value = sum(x * y for x, y in flat) / across
    left = sqrt(sum((y - value * x) ** 2 for x, y in flat) / freedom / across)
    return Slope(value, value - student(freedom) * left, value + student(freedom) * left, len(flat))


def lines_of(samples: Sequence[Sample], size: str) -> list[list[Sample]]:
    """Samples that differ in one size alone, in its order; lines of one point are left out."""
    lacking = [each for each in samples if size not in each.sizes]
    if lacking:
        raise FitError(f"{', '.join(named(lacking[0]))}: there is no size {size}; sizes: {', '.join(lacking[0].sizes)}")
    lines = defaultdict(list)
    for each in samples:
        lines[_others(each, size)].append(each)
    ordered = (sorted(line, key=lambda each: each.sizes[size]) for line in lines.values())
    return [line for line in ordered if len({each.sizes[size] for each in line}) > 1]


def centred(line: Sequence[Sample], size: str, of: Callable[[Sample], float]) -> list[tuple[float, float]]:
    """Log size and log value of each point, less the line's means: what is left has no level of its own."""
    across, up = [log(each.sizes[size]) for each in line], [log(of(each)) for each in line]
    return [(x - mean(across), y - mean(up)) for x, y in zip(across, up, strict=True)]


def ratio(ratios: Sequence[float]) -> Estimate:
    """The geometric mean of ratios with its interval. Raises `FitError` for fewer than three.

    >>> ratio([2.0, 2.0, 2.0])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    if len(ratios) < 3:
        raise FitError(f"{len(ratios)} pairs are too few for a ratio; give 3 or more")
    logs = [log(each) for each in ratios]
    half = student(len(logs) - 1) * stdev(logs) / sqrt(len(logs))
    return Estimate(*(exp(mean(logs) + step) for step in (0, -half, half)))


def named(sample: Sample) -> tuple[str, str, str]:
    """What ran: operation, kernel and phase."""
    return sample.operation, sample.kernel, sample.phase


def _others(sample: Sample, size: str) -> tuple[object, ...]:
    return (*named(sample), *sorted((name, at) for name, at in sample.sizes.items() if name != size))
