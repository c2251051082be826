"""Fits find what was planted, at several noises and seeds, and refuse what cannot be told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from symflops.timing.fitted import FitError
from symflops.timing.fitting import fit, fit_side
from symflops.timing.samples import Sample

LATENCY, PEAK, BANDWIDTH = 5e-6, 6e14, 2.5e12
GRID = [(m, k) for m in (16, 32, 64, 128, 512, 1024, 4096, 16384) for k in (512, 1024, 2048, 4096)]


def planted(seed: int, noise: float, grid: list[tuple[int, int]], time: Callable[[int, int], float]) -> list[Sample]:
    """A matmul of m x k by k x k at each size, with times that scatter by a share."""
    draw = np.random.default_rng(seed)
    samples = []
    for m, k in grid:
        flops, moved = 2 * m * k * k, 2 * (2 * m * k + k * k)
        runs = tuple(time(flops, moved) * float(np.exp(noise * draw.normal())) for _ in range(1))
        samples.append(Sample("up", "matmul", "forward", {"m": m, "k": k}, flops, moved, runs))
    return samples


def truth(flops: int, moved: int) -> float:
    return LATENCY + max(flops / PEAK, moved / BANDWIDTH)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_planted_coefficients_are_inside_their_intervals(noise: float) -> None:
    inside = []
    for seed in range(12):
        found = fit(planted(seed, noise, GRID, truth))
        assert found.peak is not None and found.bandwidth is not None
        pairs = ((found.latency, LATENCY), (found.peak, PEAK), (found.bandwidth, BANDWIDTH))
        inside += [each.holds(figure) for each, figure in pairs]
        assert all(abs(each.value / figure - 1) < 5 * noise for each, figure in pairs)
    assert sum(inside) / len(inside) > 0.85  # 95 of 100 are promised; 36 draws may miss a few


def test_an_interval_is_wider_where_there_is_more_noise() -> None:
    widths = [fit(planted(0, noise, GRID, truth)).latency for noise in (0.01, 0.1)]
    assert widths[1].high - widths[1].low > 3 * (widths[0].high - widths[0].low)


def test_a_few_wild_points_do_not_carry_the_fit_away() -> None:
    samples = planted(3, 0.02, GRID, truth)
    wild = [Sample(**{**vars(each), "seconds": (each.median * 5,)}) for each in samples[::11]]
    found = fit([*wild, *(each for number, each in enumerate(samples) if number % 11)])
    assert found.peak is not None and abs(found.peak.value / PEAK - 1) < 0.1
    assert found.bandwidth is not None and abs(found.bandwidth.value / BANDWIDTH - 1) < 0.1


def test_a_wrong_figure_is_outside_its_interval() -> None:
    found = fit(planted(1, 0.02, GRID, truth))
    assert found.peak is not None and not found.peak.holds(1.3 * PEAK) and not found.latency.holds(0)


@pytest.mark.parametrize(
    ("grid", "side", "lacks"),
    [
        ([(m, k) for m in (8192, 16384, 32768) for k in (2048, 4096, 8192)], "compute", "bandwidth"),
        ([(m, k) for m in (1, 2, 4, 8) for k in (1024, 2048, 4096)], "memory", "peak"),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_points_bound_by_one_side_are_refused(grid: list[tuple[int, int]], side: str, lacks: str, noise: float) -> None:
    with pytest.raises(FitError, match=f"bound by {side}.*do not tell the {lacks}") as caught:
        fit(planted(0, noise, grid, truth))
    assert "\n" not in str(caught.value)


def test_too_few_and_too_alike_are_refused() -> None:
    with pytest.raises(FitError, match="7 samples are too few"):
        fit(planted(0, 0.0, GRID[:7], truth))
    with pytest.raises(FitError):
        fit(planted(0, 0.01, [(64, 512)] * 20, truth))
    with pytest.raises(FitError, match="too much alike"):
        fit_side(planted(0, 0.01, [(64, 512)] * 20, truth), "bytes")
    with pytest.raises(FitError, match="3 samples are too few"):
        fit_side(planted(0, 0.01, GRID[:3], truth), "flops")


def test_one_side_alone() -> None:
    grid = [(m, 4096) for m in (4096, 8192, 16384, 32768)] + [(4096, 8192), (8192, 8192)]
    found = fit_side(planted(2, 0.01, grid, truth), "flops")
    assert found.bandwidth is None and found.peak is not None and found.peak.holds(PEAK)
    assert found.seconds(PEAK, 10**30) == pytest.approx(1, rel=0.05)
