"""Measures of layouts: what one of several devices holds, computes and sends, over ways of data and tensor parallelism.

Model states are shared by all replicas (ZeRO 3, 16 bytes for each parameter, Rajbhandari et al. 2020,
arXiv:1910.02054), everything outside of matmuls is cut along tokens (Korthikanti et al. 2022, arXiv:2205.05198).

>>> from symflops.architectures import architecture
>>> held(architecture("gpt2").network).has(n_tensor)
True
>>> [text for text, _, _ in conditions(architecture("llama3-8b").network)][:2]
['n_tensor divides d_ff', 'n_tensor divides n_head']
"""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Add, Expr, Mod

from symflops.notation import n_data, n_micro, n_tensor
from symflops.training.parallelism import Layout, Widths, memory, messages, needs
from symflops.training.parallelism.memory import MIXED

LAYOUT = Layout(data=n_data, tensor=n_tensor, micro=n_micro, sharding="zero3", sequence="split")
"""Ways of data and tensor parallelism, and micro-batches, in symbols."""


def held(network: Expr, widths: Widths = MIXED) -> Expr:
    """Bytes of a device: parameters, gradients, optimiser states, what is gathered, activations."""
    return memory(network, LAYOUT, widths=widths).total


def states(network: Expr) -> Expr:
    """Bytes of a device's share of parameters, gradients and optimiser states."""
    found = memory(network, LAYOUT)
    return found.parameters + found.gradients + found.optimizer


def sent(network: Expr) -> Expr:
    """Bytes that a device sends in a step, in rings."""
    return Add(*(each.sent for each in messages(network, LAYOUT)))


def conditions(network: Expr) -> Iterator[tuple[str, Expr, str]]:
    """What has to divide: heads, widths, the vocabulary, sequences, tokens."""
    for need in needs(network, LAYOUT):
        yield f"{need.ways} divides {need.size}", Mod(need.size, need.ways), "=="
