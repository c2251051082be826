"""Building and measuring a network of different layers: twice the layers take about twice the time.

No layer equals another (each has its own d_ff), so nothing can be shared. Run as
`python benchmarks/bench_build.py [--json]`; exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count

from sympy import Add, Expr
from sympy.core.cache import clear_cache

from symflops.layers.attention import Heads, attention_core, project, separate_qkv
from symflops.layers.feedforward import gated_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.masks import Causal
from symflops.measures import flops, params
from symflops.networks import Block
from symflops.notation import d_ff, d_head, n_head, n_kv_head, n_seq

LAYERS = 126
DOUBLING = 2.8
"""Doubling the layers may take this many times as long; quadratic work would take 4."""


_WIDTHS = count(1000)


def layer(number: int) -> Block:
    """A layer that no other equals, of this network or any other: nothing remembered helps."""
    heads = Heads(n_head, n_kv_head, d_head)
    parts = [
        separate_qkv(heads, NO_BIAS),
        attention_core(heads, Causal(n_seq, n_seq)),
        project(heads, NO_BIAS),
        gated_feedforward("silu", NO_BIAS).subs(d_ff, next(_WIDTHS)),
    ]
    return Block(f"layer {number}", Add(*parts))


def build(layers: int) -> Expr:
    """The network."""
    return Add(*(layer(number) for number in range(layers)))


def seconds(run: Callable[[], object]) -> float:
    """One run, without what sympy remembers of earlier ones."""
    clear_cache()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measured(repeats: int) -> dict[str, dict[str, float | bool]]:
    """How the time grows when the layers double."""
    tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "build": (lambda: build(LAYERS), lambda: build(2 * LAYERS)),
        "build and params": (lambda: params(build(LAYERS)), lambda: params(build(2 * LAYERS))),
        "build and flops": (lambda: flops(build(LAYERS), "exact"), lambda: flops(build(2 * LAYERS), "exact")),
    }
    figures: dict[str, dict[str, float | bool]] = {}
    for name, (one, two) in tasks.items():
        ratio = statistics.median(seconds(two) / seconds(one) for _ in range(repeats))
        figures[name] = {"seconds": seconds(one), "ratio": ratio, "limit": DOUBLING, "ok": ratio <= DOUBLING}
    return figures


def main() -> int:
    """Measure, print, and say by the exit code whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measured(options.repeats)
    lines = (
        f"{name}: {it['seconds']:.3f} s for {LAYERS} layers; doubled, {it['ratio']:.2f} times, limit {it['limit']}"
        for name, it in figures.items()
    )
    print(json.dumps(figures) if options.json else "\n".join(lines))
    return 0 if all(it["ok"] for it in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
