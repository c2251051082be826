"""Times sweeps of a million points against the same grid written by hand in NumPy.

The grid is Llama 3 8B over layers, width and length; the result is its three columns, its parameters and its training
FLOPs. ``by hand`` broadcasts one array for each axis, as an expert writes it; ``meshgrid`` spreads the axes out first.
Both sides run in turns, and a figure is the median of the ratios. Run as `python benchmarks/bench_sweep.py [--json]`;
it exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from bench_evaluate import Figure, compared, reported
from numpy.typing import NDArray

from symflops.sweeping import held, prepared

AXES = {"n_layer": np.arange(1, 101), "d_model": np.arange(128, 12801, 128), "seq": np.arange(128, 12801, 128)}
HEADS, KV_HEADS, D_FF, VOCAB = 32, 8, 14336, 128256
LIMIT = 2.0


def costs(n_layer: Any, d_model: Any, n_seq: Any) -> tuple[Any, Any]:
    """Parameters and training FLOPs, as a person writes them."""
    d_head = d_model // HEADS
    qkv_and_out = 2 * d_model * HEADS * d_head + 2 * d_model * KV_HEADS * d_head
    params = n_layer * (qkv_and_out + 3 * d_model * D_FF + 2 * d_model) + 2 * VOCAB * d_model + d_model
    per_token = n_layer * (qkv_and_out + 3 * d_model * D_FF + 2 * n_seq * HEADS * d_head) + VOCAB * d_model
    return params, 6 * n_seq * per_token


def by_hand(axes: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The whole table from one array for each axis."""
    grid = np.ix_(*axes.values())
    columns = dict(zip((*axes, "params", "C_training"), (*grid, *costs(*grid)), strict=True))
    shape = tuple(map(len, axes.values()))
    return {name: np.broadcast_to(values, shape).reshape(-1) for name, values in columns.items()}


def meshgrid(axes: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The whole table from columns."""
    grid = [each.reshape(-1) for each in np.meshgrid(*axes.values(), indexing="ij")]
    return dict(zip((*axes, "params", "C_training"), (*grid, *costs(*grid)), strict=True))


def measured(step: int = 1, repeats: int = 15) -> dict[str, Figure]:
    """All figures, over every ``step``-th value of each axis."""
    axes = {name: values[::step] for name, values in AXES.items()}
    sweep = prepared("llama3-8b", axes, ["params", "C_training"])
    found = held(sweep)
    theirs: dict[str, Callable[[Any], Any]] = {"by hand": by_hand, "meshgrid": meshgrid}
    for other in theirs.values():
        for name, values in other(axes).items():
            np.testing.assert_array_equal(found.columns[name], values)
    return {
        f"sweep, {name}": compared(lambda: held(sweep), lambda other=other: other(axes), LIMIT, repeats, 1)  # type: ignore[misc]
        for name, other in theirs.items()
    }


def main() -> int:
    """Measures, prints, and says by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each side")
    parser.add_argument("--step", type=int, default=1, help="take every so many of an axis's values, for a quick run")
    given = parser.parse_args()
    return reported(measured(given.step, given.repeats), given.json)


if __name__ == "__main__":
    sys.exit(main())
