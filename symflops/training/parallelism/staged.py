"""The figures of a stage in symbols, made once for each kind of layout, and evaluated for many layouts of that kind.

A number of ways that is one takes parts of the forms away: those of a pipeline, of its interleaving, of experts.

>>> kind(Layout(data=8, tensor=2, sharding="fsdp")).pipeline, kind(Layout(pipeline=4)).pipeline
(1, n_pipeline)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from sympy import Expr, Integer, S

from symflops.architectures.architecture import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import RUN, Convention
from symflops.notation import symbol
from symflops.training.parallelism.bound import POLICIES, Policy
from symflops.training.parallelism.communication import messages
from symflops.training.parallelism.device import device_flops
from symflops.training.parallelism.layouts import SYMBOLIC, Layout, Stage
from symflops.training.parallelism.memory import MIXED, Memory, Widths, memory
from symflops.training.parallelism.messages import Message
from symflops.training.parallelism.pieces import Storage, storage_of
from symflops.training.parallelism.tensor import MEGATRON, Implementation

WAYS = ("data", "tensor", "context", "pipeline", "interleave", "expert", "micro")
"""The numbers of a layout, in the order of their places in a table of candidates."""
_ABSENT = ("pipeline", "interleave", "expert")


@dataclass(frozen=True)
class Setting:
    """What layouts are judged under: the batch, bytes of elements, how code does it, price list and policy."""

    n_batch: int
    n_seq: int
    widths: Widths = MIXED
    code: Implementation = MEGATRON
    convention: Convention = RUN
    policy: Policy = POLICIES["data overlapped"]


@dataclass(frozen=True)
class Staged:
    """What a device of a stage holds, does and sends in a step."""

    memory: Memory
    work: Expr
    messages: tuple[Message, ...]


def kind(layout: Layout) -> Layout:
    """The layout in symbols, but for those ways that are one and take something away."""
    absent = {name: S.One for name in _ABSENT if getattr(layout, name) == 1}
    ways = {name: getattr(SYMBOLIC, name) for name in WAYS}
    return replace(layout, **{**ways, **absent})


@lru_cache(maxsize=512)
def staged(network: Expr, layout: Layout, stage: Stage, storage: Storage, setting: Setting) -> Staged:
    """The figures of a stage, in the symbols of the layout and the network."""
    widths = setting.widths
    return Staged(
        memory(network, layout, stage, widths, storage),
        device_flops(network, layout, setting.convention, "training", stage).expr,
        messages(network, layout, stage, widths, storage, setting.code),
    )


def figures(model: Architecture, layout: Layout, stage: Stage, setting: Setting) -> Staged:
    """The figures of a model's stage for a kind of layout."""
    return staged(model.network, layout, stage, storage_of(model), setting)


def values(model: Architecture, setting: Setting, layout: Layout | None = None) -> dict[Expr, Expr]:
    """A model's sizes, the batch's, and a layout's numbers, for their symbols."""
    sizes = {**model.sizes, "n_batch": setting.n_batch, "n_seq": setting.n_seq}
    ways = {} if layout is None else {getattr(SYMBOLIC, name): getattr(layout, name) for name in WAYS}
    return {**{symbol(name): Integer(size) for name, size in sizes.items()}, **ways}


def number(form: Expr, values: dict[Expr, Expr]) -> Fraction:
    """A form at sizes, exactly.

    >>> number(SYMBOLIC.data / 3, {SYMBOLIC.data: Integer(2)})
    Fraction(2, 3)
    """
    found = form.xreplace(values) if isinstance(form, Expr) else Integer(form)
    return fraction(found)
