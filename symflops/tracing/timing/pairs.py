"""The pairs that a mask lets see each other, as a tensor.

>>> from symflops.masks import SlidingWindow
>>> attended(SlidingWindow(3, 3, 2), torch.device("cpu")).int().tolist()
[[1, 0, 0], [1, 1, 0], [0, 1, 1]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch

from symflops.errors import DeclarationError
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow

Rule = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
"""From a mask, the number of the last key that each query may see as a causal one, and the keys, to who sees whom."""
_RULES: Mapping[type[AttendedPairs], Rule] = MappingProxyType(
    {
        Full: lambda mask, last, key: (last == last) & (key == key),
        Causal: lambda mask, last, key: key <= last,
        CausalTopLeft: lambda mask, last, key: key <= last,
        SlidingWindow: lambda mask, last, key: (key <= last) & (key > last - int(mask.args[2])),
        Prefix: lambda mask, last, key: (key <= last) | (key < int(mask.args[2])),
    }
)
"""The masks at once for all pairs: one after the other, the pairs of a long context take minutes."""


@lru_cache(maxsize=1)
def attended(mask: AttendedPairs, device: torch.device) -> torch.Tensor:
    """Whether each query sees each key, [query key], of a mask at concrete sizes.

    Raises `DeclarationError` where they are not as many as the mask's closed form counts.
    """
    rule = _RULES.get(type(mask))
    found = _one_by_one(mask) if rule is None else rule(mask, *_positions(mask))
    count = int(found.sum())
    if count != int(mask):
        raise DeclarationError(f"{mask}: {count} pairs see each other, and its closed form counts {int(mask)}")
    return found.to(device)


def _positions(mask: AttendedPairs) -> tuple[torch.Tensor, torch.Tensor]:
    shift = int(mask.shift) if isinstance(mask, Causal) else 0
    return torch.arange(int(mask.n_query))[:, None] + shift, torch.arange(int(mask.n_key))


def _one_by_one(mask: AttendedPairs) -> torch.Tensor:
    return torch.tensor([[mask.attends(i, j) for j in range(int(mask.n_key))] for i in range(int(mask.n_query))])
