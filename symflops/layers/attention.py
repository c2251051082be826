"""Attention: projections to queries, keys and values, the masked core, and the projection back.

The core is the same three operations for every head layout: scores, softmax and mix, over one count of attended pairs.

>>> from symflops.measures import flops, params
>>> from symflops.notation import d_head, d_model, n_head, n_kv_head
>>> params(separate_qkv(d_model, n_head, n_kv_head, d_head, NO_BIAS))
d_head*d_model*n_head + 2*d_head*d_model*n_kv_head
>>> flops(attention_core(n_head, n_kv_head, d_head, Causal(n_seq, n_seq)), "exact").expr.factor()
2*d_head*n_batch*n_head*n_seq*(n_seq + 1)
"""

from __future__ import annotations

from sympy import Add, Expr, Lambda, Symbol, exp

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Total
from symflops.layers.linear import BIAS, NO_BIAS, Bias, linear
from symflops.masks import AttendedPairs, Causal
from symflops.networks import Block, Recomputed
from symflops.notation import n_batch, n_seq
from symflops.operations import Contraction

__all__ = [
    "BIAS",
    "NO_BIAS",
    "Causal",
    "attention_core",
    "flash_core",
    "fused_qkv",
    "project",
    "rotate",
    "separate_qkv",
]

_SCORES = "q[batch kv_head group query d_head] k[batch kv_head key d_head] -> scores[batch kv_head group query key]"
_MIX = "weights[batch kv_head group query key] v[batch kv_head key d_head] -> mix[batch kv_head group query d_head]"
_SOFTMAX = "x[batch kv_head group query key] -> weights[batch kv_head group query key]"
_X, _COS, _SIN, _PARTNER = (Symbol(name, real=True) for name in ("x", "cos", "sin", "partner"))


def fused_qkv(name: str, d_model: Expr, n_head: Expr, d_head: Expr, bias: Bias) -> Block:
    """One matmul for queries, keys and values of all heads, as in GPT-2."""
    return Block("Attention: QKV", linear(name, d_model, 3 * n_head * d_head, "qkv", bias))


def separate_qkv(d_model: Expr, n_head: Expr, n_kv_head: Expr, d_head: Expr, bias: Bias) -> Block:
    """Three matmuls; fewer heads for keys and values in grouped-query attention (Ainslie 2023, arXiv:2305.13245)."""
    heads = {"q": n_head, "k": n_kv_head, "v": n_kv_head}
    return Block("Attention: QKV", Add(*(linear(name, d_model, n * d_head, "qkv", bias) for name, n in heads.items())))


def attention_core(n_head: Expr, n_kv_head: Expr, d_head: Expr, mask: AttendedPairs) -> Block:
    """QK^T, softmax and the mix of values, each over the attended pairs of one mask object."""
    sizes = {"batch": n_batch, "kv_head": n_kv_head, "group": n_head / n_kv_head, "d_head": d_head}
    weight = exp(_X - Largest(_X, "key"))
    softmax = Lambda(_X, weight / Total(weight, "key"))
    return Block(
        "Attention: Mask",
        Add(
            Contraction("scores", _SCORES, sizes, "scores", mask),
            Elementwise("softmax", _SOFTMAX, sizes, "softmax", mask, formula=softmax),
            Contraction("mix", _MIX, sizes, "mix", mask),
        ),
    )


def flash_core(n_head: Expr, n_kv_head: Expr, d_head: Expr, mask: AttendedPairs) -> Block:
    """The core as FlashAttention runs it: the scores and their softmax are computed again in the backward pass.

    Dao et al. 2022, arXiv:2205.14135, algorithm 4: five matmuls backward against two forward.
    """
    core = attention_core(n_head, n_kv_head, d_head, mask)
    again = [Recomputed(each) if each.role in ("scores", "softmax") else each for each in core.body.args]
    return Block(core.name, Add(*again))


def rotate(name: str, heads: Expr, width: Expr) -> Elementwise:
    """Rotary positions on ``width`` elements of each head (Su et al. 2021, arXiv:2104.09864): two products, one sum."""
    axes = "[batch seq head d_rope]"
    sentence = f"x{axes} cos[seq d_rope] partner{axes} sin[seq d_rope] -> y{axes}"
    sizes = {"batch": n_batch, "seq": n_seq, "head": heads, "d_rope": width}
    formula = Lambda((_X, _COS, _PARTNER, _SIN), _X * _COS + _PARTNER * _SIN)
    # The partner is x itself with its halves exchanged, so its gradient is x's: counted once.
    return Elementwise(name, sentence, sizes, "rotary", constants=("cos", "sin"), formula=formula)


def project(name: str, n_head: Expr, d_head: Expr, d_model: Expr, bias: Bias) -> Block:
    """From all heads' mixes back to the residual stream."""
    return Block("Attention: Project", linear(name, n_head * d_head, d_model, "project", bias))
