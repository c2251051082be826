"""Latency, peak and bandwidth from samples: seconds = latency + max(FLOPs / peak, bytes / bandwidth), or + both.

A device that computes while it moves takes the longer (`fit`), one that does not the sum (`fit_sum`). Which side bounds
a point depends only on its FLOPs for each byte, so every place to cut between memory and compute is tried; what is left
is linear in latency, 1/peak and 1/bandwidth. Residuals are relative to the fitted time; those far out weigh less (Huber
1964, doi:10.1214/aoms/1177703732). Intervals are of a bootstrap of the residuals at fixed sizes (Efron 1979,
doi:10.1214/aos/1176344552) with a fixed seed. They tell of noise, not of what the model leaves out.

>>> from symflops.timing.samples import Sample
>>> planted = [Sample("up", "matmul", "forward", {"m": m, "k": k}, 2 * m * k * k, 2 * (2 * m * k + k * k),
...     (5e-6 + max(2 * m * k * k / 6e14, 2 * (2 * m * k + k * k) / 2e12),))
...     for m in (16, 64, 256, 1024, 4096) for k in (1024, 2048, 4096)]
>>> found = fit(planted)
>>> f"{found.latency.value:.3g} {found.peak.value:.3g} {found.bandwidth.value:.3g}"
'5e-06 6e+14 2e+12'
>>> fit(planted[:5])
Traceback (most recent call last):
symflops.timing.fitted.FitError: 5 samples are too few to fit latency, peak and bandwidth; give 8 or more
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symflops.timing.fitted import Estimate, Fit, FitError
from symflops.timing.samples import Sample

Array: TypeAlias = NDArray[Any]
LEAST, LEAST_OF_SIDE, LEAST_OF_LINE = 8, 3, 4
"""The fewest samples of a fit of both sides, of each side in it, and of a fit of one side."""
_ROUNDS, _DRAWS, _SEED, _MOST_CUTS, _ENOUGH = 8, 200, 0, 60, 1e-4
_HUBER, _MAD, _FLOOR = 1.345, 1.4826, 1e-6
_RISEN, _SURE = 1.5, 0.95
_FAR, _EVIDENCE = 9.0, 12.0
"""A residual's square counts up to so much; so much less in all is what a second side has to bring."""


def fit(samples: Iterable[Sample]) -> Fit:
    """Latency, peak and bandwidth of one group of kernels, by the median of each sample.

    Raises `FitError` for fewer than 8 samples, for points that are all bound by one side, and for sizes too much alike.
    """
    given = list(samples)
    flops, moved, seconds = _columns(given, LEAST, "latency, peak and bandwidth")
    best = _best(flops, moved, seconds)
    _need_both_sides(flops, moved, seconds, best)
    fitted = _both(flops, moved, best)
    drawn = [_settled(flops, moved, each, best) for each in _redrawn(fitted, seconds, 3)]
    latency, peak, bandwidth = _intervals(best, [each for each in drawn if min(each[1:]) > 0])
    return Fit(latency, peak, bandwidth, len(given), _error(fitted, seconds))


def fit_sum(samples: Iterable[Sample]) -> Fit:
    """Latency, peak and bandwidth where nothing overlaps: seconds = latency + FLOPs / peak + bytes / bandwidth.

    Raises `FitError` for fewer than 8 samples, for sizes too much alike, and where a side takes no time.
    """
    given = list(samples)
    what = "latency, peak and bandwidth"
    flops, moved, seconds = _columns(given, LEAST, what)
    design = _all(flops, moved)
    _need_rank(design, what)
    best = _linear(design, seconds)
    if min(best[1:]) <= 0:
        raise FitError(f"the time of these {len(given)} samples does not rise with both FLOPs and bytes; fit one side")
    drawn = [_reweighted(design, each, design @ best) for each in _redrawn(design @ best, seconds, 3)]
    both = [each for each in drawn if min(each[1:]) > 0]
    if len(both) < _SURE * _DRAWS:
        raise FitError(f"these {len(given)} samples are not enough to tell that both sides take time; fit one side")
    latency, peak, bandwidth = _intervals(best, both)
    return Fit(latency, peak, bandwidth, len(given), _error(design @ best, seconds), "one by one")


def misfit(samples: Iterable[Sample]) -> float:
    """The root of the mean squared log of fitted over measured time, of the better of `fit` and `fit_sum`.

    Raises `FitError` for fewer than 8 samples.
    """
    flops, moved, seconds = _columns(list(samples), LEAST, "latency, peak and bandwidth")
    design = _all(flops, moved)
    fitted = [design @ _linear(design, seconds)]
    with suppress(FitError):
        fitted.append(_both(flops, moved, _best(flops, moved, seconds)))
    return min(float(np.sqrt(np.mean(np.log(each / seconds) ** 2))) for each in fitted)


def latency(samples: Iterable[Sample]) -> float:
    """Seconds of a kernel that has nothing to do, by `fit_sum` without its intervals.

    Raises `FitError` for fewer than 8 samples.
    """
    flops, moved, seconds = _columns(list(samples), LEAST, "latency")
    return float(_linear(_all(flops, moved), seconds)[0])


def fit_constant(samples: Iterable[Sample]) -> Fit:
    """Latency alone, of kernels whose time does not rise, such as a gradient that is passed on as it is.

    Raises `FitError` for fewer than 4 samples, and where the time does rise: by more than half, from least to most.
    """
    given = sorted(samples, key=lambda each: each.bytes)
    _, _, seconds = _columns(given, LEAST_OF_LINE, "a latency")
    part = len(given) // LEAST_OF_SIDE
    if np.median(seconds[-part:]) > _RISEN * np.median(seconds[:part]):
        raise FitError(f"the time of these {len(given)} samples rises, and not with what they move; give more sizes")
    value, low, high = np.percentile(seconds, (50, 2.5, 97.5))
    error = _error(np.full_like(seconds, value), seconds)
    return Fit(Estimate(float(value), float(low), float(high)), None, None, len(given), error)


def fit_side(samples: Iterable[Sample], side: Literal["flops", "bytes"]) -> Fit:
    """Latency and one rate, where only one side is asked for: seconds = latency + FLOPs / peak, or bytes / bandwidth.

    Raises `FitError` for fewer than 4 samples or sizes too much alike.
    """
    given = list(samples)
    what = "latency and peak" if side == "flops" else "latency and bandwidth"
    flops, moved, seconds = _columns(given, LEAST_OF_LINE, what)
    design = _line(flops if side == "flops" else moved)
    _need_rank(design, what)
    best = _linear(design, seconds)
    if best[1] <= 0:
        raise FitError(f"the time does not rise with {side}: no {what} in these {len(given)} samples; give larger ones")
    drawn = [_reweighted(design, each, design @ best) for each in _redrawn(design @ best, seconds, 2)]
    latency, rate = _intervals(best, [each for each in drawn if each[1] > 0])
    peak, bandwidth = (rate, None) if side == "flops" else (None, rate)
    return Fit(latency, peak, bandwidth, len(given), _error(design @ best, seconds))


def _columns(samples: Sequence[Sample], least: int, what: str) -> tuple[Array, Array, Array]:
    if len(samples) < least:
        raise FitError(f"{len(samples)} samples are too few to fit {what}; give {least} or more")
    flops, moved = (np.array([float(getattr(each, name)) for each in samples]) for name in ("flops", "bytes"))
    return flops, moved, np.array([each.median for each in samples])


def _line(amounts: Array) -> Array:
    return np.stack([np.ones_like(amounts), amounts], axis=1)


def _all(flops: Array, moved: Array) -> Array:
    return np.stack([np.ones_like(flops), flops, moved], axis=1)


def _split(flops: Array, moved: Array, compute: Array) -> Array:
    """The design: one, FLOPs where compute bounds, bytes where memory does."""
    return np.stack([np.ones_like(flops), flops * compute, moved * ~compute], axis=1)


def _both(flops: Array, moved: Array, x: Array) -> Array:
    fitted: Array = x[0] + np.maximum(x[1] * flops, x[2] * moved)
    return fitted


def _linear(design: Array, seconds: Array) -> Array:
    """Coefficients, none below zero, with least relative residuals, the far ones weighing less."""
    weight = 1 / seconds
    x = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        x = _not_negative(design * weight[:, None], seconds * weight)
        weight = _weights(design @ x, seconds)
    return x


def _weights(fitted: Array, seconds: Array) -> Array:
    """One over the fitted time, so that noise that goes with the time does not bias, and less far out."""
    fitted = np.maximum(fitted, seconds * _FLOOR)
    residual = np.abs(seconds / fitted - 1)
    scale = max(_MAD * float(np.median(residual)), _FLOOR)
    weights: Array = np.sqrt(np.minimum(1, _HUBER * scale / np.maximum(residual, _FLOOR * scale))) / fitted
    return weights


def _not_negative(design: Array, target: Array) -> Array:
    """Least squares; a coefficient that would fall below zero is zero."""
    x, kept = np.zeros(design.shape[1]), np.flatnonzero(design.any(axis=0))
    while len(kept):
        scale = np.linalg.norm(design[:, kept], axis=0)
        part = design[:, kept] / scale
        found = np.linalg.lstsq(part.T @ part, part.T @ target, rcond=_FLOOR**2)[0] / scale
        if (found >= 0).all():
            x[kept] = found
            return x
        kept = kept[found > found.min()]
    return x


def _best(flops: Array, moved: Array, seconds: Array) -> Array:
    """The coefficients of the best cut; where no cut leaves both rates above zero, the last one tried."""
    intensity = flops / np.maximum(moved, 1)
    cuts = np.unique(intensity)[1:]
    cuts = cuts[np.linspace(0, len(cuts) - 1, min(len(cuts), _MOST_CUTS)).astype(int)] if len(cuts) else cuts
    found = [_linear(_split(flops, moved, intensity >= cut), seconds) for cut in cuts]
    settled = [_settled(flops, moved, seconds, x) for x in found if min(x[1:]) > 0]
    able = [x for x in settled if min(x[1:]) > 0]
    if not able:
        _refuse_one_side(flops, moved, seconds)
    return min(able, key=lambda x: float(np.abs(np.log(_both(flops, moved, x) / seconds)).sum()))


def _settled(flops: Array, moved: Array, seconds: Array, x: Array) -> Array:
    """Coefficients from a start: which side bounds each point and the coefficients, in turns."""
    for _ in range(_ROUNDS):
        before, x = x, _step(flops, moved, seconds, x)
        if min(x[1:]) <= 0 or _alike(x, before):
            break
    return x


def _alike(x: Array, before: Array) -> bool:
    return bool(np.all(np.abs(x - before) <= _ENOUGH * np.abs(x)))


def _step(flops: Array, moved: Array, seconds: Array, x: Array) -> Array:
    """One such turn."""
    design = _split(flops, moved, x[1] * flops >= x[2] * moved)
    return _reweighted(design, seconds, _both(flops, moved, x))


def _reweighted(design: Array, seconds: Array, fitted: Array) -> Array:
    """Coefficients with least relative residuals, weighed by how far each point is off a fit.

    Of times on a line that are drawn again, one such step from the fit of all tells as much as many.
    """
    weight = _weights(fitted, seconds)
    return _not_negative(design * weight[:, None], seconds * weight)


def _need_both_sides(flops: Array, moved: Array, seconds: Array, x: Array) -> None:
    """Both sides have points, and explain more than one alone does."""
    compute = x[1] * flops >= x[2] * moved
    residual = seconds / _both(flops, moved, x) - 1
    scale = max(_MAD * float(np.median(np.abs(residual))), _FLOOR)
    alone = [_linear(_line(each), seconds) for each in (flops, moved)]
    losses = [_loss(seconds / (_line(a) @ b) - 1, scale) for a, b in zip((flops, moved), alone, strict=True)]
    few = min(compute.sum(), (~compute).sum()) < LEAST_OF_SIDE
    if few or min(losses) - _loss(residual, scale) < _EVIDENCE:
        _refuse_one_side(flops, moved, seconds)
    _need_rank(_split(flops, moved, compute), "latency, peak and bandwidth")


def _loss(residual: Array, scale: float) -> float:
    return float(np.minimum((residual / scale) ** 2, _FAR).sum())


def _refuse_one_side(flops: Array, moved: Array, seconds: Array) -> None:
    """Raises `FitError` that names the side which explains the times better by itself."""
    left = [
        float(np.abs(np.log(np.maximum(_line(each) @ _linear(_line(each), seconds), 1e-30) / seconds)).sum())
        for each in (flops, moved)
    ]
    side, lacks, give = (
        ("compute", "bandwidth", "few FLOPs for each byte")
        if left[0] <= left[1]
        else ("memory", "peak", "many FLOPs for each byte")
    )
    raise FitError(
        f"these {len(seconds)} samples are all bound by {side}, or too few are not: they do not tell the {lacks}; "
        f"give samples with {give}, or fit one side"
    )


def _need_rank(design: Array, what: str) -> None:
    scaled = design / np.maximum(np.linalg.norm(design, axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-4) < design.shape[1]:
        raise FitError(f"the sizes of these {len(design)} samples are too much alike to tell {what}; give more sizes")


def _redrawn(fitted: Array, seconds: Array, unknowns: int) -> Iterable[Array]:
    """Times as they might have been: the fitted ones with residuals drawn from all, widened for what was fitted."""
    residual = seconds / fitted - 1
    residual = (residual - residual.mean()) * np.sqrt(len(seconds) / max(len(seconds) - unknowns, 1))
    draw = np.random.default_rng(_SEED)
    for _ in range(_DRAWS):
        yield fitted * np.maximum(1 + draw.choice(residual, len(residual)), 0.01)


def _intervals(best: Array, drawn: Sequence[Array]) -> list[Estimate]:
    """The latency as it is, the others as rates, with the middle 95 of 100 draws."""
    if len(drawn) < _DRAWS / 2:
        raise FitError("the samples scatter too much to tell the rates: most redrawn fits fail; run each more often")
    low, high = np.percentile(np.stack(drawn), (2.5, 97.5), axis=0)
    low, high = np.minimum(low, best), np.maximum(high, best)
    latency = Estimate(float(best[0]), float(low[0]), float(high[0]))
    rates = [
        Estimate(float(1 / x), float(1 / b), float(1 / a)) for x, a, b in zip(best[1:], low[1:], high[1:], strict=True)
    ]
    return [latency, *rates]


def _error(fitted: Array, seconds: Array) -> float:
    return float(np.median(np.abs(fitted / seconds - 1)))
