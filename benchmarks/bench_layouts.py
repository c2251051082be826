"""Times the search of layouts against planning each candidate by itself.

``search`` ranks all candidates of a cluster at once; the peer plans some of them alone, with the closed forms made
already, and is taken for as many. A figure is the ratio, whose limit says that the search is so much faster. Run as
`python benchmarks/bench_layouts.py [--json]`; it exits with 1 where the limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median

from bench_evaluate import Figure, reported

from symflops.architectures import Architecture, architecture
from symflops.training.parallelism import MEGATRON, Choices, Cluster, Layout, Setting, best_layouts, policy
from symflops.training.parallelism.plan import planned
from symflops.training.parallelism.search import WAYS, candidates

LIMIT = 1 / 100
BATCH, SEQ = 1024, 8192


def measured(devices: int = 512, repeats: int = 5, some: int = 40) -> dict[str, Figure]:
    """The ratio of the search's seconds for each candidate to those of planning one."""
    model = architecture("llama3-70b", "flash")
    cluster = Cluster(devices, 8, 989 * 10**12, 80 * 10**9, 450 * 10**9, 50 * 10**9)
    setting = Setting(BATCH, SEQ, code=MEGATRON, policy=policy("data overlapped"))
    rows = candidates(model, cluster, setting, {"tensor": 8})
    chosen = rows[:: max(1, len(rows) // some)]
    alone, together = [], []
    for _ in range(repeats + 1):  # the first makes the closed forms
        together.append(_seconds_of_search(model, cluster))
        start = time.perf_counter()
        for row in chosen:
            ways = dict(zip(WAYS, map(int, row), strict=True))
            planned(model, cluster, Layout(**ways, sharding="fsdp", sequence="split"), setting)
        alone.append((time.perf_counter() - start) / len(chosen))
    ours, theirs = median(together[1:]), median(alone[1:])
    return {"search, for each candidate, over one plan": Figure(ours / theirs, LIMIT, ours, theirs)}


def _seconds_of_search(model: Architecture, cluster: Cluster) -> float:
    start = time.perf_counter()
    found = best_layouts(model, cluster, BATCH, SEQ, {"tensor": 8}, Choices(), limit=1)
    return (time.perf_counter() - start) / found.candidates


def main() -> int:
    """Measures, prints, and says by the exit code whether the limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side")
    parser.add_argument("--devices", type=int, default=512, help="devices of the cluster, for a quick run")
    given = parser.parse_args()
    return reported(measured(given.devices, given.repeats), given.json)


if __name__ == "__main__":
    sys.exit(main())
