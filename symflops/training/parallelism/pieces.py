"""Parameters as a device stores them: each tensor's shape after tensor parallelism, and its chunk where it is shared.

PyTorch's FSDP2 cuts each tensor along its first axis in chunks of equal length and fills up the last ones
(`torch.distributed.fsdp.fully_shard`), so that the order of axes matters: a `Linear` keeps its result's axis first.

>>> from symflops.architectures import architecture
>>> gpt2 = architecture("gpt2")
>>> [table] = [each for each in pieces(gpt2.network, Layout(data=8, sharding="fsdp")) if each.role == "embedding"]
>>> table.shape, chunk(table, 8)
((n_vocab, d_model), d_model*ceiling(n_vocab/8))
>>> [chunk_length(10, 4, rank) for rank in range(4)], [chunk_length(5, 4, rank) for rank in range(4)]
([3, 3, 3, 1], [2, 2, 1, 0])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sympy import Expr, Mul, S, ceiling

from symflops.architectures.architecture import Architecture
from symflops.declarations import Tensor
from symflops.networks import uses
from symflops.notation import n_active
from symflops.operations import Operation
from symflops.training.parallelism.device import Share, Where, shares
from symflops.training.parallelism.layouts import Cut, Layout, Stage
from symflops.training.parallelism.splitting import is_split

First = Literal["result", "input"]


@dataclass(frozen=True)
class Storage:
    """How code stores parameters: which axis of a matmul's matrix comes ``first``, and which paths are ``stacked``.

    A stacked tensor holds all experts, along its first axis.
    """

    first: First = "result"
    stacked: frozenset[str] = frozenset()


LINEAR = Storage()
"""As `torch.nn.Linear`: the result's axis first."""
_CONV1D = frozenset({"gpt2"})
"""Families of transformers whose matrices are `Conv1D`, with the input's axis first."""


def storage_of(model: Architecture) -> Storage:
    """How transformers stores the parameters of a model.

    >>> from symflops.architectures import architecture
    >>> storage_of(architecture("gpt2")).first, sorted(storage_of(architecture("mixtral-8x7b")).stacked)
    ('input', ['Feedforward: Experts/down', 'Feedforward: Experts/gate_up'])
    """
    stacked = (use.path for use in uses(model.network) if use.copies != use.active and model.family.place(use).stacked)
    return Storage("input" if model.family.name in _CONV1D else "result", frozenset(stacked))


@dataclass(frozen=True)
class Piece:
    """A parameter on a device of a tensor parallel group: its shape as stored, and how many of it the device holds.

    ``split`` says whether the group shares it or each device has all of it; ``routed`` ones belong to experts, which
    fewer devices hold in common.
    """

    path: str
    name: str
    role: str
    shape: tuple[Expr, ...]
    copies: Expr
    where: Where
    split: bool
    routed: bool

    @property
    def elements(self) -> Expr:
        """Elements of one tensor."""
        return Mul(*self.shape)

    @property
    def all(self) -> Expr:
        """Elements of all such tensors on the device."""
        return self.copies * self.elements


@lru_cache(maxsize=256)
def pieces(network: Expr, layout: Layout, stage: Stage = "only", storage: Storage = LINEAR) -> tuple[Piece, ...]:
    """Every parameter of a stage, as one tensor parallel rank has it. Raises what `shares` raises.

    A tied table is stored once more on the last stage of several, which computes the logits with it (Narayanan et al.
    2021, arXiv:2104.04473, keep both copies equal by an all-reduce of their gradients).
    """
    found = shares(network, layout, stage)
    return tuple(
        _piece(each, tensor, storage, layout)
        for each in found
        for tensor in each.use.operation.sentence.parameters
        if each.use.copies != 0 or _is_second_copy(each, stage)
    )


def _is_second_copy(share: Share, stage: Stage) -> bool:
    return share.use.operation.role == "logits" and share.use.runs != 0 and stage == "last"


def _piece(share: Share, tensor: Tensor, storage: Storage, layout: Layout) -> Piece:
    use, operation = share.use, share.use.operation
    shape, copies = stored_shape(operation, tensor, storage), use.copies if use.copies != 0 else S.One
    routed = share.whole.copies != share.whole.active
    if use.path in storage.stacked:
        experts = _experts(share) / layout.expert
        shape, copies = (experts, *shape), copies / experts
    split = layout.tensor != 1 and is_split(share.whole.operation, tensor.name)
    return Piece(use.path, tensor.name, operation.role, shape, copies, share.where, split, routed)


def _experts(share: Share) -> Expr:
    """How many experts a layer has: copies for each of the layers that route to them."""
    return share.whole.copies / share.whole.active * n_active


def stored_shape(operation: Operation, tensor: Tensor, storage: Storage) -> tuple[Expr, ...]:
    """A parameter's shape in the order in which code stores its axes."""
    result = operation.sentence.result.axes
    axes = tensor.axes
    summed = [axis for axis in axes if axis not in result]
    if operation.role in _MATMULS and storage.first == "result" and len(axes) == 2 and summed:
        axes = (*(axis for axis in axes if axis in result), *summed)
    return tuple(operation.sizes[axis] for axis in axes)


_MATMULS = frozenset({"qkv", "project", "feedforward", "logits", "router", "head"})


def chunk(piece: Piece, ways: Expr, cut: Cut = "rows") -> Expr:
    """The elements of one tensor that each of some devices stores, filled up to equal length.

    ``rows`` are chunks of the first axis; ``flat`` is its part of all elements, in closed form without rounding.
    """
    if ways == 1:
        return piece.elements
    if cut == "flat":
        return piece.elements / ways
    first, *rest = piece.shape or (S.One,)
    return ceiling(first / ways) * Mul(*rest)


def chunk_length(length: int, ways: int, rank: int) -> int:
    """Rows of a first axis that one rank has itself, nothing filled up: chunks as `torch.chunk` makes them."""
    size = -(-length // ways)
    return max(min(size, length - rank * size), 0)
