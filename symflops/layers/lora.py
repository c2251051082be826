r"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685): a frozen weight, and beside it two narrow trained ones.

An adapted layer computes ``W*x + B*(A*x)`` with ``A`` of rank x d_in and ``B`` of d_out x rank; only A and B are
trained (section 4.1). The factor alpha/rank can be folded into B and is no operation.

>>> from sympy import Add
>>> from symflops.layers.linear import linear
>>> from symflops.measures import flops, params, trainable_params
>>> from symflops.notation import d_head, d_model, n_head, n_layer
>>> layer = Add(*(linear(name, d_model, d_model, "qkv") for name in ("q", "k", "v")))
>>> adapted = with_lora(n_layer * layer, 4)
>>> trainable_params(adapted), params(adapted)
(16*d_model*n_layer, 3*d_model**2*n_layer + 16*d_model*n_layer)
>>> flops(merging(n_layer * layer, 4), "torch").expr
16*d_model**2*n_layer
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sympy import Add, Expr, Lambda, S, Symbol, Tuple

from symflops.elementwise import Elementwise
from symflops.errors import SymflopsError, UnknownName
from symflops.layers.linear import SENTENCES, linear
from symflops.layers.stream import Stream
from symflops.networks import Block, uses
from symflops.nodes import as_str
from symflops.notation import n_layer
from symflops.operations import Contraction, Operation

_Y, _BRANCH = (Symbol(name, real=True) for name in ("y", "branch"))
TARGETS = ("q", "v")
"""What the paper adapts: the projections to queries and values (section 4.2)."""


def frozen(network: Expr, kept: frozenset[str] = frozenset()) -> Expr:
    """The network with no parameter trained: no weight gradient is computed, and no input is kept for one.

    What an input needs of gradients is still declared: those of trained parameters below pass through frozen layers.
    Operands that are ``kept`` stay trained: of ``bias``, what BitFit trains (Ben Zaken et al. 2021, arXiv:2106.10199).
    """
    owners = {use.operation for use in uses(network) if use.operation.parameters}
    return network.xreplace({each: _without_gradients(each, _weights(each) - kept) for each in owners})


def _weights(operation: Operation) -> frozenset[str]:
    return frozenset(each.name for each in operation.parameters)


def _without_gradients(operation: Operation, operands: frozenset[str]) -> Operation:
    """The operation with more operands that need no gradient."""
    fixed = Tuple(*(as_str(name) for name in sorted(operation.constants | operands)))
    same: Operation = operation.func(*operation.args[:5], fixed, *operation.args[6:])
    return same


def with_lora(network: Expr, rank: Expr | int, targets: tuple[str, ...] = TARGETS) -> Expr:
    """The network with an adapter of this rank on every linear operation of these names, and all else frozen.

    The input gradients of all layers are declared. Automatic differentiation leaves out those of the first layer that
    lie below its adapters: see `below_adapters`. Raises `UnknownName` for a target that is no linear operation with
    parameters of its own, `SizeError` for a rank that is no size.
    """
    still = frozen(network)
    found = _linear(still, targets)
    return still.xreplace({operation: operation + _adapter(operation, rank) for operation in found})


def _linear(network: Expr, targets: tuple[str, ...]) -> dict[Operation, Expr]:
    """The linear operations of these names, and how many copies of each there are."""
    owned = [use for use in uses(network) if use.copies != 0 and str(use.operation.args[1]) in SENTENCES.values()]
    for target in targets:
        if target not in {use.operation.name for use in owned}:
            raise UnknownName("linear operation", target, dict.fromkeys(use.operation.name for use in owned))
    chosen: dict[Operation, Expr] = {}
    for use in owned:
        if use.operation.name in targets:
            chosen[use.operation] = chosen.get(use.operation, S.Zero) + use.copies
    return chosen


def _adapter(operation: Operation, rank: Any) -> Block:
    """Down to the rank, up again, and the addition to what the frozen weight gives."""
    name, sizes, axes = operation.name, operation.sizes, "[batch seq d_out]"
    stream = Stream(sizes["d_in"], sizes["seq"], sizes["batch"])
    added = Elementwise(
        f"{name}_lora_add", f"y{axes} + branch{axes} -> z{axes}", sizes, "adapter",
        formula=Lambda((_Y, _BRANCH), _Y + _BRANCH),
    )  # fmt: skip
    down = linear(f"{name}_lora_A", sizes["d_in"], rank, "adapter", stream=stream)
    up = linear(f"{name}_lora_B", rank, sizes["d_out"], "adapter", stream=stream)
    return Block("Adapter", Add(down, up, added))


def merging(network: Expr, rank: Expr | int, targets: tuple[str, ...] = TARGETS) -> Expr:
    """What adding ``B*A`` to the frozen weights takes, once; the merged network then costs what it cost without (4.1).

    Raises as `with_lora`.
    """
    return Add(*(copies * _merge(operation, rank) for operation, copies in _linear(network, targets).items()))


def _merge(operation: Operation, rank: Any) -> Block:
    axes, sizes = "[d_in d_out]", {**operation.sizes, "rank": rank}
    product = Contraction(f"{operation.name}_product", f"A[d_in rank] B[rank d_out] -> y{axes}", sizes, "adapter")
    added = Elementwise(
        f"{operation.name}_merge", f"y{axes} + branch{axes} -> z{axes}", sizes, "adapter",
        formula=Lambda((_Y, _BRANCH), _Y + _BRANCH),
    )  # fmt: skip
    return Block("Merge", Add(product, added))


_READS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **{name: {"x": ()} for name in ("q", "k", "v", "qkv")},
        "scores": {"q": ("q", "qkv"), "k": ("k", "qkv")},
        "mix": {"weights": ("scores",), "v": ("v", "qkv")},
        "project": {"x": ("mix",)},
        **{name: {"x": ("project",)} for name in ("gate", "up", "gate_up")},
        "down": {"x": ("gate", "up", "gate_up")},
    }
)
"""By which matmuls the operands of a layer's matmuls are made, in order; the layer's own input is made by none."""


def below_adapters(network: Expr, targets: tuple[str, ...] = TARGETS) -> Expr:
    """What to add to an adapted network for the matmuls of its first layer that need no gradient: a network, negative.

    Below the lowest adapter nothing is trained, so automatic differentiation computes no gradient for what the first
    layer reads, nor for what it makes of that alone. Only matmuls are changed. For stacks of one kind of layer, whose
    feed-forward layer follows its attention. Raises `SymflopsError` for others.
    """
    layer = [use.operation for use in uses(network) if use.runs == n_layer]
    names = {operation.name for operation in layer}
    matmuls = [each for each in layer if isinstance(each, Contraction)]
    adapters = {f"{target}_lora_A" for target in targets}
    unknown = [each.name for each in matmuls if each.role != "adapter" and each.name not in _READS]
    if unknown or not {"norm_attention", "norm_feedforward", "mix", *adapters} <= names:
        what = unknown[0] if unknown else "several kinds of layers, or parts in parallel"
        raise SymflopsError(f"below_adapters knows layers of attention, then a feed-forward layer; not {what}")
    still = _without(set(targets))
    return Add(*(_without_gradients(each, still.get(each.name, frozenset())) - each for each in matmuls))


def _without(targets: set[str]) -> dict[str, frozenset[str]]:
    """Of each matmul of the first layer, the operands that need no gradient; an adapter reads what its layer reads."""
    reached, found = set(targets), {}
    for name, reads in _READS.items():
        found[name] = frozenset(operand for operand, sources in reads.items() if not reached & set(sources))
        if len(found[name]) < len(reads):
            reached.add(name)
    return found | {f"{name}_lora_A": found[name] for name in targets}
