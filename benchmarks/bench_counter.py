"""Time of counting a forward pass, against torch's FlopCounterMode on the same fake model, interleaved.

The model is transformers' LlamaForCausalLM at the size of Llama 3 405B, built on fake tensors outside the timing. Ours,
its stand-in for torch's, and torch's take turns, and each ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from symflops.tracing import Counter, FlopCounter

LIMIT = 1.2


def llama_405b(n_layer: int) -> torch.nn.Module:
    """Under a fake mode: sizes without memory."""
    config = LlamaConfig(
        hidden_size=16384,
        intermediate_size=53248,
        num_hidden_layers=n_layer,
        num_attention_heads=128,
        num_key_value_heads=8,
        vocab_size=128256,
        use_cache=False,
    )
    model: torch.nn.Module = LlamaForCausalLM(config)
    return model.eval()


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(n_layer: int, n_seq: int, repeats: int) -> dict[str, tuple[float, int]]:
    """Median seconds of each counter, and the FLOPs that it sees; torch's comes last."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = llama_405b(n_layer)
        tokens = torch.zeros(1, n_seq, dtype=torch.long)
        seen: dict[str, int] = {}

        def ours() -> None:
            with Counter(model) as counter:
                model(tokens)
            seen["Counter"] = counter.count.flops

        def mode(kind: Any) -> None:
            with kind(display=False) as counter:
                model(tokens)
            seen[kind.__name__] = counter.get_total_flops()

        model(tokens)  # fills torch's caches of fake results for all
        runs = (ours, lambda: mode(FlopCounter), lambda: mode(FlopCounterMode))
        times = [[seconds(run) for run in runs] for _ in range(repeats)]
    medians = map(statistics.median, zip(*times, strict=True))
    return {name: (median, seen[name]) for name, median in zip(seen, medians, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-layer", type=int, default=126, help="layers of the model (405B has 126)")
    parser.add_argument("--n-seq", type=int, default=1024, help="tokens")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved rounds of runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    *ours, (_, (peer, theirs)) = compare(options.n_layer, options.n_seq, options.repeats).items()
    ratios = {name: mine / peer for name, (mine, _) in ours}
    if options.json:
        figures = {name: {"ratio": ratio, "limit": LIMIT, "ok": ratio <= LIMIT} for name, ratio in ratios.items()}
        print(json.dumps({f"{name}_forward_llama_405b": each for name, each in figures.items()}))
    else:
        print(f"FlopCounterMode {peer:.3f} s ({theirs:.6e} FLOPs)")
        for name, (mine, flops) in ours:
            mark = "ok" if ratios[name] <= LIMIT else "MISSED"
            print(f"{name} {mine:.3f} s ({flops:.6e} FLOPs), ratio {ratios[name]:.3f}, limit {LIMIT}: {mark}")
    return 0 if all(ratio <= LIMIT for ratio in ratios.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
