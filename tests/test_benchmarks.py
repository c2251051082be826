"""The benchmarks run and report; what they measure is judged by whoever runs them, never by a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


SMALL = {
    "bench_start": [],
    "bench_build": [],
    "bench_layouts": ["--devices", "16"],
    "bench_sweep": ["--step", "10"],
    "bench_trace": ["--target", "hf:gpt2", "--memory", "hf:gpt2", "--n-layer", "1", "--n-seq", "8"],
}
SLOW = ("bench_trace",)
_NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SMALL]


@pytest.mark.parametrize("name", _NAMES)
def test_a_benchmark_reports_each_ratio_with_its_limit(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--repeats", "1", "--json", *SMALL[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    figures = json.loads(done.stdout)
    assert figures and all(
        each["ratio"] > 0 and each["ok"] == (each["ratio"] <= each["limit"]) for each in figures.values()
    )
    assert done.returncode == (0 if all(each["ok"] for each in figures.values()) else 1)
