"""The sentence that declares an operation: ``x[batch seq d_model] weight[d_model d_ff] + bias[d_ff] -> y[…]``.

Tensors side by side are factors, tensors after ``+`` are added, the tensor after ``->`` is the result; axes are named
as in einops. Operands called ``weight`` or ``bias`` are parameters, as in torch's modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from symflops.errors import DeclarationError

_TENSOR = r"[A-Za-z_]\w*\s*\[[\w\s]*\]"
_SENTENCE = re.compile(rf"\s*((?:{_TENSOR}\s*)+)((?:\+\s*{_TENSOR}\s*)*)->\s*({_TENSOR})\s*")
PARAMETER_NAMES = frozenset({"weight", "bias"})


@dataclass(frozen=True)
class Tensor:
    """A named tensor with named axes."""

    name: str
    axes: tuple[str, ...]

    @property
    def is_parameter(self) -> bool:
        """Whether the operation owns it."""
        return self.name in PARAMETER_NAMES


@dataclass(frozen=True)
class Sentence:
    """A parsed declaration."""

    text: str
    factors: tuple[Tensor, ...]
    added: tuple[Tensor, ...]
    result: Tensor

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """Factors, then what is added."""
        return self.factors + self.added

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The operands that the operation owns."""
        return tuple(each for each in self.operands if each.is_parameter)

    @property
    def axes(self) -> tuple[str, ...]:
        """Every axis, in order of appearance."""
        return tuple(dict.fromkeys(axis for each in (*self.operands, self.result) for axis in each.axes))


@lru_cache(maxsize=4096)
def parse(text: str) -> Sentence:
    """Read a sentence.

    >>> [tensor.name for tensor in parse("x[seq d] weight[d f] + bias[f] -> y[seq f]").operands]
    ['x', 'weight', 'bias']
    >>> parse("x[seq d] -> y[seq f]")
    Traceback (most recent call last):
    symflops.errors.DeclarationError: 'x[seq d] -> y[seq f]': the result's axes f stand in no operand

    Raises `DeclarationError` where the text is no sentence, an axis is repeated in a tensor, or a name is.
    """
    match = _SENTENCE.fullmatch(text)
    if match is None:
        raise DeclarationError(f"{text!r} is no declaration; write 'x[a b] weight[b c] + bias[c] -> y[a c]'")
    factors, added, results = (_tensors(part) for part in match.groups())
    sentence = Sentence(text, factors, added, results[0])
    _check(sentence)
    return sentence


def _tensors(text: str) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, tuple(axes.split())) for name, axes in re.findall(r"(\w+)\s*\[([^]]*)\]", text))


def _check(sentence: Sentence) -> None:
    tensors = (*sentence.operands, sentence.result)
    for tensor in tensors:
        if len(set(tensor.axes)) < len(tensor.axes):
            raise DeclarationError(f"{sentence.text!r}: tensor {tensor.name!r} has an axis twice")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise DeclarationError(f"{sentence.text!r}: two tensors have one name")
    inside = {axis for each in sentence.operands for axis in each.axes}
    foreign = [axis for axis in sentence.result.axes if axis not in inside]
    if foreign and not _is_lookup(sentence):
        raise DeclarationError(f"{sentence.text!r}: the result's axes {' '.join(foreign)} stand in no operand")


def _is_lookup(sentence: Sentence) -> bool:
    """A table whose rows are picked: its result has axes that come from the index."""
    return len(sentence.operands) == 1 and sentence.operands[0].is_parameter
