"""stub"""
from __future__ import annotations

from sympy import Add, Expr

from symflops.layers.attention import Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS
from symflops.layers.norm import layer_norm, residual
from symflops.networks import Block, Recomputed, Tied
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq

_HEADS = Heads(n_head, n_head, d_model / n_head)
_PARTS = (
    Block("Norms", layer_norm("norm_attention") + layer_norm("norm_feedforward")),
    fused_qkv(_HEADS, BIAS),
    attention_core(_HEADS, Causal(n_seq, n_seq)),
    project(_HEADS, BIAS),
    plain_feedforward("gelu", BIAS, 4 * d_model),
    Block("Residuals", residual("add_attention") + residual("add_feedforward")),
)
LAYER: Expr = Add(*_PARTS)
_REST: Expr = embedding(LEARNED, rows=n_seq) + Block("Norms", layer_norm("norm_final")) + Tied(de_embedding())

NETWORK: Expr = _REST + n_layer * Add(*(Recomputed(part) for part in _PARTS))
NETWORKS: dict[str, Expr] = {"stored": _REST + n_layer * LAYER, "layer": LAYER}
