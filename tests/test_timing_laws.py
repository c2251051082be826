"""Laws on hardware hold on times that obey them and depart on planted faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from symflops.timing.fitted import FitError
from symflops.timing.laws import CAUSAL, Finding, judge
from symflops.timing.records import Record
from symflops.timing.samples import Sample
from symflops.timing.slopes import ratio, slope

PEAK, BANDWIDTH = 6e14, 2.5e12
Time = Callable[[Sample], float]


def least(sample: Sample) -> float:
    return max(sample.flops / PEAK, sample.bytes / BANDWIDTH)


def kernels() -> Iterator[Sample]:
    """A matmul, flash attention both ways, at designed sizes; every time is still 1."""
    for phase, times in (("forward", 1), ("backward", 2)):
        for m in (2048, 4096, 8192, 16384):
            for n in (2048, 4096, 8192):
                flops, moved = 2 * m * n * 4096, 2 * (m * 4096 + 4096 * n + m * n)
                yield Sample("up", "matmul", phase, {"m": m, "n": n}, times * flops, times * moved, (1.0,))  # type: ignore[arg-type]
        for n in (2**20, 2**22, 2**24, 2**26):
            yield Sample("act", "gelu", phase, {"n": n, "batch": 1}, 0, times * 4 * n, (1.0,))  # type: ignore[arg-type]
    for phase, flops in (("forward", 4), ("backward", 10)):
        for n in (1024, 2048, 4096, 8192, 16384, 32768):
            pairs = {"flash": n * n, "flash" + CAUSAL: n * (n + 1) // 2}
            for kernel, count in pairs.items():
                yield Sample("core", kernel, phase, {"query": n}, flops * 1024 * count, 8 * 1024 * n, (1.0,))  # type: ignore[arg-type]


def timed(time: Time, noise: float = 0.02) -> dict[tuple[str, str], Finding]:
    """What the laws say where each kernel takes a time of its own, by law and subject."""
    draw = np.random.default_rng(5)
    samples = [
        Sample(**{**vars(each), "seconds": (time(each) * float(np.exp(noise * draw.normal())),)}) for each in kernels()
    ]
    record = Record("planted", {}, "2026-01-31", "bf16", (), tuple(samples))
    return {(found.law, found.subject): found for found in judge(record)}


def test_all_laws_hold_where_times_are_the_closed_forms() -> None:
    found = timed(least)
    assert {law for law, _ in found} == {"doubling", "quadratic", "backward-over-forward", "causal-share"}
    assert {each.verdict for each in found.values()} == {"holds"}
    assert found["quadratic", "core, flash, forward in query"].expected == pytest.approx(2)
    assert found["backward-over-forward", "up, matmul, backward"].expected == pytest.approx(2)
    assert found["backward-over-forward", "core, flash, backward"].expected == pytest.approx(2.5)
    assert found["causal-share", "core, flash causal, forward"].expected == pytest.approx(0.5, rel=0.01)


def no_skipping(sample: Sample) -> float:
    return least(sample) * (2 if sample.kernel.endswith(CAUSAL) else 1)


def linear_attention(sample: Sample) -> float:
    return least(sample) * (32768 / sample.sizes["query"] if sample.operation == "core" else 1)


def slow_backward(sample: Sample) -> float:
    return least(sample) * (1.6 if sample.phase == "backward" and sample.operation == "up" else 1)


def rises_too_fast(sample: Sample) -> float:
    return least(sample) * (sample.sizes["m"] ** 0.4 if sample.operation == "up" else 1)


@pytest.mark.parametrize(
    ("fault", "law", "subject"),
    [
        (no_skipping, "causal-share", "core, flash causal, forward"),
        (linear_attention, "quadratic", "core, flash, forward in query"),
        (slow_backward, "backward-over-forward", "up, matmul, backward"),
        (rises_too_fast, "doubling", "up, matmul, forward in m"),
    ],
)
def test_a_planted_fault_departs_and_no_other_law_does(fault: Time, law: str, subject: str) -> None:
    found = timed(fault)
    assert found[law, subject].verdict == "departs"
    assert {name for (name, _), each in found.items() if each.verdict == "departs"} == {law}


def test_much_noise_is_undecided() -> None:
    assert "undecided" in {each.verdict for each in timed(least, 0.5).values()}
    assert "departs" not in {each.verdict for each in timed(least, 0.1).values()}


def test_where_it_departs_is_named_with_how_much_and_why() -> None:
    def launched(sample: Sample) -> float:
        return 3e-4 + least(sample)

    found = timed(launched, 0)["doubling", "up, matmul, forward in m"]
    worst = found.departures[0]
    assert found.verdict == "launch bound" and found.estimate.high < found.expected
    assert worst.sizes == {"m": 2048, "n": 2048} and worst.factor > 2 and worst.why.startswith("launch bound")


def test_a_law_is_judged_where_a_launch_no_longer_counts() -> None:
    found = timed(lambda sample: 4e-6 + least(sample), 0)
    core = found["quadratic", "core, flash, forward in query"]
    assert core.verdict == "holds" and core.departures[0].sizes == {"query": 1024}
    assert core.departures[0].why.startswith("launch bound")


def test_a_law_that_holds_needs_no_clear_samples() -> None:
    """All launches are as short as the shortest: still, times that obey the law obey it."""
    few = [
        each for each in kernels() if each.operation == "core" and each.kernel == "flash" and each.phase == "forward"
    ]
    timed_ones = [replace(each, seconds=(least(each),)) for each in few[:4]]
    [found] = judge(Record("planted", {}, "2026-01-31", "bf16", (), tuple(timed_ones)))
    assert (found.law, found.verdict) == ("quadratic", "holds")


def test_intervals_of_slopes_hold_the_planted_slope() -> None:
    inside = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        samples = [
            Sample("up", "matmul", "forward", {"m": m, "n": n}, 1, 1, (m**1.3 * n * float(np.exp(draw.normal() / 20)),))
            for m in (64, 128, 256)
            for n in (1, 2)
        ]
        inside += slope(samples, "m").holds(1.3)
    assert inside >= 34


def test_too_few_are_refused() -> None:
    samples = [Sample("up", "matmul", "forward", {"m": m}, 1, 1, (1.0,)) for m in (1, 2, 3)]
    with pytest.raises(FitError, match="3 samples on 1 lines are too few"):
        slope(samples, "m")
    with pytest.raises(FitError, match="no size n; sizes: m"):
        slope(samples, "n")
    with pytest.raises(FitError, match="2 pairs are too few"):
        ratio([1.0, 2.0])
