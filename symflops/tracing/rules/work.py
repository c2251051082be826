"""What one call of an operator computes: einsums over named sizes, and elements touched one at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

Size: TypeAlias = int | torch.SymInt


@functools.cache
def axes(spec: str) -> tuple[str, ...]:
    """The axes of an einsum's text, each once, in order of first appearance.

    >>> axes("m k, k n -> m n")
    ('m', 'k', 'n')
    """
    return tuple(dict.fromkeys(spec.replace(",", " ").replace("->", " ").split()))


@dataclass(frozen=True, slots=True)
class Einsum:
    """One contraction: which axes meet, and how long each is.

    `sizes` may hold `torch.SymInt`s: nothing here compares, hashes or rounds them. An axis that only tells which
    block of an operand is read (the expert of a token, the kv head of a query head) adds no work and is not listed.

    >>> Einsum("m k, k n -> m n", {"m": 2, "k": 3, "n": 5}).macs
    30
    """

    spec: str
    sizes: Mapping[str, Size]

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the product of all axes."""
        sizes: Any = self.sizes.values()
        return math.prod(sizes)


@dataclass(frozen=True, slots=True)
class Elements:
    """Arithmetic that is no contraction, counted in elements; what an element costs is a convention's business.

    >>> Elements(12).count
    12
    """

    count: int


Work: TypeAlias = Einsum | Elements
Works: TypeAlias = Work | tuple[Work, ...]
