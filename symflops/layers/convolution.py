"""Convolutions over time and over the patches of an image.

A patch convolution moves on by as much as it reads, so that it is an einsum. Over time, windows overlap: what is stored
are the frames, what is multiplied are the windows.

>>> from symflops.measures import flops, params
>>> params(patch_convolution("patch", BIAS))
d_model*d_patch**2*n_channel + d_model
>>> twice = over_time("conv", n_mel, 3, 2, n_source)
>>> twice.saved, twice.work["mac", "forward"] == 3 * n_mel * d_model * n_batch * n_source
((('x', 2*n_batch*n_mel*n_source),), True)
"""

from __future__ import annotations

from sympy import Expr, Integer

from symflops.declarations import Sentence
from symflops.errors import DeclarationError
from symflops.layers.linear import BIAS, Bias
from symflops.notation import d_model, d_patch, n_batch, n_channel, n_mel, n_side, n_source
from symflops.operations import Contraction

_PATCHES = "x[batch patch channel row column] weight[filter channel row column]"
_FRAMES = "x[batch position stride channel] weight[filter channel tap]"


class Convolution(Contraction):
    """A convolution whose windows overlap: axes of the stored frames that stand in ``x`` alone are its strides.

    Axes of the weight that are not the result's are summed over: taps, and the channels of a group.

    Every filter meets every tap of every position's window, and so do both gradients.
    """

    @classmethod
    def _accept(cls, name: str, sentence: Sentence, formula: object) -> None:
        foreign = {axis for bias in sentence.added for axis in bias.axes} - set(sentence.result.axes)
        parameters = [each.is_parameter for each in sentence.factors]
        summed = set(sentence.factors[-1].axes) - set(sentence.result.axes)
        if parameters != [False, True] or len(sentence.added) > 1 or foreign or not summed:
            what = "frames, a weight with axes that are summed over, and at most one bias over axes of the result"
            raise DeclarationError(f"convolution {name}: {what}, not {sentence.text!r}")

    @property
    def _volume(self) -> Expr:
        return self.elements(frozenset(self.sentence.factors[1].axes) | frozenset(self.sentence.result.axes))


def patch_convolution(name: str, bias: Bias, filters: Expr = d_model) -> Contraction:
    """Each patch of an image to a vector (Dosovitskiy et al. 2021, arXiv:2010.11929); pixels need no gradient."""
    sizes = {
        "batch": n_batch, "patch": n_side**2, "channel": n_channel, "row": d_patch, "column": d_patch,
        "filter": filters,
    }  # fmt: skip
    return Contraction(name, f"{_PATCHES}{_added(bias)} -> y[batch patch filter]", sizes, "patch", constants=("x",))


def over_time(
    name: str, channels: Expr, taps: int, stride: int, positions: Expr, frozen: tuple[str, ...] = ()
) -> Convolution:
    """A convolution of ``taps`` frames at each of ``positions``, which lie ``stride`` frames apart, with a bias.

    Where a window reaches over the ends, frames of zeros are read, and multiplied. ``frozen`` are operands that need no
    gradient, such as the ``x`` of a first layer.
    """
    sizes = {
        "batch": n_batch, "position": positions, "stride": Integer(stride), "channel": channels, "tap": Integer(taps),
        "filter": d_model,
    }  # fmt: skip
    sentence = f"{_FRAMES}{_added(BIAS)} -> y[batch position filter]"
    return Convolution(name, sentence, sizes, "convolution", constants=frozen)


def _added(bias: Bias) -> str:
    return " + bias[filter]" if bias == BIAS else ""


__all__ = ["Convolution", "n_mel", "n_source", "over_time", "patch_convolution"]
