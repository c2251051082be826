"""Everything that a device of a layout sends in a step, in closed form.

>>> from symflops.architectures import architecture
>>> model = architecture("gpt2")
>>> layout = Layout(data=4, tensor=2, sharding="fsdp")
>>> for each in messages(model.network, layout, code="dtensor")[-3:]:
...     print(each.what, each.collective, each.group, each.when, each.times, model.at(each.bytes))
gradients reduce_scatter data backward n_layer 85109760
parameters all_gather data forward 1 40178688
gradients reduce_scatter data backward 1 40178688
"""

from __future__ import annotations

from sympy import Expr

from symflops.training.parallelism.data import data_messages, tied_messages
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import MIXED, Widths
from symflops.training.parallelism.messages import Message
from symflops.training.parallelism.others import context_messages, expert_messages, pipeline_messages
from symflops.training.parallelism.pieces import LINEAR, Storage
from symflops.training.parallelism.tensor import MEGATRON, Implementation, implementation, tensor_messages


def messages(
    network: Expr,
    layout: Layout,
    stage: Stage = "only",
    widths: Widths = MIXED,
    storage: Storage = LINEAR,
    code: str | Implementation = MEGATRON,
) -> tuple[Message, ...]:
    """What a device of a stage sends in a step, all its micro-batches, of each kind of group.

    Raises `NotSplit` and `SeveralStacks` as `shares` does, `UnknownName` for an unknown implementation.
    """
    found = (
        *tensor_messages(network, layout, widths, implementation(code), stage),
        *context_messages(network, layout, widths, stage),
        *expert_messages(network, layout, widths, stage),
        *pipeline_messages(layout, widths, stage),
        *data_messages(network, layout, widths, stage, storage),
        *tied_messages(network, layout, widths, stage),
    )
    return tuple(each.repeated(layout.micro) for each in found)
