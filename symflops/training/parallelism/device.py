"""The part of a network that one device runs for one micro-batch, and what that costs by the measures of networks.

A use of an operation is given smaller axes (the split one, sequences, tokens) and fewer layers; parameters, work and
kept tensors of the device are then the measures of what is left. Work is shared evenly: a causal mask's pairs as by a
zigzag of tokens, and experts as if tokens chose them equally.

>>> from symflops.architectures import architecture
>>> from symflops.notation import n_tensor
>>> model = architecture("llama3-8b")
>>> whole, shared = (device_params(model.network, each) for each in (Layout(), Layout(tensor=n_tensor)))
>>> norms = n_tensor * shared - whole
>>> norms.expand().factor()
d_model*(2*n_layer + 1)*(n_tensor - 1)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from sympy import Add, Expr, S, Symbol, expand

from symflops.conventions import Convention, convention
from symflops.errors import SymflopsError
from symflops.measures import Phase, priced
from symflops.networks import Use, uses
from symflops.notation import d_model, n_batch, n_layer, n_seq
from symflops.totals import Total
from symflops.training.activations import kept_by
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.splitting import divided, split_axis

Where = Literal["layer", "first", "last"]
"""Where an operation stands: in a layer, before all layers, or after them."""
_BEFORE = frozenset({"embedding", "position", "patch", "class"})
_BLOCKS_BEFORE = ("Embed/", "Rotary/")


class SeveralStacks(SymflopsError):
    """A network of more than one stack of layers."""


@dataclass(frozen=True)
class Share:
    """A use of an operation as one device has it, and the use of the whole network that it is a part of."""

    use: Use
    whole: Use
    where: Where


def where(use: Use) -> Where:
    """Where an operation of a network in symbols stands: in a layer if its number grows with that of layers."""
    if any(is_depth(each) for each in (use.runs + use.copies).free_symbols):
        return "layer"
    before = use.operation.role in _BEFORE or use.path.startswith(_BLOCKS_BEFORE)
    return "first" if before else "last"


def is_depth(size: Symbol) -> bool:
    """Whether a symbol is a number of layers."""
    return str(size).startswith("n_layer")


def one_stack(network: Expr) -> None:
    """Raises `SeveralStacks` for a network of two towers, or an encoder and a decoder."""
    found = {str(each) for each in network.free_symbols if is_depth(each)}
    towers = sorted(each for each in found if each.endswith(("_decoder", "_vision", "_audio")))
    if towers or str(n_layer) not in found:
        counted = ", ".join(sorted(found)) or "no layers in symbols"
        raise SeveralStacks(f"a layout is of one stack of n_layer layers, and this network has {counted}")


@lru_cache(maxsize=256)
def shares(network: Expr, layout: Layout, stage: Stage = "only") -> tuple[Share, ...]:
    """Every operation that a device of a stage runs for one micro-batch, with its multiplicities there.

    Raises `NotSplit` where tensor parallelism has no rule, `SeveralStacks` for a network of several stacks.
    """
    one_stack(network)
    found = (Share(share(use, layout), use, where(use)) for use in uses(network))
    return tuple(each for each in found if each.where in PLACES[stage])


PLACES: dict[Stage, frozenset[Where]] = {
    "only": frozenset({"layer", "first", "last"}),
    "first": frozenset({"layer", "first"}),
    "inner": frozenset({"layer"}),
    "last": frozenset({"layer", "last"}),
}
"""What each stage of a pipeline holds."""


def share(use: Use, layout: Layout) -> Use:
    """One device's part of a use: fewer sequences and tokens, its part of what is split, its layers and experts."""
    mine = divided(use.operation, _divisors(use, layout))
    found = replace(use, operation=mine, segment=mine if use.segment == use.operation else use.segment)
    if use.operation.mask is not None:
        found = replace(found, **{name: getattr(found, name) / layout.context for name in ("runs", "reruns", "kept")})
    if use.copies != use.active:
        found = replace(found, copies=found.copies / layout.expert)
    if where(use) == "layer":
        found = found.times(S.One / layout.pipeline)
        found = replace(found, reruns=found.runs, kept=S.Zero) if layout.checkpoint == "layers" else found
    return found


def _divisors(use: Use, layout: Layout) -> dict[str, Expr]:
    axis = split_axis(use.operation) if layout.tensor != 1 else None
    by: dict[str, Expr] = {"batch": layout.data * layout.micro, "seq": layout.context}
    if axis is not None:
        by[axis] = by.get(axis, S.One) * layout.tensor
    elif not use.operation.sentence.parameters or "seq" not in use.operation.sentence.parameters[0].axes:
        by["seq"] *= layout.tokens_split
    return by


def device_params(network: Expr, layout: Layout, stage: Stage = "only") -> Expr:
    """The parameters that one device computes with, before data parallel devices share them."""
    found = shares(network, layout, stage)
    return expand(
        Add(*(each.use.copies * parameter.count for each in found for parameter in each.use.operation.parameters))
    )


def device_flops(
    network: Expr, layout: Layout, given: str | Convention = "torch", phase: Phase = "training", stage: Stage = "only"
) -> Total:
    """The work of one device of a stage in a step, all its micro-batches."""
    chosen = convention(given)
    amounts = (priced(each.use, chosen, phase, chosen.left_out) for each in shares(network, layout, stage))
    return Total(expand(layout.micro * Add(*amounts)), chosen)


def device_activations(network: Expr, layout: Layout, stage: Stage = "only", element_bytes: int | Expr = 2) -> Expr:
    """Bytes that one micro-batch keeps for its backward pass on a device, each value once (`activations.kept`).

    With checkpoints a layer keeps its input.
    """
    found = kept_by(tuple(each.use for each in shares(network, layout, stage)), element_bytes)
    inputs = stream_elements(layout) * n_layer / layout.pipeline if layout.checkpoint == "layers" else S.Zero
    return expand(Add(*(each.bytes for each in found)) + element_bytes * inputs)


def stream_elements(layout: Layout) -> Expr:
    """Elements of one micro-batch's residual stream on a device, between layers."""
    return n_batch * n_seq * d_model / (layout.data * layout.micro * layout.context * layout.tokens_split)
