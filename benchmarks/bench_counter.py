"""Time of counting a forward pass, against torch's FlopCounterMode on the same fake model, interleaved.

The model is transformers' LlamaForCausalLM at the size of Llama 3 405B, built on fake tensors outside the timing. The
two take turns, and the ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from symflops.tracing import Counter

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


def compare(n_layer: int, n_seq: int, repeats: int) -> tuple[float, float, int, int]:
    """Median seconds of ours and of torch's counter, and the FLOPs that each sees."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = llama_405b(n_layer)
        tokens = torch.zeros(1, n_seq, dtype=torch.long)
        seen = [0, 0]

        def ours() -> None:
            with Counter(model) as counter:
                model(tokens)
            seen[0] = counter.count.flops

        def torchs() -> None:
            with FlopCounterMode(display=False) as counter:
                model(tokens)
            seen[1] = counter.get_total_flops()

        model(tokens)  # fills torch's caches of fake results for both
        times = [(seconds(ours), seconds(torchs)) for _ in range(repeats)]
    mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return mine, theirs, seen[0], seen[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-layer", type=int, default=126, help="layers of the model (405B has 126)")
    parser.add_argument("--n-seq", type=int, default=1024, help="tokens")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved pairs of runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    mine, theirs, flops, torch_flops = compare(options.n_layer, options.n_seq, options.repeats)
    ratio = mine / theirs
    ok = ratio <= LIMIT
    if options.json:
        print(json.dumps({"counter_forward_llama_405b": {"ratio": ratio, "limit": LIMIT, "ok": ok}}))
    else:
        print(f"symflops {mine:.3f} s ({flops:.6e} FLOPs), FlopCounterMode {theirs:.3f} s ({torch_flops:.6e} FLOPs)")
        print(f"ratio {ratio:.3f}, limit {LIMIT}: {'ok' if ok else 'MISSED'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
