"""Whole processes against `python -c "import sympy"`: importing symflops, and deriving Kaplan's table.

They take turns, and a figure is the median of the ratios. Run as `python benchmarks/bench_start.py [--json]`; it exits
with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

PEER = [sys.executable, "-c", "import sympy"]
OURS = {
    "import symflops": ([sys.executable, "-c", "import symflops"], 1.3),
    "derive kaplan2020": ([sys.executable, "-c", "from symflops.cli import main; main(['derive', 'kaplan2020'])"], 2.0),
}


def seconds(command: list[str]) -> float:
    """One run of a process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measured(repeats: int) -> dict[str, dict[str, float | bool]]:
    """The ratio of each process to its peer."""
    figures: dict[str, dict[str, float | bool]] = {}
    for name, (command, limit) in OURS.items():
        seconds(command), seconds(PEER)
        ratio = statistics.median(seconds(command) / seconds(PEER) for _ in range(repeats))
        figures[name] = {"ratio": ratio, "limit": limit, "ok": ratio <= limit}
    return figures


def main() -> int:
    """Measure, print, and say by the exit code whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measured(options.repeats)
    lines = (f"{name}: ratio {it['ratio']:.2f}, limit {it['limit']}" for name, it in figures.items())
    print(json.dumps(figures) if options.json else "\n".join(lines))
    return 0 if all(it["ok"] for it in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
