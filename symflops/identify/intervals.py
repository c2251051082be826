"""How many rows some combinations reproduce at once: their two bounds, polynomials in the size asked for, not negative.

Numbers and bounds of degree one are exact. Of degree two, arrays are looked at in floats first, wider than they may be
wrong; what is left is looked at exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from symflops.identify.polynomials import EVERY, Polynomial, Ranges, both, not_negative

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WITHOUT_END = 2**61
_WRONG = 1e-14
"""What a float may be wrong by, with room."""


def held_at_once(bounds: Sequence[Polynomial]) -> tuple[frozenset[int], Ranges]:
    """The rows that are reproduced at once, as many as can be, and the values of the size asked for at which.

    >>> held_at_once([(-7, 1), (9, -1), (-8, 1), (20, -1)])
    (frozenset({0, 1}), ((8, 9),))
    """
    ranges = [both(not_negative(a), not_negative(b)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
    starts = {first for one in ranges for first, _ in one}
    held = max((_holding(ranges, start) for start in sorted(starts)), key=len, default=frozenset())
    common = EVERY
    for number in held:
        common = both(common, ranges[number])
    return held, common


def _holding(ranges: Sequence[Ranges], at: int) -> frozenset[int]:
    return frozenset(
        number
        for number, one in enumerate(ranges)
        if any(first <= at and (last is None or at <= last) for first, last in one)
    )


def counts(bounds: NDArray[Any]) -> NDArray[Any]:
    """How many rows are reproduced at once by some combinations."""
    import numpy as np

    if bounds.shape[-1] == 1:
        return np.asarray((bounds[..., 0] >= 0).all(axis=2).sum(axis=1))
    if bounds.shape[-1] == 2:
        return _overlaps(*_intervals(bounds))
    return np.array([len(held_at_once(polynomials(each))[0]) for each in bounds])


def polynomials(bounds: NDArray[Any]) -> list[Polynomial]:
    """The bounds of one combination, one after the other."""
    return [tuple(map(int, each)) for row in bounds for each in row]


def _intervals(bounds: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For bounds ``a + b*size``: the first and the last size of each combination and row."""
    import numpy as np

    constant, slope = bounds[..., 0], bounds[..., 1]
    step = np.where(slope == 0, 1, np.abs(slope))
    first = np.where(slope > 0, np.maximum(1, -(constant // step)), 1)
    last = np.where(slope < 0, constant // step, np.where((slope == 0) & (constant < 0), 0, _WITHOUT_END))
    return first.max(axis=2), last.min(axis=2)


def _overlaps(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """How many of some intervals have one point in common: at the start of one of them."""
    import numpy as np

    counts = np.zeros(len(first), dtype=np.int64)
    for start in first.T:
        counts = np.maximum(counts, ((first <= start[:, None]) & (start[:, None] <= last)).sum(axis=1))
    return counts


def at_most(bounds: NDArray[Any]) -> NDArray[Any]:
    """As `counts`, or more than that where it would take long to say exactly."""
    import numpy as np

    degrees = bounds.shape[-1]
    if degrees <= 2:
        return counts(bounds)
    if degrees == 3:
        return _overlaps(*_about(np.asarray(bounds, dtype=np.float64)))
    return np.full(len(bounds), bounds.shape[1])


def _about(bounds: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For bounds ``a + b*size + c*size**2``: a first and a last size of each, no narrower than it is."""
    import numpy as np

    a, b, c = (bounds[..., power] for power in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong = _WRONG * (b * b + np.abs(4 * a * c))
        inside = b * b - 4 * a * c
        real, root = inside >= -wrong, np.sqrt(np.maximum(inside, 0))
        off = np.minimum(wrong / (2 * root), np.sqrt(wrong)) + _WRONG * (np.abs(b) + root)
        apart = np.where(c == 0, _WRONG * np.abs(a / b), off / np.abs(2 * c))
        low, high = np.sort(np.stack([(-b - root) / (2 * c), (-b + root) / (2 * c)]), axis=0)
        line = -a / b
    apart = np.nan_to_num(apart, nan=0.0, posinf=0.0)
    everywhere, nowhere, without_end = (np.full_like(a, value) for value in (0.0, -1.0, np.inf))
    cases = [(c > 0) & real & (low < 1 - apart), c > 0, (c < 0) & real, c < 0, b > 0, b < 0, a >= 0]
    first = np.select(cases, [high, everywhere, low, everywhere, line, everywhere, everywhere], everywhere)
    last = np.select(cases, [without_end, without_end, high, nowhere, without_end, line, without_end], nowhere)
    first, last = np.ceil(first - apart), np.floor(last + apart)
    return np.maximum(first, 1).max(axis=2), last.min(axis=2)
