"""What a run of a module did, as data: contractions with named axes, calls with their bytes, parameters, saved tensors.

Sizes are ints in a run on concrete sizes and sympy expressions in a run on symbolic ones, so that the two can be
compared record by record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, TypeAlias

from sympy import Expr

Size: TypeAlias = "int | Expr"


@dataclass(frozen=True)
class Item:
    """Something at a place in the code that has sizes: ``times`` of it are alike.

    ``module`` is the path in ``named_modules()``.
    """

    module: str

    @property
    def number(self) -> int:
        """How many are alike."""
        return int(vars(self)["times"])

    @property
    def values(self) -> tuple[Size, ...]:
        """Its sizes."""
        raise NotImplementedError

    def at(self, values: tuple[Size, ...]) -> Self:
        """The same with other sizes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Record(Item):
    """One kind of contraction at one place: ``times`` calls with the same sizes.

    ``phase`` is forward, backward or recompute; ``spec`` is the einsum over named axes, as the operator's rule declares
    it; ``sizes`` are its axes' sizes, in their order in ``spec``.
    """

    operator: str
    phase: str
    spec: str
    sizes: tuple[Size, ...]
    times: int = 1

    @property
    def values(self) -> tuple[Size, ...]:
        return self.sizes

    def at(self, values: tuple[Size, ...]) -> Self:
        return replace(self, sizes=values)


@dataclass(frozen=True)
class Stored(Item):
    """A parameter, or a tensor saved for the backward pass: where, its shape, and bytes for each element."""

    name: str
    shape: tuple[Size, ...]
    element_size: int = 4
    times: int = 1

    @property
    def values(self) -> tuple[Size, ...]:
        return self.shape

    def at(self, values: tuple[Size, ...]) -> Self:
        return replace(self, shape=values)


@dataclass(frozen=True)
class Call(Item):
    """One kind of call of an operator at one place, whatever it does: ``times`` calls with the same amounts.

    ``kind`` is that of `rules.registry.Pricing`. ``elements`` counts arithmetic that is no contraction, one step for
    each element; ``read`` and ``written`` are bytes.
    """

    operator: str
    phase: str
    kind: str
    elements: Size
    read: Size
    written: Size
    times: int = 1

    @property
    def values(self) -> tuple[Size, ...]:
        return self.elements, self.read, self.written

    def at(self, values: tuple[Size, ...]) -> Self:
        elements, read, written = values
        return replace(self, elements=elements, read=read, written=written)


@dataclass(frozen=True)
class Run:
    """A forward (and backward) pass: contractions, distinct parameters, distinct tensors saved for backward, calls."""

    records: tuple[Record, ...]
    parameters: tuple[Stored, ...]
    saved: tuple[Stored, ...] = ()
    calls: tuple[Call, ...] = ()
