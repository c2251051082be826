"""Cost laws: stated once, proved or tested, and asked of any cost function.

>>> from symflops.laws import check
>>> def flops(n_layer, d_model, d_ff, n_vocab, seq_len):
...     return 6 * (n_layer * (4 * d_model**2 + 2 * d_model * (d_ff + seq_len)) + d_model * n_vocab)
>>> check(flops, "training per=token families=gpt2", examples=5).holds
True
"""

from importlib import import_module
from typing import Any

_LATE = {
    "check": "running", "assert_holds": "running", "run_own": "running", "LAWS": "catalogue", "adapter": "adapters",
    "Adapter": "adapters", "find_claims": "finding", "Case": "cost", "Claims": "cost", "Cost": "cost", "Law": "law",
}  # fmt: skip
"""What is imported when it is asked for: the catalogue's networks are not needed to read one law."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"symflops.laws.{_LATE[name]}"), name)
    raise AttributeError(f"module 'symflops.laws' has no attribute {name!r}")


__all__ = [
    "LAWS", "Adapter", "Case", "Claims", "Cost", "Law", "adapter", "assert_holds", "check", "find_claims", "run_own",
]  # fmt: skip
