"""What a run of a module did, as data: every contraction with its named axes, every parameter, every saved tensor.

Sizes are ints in a run on concrete sizes and sympy expressions in a run on symbolic ones, so that the two can be
compared record by record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sympy import Expr

Size: TypeAlias = "int | Expr"


@dataclass(frozen=True)
class Record:
    """One kind of contraction at one place: ``times`` calls with the same sizes.

    ``module`` is the path in ``named_modules()``; ``phase`` is forward, backward or recompute; ``spec`` is the einsum
    over named axes, as the operator's rule declares it; ``sizes`` are its axes' sizes, in their order in ``spec``.
    """

    module: str
    operator: str
    phase: str
    spec: str
    sizes: tuple[Size, ...]
    times: int = 1


@dataclass(frozen=True)
class Stored:
    """A parameter, or a tensor saved for the backward pass: where, its shape, and bytes for each element."""

    module: str
    name: str
    shape: tuple[Size, ...]
    element_size: int = 4
    times: int = 1


@dataclass(frozen=True)
class Run:
    """A forward (and backward) pass: contractions, distinct parameters, distinct tensors saved for backward."""

    records: tuple[Record, ...]
    parameters: tuple[Stored, ...]
    saved: tuple[Stored, ...] = ()
