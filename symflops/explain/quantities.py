"""What a published formula may name of one operation: its parameters, counted in four ways, and its work.

>>> from symflops.networks import Tied, uses
>>> from symflops.layers.embedding import de_embedding
>>> [logits] = uses(Tied(de_embedding()))
>>> {name: quantity(logits) for name, (_, quantity) in QUANTITIES.items()}
{'params': 0, 'stored': 0, 'used': d_model*n_vocab, 'weights': d_model*n_vocab, 'macs': d_model*n_vocab}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sympy import Add, Expr, expand

from symflops.conventions import MACS
from symflops.measures import priced
from symflops.networks import Use
from symflops.notation import n_batch, n_seq
from symflops.operations import Contraction

TOKENS = n_batch * n_seq


def _owned(use: Use) -> Expr:
    return Add(*(each.count for each in use.operation.parameters))


def _matrices(use: Use) -> Expr:
    """The parameters that stand as a factor in an einsum, so that each takes part in a multiplication: no biases."""
    if not isinstance(use.operation, Contraction):
        return Add()
    factors = {each.name for each in use.operation.sentence.factors}
    return Add(*(each.count for each in use.operation.parameters if each.name in factors))


def _macs(use: Use) -> Expr:
    return expand(priced(use, MACS, "forward") / TOKENS)


QUANTITIES: Mapping[str, tuple[str, Callable[[Use], Expr]]] = MappingProxyType(
    {
        "params": ("parameters it owns that serve one token", lambda use: use.active * _owned(use)),
        "stored": ("parameters it owns, those of all experts among them", lambda use: use.copies * _owned(use)),
        "used": (
            "parameters it uses for one token, its own or those of a tied table",
            lambda use: use.runs * _owned(use),
        ),
        "weights": (
            "elements of the matrices it multiplies by, its own or tied",
            lambda use: use.runs * _matrices(use),
        ),
        "macs": ("multiply-accumulates of one token in a forward pass, masked pairs among them", _macs),
    }
)
"""Name to meaning and quantity, for one operation in its place."""
