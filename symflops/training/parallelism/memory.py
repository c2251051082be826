"""What a device of a layout keeps, in closed form: parameters, gradients, the optimiser's states, activations.

>>> from symflops.architectures import architecture
>>> from symflops.notation import n_data
>>> model = architecture("llama3-8b")
>>> held = memory(model.network, Layout(data=64, sharding="zero3"))
>>> held.parameters + held.gradients + held.optimizer == 16 * params(model.network) / 64
True
>>> held = memory(model.network, Layout(data=8, tensor=8, sharding="fsdp", checkpoint="layers"))
>>> {part: f"{float(model.at(amount, n_batch=8, n_seq=8192)) / 2**30:.2f} GiB" for part, amount in held.parts.items()}
{'parameters': '0.23 GiB', 'gradients': '0.23 GiB', 'optimizer': '1.40 GiB', 'gathered': '0.35 GiB',
 'activations': '2.98 GiB'}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sympy import Add, Expr, Min, S, expand

from symflops.measures import params
from symflops.notation import n_layer
from symflops.training.parallelism.device import device_activations
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.pieces import LINEAR, Piece, Storage, chunk, pieces


@dataclass(frozen=True)
class Widths:
    """Bytes of an element: of parameters, gradients, an optimiser's states of each parameter, and activations.

    ``gathered`` are parameters as they are sent and computed with, ``reduced`` gradients as they are summed up.
    """

    parameters: Expr | int = 2
    gradients: Expr | int = 2
    optimizer: Expr | int = 12
    activations: Expr | int = 2
    gathered: Expr | int = 2
    reduced: Expr | int = 2


MIXED = Widths()
"""Adam in mixed precision (Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1): 16 bytes for each parameter."""
SINGLE = Widths(4, 4, 8, 4, 4, 4)
"""Adam in single precision throughout."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device; ``gathered`` are whole parameters of a layer and the next one, while they are needed."""

    parameters: Expr
    gradients: Expr
    optimizer: Expr
    gathered: Expr
    activations: Expr

    @property
    def parts(self) -> dict[str, Expr]:
        """Each part by its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def total(self) -> Expr:
        """All of it."""
        return Add(*self.parts.values())


def memory(
    network: Expr, layout: Layout, stage: Stage = "only", widths: Widths = MIXED, storage: Storage = LINEAR
) -> Memory:
    """The bytes that a device of a stage holds, without what code keeps beside the model. Raises what `shares` raises.

    Activations are those of the micro-batches in flight, each value once (`device_activations`); with checkpoints those
    of one layer come on top, while it runs again.
    """
    found, kept_by = pieces(network, layout, stage, storage), layout.kept_by
    stored = {part: stored_elements(found, layout, part) for part in ("parameters", "gradients", "optimizer")}
    return Memory(
        widths.parameters * stored["parameters"],
        widths.gradients * stored["gradients"],
        widths.optimizer * stored["optimizer"],
        widths.gathered * gathered_elements(found, layout) if "parameters" in kept_by.shared else S.Zero,
        _activations(network, layout, stage, widths.activations),
    )


def _activations(network: Expr, layout: Layout, stage: Stage, element_bytes: Expr) -> Expr:
    """What the micro-batches in flight keep, and of one layer all that it keeps while it runs again."""
    kept = in_flight(layout, stage) * device_activations(network, layout, stage, element_bytes)
    if layout.checkpoint == "nothing":
        return kept
    layers = device_activations(network, replace(layout, checkpoint="nothing"), "inner", element_bytes)
    return kept + layers * layout.pipeline / n_layer


def stored_elements(found: Iterable[Piece], layout: Layout, part: str) -> Expr:
    """The elements that a device keeps of a part: chunks where the layout's sharding shares it."""
    shared = part in layout.kept_by.shared
    return expand(Add(*(each.copies * (_chunk(each, layout) if shared else each.elements) for each in found)))


def sharers(piece: Piece, layout: Layout) -> Expr:
    """The devices that hold the same piece: all replicas, or, of experts, those with the same ones."""
    return layout.ways("expert data" if piece.routed else "data")


def _chunk(piece: Piece, layout: Layout) -> Expr:
    return chunk(piece, sharers(piece, layout), layout.kept_by.cut)


def gathered_elements(found: Iterable[Piece], layout: Layout) -> Expr:
    """Whole parameters at a time: everything outside layers, and of layers one and the next, which is being fetched.

    A sharding that keeps layers gathered between the passes has all of them.
    """
    found, kept = tuple(found), "backward" not in layout.kept_by.layers
    layers = n_layer / layout.pipeline
    within = Add(*(each.all for each in found if each.where == "layer"))
    outside = Add(*(each.all for each in found if each.where != "layer"))
    return expand(outside + (within if kept else within * Min(2, layers) / layers))


def in_flight(layout: Layout, stage: Stage) -> Expr:
    """Micro-batches whose activations a stage keeps at once, in units of all its layers; an inner one is the second.

    By 1F1B the first of p stages keeps p and each next one less. Interleaved in v parts, a stage starts
    2 (p - rank - 1) + (v - 1) p forward passes of a part before its first backward pass, and one more: of the first
    stage p + (p - 1)/v in all (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.3).
    """
    p, v = layout.pipeline, layout.interleave
    if stage == "only":
        return S.One
    after = {"first": p - 1, "inner": p - 2, "last": S.Zero}[stage]
    return Min(layout.micro, after + 1 if v == 1 else (2 * after + (v - 1) * p + 1) / v)


__all__ = ["MIXED", "SINGLE", "Memory", "Widths", "gathered_elements", "in_flight", "memory", "params", "sharers"]
