"""Fused attention: scores and mix forward; scores again and four gradients backward. All (query, key) pairs count.

Whatever the mask, the pairs are dense, as torch's dispatcher states the call: a convention may take less afterwards.
`head` counts query heads. Key and value heads that several of them share add no work. A fused softmax is one element
of work per score forward, and two backward (the exponentials again, and the gradient through the normalisation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from symflops.errors import SymflopsError
from symflops.tracing import internals
from symflops.tracing.rules.registry import rule
from symflops.tracing.rules.work import Einsum, Elements, Size, Work, Works

SCORES: Final = "batch head query d_head, batch head key d_head -> batch head query key"
MIX: Final = "batch head query key, batch head key d_value -> batch head query d_value"
VALUE_GRADIENT: Final = "batch head query key, batch head query d_value -> batch head key d_value"
WEIGHT_GRADIENT: Final = "batch head query d_value, batch head key d_value -> batch head query key"
QUERY_GRADIENT: Final = "batch head query key, batch head key d_head -> batch head query d_head"
KEY_GRADIENT: Final = "batch head query key, batch head query d_head -> batch head key d_head"


class UnknownLengths(SymflopsError):
    """Packed sequences whose lengths cannot be read, so that the number of (query, key) pairs is unknown.

    >>> raise UnknownLengths("cum_seq_q")
    Traceback (most recent call last):
    symflops.tracing.rules.attention.UnknownLengths: attention over packed sequences: their lengths are the values of
    'cum_seq_q', which a meta or fake tensor does not have; run on real tensors, or pad to one length
    """

    def __init__(self, argument: str) -> None:
        super().__init__(
            f"attention over packed sequences: their lengths are the values of {argument!r}, "
            "which a meta or fake tensor does not have; run on real tensors, or pad to one length"
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of one block of attention."""

    batch: Size
    head: Size
    query: Size
    key: Size
    d_head: Size
    d_value: Size

    def einsum(self, spec: str, *, features: str) -> Einsum:
        sizes = {"batch": self.batch, "head": self.head, "query": self.query, "key": self.key}
        return Einsum(spec, {**sizes, features: getattr(self, features)})

    @property
    def scores(self) -> int:
        sizes: Any = (self.batch, self.head, self.query, self.key)
        return math.prod(sizes)

    def forward(self) -> tuple[Work, ...]:
        return (
            self.einsum(SCORES, features="d_head"),
            self.einsum(MIX, features="d_value"),
            Elements(self.scores),
        )

    def backward(self) -> tuple[Work, ...]:
        return (
            self.einsum(SCORES, features="d_head"),
            self.einsum(VALUE_GRADIENT, features="d_value"),
            self.einsum(WEIGHT_GRADIENT, features="d_value"),
            self.einsum(QUERY_GRADIENT, features="d_head"),
            self.einsum(KEY_GRADIENT, features="d_head"),
            Elements(2 * self.scores),
        )


def heads_first(query: Tensor, key: Tensor, value: Tensor) -> Shape:
    """Layout (batch, head, position, feature)."""
    batch, head, n_query, d_head = query.shape
    return Shape(batch, head, n_query, key.shape[2], d_head, value.shape[3])


def positions_first(query: Tensor, key: Tensor, value: Tensor) -> Shape:
    """Layout (batch, position, head, feature)."""
    batch, n_query, head, d_head = query.shape
    return Shape(batch, head, n_query, key.shape[1], d_head, value.shape[3])


def _packed(query: Tensor, value: Tensor, ends_q: Tensor, ends_k: Tensor, names: Sequence[str]) -> Iterator[Shape]:
    """One block per packed sequence, its lengths read from the running totals."""
    for name, ends in zip(names, (ends_q, ends_k), strict=True):
        if not internals.has_values(ends):
            raise UnknownLengths(name)
    head, d_head = query.shape[-2:]
    for n_query, n_key in zip(ends_q.diff().tolist(), ends_k.diff().tolist(), strict=True):
        yield Shape(1, head, n_query, n_key, d_head, value.shape[-1])


def _blocks(
    query: Tensor, key: Tensor, value: Tensor, ends_q: Tensor | None, ends_k: Tensor | None, names: Sequence[str]
) -> tuple[Shape, ...]:
    if ends_q is None or ends_k is None or not ends_q.numel():
        return (positions_first(query, key, value),)
    return tuple(_packed(query, value, ends_q, ends_k, names))


@rule(
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "higher_order::flex_attention",
)
def attention(result: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Works:
    return heads_first(query, key, value).forward()


@rule(
    "aten::_scaled_dot_product_flash_attention_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
def attention_backward(
    result: Any, grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> Works:
    return heads_first(query, key, value).backward()


@rule("higher_order::flex_attention_backward")
def flex_attention_backward(result: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Works:
    return heads_first(query, key, value).backward()


PACKED: Final = ("cum_seq_q", "cum_seq_k")


@rule("aten::_flash_attention_forward")
def flash_attention(
    result: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cum_seq_q: Tensor | None = None,
    cum_seq_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    blocks = _blocks(query, key, value, cum_seq_q, cum_seq_k, PACKED)
    return tuple(work for block in blocks for work in block.forward())


@rule("aten::_flash_attention_backward")
def flash_attention_backward(
    result: Any,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    cum_seq_q: Tensor | None = None,
    cum_seq_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    blocks = _blocks(query, key, value, cum_seq_q, cum_seq_k, PACKED)
    return tuple(work for block in blocks for work in block.backward())


@rule("aten::_efficient_attention_forward")
def efficient_attention(
    result: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    blocks = _blocks(query, key, value, cu_seqlens_q, cu_seqlens_k, ("cu_seqlens_q", "cu_seqlens_k"))
    return tuple(work for block in blocks for work in block.forward())


@rule("aten::_efficient_attention_backward")
def efficient_attention_backward(
    result: Any,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    out: Tensor,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    blocks = _blocks(query, key, value, cu_seqlens_q, cu_seqlens_k, ("cu_seqlens_q", "cu_seqlens_k"))
    return tuple(work for block in blocks for work in block.backward())


def _cudnn(query: Tensor, key: Tensor, value: Tensor, ends_q: Tensor | None, ends_k: Tensor | None) -> Iterator[Shape]:
    """cuDNN's dense layout puts heads first; packed, it is (token, head, feature) as everywhere."""
    if query.dim() == 4:
        yield heads_first(query, key, value)
    else:
        yield from _blocks(query, key, value, ends_q, ends_k, PACKED)


@rule("aten::_cudnn_attention_forward")
def cudnn_attention(
    result: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    cum_seq_q: Tensor | None = None,
    cum_seq_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    return tuple(work for block in _cudnn(query, key, value, cum_seq_q, cum_seq_k) for work in block.forward())


@rule("aten::_cudnn_attention_backward")
def cudnn_attention_backward(
    result: Any,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    philox_seed: Tensor,
    philox_offset: Tensor,
    bias: Tensor | None = None,
    cum_seq_q: Tensor | None = None,
    cum_seq_k: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Works:
    return tuple(work for block in _cudnn(query, key, value, cum_seq_q, cum_seq_k) for work in block.backward())
