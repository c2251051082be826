"""Convolutions as einsums of an unfolded input: one multiply per (position, tap), padding included.

`channel` is the axis inside a group and `filter` runs over all groups, so that a depthwise convolution, which has one
channel per group, is exact. The gradients swap which of three tensors is the result; the axes, and so the work, stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor

from symflops.tracing.rules.registry import rule
from symflops.tracing.rules.work import Einsum, Elements, Size, Works

FORWARD: Final = "batch channel position tap, filter channel tap -> batch filter position"
INPUT_GRADIENT: Final = "batch filter position, filter channel tap -> batch channel position tap"
WEIGHT_GRADIENT: Final = "batch channel position tap, batch filter position -> filter channel tap"
# A transposed convolution is the input gradient of a plain one, seen as a forward pass.
TRANSPOSED: Final = {FORWARD: INPUT_GRADIENT, INPUT_GRADIENT: FORWARD, WEIGHT_GRADIENT: WEIGHT_GRADIENT}


def sizes(small: Tensor, weight: Tensor) -> dict[str, Size]:
    """`small` is the side of which each position meets all taps: the output, or the input when transposed."""
    return {
        "batch": small.shape[0],
        "filter": weight.shape[0],
        "channel": weight.shape[1],
        "position": math.prod(small.shape[2:]),
        "tap": math.prod(weight.shape[2:]),
    }


def _forward(result: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool) -> Works:
    contraction = Einsum(TRANSPOSED[FORWARD] if transposed else FORWARD, sizes(x if transposed else result, weight))
    return contraction if bias is None else (contraction, Elements(result.numel()))


@rule("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution(
    result: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    **__: Any,
) -> Works:
    return _forward(result, x, weight, bias, transposed)


@rule("aten::mkldnn_convolution", "aten::conv_depthwise3d", "aten::_conv_depthwise2d", "aten::cudnn_convolution")
def plain_convolution(result: Tensor, x: Tensor, weight: Tensor, *rest: Any, **_: Any) -> Works:
    bias = next((value for value in rest if isinstance(value, Tensor)), None)
    return _forward(result, x, weight, bias, False)


@rule("aten::cudnn_convolution_transpose")
def transposed_convolution(result: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> Works:
    return _forward(result, x, weight, None, True)


@rule("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(result: Any, grad: Tensor, x: Tensor, weight: Tensor, *rest: Any, **keywords: Any) -> Works:
    """Only the gradients asked for in the output mask are computed."""
    has_bias_sizes = len(rest) == 8  # convolution_backward_overrideable has none
    transposed: bool = rest[4 if has_bias_sizes else 3]
    needed: Sequence[bool] = keywords.get("output_mask", rest[-1])
    axes = sizes(x if transposed else grad, weight)
    specs = (INPUT_GRADIENT, WEIGHT_GRADIENT)
    found = [TRANSPOSED[spec] if transposed else spec for spec, wanted in zip(specs, needed, strict=False) if wanted]
    bias = (Elements(grad.numel()),) if needed[2] else ()
    return (*(Einsum(spec, axes) for spec in found), *bias)
