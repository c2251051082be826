"""What the devices that hold the same parameters send: gradients, and parameters that are gathered before their use.

Rajbhandari et al. 2020, arXiv:1910.02054, section 7, without its rounding of (n - 1)/n to one; `fully_shard` of PyTorch
for what each pass gathers, one collective for each layer and one for the rest.

>>> from symflops.architectures import architecture
>>> from symflops.notation import n_data
>>> from symflops.training.parallelism.memory import MIXED
>>> model = architecture("gpt2")
>>> ddp, zero3 = (
...     sum(each.sent for each in data_messages(model.network, Layout(data=n_data, sharding=name), MIXED))
...     for name in ("ddp", "zero3")
... )
>>> (zero3 / ddp).simplify()
3/2
"""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Add, Expr, Integer, S

from symflops.networks import uses
from symflops.notation import n_layer
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import Widths, sharers
from symflops.training.parallelism.messages import Collective, Message, When, message
from symflops.training.parallelism.pieces import LINEAR, Piece, Storage, chunk, pieces

_GROUPS = {False: "data", True: "expert data"}


def data_messages(
    network: Expr, layout: Layout, widths: Widths, stage: Stage = "only", storage: Storage = LINEAR
) -> tuple[Message, ...]:
    """All that a device of a stage sends to those with the same parameters, for one micro-batch or once in a step."""
    found = pieces(network, layout, stage, storage)
    return tuple(
        part
        for routed in _GROUPS
        for in_layers in (True, False)
        for part in _of_unit(
            [p for p in found if (p.routed and layout.expert != 1) == routed and (p.where == "layer") == in_layers],
            in_layers, layout, widths,
        )
    )  # fmt: skip


def _of_unit(unit: list[Piece], in_layers: bool, layout: Layout, widths: Widths) -> tuple[Message, ...]:
    """Of the layers, or of everything else: gradients to where they belong, and whole parameters."""
    if not unit:
        return ()
    kept_by, ways = layout.kept_by, sharers(unit[0], layout)
    group = _GROUPS[unit[0].routed and layout.expert != 1]
    units = n_layer / layout.pipeline if in_layers else S.One
    size = whole_elements(unit, ways, layout)
    gathers = kept_by.layers if in_layers else kept_by.rest

    def send(what: str, collective: Collective, when: When, width: Expr) -> tuple[Message, ...]:
        return message(what, collective, group, ways, when, units, size * width)

    if not kept_by.shared:
        return send("gradients", "all_reduce", "step", widths.reduced)
    when: When = "backward" if "gradients" in kept_by.shared else "step"
    gathered = (part for each in gathers for part in send("parameters", "all_gather", _when(each), widths.gathered))
    return (*gathered, *send("gradients", "reduce_scatter", when, widths.reduced))


def _when(given: str) -> When:
    return "forward" if given == "forward" else "backward" if given == "backward" else "step"


def whole_elements(unit: Iterable[Piece], ways: Expr, layout: Layout) -> Expr:
    """The elements of whole tensors as they are sent: so many chunks, what fills them up among them."""
    return Add(*(each.copies * chunk(each, ways, layout.kept_by.cut) * ways for each in unit))


def tied_messages(network: Expr, layout: Layout, widths: Widths, stage: Stage) -> tuple[Message, ...]:
    """The gradient of a tied table that a pipeline's first and last stage each have a copy of: summed up once a step.

    Narayanan et al. 2021, arXiv:2104.04473; Megatron's embedding group.
    """
    if stage not in ("first", "last") or not _is_tied(network):
        return ()
    tables = [each for each in pieces(network, layout, "last") if each.role == "logits" and each.name == "weight"]
    size = Add(*(each.all for each in tables)) * widths.gradients
    return message("gradients of the tied table", "all_reduce", "table", Integer(2), "step", 1, size)


def _is_tied(network: Expr) -> bool:
    return any(use.operation.role == "logits" and use.copies == 0 for use in uses(network))
