"""A layout: how the devices of a training run share a model, its optimiser's states, its tokens and its layers.

Each number of ways is a size, in symbols or a number. A device belongs to one group of each kind, so that the ways
multiply; expert parallelism takes its groups out of those that hold the same parameters, data and context parallel.

>>> from symflops.notation import n_data, n_tensor
>>> Layout(data=n_data, tensor=n_tensor).devices
n_data*n_tensor
>>> Layout(data=4, tensor=2, sharding="fsdp").stages
('only',)
>>> Layout(sharding="fdsp")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown sharding 'fdsp'; did you mean 'fsdp' or 'ddp'? (known: ddp, fsdp, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

from sympy import Expr, Integer, S, Symbol

from symflops.errors import UnknownName
from symflops.notation import (
    n_context,
    n_data,
    n_expert_parallel,
    n_interleave,
    n_micro,
    n_pipeline,
    n_tensor,
    symbol,
)
from symflops.sizes import positive_integer

Stage = Literal["only", "first", "inner", "last"]
"""A place in a pipeline; ``only`` where there is one stage."""
Cut = Literal["rows", "flat"]
"""``rows``: each tensor's first axis in chunks of equal length, filled up; ``flat``: all elements in a row, evenly."""


@dataclass(frozen=True)
class Sharding:
    """Who keeps what among devices that hold the same parameters, and when whole parameters are gathered.

    ``shared`` are the parts of which each device keeps its own share: ``optimizer``, ``gradients``, ``parameters``.
    ``layers`` and ``rest`` say in which passes the parameters of layers, and all others, are gathered.
    """

    name: str
    source: str
    shared: frozenset[str] = frozenset()
    cut: Cut = "flat"
    layers: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


_ZERO = "Rajbhandari et al. 2020, arXiv:1910.02054, section 5"
_FSDP = "Zhao et al. 2023, arXiv:2304.11277; torch.distributed.fsdp.fully_shard"
_ALL = frozenset({"optimizer", "gradients", "parameters"})
_BOTH = ("forward", "backward")
_SHARDINGS = (
    Sharding("ddp", "Li et al. 2020, arXiv:2006.15704"),
    Sharding("zero1", _ZERO, frozenset({"optimizer"}), layers=("step",), rest=("step",)),
    Sharding("zero2", _ZERO, frozenset({"optimizer", "gradients"}), layers=("step",), rest=("step",)),
    Sharding("zero3", _ZERO, _ALL, layers=_BOTH, rest=_BOTH),
    # fully_shard frees layers after the forward pass and keeps what the outermost module owns until the backward pass.
    Sharding("fsdp", _FSDP, _ALL, "rows", _BOTH, ("forward",)),
    Sharding("fsdp kept", f"{_FSDP}, reshard_after_forward=False", _ALL, "rows", ("forward",), ("forward",)),
)
SHARDINGS: Mapping[str, Sharding] = MappingProxyType({each.name: each for each in _SHARDINGS})
"""All shardings, by name."""
_WAYS = ("data", "tensor", "context", "pipeline", "interleave", "expert", "micro")
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"sequence": ("whole", "split"), "checkpoint": ("nothing", "layers"), "sharding": tuple(SHARDINGS)}
)


@dataclass(frozen=True)
class Layout:
    """Ways of ``data``, ``tensor``, ``context``, ``pipeline`` and ``expert`` parallelism, and how a step is cut.

    ``interleave`` parts of the model on each pipeline stage; ``micro`` micro-batches of a step on each pipeline, or of
    gradient accumulation; ``sharding`` a name of `SHARDINGS`; ``sequence`` ``split`` where what is not tensor parallel
    is cut along tokens (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2); ``checkpoint`` ``layers`` where each
    layer keeps its input alone and runs again. Raises `SizeError` for ways that are no positive integer or symbol,
    `UnknownName` for an unknown choice.
    """

    data: Expr = S.One
    tensor: Expr = S.One
    context: Expr = S.One
    pipeline: Expr = S.One
    interleave: Expr = S.One
    expert: Expr = S.One
    micro: Expr = S.One
    sharding: str = "ddp"
    sequence: str = "whole"
    checkpoint: str = "nothing"

    def __post_init__(self) -> None:
        for name in _WAYS:
            object.__setattr__(self, name, _way(name, getattr(self, name)))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)

    @property
    def devices(self) -> Expr:
        """All devices."""
        return self.replicas * self.tensor * self.pipeline

    @property
    def replicas(self) -> Expr:
        """The devices that hold the same parameters: each has its own sequences, or its own tokens of them."""
        return self.data * self.context

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The kinds of stages that a pipeline has."""
        if self.pipeline == 1:
            return ("only",)
        return ("first", "last") if self.pipeline == 2 else ("first", "inner", "last")

    @property
    def kept_by(self) -> Sharding:
        """The sharding itself."""
        return SHARDINGS[self.sharding]

    @property
    def tokens_split(self) -> Expr:
        """Into how many parts tokens are cut where an operation is not tensor parallel."""
        return self.tensor if self.sequence == "split" else S.One

    def ways(self, group: str) -> Expr:
        """The devices of a group of that kind: data (the replicas), tensor, context, pipeline, expert, experts' data.

        Raises `UnknownName` for another word.
        """
        found = {
            "data": self.replicas, "tensor": self.tensor, "context": self.context, "pipeline": self.pipeline,
            "expert": self.expert, "expert data": self.replicas / self.expert,
        }  # fmt: skip
        if group not in found:
            raise UnknownName("group", group, found)
        return found[group]

    def at(self, **sizes: int) -> Layout:
        """The same with numbers for symbols, by the names of the notation."""
        values = {symbol(name): value for name, value in sizes.items()}
        return Layout(**{each.name: _subs(getattr(self, each.name), values) for each in fields(self)})


def _way(name: str, given: Any) -> Expr:
    if isinstance(given, Symbol) or (isinstance(given, Expr) and not given.is_number and given.is_positive):
        return given
    return Integer(positive_integer(f"of {name} ways", given))


def _subs(value: Any, values: Mapping[Symbol, int]) -> Any:
    return value.subs(values) if isinstance(value, Expr) else value


SYMBOLIC = Layout(n_data, n_tensor, n_context, n_pipeline, n_interleave, n_expert_parallel, n_micro)
"""Every way in its symbol."""

__all__ = ["SHARDINGS", "SYMBOLIC", "Cut", "Layout", "Sharding", "Stage"]
