"""Times compiled formulas against the same formula written by hand: exact calls and sweeps of a million models.

The formula is the FLOPs of Llama's forward pass. Both sides run in turns, and a figure is the median of the ratios.
Run as `python benchmarks/bench_evaluate.py [--json]`; it exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflops.evaluate import Compiled, compiled
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_kv_head, n_layer, n_seq, n_vocab

LLAMA_70B = {
    "n_batch": 8,
    "n_seq": 2048,
    "n_layer": 80,
    "d_model": 8192,
    "n_head": 64,
    "n_kv_head": 8,
    "d_head": 128,
    "d_ff": 28672,
    "n_vocab": 128256,
}
MODELS = 10**6


@dataclass(frozen=True)
class Figure:
    """One measured ratio of times, and what it may be at most."""

    ratio: float
    limit: float
    seconds: float
    by_hand: float

    @property
    def ok(self) -> bool:
        """Whether the limit is kept."""
        return self.ratio <= self.limit


def by_hand(B: Any, T: Any, L: Any, d: Any, H: Any, K: Any, h: Any, F: Any, V: Any) -> Any:
    """The formula as a person writes it."""
    return 2 * B * T * (L * (d * (H * h) * 2 + 2 * d * K * h + 3 * d * F + 2 * T * H * h) + V * d)


def formula() -> Compiled:
    """The same, derived form: multiplied out as a sum of operations, then compiled."""
    symbols = (n_batch, n_seq, n_layer, d_model, n_head, n_kv_head, d_head, d_ff, n_vocab)
    return compiled(by_hand(*symbols).expand(), list(LLAMA_70B))


def models(count: int) -> dict[str, NDArray[np.int64]]:
    """Random models between a hundredth and the whole of Llama's sizes."""
    random = np.random.default_rng(0)
    return {name: random.integers(1 + size // 100, size + 1, count) for name, size in LLAMA_70B.items()}


def timed(run: Callable[[], Any], times: int) -> float:
    """Seconds of one run, over several."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def calls(function: Callable[..., Any]) -> Callable[[], None]:
    """A thousand calls with Llama's sizes, written out as a caller does."""

    def run() -> None:
        for _ in range(1000):
            function(8, 2048, 80, 8192, 64, 8, 128, 28672, 128256)

    return run


def compared(ours: Callable[[], Any], theirs: Callable[[], Any], limit: float, repeats: int, times: int) -> Figure:
    """The median over interleaved repeats of our time over theirs."""
    ours(), theirs()
    pairs = [(timed(ours, times), timed(theirs, times)) for _ in range(repeats)]
    ratio = statistics.median(own / other for own, other in pairs)
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(ratio, limit, own, other)


def measured(count: int = MODELS, repeats: int = 15) -> dict[str, Figure]:
    """All figures."""
    cost = formula()
    arrays = models(count)
    floats = {name: array.astype(np.float64) for name, array in arrays.items()}
    np.testing.assert_array_equal(cost.sweep(**arrays), by_hand(*arrays.values()))
    return {
        "exact call": compared(calls(cost), calls(by_hand), 1.5, 5 * repeats, 5),
        "float64 sweep": compared(
            lambda: cost.sweep_float64(**floats), lambda: by_hand(*floats.values()), 1.1, repeats, 1
        ),
        "float64 of ints": compared(
            lambda: cost.sweep_float64(**arrays),
            lambda: by_hand(*(array.astype(np.float64) for array in arrays.values())),
            1.1,
            repeats,
            1,
        ),
        "int64 sweep": compared(lambda: cost.sweep(**arrays), lambda: by_hand(*arrays.values()), 2.2, repeats, 1),
    }


def table(figures: dict[str, Figure]) -> str:
    """The figures as text."""
    lines = [f"{'':16} {'symflops':>12} {'by hand':>12} {'ratio':>6} {'limit':>6}"]
    for name, it in figures.items():
        mark = "" if it.ok else "  missed"
        lines.append(f"{name:16} {it.seconds:10.6f} s {it.by_hand:10.6f} s {it.ratio:6.2f} {it.limit:6.2f}{mark}")
    return "\n".join(lines)


def reported(figures: dict[str, Figure], as_json: bool) -> int:
    """Prints figures as text or JSON; the exit code, 1 where a limit is missed."""
    if as_json:
        print(json.dumps({name: {**asdict(figure), "ok": figure.ok} for name, figure in figures.items()}, indent=2))
    else:
        print(table(figures))
    return 0 if all(figure.ok for figure in figures.values()) else 1


def main() -> int:
    """Measures, prints, and says by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    return reported(measured(), given.json)


if __name__ == "__main__":
    sys.exit(main())
