"""`symflops evaluate` as a whole process, against one that counts the same with FlopCounterMode on meta tensors.

Time and peak memory of both, taken in turns; a figure is the median of the ratios. The peer builds transformers' class
from the same config and runs one forward pass under FlopCounterMode, whose total is set beside ours: it has no price
for grouped products of experts. Run as `python benchmarks/bench_families.py [--json] [--models NAME …]`; exits with 1
where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

MODELS = ("llama3-405b", "mixtral-8x7b", "deepseek-v3")
TIME, MEMORY = 1 / 8, 1 / 5
SEQ = 2048
_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
sys.stderr.write(done.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(done.stdout)
sys.exit(done.returncode)
"""
_PEER = """
import json, sys, torch, transformers
from torch.utils.flop_counter import FlopCounterMode
fields, length = json.loads(sys.argv[1]), int(sys.argv[2])
config = transformers.CONFIG_MAPPING[fields["model_type"]].from_dict(fields)
with torch.device("meta"):
    make = transformers.AutoModelForCausalLM.from_config
    model = make(config, attn_implementation="eager", dtype=torch.bfloat16).eval()
    ids, places = torch.zeros((1, length), dtype=torch.long), torch.arange(length)[None]
    whole = torch.zeros((1, 1, length, length), dtype=torch.bfloat16)
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    model(input_ids=ids, position_ids=places, attention_mask=whole, use_cache=False)
print(json.dumps({"params": sum(each.numel() for each in model.parameters()), "flops": counter.get_total_flops()}))
"""


def run(command: list[str]) -> tuple[float, float, Any]:
    """One process: seconds, peak memory in MiB, and the JSON it printed."""
    start = time.perf_counter()
    # As installed: both with their bytecode on disk, which some environments switch off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    whole = [sys.executable, "-c", _MEASURED, *command]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    memory, _, printed = done.stdout.partition("\n")
    return seconds, int(memory) / 1024, json.loads(printed)


def commands(name: str, length: int) -> tuple[list[str], list[str]]:
    """Ours and the peer's."""
    from symflops import architecture

    python = sys.executable
    ours = [python, "-c", "from symflops.cli import main; main()", "evaluate", name, "--seq", str(length), "--json"]
    return ours, [python, "-c", _PEER, json.dumps(dict(architecture(name).config)), str(length)]


def measured(models: list[str], repeats: int, length: int) -> dict[str, dict[str, Any]]:
    """For each model the ratios of time and memory, and both counts."""
    figures: dict[str, dict[str, Any]] = {}
    for name in models:
        ours, peer = commands(name, length)
        pairs = [(run(ours), run(peer)) for _ in range(repeats)]
        counts = pairs[0][0][2], pairs[0][1][2]
        for what, place, limit, unit in (("time", 0, TIME, "seconds"), ("memory", 1, MEMORY, "MiB")):
            ratio = statistics.median(one[place] / other[place] for one, other in pairs)
            used = [round(statistics.median(each[place] for each in side), 2) for side in zip(*pairs, strict=True)]
            figures[f"{name}, {what}"] = {
                "ratio": ratio, "limit": limit, "ok": ratio <= limit, unit: used,
                "flops": counts[0]["C_forward"], "flops of the peer": counts[1]["flops"],
                "params agree": counts[0]["params"] == counts[1]["params"],
            }  # fmt: skip
    return figures


def main() -> int:
    """Measure, print, and say by the exit code whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--seq", type=int, default=SEQ)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measured(options.models, options.repeats, options.seq)
    lines = (f"{name}: ratio {it['ratio']:.3f}, limit {it['limit']}; {it}" for name, it in figures.items())
    print(json.dumps(figures) if options.json else "\n".join(lines))
    return 0 if all(it["ok"] for it in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
