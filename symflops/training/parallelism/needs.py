"""What a layout has to divide, found from the operations that it splits; a layout that does not is refused in one line.

>>> from symflops.architectures import architecture
>>> check(architecture("llama3-8b"), Layout(tensor=8, pipeline=4, micro=4), n_batch=8, n_seq=8192)
>>> check(architecture("llama3-8b"), Layout(tensor=16), n_batch=8, n_seq=8192)
Traceback (most recent call last):
symflops.errors.SizeError: n_kv_head = 8 does not divide into 16 ways of tensor; choose 1, 2, 4 or 8, or n_kv_head = 16
>>> check(architecture("gpt2"), Layout(tensor=4), n_batch=8, n_seq=1024)
Traceback (most recent call last):
symflops.errors.SizeError: n_vocab = 50257 does not divide into 4 ways of tensor; choose 1 or 29, or n_vocab = 50260
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sympy import Expr, S, sympify

from symflops.architectures.architecture import Architecture
from symflops.errors import SizeError
from symflops.networks import uses
from symflops.notation import n_active, n_batch, n_layer, n_seq
from symflops.training.parallelism.device import is_depth, one_stack
from symflops.training.parallelism.layouts import Layout
from symflops.training.parallelism.splitting import split_axis

_MOST = 512


@dataclass(frozen=True)
class Need:
    """A size, in symbols, that so many ways must divide; ``of`` names the ways."""

    size: Expr
    ways: Expr
    of: str


def needs(network: Expr, layout: Layout) -> tuple[Need, ...]:
    """Everything that must divide: what tensor parallelism splits, layers, sequences, tokens, experts, micro-batches.

    Raises what `shares` raises.
    """
    one_stack(network)
    found = (
        *_of_tensors(network, layout),
        Need(n_layer, layout.pipeline * layout.interleave, "pipeline*interleave"),
        *(Need(each, layout.pipeline, "pipeline") for each in _other_depths(network)),
        Need(n_batch, layout.data * layout.micro, "data*micro"),
        Need(
            n_seq, layout.context * layout.tokens_split, "context*tensor" if layout.sequence == "split" else "context"
        ),
        *_of_experts(network, layout),
        *((Need(layout.micro, layout.pipeline, "pipeline"),) if layout.interleave != 1 else ()),
    )
    return tuple(dict.fromkeys(each for each in found if each.ways != 1))


def _of_tensors(network: Expr, layout: Layout) -> Iterator[Need]:
    """Heads, widths and the vocabulary, shortest first: who lacks heads should not read of a width."""
    if layout.tensor == 1:
        return
    sizes = {use.operation.sizes[axis] for use in uses(network) if (axis := split_axis(use.operation)) is not None}
    for size in sorted(sizes, key=lambda each: (each.count_ops(), str(each))):
        yield Need(size, layout.tensor, "tensor")


def _other_depths(network: Expr) -> list[Expr]:
    """Layers of one kind among others: a stage is taken to have its part of each kind."""
    return sorted((each for each in network.free_symbols if is_depth(each) and each != n_layer), key=str)


def _of_experts(network: Expr, layout: Layout) -> Iterator[Need]:
    if layout.expert == 1:
        return
    routed = {use.copies / use.active for use in uses(network) if use.copies != use.active and use.active != 0}
    if not routed:
        yield Need(S.One, layout.expert, "expert")
    for each in sorted(routed, key=str):
        yield Need(each * n_active, layout.expert, "expert")
    yield Need(layout.replicas, layout.expert, "expert")


def check(model: Architecture, layout: Layout, **sizes: int) -> None:
    """Refuse a layout that does not divide a model, a batch or a sequence; ``sizes`` are n_batch and n_seq.

    Raises `SizeError` that names the size, the ways, and what to choose.
    """
    for need in needs(model.network, layout):
        size, ways = model.at(sympify(need.size, strict=True), **_inside(need.size, sizes)), need.ways
        if ways.is_Integer and size.is_Integer and size % ways:
            raise SizeError(_refusal(need, int(size), int(ways)))


def _inside(size: Expr, sizes: dict[str, int]) -> dict[str, int]:
    names = {str(each) for each in size.free_symbols}
    return {name: value for name, value in sizes.items() if name in names}


def _refusal(need: Need, size: int, ways: int) -> str:
    named = "the model has" if need.size.is_number else str(need.size)
    given = f"{named} = {size}" if not need.size.is_number else f"a size of {size}"
    good = [str(each) for each in range(1, min(size, _MOST) + 1) if size % each == 0]
    chosen = " or ".join(filter(None, (", ".join(good[:-1]), good[-1])))
    more = f", or {named} = {-(-size // ways) * ways}" if not need.size.is_number else ""
    return f"{given} does not divide into {ways} ways of {need.of}; choose {chosen}{more}"


__all__ = ["Need", "check", "needs"]
