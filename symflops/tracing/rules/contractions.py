"""Matrix products: what each operator contracts. A fused bias is one element of work per element of the result."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from symflops.tracing.rules.registry import rule
from symflops.tracing.rules.work import Einsum, Elements, Works

MM = "m k, k n -> m n"
BMM = "batch m k, batch k n -> batch m n"


def _mm(a: Tensor, b: Tensor) -> Einsum:
    return Einsum(MM, {"m": a.shape[0], "k": a.shape[1], "n": b.shape[1]})


def _bmm(a: Tensor, b: Tensor) -> Einsum:
    return Einsum(BMM, {"batch": a.shape[0], "m": a.shape[1], "k": a.shape[2], "n": b.shape[2]})


@rule("aten::mm", "aten::_int_mm", "aten::_scaled_mm", "aten::_scaled_mm_v2")
def mm(result: Any, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Works:
    return _mm(a, b)


@rule("aten::bmm")
def bmm(result: Any, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Works:
    return _bmm(a, b)


@rule("aten::_foreach_mm")
def foreach_mm(result: Any, left: list[Tensor], right: list[Tensor], *_: Any, **__: Any) -> Works:
    return tuple(_mm(a, b) for a, b in zip(left, right, strict=True))


@rule("aten::addmm", "aten::_addmm_activation")
def addmm(result: Any, bias: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Works:
    return _mm(a, b), Elements(result.numel())


@rule("aten::baddbmm", "aten::addbmm")
def baddbmm(result: Any, bias: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Works:
    return _bmm(a, b), Elements(result.numel())


@rule("aten::mv")
def mv(result: Any, a: Tensor, x: Tensor, *_: Any, **__: Any) -> Works:
    return Einsum("m k, k -> m", {"m": a.shape[0], "k": a.shape[1]})


@rule("aten::addmv")
def addmv(result: Any, bias: Tensor, a: Tensor, x: Tensor, *_: Any, **__: Any) -> Works:
    return mv(result, a, x), Elements(result.numel())  # type: ignore[return-value]


@rule("aten::dot", "aten::vdot")
def dot(result: Any, x: Tensor, y: Tensor, *_: Any, **__: Any) -> Works:
    return Einsum("k, k ->", {"k": x.shape[0]})


@rule("aten::addr")
def addr(result: Any, bias: Tensor, x: Tensor, y: Tensor, *_: Any, **__: Any) -> Works:
    return Einsum("m, n -> m n", {"m": x.shape[0], "n": y.shape[0]}), Elements(result.numel())


def _linear(x: Tensor, weight: Tensor, spec: str) -> Einsum:
    """Leading axes of `x` are tokens. A vector is one token."""
    return Einsum(spec, {"token": math.prod(x.shape[:-1]), "d_in": weight.shape[-1], "d_out": weight.shape[0]})


@rule("aten::linear", "aten::mkldnn_linear")
def linear(result: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None, **_: Any) -> Works:
    product = _linear(x, weight, "token d_in, d_out d_in -> token d_out")
    return product if bias is None else (product, Elements(result.numel()))


@rule("aten::linear_backward")
def linear_backward(
    result: Any, x: Tensor, grad: Tensor, weight: Tensor, needed: tuple[bool, bool, bool], **_: Any
) -> Works:
    works: list[Einsum | Elements] = []
    if needed[0]:
        works.append(_linear(x, weight, "token d_out, d_out d_in -> token d_in"))
    if needed[1]:
        works.append(_linear(x, weight, "token d_out, token d_in -> d_out d_in"))
    if needed[2]:
        works.append(Elements(grad.numel()))
    return tuple(works)


@rule("aten::_weight_int8pack_mm", "aten::_weight_int4pack_mm", "aten::_weight_int4pack_mm_for_cpu")
def packed_mm(result: Tensor, x: Tensor, *_: Any, **__: Any) -> Works:
    """The packed weight hides its shape, the result shows it."""
    return Einsum("m k, n k -> m n", {"m": x.shape[0], "k": x.shape[1], "n": result.shape[1]})


@rule(
    "aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2", "transformers::grouped_mm_fallback"
)
def grouped_mm(result: Any, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Works:
    """Offsets share out one axis among the groups, so its full length is the work, whatever the split.

    That axis is the rows of a 2d × 3d product, the columns of a 3d × 2d one and the contracted axis of a 2d × 2d one.
    """
    if a.dim() == 3 and b.dim() == 3:
        sizes = {"group": a.shape[0], "m": a.shape[1], "k": a.shape[2], "n": b.shape[2]}
        return Einsum("group m k, group k n -> group m n", sizes)
    if b.dim() == 3:
        return Einsum("token k, k n -> token n", {"token": a.shape[0], "k": a.shape[1], "n": b.shape[2]})
    if a.dim() == 3:
        return Einsum("m k, k token -> m token", {"m": a.shape[1], "k": a.shape[2], "token": b.shape[1]})
    return Einsum("m token, token n -> m n", {"m": a.shape[0], "token": a.shape[1], "n": b.shape[1]})


@rule("transformers::grouped_mm_fallback_backward")
def grouped_mm_fallback_backward(result: Any, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> Works:
    sizes = {"token": x.shape[0], "k": x.shape[1], "n": weight.shape[2]}
    return Einsum("token n, k n -> token k", sizes), Einsum("token k, token n -> k n", sizes)
