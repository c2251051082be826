"""A transformer layer with dropouts on one of n_tensor ranks, and the bytes it keeps for its backward pass.

Every operation is declared by what it computes; which tensors it keeps follows from its gradient. What is declared here
beside that: two bytes an element and one for each of a dropout's mask, and which inputs are gathered anew.

>>> from symflops.notation import symbol
>>> n_tensor = symbol("n_tensor")
>>> whole, split = (total(kept(each)) for each in (Rank(), Rank(split=n_tensor)))
>>> (whole - split.subs(n_tensor, 1)).expand()
0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from sympy import Add, Expr, Lambda, S, Symbol, expand

from symflops.elementwise import Elementwise
from symflops.layers.attention import BIAS, Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.norm import layer_norm, residual
from symflops.layers.softmax import plain
from symflops.layers.stream import STREAM, Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block, uses
from symflops.notation import d_model, n_head, n_seq
from symflops.operations import Operation
from symflops.training.activations import MASK_BYTES as MASK
from symflops.training.activations import kept as values

ELEMENT = 2
"""Bytes of an element in half precision; of a dropout's mask it is `MASK` (section 4)."""
_X, _MASK = Symbol("x", real=True), Symbol("mask", real=True)


@dataclass(frozen=True)
class Rank:
    """One of the ranks that share a layer: heads and hidden units are ``split``, and so, perhaps, the ``tokens``.

    Norms, dropouts and residual additions run over ``tokens`` of each sequence, which sequence parallelism makes fewer.
    """

    split: Expr = S.One
    tokens: Expr = n_seq


@dataclass(frozen=True)
class Kept:
    """A tensor that the forward pass leaves for the backward pass, and its bytes in all."""

    operation: str
    tensor: str
    elements: Expr
    bytes: Expr


def _dropout(
    name: str, axes: str, sizes: Mapping[str, Expr], role: str, *pairs: AttendedPairs, result: str = "y"
) -> Elementwise:
    """A dropout: its input times a mask that is drawn at random and needs no gradient."""
    sentence, formula = f"x{axes} mask{axes} -> {result}{axes}", Lambda((_X, _MASK), _X * _MASK)
    return Elementwise(f"{name}_dropout", sentence, sizes, role, *pairs, constants=("mask",), formula=formula)


def stream_dropout(name: str, stream: Stream = STREAM) -> Elementwise:
    """A dropout of what is added to the residual stream."""
    return _dropout(name, "[batch seq d_model]", stream.sizes(), "residual")


def _softmax_and_dropout(sizes: Mapping[str, Expr], mask: AttendedPairs) -> tuple[Operation, ...]:
    axes = "[batch kv_head group query key]"
    return *plain(sizes, mask), _dropout("softmax", axes, sizes, "softmax", mask, result="weights")


def parts(rank: Rank) -> tuple[Block, ...]:
    """The layer's named parts on one rank: two norms, attention, feed-forward, two dropouts, two additions."""
    heads = Heads(n_head / rank.split, n_head / rank.split, d_model / n_head)
    stream = Stream(seq=rank.tokens)
    return (
        Block("Norms", layer_norm("norm_attention", stream) + layer_norm("norm_feedforward", stream)),
        fused_qkv(heads, BIAS),
        attention_core(heads, Causal(n_seq, n_seq), _softmax_and_dropout),
        project(heads, BIAS),
        plain_feedforward("gelu", BIAS, 4 * d_model / rank.split),
        Block("Dropouts", Add(*(stream_dropout(each, stream) for each in _BRANCHES))),
        Block("Residuals", Add(*(residual(f"{each}_add", stream) for each in _BRANCHES))),
    )


_BRANCHES = ("attention", "feedforward")
CORE = frozenset({"scores", "softmax", "softmax_dropout", "mix"})
"""What selective recomputation runs again."""
CORE_INPUTS = frozenset({("scores", "q"), ("scores", "k"), ("mix", "v")})
"""What the recomputed core takes from outside, and has to find there again."""
GATHERED = frozenset({("qkv", "x"), ("up", "x")})
"""Inputs that sequence parallelism gathers from all ranks anew in the backward pass: a rank keeps its own part."""
ORDER = (
    "norm_attention", "qkv", "scores", "softmax", "softmax_dropout", "mix", "project", "attention_dropout",
    "norm_feedforward", "up", "act", "down", "feedforward_dropout",
)  # fmt: skip
"""The operations that keep something, as they run."""


def masks(of: Iterable[Block]) -> Expr:
    """The dropouts alone, of which each keeps a mask."""
    return Add(*(use.operation for use in uses(Add(*of)) if use.operation.name.endswith("_dropout")))


@lru_cache
def kept(rank: Rank = Rank()) -> tuple[Kept, ...]:
    """Every tensor that one layer keeps on a rank, as it runs."""
    found = [
        _sized(each.path.rpartition("/")[2], each.tensor, each.elements, rank) for each in values(Add(*parts(rank)))
    ]
    return tuple(sorted(found, key=lambda each: ORDER.index(each.operation)))


def _sized(operation: str, tensor: str, elements: Expr, rank: Rank) -> Kept:
    here = elements * rank.tokens / n_seq if (operation, tensor) in GATHERED else elements
    return Kept(operation, tensor, here, here * (MASK if tensor == "mask" else ELEMENT))


def selective(tensors: Iterable[Kept]) -> tuple[Kept, ...]:
    """What is left where the attention core is recomputed: of the core, only what it takes from outside."""
    return tuple(each for each in tensors if each.operation not in CORE or (each.operation, each.tensor) in CORE_INPUTS)


def full(tensors: Iterable[Kept]) -> tuple[Kept, ...]:
    """What is left where the whole layer is recomputed: what it takes from outside, the input of its first norm."""
    return tuple(each for each in tensors if (each.operation, each.tensor) == ("norm_attention", "x"))


def small(tensors: Iterable[Kept]) -> tuple[Kept, ...]:
    """The mean and the variance of each token, which each norm keeps."""
    return tuple(each for each in tensors if each.tensor.startswith("row_"))


def total(tensors: Iterable[Kept]) -> Expr:
    """The bytes of tensors together."""
    return expand(Add(*(each.bytes for each in tensors)))
