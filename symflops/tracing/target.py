"""A target: an unmodified model whose sizes can vary, and how it is built at given ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

import torch
from sympy.logic.boolalg import Boolean
from torch import nn

from symflops.architectures.names import Meanings
from symflops.errors import ConfigError
from symflops.tracing import fields
from symflops.tracing.building import made, place, without_initialisers
from symflops.tracing.inputs import inputs
from symflops.tracing.models import Built
from symflops.tracing.reference import Attention
from symflops.tracing.sampling import distinct, draw

Sizes = Mapping[str, Any]
Maker = Callable[[Sizes, "Kernels"], nn.Module]
Inputs = Callable[[Any, Sizes], Any]
"""From a module and sizes by name, integers or symbolic ones, to the arguments of one call."""
UNCHANGED: Meanings = MappingProxyType({})


@dataclass(frozen=True)
class Kernels:
    """How a transformers model computes: its attention, and its experts (None: as the class does by default)."""

    attention: Attention = "eager"
    experts: str | None = None


EAGER = Kernels()


@dataclass(frozen=True)
class Target:
    """An unmodified model whose sizes can vary.

    ``sizes`` names every size of the notation that it has, with a small value to run it at; ``meanings`` says what
    each field of its config is in them, ``dimensions`` what each of them is in the fields. ``conditions`` are relations
    to keep when sizes are varied. ``defaults`` are the fields as the class (or the file) has them. ``attentions`` and
    ``experts`` are the kernels it can be built with; ``inputs`` makes the arguments of one call.
    """

    name: str
    defaults: Mapping[str, Any] = field(repr=False)
    sizes: Mapping[str, int]
    meanings: Meanings
    dimensions: Mapping[str, str]
    conditions: tuple[Boolean, ...]
    attentions: tuple[Attention, ...]
    experts: tuple[str, ...]
    make: Maker = field(repr=False)
    inputs: Inputs = field(repr=False, default=inputs)

    @property
    def structural(self) -> frozenset[str]:
        """The sizes that drive loops in the code: they must be plain integers."""
        return frozenset(filter(fields.is_structural, self.sizes))

    def build(self, sizes: Sizes, kernels: Kernels = EAGER) -> nn.Module:
        """The model at these sizes, in eval mode and without initialised weights, on the current device.

        Sizes are integers, or torch's symbolic integers where they are not ``structural``; those not given are as in
        ``self.sizes``. Raises `ConfigError` for kernels that the class does not have.
        """
        self.accept(kernels)
        with without_initialisers():
            return self.make({**self.sizes, **sizes}, kernels).eval()

    def accept(self, kernels: Kernels) -> None:
        """Raises `ConfigError` for kernels that the class does not have."""
        for what, given, known in (
            ("attention", kernels.attention, self.attentions),
            ("experts", kernels.experts or "default", ("default", *self.experts)),
        ):
            if given not in known:
                raise ConfigError(f"{self.name} has no {given!r} {what}; it has {', '.join(known)}")

    def concrete(
        self, sizes: Mapping[str, int], kernels: Kernels = EAGER, device: str = "meta", dtype: str = "float32"
    ) -> Built:
        """The model at integer sizes, with the scope to run it in; ``device`` is as in `symflops.tracing.models.build`.

        >>> from symflops.tracing.targets import resolve
        >>> resolve("hf:gpt2").concrete({"n_layer": 1}).source
        'hf:GPT2LMHeadModel'
        """
        where, mode = place(device)
        kind: torch.dtype = getattr(torch, dtype)
        module = made(lambda: self.build(sizes, kernels), where, mode, kind)
        return Built(module, self.name, None, where, mode)


def small(names: list[str], conditions: tuple[Boolean, ...]) -> Mapping[str, int]:
    """A small size for each name: apart where code must not take two for one, and as many layers as there are kinds."""
    start = {name: fields.hint(name) for name in names}
    layers = {name: (start[name], start[name]) for name in names if name.startswith("n_layer")}
    counted = draw(
        {name: layers.get(name, (size, size)) for name, size in start.items()}, _among(conditions, layers), Random(0)
    )
    numbers = [name for name in names if fields.is_structural(name)]
    apart = [name for name in names if name not in layers]
    return MappingProxyType(distinct({**start, **{name: counted[name] for name in layers}}, apart, conditions, numbers))


def _among(conditions: tuple[Boolean, ...], names: Collection[str]) -> tuple[Boolean, ...]:
    """The conditions on these names alone."""
    return tuple(each for each in conditions if {symbol.name for symbol in each.free_symbols} <= set(names))
