"""What context, pipeline and expert parallel groups send for one micro-batch.

Context (ring attention, Liu et al. 2023, arXiv:2310.01889, section 3): keys and values go once around the ring but for
the last hop; backward they go around again, and with them their gradients, which have to come home.
Pipeline (Narayanan et al. 2021, arXiv:2104.04473, section 2.2): the residual stream to the next part of the model, and
its gradient back. Experts (Lepikhin et al. 2020, arXiv:2006.16668, section 3): each token to its experts and back.

>>> from symflops.architectures import architecture
>>> from symflops.notation import n_context
>>> from symflops.training.parallelism.memory import MIXED
>>> model = architecture("llama3-8b")
>>> forward, *backward = context_messages(model.network, Layout(context=n_context), MIXED)
>>> forward.sent.factor()
4*d_head*n_batch*n_kv_head*n_layer*n_seq*(n_context - 1)/n_context
>>> bubble(Layout(pipeline=8, interleave=2, micro=32))
7/64
"""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Add, Expr, expand

from symflops.networks import Use
from symflops.notation import n_active
from symflops.training.parallelism.device import shares, stream_elements
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import Widths
from symflops.training.parallelism.messages import Message, message


def context_messages(network: Expr, layout: Layout, widths: Widths, stage: Stage = "only") -> tuple[Message, ...]:
    """Keys, values and their gradients, in hops of a ring: each hop sends a device's own part of them on."""
    if layout.context == 1:
        return ()
    cores = [each.use for each in shares(network, layout, stage) if each.use.operation.mask is not None]
    # Runs of a core are shared by the ring, and so are the keys of each: what a hop moves is a device's own part.
    hops = _layers(network, layout, stage) * (layout.context - 1)
    hop = Add(*(use.runs * size for use in cores for size in _keys_and_values(use)))
    again = Add(*(use.reruns * size for use in cores for size in _keys_and_values(use)))
    around, width = layout.context - 1, widths.activations

    def send(what: str, when: str, times: Expr, elements: Expr) -> tuple[Message, ...]:
        return message(what, "send", "context", layout.context, when, times, elements * width)  # type: ignore[arg-type]

    return (
        *send("keys and values", "forward", hops, around * hop),
        *send("keys and values, recomputed", "backward", hops, around * again),
        *send("keys and values", "backward", hops, around * hop),
        *send("gradients of keys and values", "backward", hops + _layers(network, layout, stage), (around + 1) * hop),
    )


def _layers(network: Expr, layout: Layout, stage: Stage) -> Expr:
    """Layers of attention on a device."""
    cores = (each.use for each in shares(network, layout, stage) if each.use.operation.role == "mix")
    return expand(Add(*(use.runs * layout.context for use in cores)))


def _keys_and_values(use: Use) -> Iterator[Expr]:
    """Elements of the operands along keys alone: what queries of all devices need."""
    for tensor in use.operation.sentence.operands:
        if "key" in tensor.axes and "query" not in tensor.axes and not tensor.is_parameter:
            yield use.operation.numel(tensor)


def pipeline_messages(layout: Layout, widths: Widths, stage: Stage) -> tuple[Message, ...]:
    """The residual stream between parts of the model: what the first part reads and the last makes is not sent."""
    if layout.pipeline == 1:
        return ()
    size, parts = stream_elements(layout) * widths.activations, layout.interleave
    forward, backward = parts - (1 if stage == "last" else 0), parts - (1 if stage == "first" else 0)
    return (
        *message("stream", "send", "pipeline", layout.pipeline, "forward", forward, forward * size),
        *message("gradient of the stream", "send", "pipeline", layout.pipeline, "backward", backward, backward * size),
    )


def bubble(layout: Layout) -> Expr:
    """The time that a pipeline's stages wait, as a share of the time they work: (p - 1)/(v m).

    Narayanan et al. 2021, arXiv:2104.04473, section 2.2; for passes of equal time on all stages.
    """
    return (layout.pipeline - 1) / (layout.interleave * layout.micro)


def expert_messages(network: Expr, layout: Layout, widths: Widths, stage: Stage = "only") -> tuple[Message, ...]:
    """Tokens to their experts and back, forward, and their gradients backward, if all experts get equally many."""
    if layout.expert == 1:
        return ()
    found = [each for each in shares(network, layout, stage) if each.whole.copies != each.whole.active]
    down = [each.use for each in found if each.use.operation.name == "down"]
    size = Add(*(use.runs * use.operation.elements_written for use in down)) * widths.activations
    again = Add(*(use.reruns * use.operation.elements_written for use in down)) * widths.activations
    times = Add(*(2 * use.runs / n_active for use in down))

    def send(what: str, when: str, payload: Expr) -> tuple[Message, ...]:
        return message(what, "all_to_all", "expert", layout.expert, when, times, payload)  # type: ignore[arg-type]

    return (
        *send("tokens of experts", "forward", 2 * size),
        *send("tokens of experts, recomputed", "backward", 2 * again),
        *send("gradients of tokens", "backward", 2 * size),
    )
