"""Closed forms from code: against one count of a large model by torch's counter, for many layers, and in memory.

The closed forms of Llama, in all its sizes and without their certificate, take turns with one forward count of Llama 3
405B (126 layers) by FlopCounterMode, on fake tensors that were made before. Tracing a config of 126 layers takes turns
with one of 32. Peak memory is that of a process of its own, as a part of 1 GiB. Run as
`python benchmarks/bench_trace.py [--json]`; exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Figure: TypeAlias = dict[str, float | bool]
GIB = 2**30
AGAINST_ONE_COUNT, MORE_LAYERS, OF_A_GIB = 1.0, 1.2, 1.0
FEW, MANY = 32, 126
IMPORTS = "import resource, torch, transformers, symflops.tracing.trace as traced"
TRACED = "; traced.trace(sys.argv[1], certify=0)"
PEAK = "; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
KIB = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in


def figure(ratio: float, limit: float, **more: float) -> Figure:
    """A ratio with its limit, and what it was made of."""
    return {"ratio": ratio, "limit": limit, "ok": ratio <= limit, **more}


# --- memory -----------------------------------------------------------------------------------------------------------


def peak(code: str, target: str) -> int:
    """Bytes that a process of its own had at most.

    A child starts with the peak of the process that made it, so this one must not have imported torch yet.
    """
    command = [sys.executable, "-c", f"import sys; {IMPORTS}{code}{PEAK}", target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return KIB * int(done.stdout.split()[-1])


def memory(target: str) -> Figure:
    """The peak of tracing a target as a part of 1 GiB; the imports alone are given beside it."""
    whole, imports = peak(TRACED, target), peak("", target)
    return figure(whole / GIB, OF_A_GIB, mib=whole / 2**20, imports_mib=imports / 2**20)


# --- time -------------------------------------------------------------------------------------------------------------


def seconds(run: Callable[[], object]) -> float:
    """One run, without what sympy remembers of earlier ones."""
    from sympy.core.cache import clear_cache

    clear_cache()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], repeats: int, limit: float) -> Figure:
    """The median of the ratios."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    ratio = statistics.median(own / other for own, other in pairs)
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return figure(ratio, limit, seconds=own, peer=other)


def closed_forms(target: str) -> None:
    """Parameters, FLOPs and saved bytes in all sizes; the certificate is another matter."""
    from symflops.tracing.trace import trace

    trace(target, certify=0)


def one_count(n_layer: int, n_seq: int) -> Callable[[], None]:
    """A forward count of Llama 3 405B by torch's counter, on a model that is made already."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM

    from symflops.architectures import presets

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fields = {**presets()["llama3-405b"]["config"], "num_hidden_layers": n_layer, "use_cache": False}
        model = LlamaForCausalLM(LlamaConfig.from_dict(fields)).eval()
        tokens = torch.zeros(1, n_seq, dtype=torch.long)

    def run() -> None:
        with mode, FlopCounterMode(display=False):
            model(tokens)

    return run


def with_layers(target: str, n_layer: int, folder: Path) -> str:
    """A target's config with as many layers, as a file."""
    from symflops.tracing.targets import resolve

    found = resolve(target)
    path = folder / f"{n_layer}.json"
    path.write_text(json.dumps({**found.defaults, found.dimensions["n_layer"]: n_layer}, default=str), encoding="utf-8")
    return str(path)


def measured(options: argparse.Namespace) -> dict[str, Figure]:
    """All figures; memory first, while this process is small."""
    figures = {f"memory of tracing {target}": memory(target) for target in options.memory}
    ours = options.target
    theirs = one_count(options.n_layer, options.n_seq)
    closed_forms(ours), theirs()  # Imports, and torch's caches of fake results, are nobody's time.
    name = f"closed forms of {ours} against one count of {options.n_layer} layers"
    figures[name] = in_turns(lambda: closed_forms(ours), theirs, options.repeats, AGAINST_ONE_COUNT)
    with tempfile.TemporaryDirectory() as folder:
        many, few = (with_layers(ours, n_layer, Path(folder)) for n_layer in (MANY, FEW))
        figures[f"closed forms of {MANY} layers against {FEW}"] = in_turns(
            lambda: closed_forms(many), lambda: closed_forms(few), options.repeats, MORE_LAYERS
        )
    return figures


def line(name: str, it: Figure) -> str:
    """One figure as text."""
    parts = ", ".join(f"{key} {value:.1f}" for key, value in it.items() if key not in ("ratio", "limit", "ok"))
    return f"{name}: {it['ratio']:.2f}, limit {it['limit']}{'' if it['ok'] else ' MISSED'} ({parts})"


def main() -> int:
    """Measure, print, and say by the exit code whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="hf:llama", help="what is traced for the two ratios of times")
    parser.add_argument(
        "--memory", nargs="*", default=["hf:llama", "hf:deepseek_v3"], help="what is traced for its memory"
    )
    parser.add_argument("--n-layer", type=int, default=MANY, help="layers of the model that torch counts")
    parser.add_argument("--n-seq", type=int, default=1024, help="its tokens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measured(options)
    print(json.dumps(figures) if options.json else "\n".join(line(name, it) for name, it in figures.items()))
    return 0 if all(it["ok"] for it in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
