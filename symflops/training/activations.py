"""What the forward pass keeps for the backward pass, tensor by tensor: each value once, with its bytes.

An operation's gradient says which values it needs. Two matmuls of a block that read the same operand keep one value,
and so do the operation that made a value and the matmul that reads it, where no other makes one of that name. What has
no batch axis and needs no gradient, such as the cosines of rotary embeddings, is a table that all layers share.

>>> from symflops.layers.feedforward import plain_feedforward
>>> from symflops.layers.linear import NO_BIAS
>>> layer = plain_feedforward("gelu", NO_BIAS)
>>> [(each.path, each.tensor, each.elements) for each in kept(layer)]
[('Feedforward/down', 'x', d_ff*n_batch*n_seq), ('Feedforward/up', 'x', d_model*n_batch*n_seq), ...]
>>> activation_bytes(layer).factor()
2*n_batch*n_seq*(2*d_ff + d_model)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sympy import Add, Expr, Integer, S, expand

from symflops.declarations import Tensor
from symflops.networks import Use, uses
from symflops.operations import PAIRED, Contraction, Operation

INDEX_BYTES, STATISTIC_BYTES, MASK_BYTES = Integer(8), Integer(4), Integer(1)
"""Bytes of an index (int64), of a statistic of a row (float32 whatever the elements are) and of a dropout's mask, as
PyTorch keeps them."""
_MASK, _INDEX, _ROW = "mask", "index", "row_"


@dataclass(frozen=True)
class Kept:
    """A value that is kept: by which operation, under which name, how many elements in all, bytes of each."""

    path: str
    tensor: str
    elements: Expr
    element_bytes: Expr

    @property
    def bytes(self) -> Expr:
        """Bytes in all."""
        return self.elements * self.element_bytes


def kept(network: Expr, element_bytes: int | Expr = 2) -> tuple[Kept, ...]:
    """Every distinct value that is kept, in the order of the network's operations.

    ``element_bytes`` are those of an activation; 2 is bfloat16. A recomputed network keeps nothing of itself, and
    whoever cuts it off keeps its input (see `checkpoints`). An operation that is recomputed alone, as in
    FlashAttention's core, keeps what it reads, but for pairs of tokens; who reads what it makes, makes it again, of one
    statistic for each row. Raises `NotLinearError` for what is no network.
    """
    return kept_by(uses(network), element_bytes)


def kept_by(every: tuple[Use, ...], element_bytes: int | Expr = 2) -> tuple[Kept, ...]:
    """As `kept`, of operations in their places, such as one device's share of a network."""
    makers = Counter(_shared(use, use.operation.sentence.result) for use in every)
    made = {_shared(use, use.operation.sentence.result): use for use in every if _alone(use)}
    found: dict[Any, Kept] = {}
    for use in every:
        for tensor in use.operation.kept_tensors if use.kept != 0 else _read(use):
            value = _value(use, tensor, makers)
            maker = made.get(value)
            if maker is None:
                found.setdefault(value, _kept(use, tensor, S.Zero + element_bytes))
            elif use.kept != 0:
                row = Tensor(f"{_ROW}0", tuple(axis for axis in tensor.axes if axis != "key"))
                found.setdefault((maker.path, row), _kept(replace(maker, kept=maker.runs), row, STATISTIC_BYTES))
    return tuple(each for each in found.values() if each.elements != 0)


def _alone(use: Use) -> bool:
    return bool(use.segment == use.operation)


def _read(use: Use) -> tuple[Tensor, ...]:
    """What an operation that is recomputed alone keeps of its operands."""
    operation = use.operation
    if not _alone(use):
        return ()
    operands = (each for each in operation.sentence.operands if not each.is_parameter)
    return tuple(each for each in operands if each.name not in operation.constants and not set(each.axes) >= PAIRED)


def activation_bytes(network: Expr, element_bytes: int | Expr = 2) -> Expr:
    """The bytes of all values that are kept."""
    return expand(Add(*(each.bytes for each in kept(network, element_bytes))))


def _kept(use: Use, tensor: Tensor, element_bytes: Expr) -> Kept:
    times = S.One if _is_table(use.operation, tensor) else use.kept if use.kept != 0 else use.runs
    return Kept(use.path, tensor.name, times * use.operation.numel(tensor), _size(tensor, element_bytes))


def _size(tensor: Tensor, element_bytes: Expr) -> Expr:
    if tensor.name.startswith(_ROW):
        return STATISTIC_BYTES
    return {_INDEX: INDEX_BYTES, _MASK: MASK_BYTES}.get(tensor.name, element_bytes)


def _is_table(operation: Operation, tensor: Tensor) -> bool:
    return tensor.name in operation.constants and "batch" not in tensor.axes


def _value(use: Use, tensor: Tensor, makers: Counter[Any]) -> Any:
    """What tells a value from others: two tensors with the same are one."""
    operation, shared = use.operation, _shared(use, tensor)
    if _is_table(operation, tensor):
        return tensor.name, operation.shape(tensor)
    read = isinstance(operation, Contraction) and tensor in operation.sentence.operands
    made = tensor == operation.sentence.result and makers[shared] == 1
    return shared if "/" in use.path and (read or made) else (use.path, tensor.name)


def _shared(use: Use, tensor: Tensor) -> Any:
    """Block, name, axes and sizes, and, of pairs of tokens, the mask."""
    operation, block = use.operation, use.path.rpartition("/")[0]
    shape = tuple(zip(tensor.axes, operation.shape(tensor), strict=True))
    return block, tensor.name, shape, operation.mask if set(tensor.axes) >= PAIRED else None


def by_operation(values: tuple[Kept, ...]) -> Iterator[tuple[str, Expr]]:
    """The bytes that each operation keeps, in order."""
    parts: dict[str, list[Expr]] = {}
    for each in values:
        parts.setdefault(each.path, []).append(each.bytes)
    return ((path, expand(Add(*terms))) for path, terms in parts.items())


__all__ = ["INDEX_BYTES", "MASK_BYTES", "STATISTIC_BYTES", "Kept", "activation_bytes", "by_operation", "kept",
    "kept_by",
]  # fmt: skip
