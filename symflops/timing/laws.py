"""Cost laws on hardware: what the closed forms say of times, and whether the samples of a record agree.

What is expected is never typed in: it is the slope or ratio of the closed form itself, at the sizes that were timed, by
the side that bounds them under the best rates seen in the record. A law holds where the whole interval lies within a
margin of that, departs where none of it does, and is undecided between. Samples that take so long that a launch no
longer counts are judged alone. Where they are too few, all are, and a law that does not hold of those is launch bound:
it says nothing of the device's rates. All samples are looked at for where the law departs.

>>> from symflops.timing.records import Record
>>> from symflops.timing.samples import Sample
>>> samples = tuple(Sample("core", "flash", "forward", {"query": n}, 256 * n * n, 512 * n, (n * n / 1e12,))
...     for n in (1024, 2048, 4096, 8192))
>>> record = Record("H100", {}, "2026-01-31", "bf16", (), samples)
>>> [(found.law, found.subject, round(found.expected, 6), found.verdict) for found in judge(record)]
[('quadratic', 'core, flash, forward in query', 2.0, 'holds')]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from statistics import geometric_mean
from typing import Literal

from symflops.timing.fitted import Estimate, FitError
from symflops.timing.fitting import latency
from symflops.timing.recognised import CAUSAL
from symflops.timing.records import Record
from symflops.timing.roof import Roof
from symflops.timing.samples import Sample
from symflops.timing.slopes import lines_of, named, ratio, slope

Verdict = Literal["holds", "departs", "undecided", "launch bound"]
SLOWER, LAUNCHES, CLEAR, PIECE, SHOWN = 1.25, 5.0, 10.0, 64, 6
"""A point departs from so many times slower than the best on; below so many of the shortest times seen it is launch
bound, and from so many latencies on, fitted or the shortest times, a launch no longer counts; sizes beyond this that it
does not divide leave tiles partly empty; so many departures are shown."""
_CURVED = 1.5


@dataclass(frozen=True)
class Ceilings(Roof):
    """The best rates of a record, and the shortest time of each phase."""

    shortest: Mapping[str, float]

    def launches(self, sample: Sample) -> float:
        """How many of the shortest times of its phase a sample took."""
        return sample.median / self.shortest[sample.phase]


@dataclass(frozen=True)
class Departure:
    """Sizes at which a kernel takes ``factor`` times as long as its closed form at its own best rate, and why."""

    sizes: Mapping[str, int]
    factor: float
    why: str


@dataclass(frozen=True)
class Measured:
    """What was measured of one subject of a law, what its closed form expects, and where it departs.

    ``clear`` says whether a launch is no part of the samples that were judged.
    """

    subject: str
    expected: float
    estimate: Estimate
    departures: tuple[Departure, ...] = ()
    clear: bool = True


@dataclass(frozen=True)
class HardwareLaw:
    """A law of times: ``statement`` in LaTeX, ``prose`` a sentence, ``margin`` how far off still counts as held.

    ``margin`` is added to a slope and a share of a ratio, as ``scale`` says; ``ask`` measures it in a record.
    """

    name: str
    statement: str
    prose: str
    source: str
    margin: float
    scale: Literal["slope", "ratio"]
    ask: Callable[[Record], Iterable[Measured]]

    def verdict(self, of: Measured) -> Verdict:
        """What an interval says of what is expected."""
        by = self.margin * (of.expected if self.scale == "ratio" else 1)
        low, high = of.expected - by, of.expected + by
        if low <= of.estimate.low and of.estimate.high <= high:
            return "holds"
        if not of.clear:
            return "launch bound"
        return "departs" if of.estimate.high < low or of.estimate.low > high else "undecided"


@dataclass(frozen=True)
class Finding:
    """A law, asked of one subject."""

    law: str
    subject: str
    expected: float
    estimate: Estimate
    verdict: Verdict
    departures: tuple[Departure, ...]


def judge(record: Record) -> tuple[Finding, ...]:
    """Every law of every subject of a record that has samples enough for it."""
    return tuple(
        Finding(law.name, each.subject, each.expected, each.estimate, law.verdict(each), each.departures)
        for law in LAWS
        for each in law.ask(record)
    )


def ceilings(record: Record) -> Ceilings:
    """The best rates seen in a record; infinite where no sample has FLOPs, or bytes.

    The bandwidth is that of kernels without FLOPs, where there are any: what computes may never reach it.
    """
    moves = [each for each in record.samples if not each.flops and each.bytes] or record.samples
    peak = max((each.flops / each.median for each in record.samples), default=0) or inf
    bandwidth = max((each.bytes / each.median for each in moves), default=0) or inf
    phases = {each.phase: [one.median for one in record.samples if one.phase == each.phase] for each in record.samples}
    return Ceilings(peak, bandwidth, {phase: min(times) for phase, times in phases.items()})


def groups(record: Record) -> Mapping[tuple[str, str, str], list[Sample]]:
    """Samples by what ran; those whose closed form has neither FLOPs nor bytes are left out."""
    found = defaultdict(list)
    for each in record.samples:
        if each.flops or each.bytes:
            found[named(each)].append(each)
    return found


def departures(samples: Iterable[Sample], top: Ceilings) -> tuple[Departure, ...]:
    """Where a kernel is slower, for its closed form, than at its own best, the worst first."""
    each = [(sample, sample.median / top.work(sample)) for sample in samples]
    best = min((cost for _, cost in each), default=1.0)
    off = [Departure(sample.sizes, cost / best, _why(sample, top)) for sample, cost in each if cost > SLOWER * best]
    return tuple(sorted(off, key=lambda one: -one.factor))


def _why(sample: Sample, top: Ceilings) -> str:
    if top.launches(sample) < LAUNCHES:
        return "launch bound: near the shortest time seen"
    uneven = [name for name, size in sample.sizes.items() if size > PIECE and size % PIECE]
    return f"partial tiles: {PIECE} does not divide {', '.join(uneven)}" if uneven else ""


def _in_sizes(record: Record) -> Iterator[tuple[str, list[Sample], str, float]]:
    """Each kernel and each of its sizes that has lines enough, with the slope of its FLOPs."""
    for name, samples in groups(record).items():
        for size in samples[0].sizes:
            having = [each for each in samples if size in each.sizes]
            with suppress(FitError):
                slope(having, size)  # refuses lines that are too few
                flops = slope(having, size, lambda each: each.flops).value if having[0].flops else 0.0
                yield f"{', '.join(name)} in {size}", having, size, flops


def _judged(subject: str, samples: list[Sample], size: str, top: Ceilings, of: Callable[[Sample], float]) -> Measured:
    """The slopes of what is expected and of the times, of samples that a launch is no part of where they are enough."""
    off = departures([each for line in lines_of(samples, size) for each in line], top)
    clear = [each for each in samples if each.median >= CLEAR * _latency(samples, top)]
    with suppress(FitError):
        return Measured(subject, slope(clear, size, of).value, slope(clear, size), off)
    return Measured(subject, slope(samples, size, of).value, slope(samples, size), off, clear=False)


def _latency(samples: Sequence[Sample], top: Ceilings) -> float:
    """The fitted latency of a kernel, and at least the shortest time of its phase."""
    shortest = top.shortest[samples[0].phase]
    with suppress(FitError):
        return max(shortest, latency(samples))
    return shortest


def _doubling(record: Record) -> Iterator[Measured]:
    top = ceilings(record)
    for subject, samples, size, flops in _in_sizes(record):
        if flops <= _CURVED:
            yield _judged(subject, samples, size, top, top.work)


def _quadratic(record: Record) -> Iterator[Measured]:
    top = ceilings(record)
    for subject, samples, size, flops in _in_sizes(record):
        if flops > _CURVED:
            yield _judged(subject, samples, size, top, lambda each: each.flops)


def _pairs(
    record: Record, twin: Callable[[Sample], tuple[object, ...]], of: Callable[[Sample], float]
) -> Iterator[Measured]:
    """The ratio of each kernel to its twin, over all sizes that both were timed at."""
    known, found = {each.key: each for each in record.samples}, defaultdict(list)
    top = ceilings(record)
    for each in record.samples:
        other = known.get(twin(each))
        if other is not None and other is not each and of(other):
            found[named(each)].append((each, other))
    for name, pairs in found.items():
        if len(pairs) > 2:
            clear = [pair for pair in pairs if min(map(top.launches, pair)) >= CLEAR]
            judged = clear if len(clear) > 2 else pairs
            expected = geometric_mean(of(one) / of(other) for one, other in judged)
            factors = [(one, one.median / other.median / (of(one) / of(other))) for one, other in pairs]
            off = tuple(Departure(one.sizes, factor, "") for one, factor in factors if abs(factor - 1) > SLOWER - 1)
            took = ratio([one.median / other.median for one, other in judged])
            yield Measured(", ".join(name), expected, took, off, clear=judged is clear)


def _backward(record: Record) -> Iterator[Measured]:
    def forward(sample: Sample) -> tuple[object, ...]:
        return (sample.operation, sample.kernel, "forward", *sample.key[3:]) if sample.phase == "backward" else ()

    return _pairs(record, forward, ceilings(record).work)


def _causal(record: Record) -> Iterator[Measured]:
    def full(sample: Sample) -> tuple[object, ...]:
        if not sample.kernel.endswith(CAUSAL):
            return ()
        return (sample.operation, sample.kernel.removesuffix(CAUSAL), *sample.key[2:])

    return _pairs(record, full, lambda sample: float(sample.flops))


LAWS: tuple[HardwareLaw, ...] = (
    HardwareLaw(
        "doubling",
        r"t(2n) / t(n) = f(2n) / f(n)",
        "Doubling a size changes the time as it changes the FLOPs, or the bytes where memory bounds.",
        "Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785",
        0.1,
        "slope",
        _doubling,
    ),
    HardwareLaw(
        "quadratic",
        r"f \propto n^2 \Rightarrow t \propto n^2",
        "Where FLOPs go with the square of a size, the time does: attention's with the square of the length.",
        "Vaswani et al. 2017, table 1, arXiv:1706.03762",
        0.1,
        "slope",
        _quadratic,
    ),
    HardwareLaw(
        "backward-over-forward",
        r"t_{backward} / t_{forward} = f_{backward} / f_{forward}",
        "The backward pass takes as many times the forward pass as its FLOPs: 2 of a matmul, 2.5 of flash attention.",
        "Dao 2023, section 4.1, arXiv:2307.08691",
        0.15,
        "ratio",
        _backward,
    ),
    HardwareLaw(
        "causal-share",
        r"t_{causal} / t_{full} = f_{causal} / f_{full}",
        "A kernel that leaves masked pairs out takes their share less: near half for long sequences.",
        "Dao 2023, section 3.1.1 (causal masking), arXiv:2307.08691",
        0.15,
        "ratio",
        _causal,
    ),
)
"""The laws of times."""
