"""Convolutions as torch runs them, and by their definition, which the two are compared by.

Frames are stored channels last, and torch's kernels take them channels first, as views. What a declaration leaves to
its layer is which frames a window of taps reads: over time its middle stands at the position, along tokens its end, and
there the positions after the last token are the padding that transformers convolves too.

>>> from symflops.declarations import parse
>>> sentence = parse("x[batch position stride channel] weight[filter channel tap] -> y[batch position filter]")
>>> x, weight = torch.ones(1, 2, 2, 1), torch.ones(1, 1, 3)
>>> over_time(x, weight).flatten().tolist(), by_definition(sentence, (x, weight)).flatten().tolist()
([2.0, 3.0], [2.0, 3.0])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from symflops.declarations import Sentence

Run = Callable[..., torch.Tensor]


def kernel_of(sentence: Sentence) -> Run | None:
    """Torch's kernel of a convolution; none where windows are laid out one by one, as in a step of decoding.

    >>> from symflops.declarations import parse
    >>> kernel_of(parse("x[batch seq tap width] weight[width channel tap] -> y[batch seq width]")) is None
    True
    """
    frames, weight = sentence.factors
    own, _, tap = weight.axes
    if tap in frames.axes:
        return None
    return along_tokens if own in frames.axes else over_time


def over_time(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Frames [batch position stride channel] by filters [filter channel tap], of an odd number of taps."""
    frames = x.flatten(1, 2).transpose(1, 2)
    found = functional.conv1d(frames, weight, bias, stride=x.shape[2], padding=(weight.shape[-1] - 1) // 2)
    return found.transpose(1, 2)


def along_tokens(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Tokens, and padding after them, [batch position channel], each channel by its own taps [channel 1 tap]."""
    reach = weight.shape[-1] - 1
    tokens = x[:, : x.shape[1] - reach].transpose(1, 2)
    return functional.conv1d(tokens, weight, bias, padding=reach, groups=len(weight)).transpose(1, 2)


def by_definition(sentence: Sentence, operands: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum over taps of the frames that each meets, zeros where it meets none."""
    x, weight, *bias = operands
    own, _, _ = sentence.factors[1].axes
    taps, alone = weight.shape[-1], own in sentence.factors[0].axes
    stride = 1 if alone else x.shape[2]
    frames, before = (x, taps - 1) if alone else (x.flatten(1, 2), (taps - 1) // 2)
    stored = x.shape[1] - taps + 1 if alone else frames.shape[1]
    found = sum(bias, torch.zeros((), dtype=x.dtype, device=x.device))
    for tap in range(taps):
        number = torch.arange(x.shape[1], device=x.device) * stride + tap - before
        there = (number >= 0) & (number < stored)
        met = frames[:, number.clamp(0, frames.shape[1] - 1)] * there[:, None]
        found = found + (met * weight[:, 0, tap] if alone else met @ weight[:, :, tap].mT)
    return found
