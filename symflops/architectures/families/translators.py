"""Encoder and decoder side by side: the decoder attends to its own tokens, then to those that the encoder has made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sympy import Add, Expr

from symflops.architectures import stacks
from symflops.architectures.families.encoders import HEADS
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field
from symflops.architectures.runs import Run
from symflops.architectures.stacks import ROTARY
from symflops.architectures.towers import cross_attention, once, one_table, part, within
from symflops.errors import ConfigError
from symflops.layers.attention import Heads, separate_qkv
from symflops.layers.embedding import de_embedding, embedding, table
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.heads import shift_of_logits
from symflops.layers.linear import BIAS, NO_BIAS, Bias
from symflops.layers.norm import layer_norm, residual, rms_norm
from symflops.layers.positions import relative_positions
from symflops.layers.softmax import with_relative_bias
from symflops.layers.stream import Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block, Tied
from symflops.notation import d_ff, d_ff_decoder, d_head, n_ctx, n_head, n_layer, n_layer_decoder, n_vocab

_WIDE = Heads(n_head, n_head, d_head)
"""Heads with a width of their own."""


def _t5(config: Config, run: Run) -> Expr:
    reading, feedforward = Run(attention=run.attention), _feedforward_of(config["feed_forward_proj"])
    embed, stream = embedding(ROTARY), run.stream()
    encoder = _t5_stack(reading, reading.full(), n_layer, feedforward(reading.stream()))
    cross = cross_attention(run, _WIDE, reading.stream(), rms_norm, NO_BIAS, NO_BIAS)
    decoder = _t5_stack(run, run.causal(), n_layer_decoder, feedforward(stream), cross)
    head = de_embedding(stream=stream)
    return Add(
        once(part("Encoder", embed + encoder)),
        part("Decoder", Tied(embedding(ROTARY, stream)) + decoder),
        # Version 1.1 and its successors have a head of their own, which some versions of the code tie all the same.
        Tied(head) if config["tie_word_embeddings"] else head,
    )


def _t5_stack(run: Run, mask: AttendedPairs, layers: Expr, feedforward: Expr, cross: Expr | None = None) -> Expr:
    """Layers with a table of relative positions, which the first of them holds for all, and a norm behind the last."""
    # The added positions need a gradient, which no fused kernel has for a mask: the core is run product by product.
    products = replace(run, attention="eager")
    attention = stacks.attention(products, _WIDE, mask, softmax=with_relative_bias)
    whole = stacks.layer(run, rms_norm, attention, feedforward) + (cross or 0)
    return Add(relative_positions(n_head, mask), layers * whole, rms_norm("norm_final", run.stream()))


def _feedforward_of(projection: object) -> Callable[[Stream], Block]:
    """The feed-forward layer that a word such as ``relu`` or ``gated-gelu`` means."""
    kind, _, act = str(projection).rpartition("-")
    if not isinstance(projection, str) or kind not in ("", "gated"):
        raise ConfigError(f"feed_forward_proj is {projection!r}; known are an activation such as relu, and gated-gelu")
    act = "gelu_new" if projection == "gated-gelu" else act

    def plain(stream: Stream) -> Block:
        return plain_feedforward(act, NO_BIAS, stream=stream)

    def gated(stream: Stream) -> Block:
        return Block("Gated feedforward", gated_feedforward(act, NO_BIAS, stream=stream).body)

    return gated if kind else plain


_T5_LAYER = """
    relative                SelfAttention.relative_attention_bias
    q k v                   SelfAttention.{}
    scores mix              SelfAttention
    project                 SelfAttention.o
    gate                    DenseReluDense.wi_0
    up                      DenseReluDense.wi
    down                    DenseReluDense.wo
    norm_attention norm_feedforward norm_cross layer_norm
"""
_T5_CROSS = """
    q k v      EncDecAttention.{}
    scores mix EncDecAttention
    project    EncDecAttention.o
"""
T5 = Family(
    "t5",
    "Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, 2020, "
    "arXiv:1910.10683",
    _t5,
    within("Decoder*Cross", "decoder.block.*.layer.*", _T5_CROSS)
    + within("Encoder*Gated", "encoder.block.*.layer.*", "up DenseReluDense.wi_1")
    + within("Decoder*Gated", "decoder.block.*.layer.*", "up DenseReluDense.wi_1")
    + within("Encoder", "encoder.block.*.layer.*", _T5_LAYER)
    + within("Decoder", "decoder.block.*.layer.*", _T5_LAYER)
    + """
    Encoder*/norm_final encoder.final_layer_norm
    Decoder*/norm_final decoder.final_layer_norm
    token  shared
    logits lm_head
    """,
    # Relative positions have no last one; the length is that of the sequences the models were trained on (section 3.1).
    fields={"n_ctx": Field("n_positions", 512)},
)


def _bart(config: Config, run: Run) -> Expr:
    one_table(config)
    reading, stream, act = Run(attention=run.attention), run.stream(), config["activation_function"]
    token, head = table("token", n_vocab, "embedding", stream), de_embedding(stream=stream)
    cross = cross_attention(run, HEADS, reading.stream(), layer_norm, BIAS, BIAS)
    encoder = n_layer * layer(reading, reading.full(), plain_feedforward(act, BIAS, d_ff, reading.stream()))
    decoder = layer(run, run.causal(), plain_feedforward(act, BIAS, d_ff_decoder, stream)) + cross
    return Add(
        once(part("Encoder", _bart_embedding(table("token", n_vocab, "embedding"), reading.stream()) + encoder)),
        part("Decoder", _bart_embedding(Tied(token), stream) + n_layer_decoder * decoder),
        Tied(head),
        shift_of_logits(stream),
    )


def layer(run: Run, mask: AttendedPairs, feedforward: Expr, key: Bias = BIAS) -> Expr:
    """A layer of attention with biases, those of the keys apart, and LayerNorms."""
    attention = stacks.attention(run, HEADS, mask, BIAS, BIAS, projections=partial(separate_qkv, key_bias=key))
    return stacks.layer(run, layer_norm, attention, feedforward)


def _bart_embedding(token: Expr, stream: Stream) -> Block:
    """Tokens and learned positions, of which the table keeps two rows for itself, and the norm of their sum."""
    position = table("position", n_ctx + 2, "position", stream)
    return Block("Embed", Add(token, position, residual("add", stream), layer_norm("norm_embedding", stream)))


LAYER = """
    q k v            self_attn.{}_proj
    scores mix       self_attn
    project          self_attn.out_proj
    norm_attention   self_attn_layer_norm
    norm_cross       encoder_attn_layer_norm
    up               fc1
    down             fc2
    norm_feedforward final_layer_norm
"""
CROSS = """
    q k v      encoder_attn.{}_proj
    scores mix encoder_attn
    project    encoder_attn.out_proj
"""
PLACES = (
    within("Decoder*Cross", "model.decoder.layers.*", CROSS)
    + within("Encoder", "model.encoder.layers.*", LAYER)
    + within("Decoder", "model.decoder.layers.*", LAYER)
    + within("Encoder", "model.encoder", "position embed_positions")
    + within("Decoder", "model.decoder", "position embed_positions")
)
"""Where the code of BART, and of what is made after it, keeps both stacks."""
SAME_HEADS = {"n_head": Field("encoder_attention_heads", also=("decoder_attention_heads",))}
BART = Family(
    "bart",
    "Lewis et al., BART: Denoising Sequence-to-Sequence Pre-training, 2019, arXiv:1910.13461",
    _bart,
    PLACES
    + """
    Encoder*/norm_embedding model.encoder.layernorm_embedding
    Decoder*/norm_embedding model.decoder.layernorm_embedding
    token  model.shared
    logits lm_head
    """,
    fields=SAME_HEADS,
)
FAMILIES = (T5, BART)
