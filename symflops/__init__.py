"""symflops derives, proves and checks what a transformer costs: parameters, FLOPs and bytes as closed forms.

>>> import symflops
>>> symflops.derive("kaplan2020").C_terms
2*N + 2*d_attn*n_ctx*n_layer
"""

from importlib import import_module
from typing import Any

from symflops.architectures import Architecture, architecture
from symflops.catalogue import derive
from symflops.conventions import CONVENTIONS, Convention
from symflops.elementwise import Elementwise
from symflops.emit import emit
from symflops.errors import SymflopsError
from symflops.evaluate import compiled
from symflops.explain import explain
from symflops.identify import identify
from symflops.measures import active_params, bytes_read, bytes_written, flops, intensity, params, saved_elements, work
from symflops.networks import Block, Once, Recomputed, Routed, Tied
from symflops.operations import Contraction, Lookup, Operation
from symflops.totals import Total

__version__ = "0.1.0"


_LATE = {"trace": "symflops.tracing.trace", "verify": "symflops.claims"}
"""What is imported when it is asked for and not before: ``trace`` needs PyTorch, ``verify`` reads files."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'symflops' has no attribute {name!r}")


__all__ = [
    "CONVENTIONS", "Architecture", "Block", "Contraction", "Convention", "Elementwise", "Lookup", "Once", "Operation",
    "Recomputed", "Routed", "SymflopsError", "Tied", "Total", "active_params", "architecture", "bytes_read",
    "bytes_written", "compiled", "derive", "emit", "explain", "flops", "identify", "intensity", "params",
    "saved_elements", "work",
]  # fmt: skip
