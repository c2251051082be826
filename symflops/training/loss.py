"""The loss of a language model: a softmax over the logits, which its gradient needs, and the targets.

>>> from symflops.architectures import architecture
>>> [(each.path, each.tensor, each.bytes) for each in kept(cross_entropy(architecture("gpt2").network))]
[('Loss/picked', 'index', 8*n_batch*n_seq), ('Loss/softmax', 'y', 4*n_batch*n_seq*n_vocab)]
"""

from __future__ import annotations

from sympy import Add, Expr, Lambda, S, Symbol, exp

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Total
from symflops.networks import Block, uses
from symflops.training.activations import STATISTIC_BYTES, Kept
from symflops.training.activations import kept as kept_of

_X, _Y, _INDEX = (Symbol(name, real=True) for name in ("x", "y", "index"))
_WEIGHT = exp(_X - Largest(_X, "vocab"))
_AXES = "[batch seq vocab]"


def cross_entropy(network: Expr) -> Expr:
    """The loss over the logits of a network, 0 where it has none.

    Torch keeps the logarithms of the softmax, as many and as wide.
    """
    made = (use.operation for use in uses(network) if use.operation.role == "logits")
    shapes = (each.shape(each.sentence.result) for each in made)
    return Add(*(_loss(*shape) for shape in shapes if len(shape) == 3), S.Zero)


def _loss(batch: Expr, seq: Expr, vocab: Expr) -> Block:
    sizes = {"batch": batch, "seq": seq, "vocab": vocab}
    normed = Lambda(_X, _WEIGHT / Total(_WEIGHT, "vocab"))
    softmax = Elementwise("softmax", f"x{_AXES} -> y{_AXES}", sizes, "loss", formula=normed)
    # The target picks one value: a product with a vector of one 1, of which the place is stored.
    picks = Lambda((_Y, _INDEX), Total(_Y * _INDEX, "vocab"))
    sentence = f"y{_AXES} index[batch seq] -> picked[batch seq]"
    return Block("Loss", softmax + Elementwise("picked", sentence, sizes, "loss", constants=("index",), formula=picks))


def kept(loss: Expr) -> tuple[Kept, ...]:
    """What the loss keeps: it is computed in float32, whatever the logits are."""
    return kept_of(loss, STATISTIC_BYTES)
