"""What a tensor parallel group sends for one micro-batch, from which operations are split and how.

A split operation whose axis is summed over leaves a part of its result on each device: forward, the parts are reduced.
One whose axis is of the result reads an input that all devices have: backward, the parts of its gradient are reduced
(Shoeybi et al. 2019, arXiv:1909.08053, section 3). With tokens split between those regions, each all-reduce becomes a
reduce-scatter there and an all-gather on the way back (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2).

>>> from symflops.architectures import architecture
>>> from symflops.notation import n_tensor
>>> from symflops.training.parallelism.memory import MIXED
>>> from symflops.training.parallelism.messages import by_collective
>>> gpt2 = architecture("gpt2")
>>> sent = tensor_messages(gpt2.network, Layout(tensor=n_tensor), MIXED, MEGATRON)
>>> {key: times for key, (times, _) in by_collective(sent).items()}
{('all_reduce', 'tensor', 'forward'): 2*n_layer + 4, ('all_reduce', 'tensor', 'backward'): 2*n_layer + 1}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sympy import Add, Expr, Integer, S

from symflops.errors import UnknownName
from symflops.networks import Use
from symflops.training.parallelism.device import Share, shares
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import Widths
from symflops.training.parallelism.messages import Message, message
from symflops.training.parallelism.splitting import is_partial_sum, shares_input, split_axis


@dataclass(frozen=True)
class Implementation:
    """How code does what the layout leaves open.

    ``inputs``: operations that read one input share its gathering and the reduction of its gradient (``once``), or
    ``each`` has its own. ``gathered``: inputs gathered from split tokens are ``kept`` for the backward pass or gathered
    ``again``. ``norms``: gradients of what every device computes with on its own tokens are reduced ``together`` in a
    step, or ``each`` when a sharding takes it, and else left in parts until an optimiser asks. ``loss``: all-reduces of
    one number for each token, by the cross entropy over a split vocabulary.
    """

    name: str
    source: str
    inputs: Literal["once", "each"] = "once"
    gathered: Literal["kept", "again"] = "kept"
    norms: Literal["together", "each"] = "each"
    loss: int = 0


_DTENSOR = "torch.distributed.tensor.parallel"
_MEGATRON = "Megatron-LM: arXiv:1909.08053, section 3; arXiv:2205.05198, section 4.2.2"
MEGATRON = Implementation("megatron", _MEGATRON, "once", "again", "together", 3)
DTENSOR = Implementation("dtensor", f"{_DTENSOR}, inputs prepared by PrepareModuleInput")
DTENSOR_EACH = Implementation("dtensor each", f"{_DTENSOR}, ColwiseParallel alone", "each")
DTENSOR_LOSS = Implementation("dtensor loss", f"{_DTENSOR}, loss_parallel", loss=3)
IMPLEMENTATIONS: Mapping[str, Implementation] = MappingProxyType(
    {each.name: each for each in (MEGATRON, DTENSOR, DTENSOR_EACH, DTENSOR_LOSS)}
)
"""All implementations, by name."""
_LOSS_WIDTH = 4


def implementation(given: str | Implementation) -> Implementation:
    """An implementation by its name. Raises `UnknownName` for one that is not declared."""
    if isinstance(given, Implementation):
        return given
    if given not in IMPLEMENTATIONS:
        raise UnknownName("implementation", given, IMPLEMENTATIONS)
    return IMPLEMENTATIONS[given]


def tensor_messages(
    network: Expr, layout: Layout, widths: Widths, code: Implementation, stage: Stage = "only"
) -> tuple[Message, ...]:
    """All that a device sends its tensor parallel group for one micro-batch."""
    if layout.tensor == 1:
        return ()
    found = shares(network, layout, stage)
    sums = [each for each in found if is_partial_sum(each.whole.operation)]
    inputs = _inputs([each for each in found if shares_input(each.whole.operation)], code)
    return (
        *(part for each in sums for part in _of_sum(each, layout, widths)),
        *(part for times, size in inputs for part in _of_input(times, size, layout, widths, code)),
        *_of_norms(found, layout, widths, code),
        *_of_loss(found, layout, code),
    )


def _send(
    what: str, collective: str, when: str, times: Expr, elements: Expr, layout: Layout, width: Expr
) -> tuple[Message, ...]:
    return message(what, collective, "tensor", layout.tensor, when, times, elements * width)  # type: ignore[arg-type]


def _of_sum(share: Share, layout: Layout, widths: Widths) -> tuple[Message, ...]:
    """A result whose parts are summed up; tables need nothing of their gradients but where tokens are split."""
    use, width, elements = share.use, widths.activations, share.use.operation.elements_written
    if layout.sequence == "whole":
        return _send("partial sums", "all_reduce", "forward", use.runs, use.runs * elements, layout, width) + _send(
            "partial sums, recomputed", "all_reduce", "backward", use.reruns, use.reruns * elements, layout, width
        )
    size, again = use.runs * elements, use.reruns * elements
    return (
        *_send("partial sums", "reduce_scatter", "forward", use.runs, size, layout, width),
        *_send("partial sums, recomputed", "reduce_scatter", "backward", use.reruns, again, layout, width),
        *_send("gradients of sums", "all_gather", "backward", use.runs, size, layout, width),
    )


def _inputs(readers: Iterable[Share], code: Implementation) -> list[tuple[Use, Expr]]:
    """The inputs that split operations read, each once or once for each reader: a use, and the input's elements."""
    found: dict[object, tuple[Use, Expr]] = {}
    for share in readers:
        use = share.use
        [tensor] = [each for each in use.operation.sentence.factors if not each.is_parameter]
        block = use.path.rpartition("/")[0]
        key = (block, use.operation.shape(tensor)) if code.inputs == "once" and block else use.path
        found.setdefault(key, (use, use.operation.numel(tensor)))
    return list(found.values())


def _of_input(use: Use, elements: Expr, layout: Layout, widths: Widths, code: Implementation) -> tuple[Message, ...]:
    """The gradient of an input that all devices read, and the input itself where tokens are split."""
    width, size = widths.activations, use.runs * elements
    if layout.sequence == "whole":
        return _send("gradients of inputs", "all_reduce", "backward", use.runs, size, layout, width)
    again = use.reruns + (use.runs if code.gathered == "again" else S.Zero)
    return (
        *_send("inputs", "all_gather", "forward", use.runs, size, layout, width),
        *_send("inputs, again", "all_gather", "backward", again, again * elements, layout, width),
        *_send("gradients of inputs", "reduce_scatter", "backward", use.runs, size, layout, width),
    )


def _of_norms(found: Iterable[Share], layout: Layout, widths: Widths, code: Implementation) -> tuple[Message, ...]:
    """Gradients of parameters that each device used on its own tokens: summed up once in a step."""
    if layout.sequence == "whole" or (code.norms == "each" and "gradients" not in layout.kept_by.shared):
        return ()
    own = [each.use for each in found if each.use.operation.parameters and split_axis(each.whole.operation) is None]
    tensors = Add(*(use.copies * len(use.operation.parameters) for use in own))
    elements = Add(*(use.copies * parameter.count for use in own for parameter in use.operation.parameters))
    when, times = {"together": ("step", Integer(1)), "each": ("backward", tensors)}[code.norms]
    return _send("gradients of norms", "all_reduce", when, times, elements, layout, widths.gradients)


def _of_loss(found: Iterable[Share], layout: Layout, code: Implementation) -> tuple[Message, ...]:
    """The largest logit, the sum of exponentials and the target's logit of each token, in single precision."""
    logits = [each.use for each in found if each.use.operation.role == "logits"]
    if not logits or code.loss == 0:
        return ()
    sizes = logits[0].operation.sizes
    tokens = code.loss * sizes["batch"] * sizes["seq"] * _LOSS_WIDTH
    return message("cross entropy", "all_reduce", "tensor", layout.tensor, "forward", code.loss, tokens)
