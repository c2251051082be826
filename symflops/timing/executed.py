"""What kernels execute, priced: every matmul, masked pairs among them, unless the kernel leaves those out.

>>> EXECUTED.pairs, EXECUTED.price("mac", "recompute", "scores")
('exact', 2)
"""

from __future__ import annotations

from dataclasses import replace

from symflops.conventions import TORCH

CAUSAL, MASKED = " causal", " masked"
"""How the name of a core's kernel ends: it leaves out what is masked causally, or computes what a tensor then masks.

The twin that masks nothing has the same name without."""
EXECUTED = replace(
    TORCH,
    name="executed",
    title="what fused attention executes",
    citation="symflops: 2 for each multiply-accumulate of attended pairs; what backward recomputes is paid again",
    domain="attention cores that run as one kernel",
    pairs="exact",
)
"""The work of a fused attention core: masked pairs are left out, and its backward pass recomputes the scores."""
