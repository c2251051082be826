"""stub"""
from __future__ import annotations

from sympy import Add, Expr, Symbol

from derivations._korthikanti_layer import Rank, dropout, parts, _STREAM
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.norm import layer_norm
from symflops.layers.stream import STREAM
from symflops.networks import Block, Recomputed, Tied, uses
from symflops.notation import n_layer, n_seq

T = Symbol("t", positive=True, integer=True)
_EMBED_DROPOUT = Block("Dropouts", dropout("embedding_dropout", _STREAM, STREAM.sizes(), "dropout"))
_AROUND: Expr = (
    embedding(LEARNED, rows=n_seq) + _EMBED_DROPOUT + Block("Norms", layer_norm("norm_final")) + Tied(de_embedding())
)
def masks(of: tuple[Block, ...]) -> Expr:
    return Add(*(use.operation for use in uses(Add(*of)) if "dropout" in use.operation.name))

_PARTS = parts(Rank())
NETWORK: Expr = _AROUND + n_layer * Add(*_PARTS)
_SPLIT = parts(Rank(split=T))
NETWORKS: dict[str, Expr] = {
    "selective": _AROUND + n_layer * Add(*(Recomputed(e) if e.name == "Attention: Mask" else e for e in _PARTS)),
    "full": _AROUND + n_layer * Add(*map(Recomputed, _PARTS)),
    "layer": Add(*_PARTS),
    "masks": masks(_PARTS),
    "split": Add(*_SPLIT),
    "split_masks": masks(_SPLIT),
}
