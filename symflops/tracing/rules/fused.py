"""Whole layers that torch runs as one operator in inference, priced as the contractions inside them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from symflops.tracing.rules.attention import Shape
from symflops.tracing.rules.registry import rule
from symflops.tracing.rules.work import Einsum, Elements, Size, Work, Works


def _projected(tokens: Tensor, d_out: Size) -> tuple[Work, ...]:
    """A linear layer with bias over the tokens of a (batch, position, feature) tensor."""
    n_token: Any = tokens.shape[0] * tokens.shape[1]
    sizes = {"token": n_token, "d_in": tokens.shape[2], "d_out": d_out}
    return Einsum("token d_in, d_out d_in -> token d_out", sizes), Elements(n_token * d_out)


def _attention(query: Tensor, key: Tensor, value: Tensor, n_head: int) -> tuple[Work, ...]:
    """Projections of all three, scores and mix, and the projection out."""
    d_head = query.shape[2] // n_head
    shape = Shape(query.shape[0], n_head, query.shape[1], key.shape[1], d_head, d_head)
    projections = [work for tensor in (query, key, value, query) for work in _projected(tensor, query.shape[2])]
    return (*projections, *shape.forward())


@rule("aten::_native_multi_head_attention")
def multi_head_attention(
    result: Any, query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_head: int, *_: Any, **__: Any
) -> Works:
    return _attention(query, key, value, num_head)


@rule("aten::_transformer_encoder_layer_fwd")
def encoder_layer(result: Any, src: Tensor, embed_dim: int, num_heads: int, *rest: Any, **_: Any) -> Works:
    """Attention, feed-forward, its activation, two norms and two residual sums."""
    ffn_weight = rest[11]  # qkv, proj, use_gelu, norm_first, eps and the norms' weights come first
    d_ff = ffn_weight.shape[0]
    down = {"token": src.shape[0] * src.shape[1], "d_in": d_ff, "d_out": src.shape[2]}
    return (
        *_attention(src, src, src, num_heads),
        *_projected(src, d_ff),
        Einsum("token d_in, d_out d_in -> token d_out", down),
        Elements(down["token"] * d_ff + 5 * src.numel()),
    )


def _recurrent(x: Tensor, weight_in: Tensor, weight_hidden: Tensor, *specs: str) -> tuple[Work, ...]:
    """Both products of one recurrent layer in one direction, at all positions."""
    n_token: Any = x.shape[0] * x.shape[1]
    gates = {"token": n_token, "d_out": weight_in.shape[0]}
    products = [Einsum(spec, {**gates, "d_in": w.shape[1]}) for spec in specs for w in (weight_in, weight_hidden)]
    return (*products, Elements(len(specs) * n_token * weight_in.shape[0]))


@rule("aten::mkldnn_rnn_layer")
def recurrent_layer(result: Any, x: Tensor, weight_in: Tensor, weight_hidden: Tensor, *_: Any, **__: Any) -> Works:
    return _recurrent(x, weight_in, weight_hidden, "token d_in, d_out d_in -> token d_out")


@rule("aten::mkldnn_rnn_layer_backward")
def recurrent_layer_backward(
    result: Any, x: Tensor, weight_in: Tensor, weight_hidden: Tensor, *_: Any, **__: Any
) -> Works:
    """The kernel computes every gradient, asked for or not."""
    gradients = ("token d_out, d_out d_in -> token d_in", "token d_out, token d_in -> d_out d_in")
    return _recurrent(x, weight_in, weight_hidden, *gradients)
