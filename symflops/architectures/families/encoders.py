"""Encoders of text: every token sees all others, and masked tokens are predicted by a head with a layer of its own."""

from __future__ import annotations

from collections.abc import Callable

from sympy import Add, Expr

from symflops.architectures import stacks
from symflops.architectures.family import Family
from symflops.architectures.fields import Config
from symflops.architectures.runs import Run
from symflops.architectures.stacks import LEARNED
from symflops.architectures.towers import one_table, reads_whole_sequences, without
from symflops.layers.attention import Heads
from symflops.layers.embedding import de_embedding, embedding, table
from symflops.layers.feedforward import activation_step, plain_feedforward
from symflops.layers.heads import bias_of_logits
from symflops.layers.linear import BIAS, linear
from symflops.layers.norm import layer_norm, residual
from symflops.layers.stream import Stream
from symflops.networks import Block, Tied
from symflops.notation import d_model, n_head, n_layer, n_type

HEADS = Heads(n_head, n_head, d_model / n_head)
"""As many heads for keys and values as for queries, which share the model's width."""


def bert_like(config: Config, run: Run, activation_of_head: Callable[[Config], str]) -> Expr:
    """Embeddings of tokens, positions and segments; layers with a norm behind each part; the head for masked tokens."""
    reads_whole_sequences(config, run)
    without(config, "is_decoder", "add_cross_attention")
    one_table(config)
    stream = run.stream()
    attention = stacks.attention(run, HEADS, run.full(), BIAS, BIAS)
    feedforward = plain_feedforward(config["hidden_act"], BIAS, stream=stream)
    layers = n_layer * stacks.layer(run, layer_norm, attention, feedforward)
    head = _head(activation_of_head(config), stream)
    return Add(embedding(LEARNED, stream), _segments(stream), layers, head, Tied(de_embedding(stream=stream)))


def _segments(stream: Stream) -> Block:
    """A vector for the segment that a token is of, and the norm of all that is added."""
    kind = table("type", n_type, "embedding", stream)
    return Block("Embed", Add(kind, residual("add_type", stream), layer_norm("norm_embedding", stream)))


def _head(act: str, stream: Stream) -> Block:
    """A dense layer, its activation and norm before the logits, whose biases are no part of the tied table."""
    dense = linear("transform", d_model, d_model, "head", BIAS, stream)
    return Block(
        "Head",
        Add(dense, activation_step(act, d_model, stream), layer_norm("norm_head", stream), bias_of_logits(stream)),
    )


def _bert(config: Config, run: Run) -> Expr:
    return bert_like(config, run, lambda config: config["hidden_act"])


def _roberta(config: Config, run: Run) -> Expr:
    return bert_like(config, run, lambda config: "gelu")


_LAYERS = """
    token            {0}.embeddings.word_embeddings
    position         {0}.embeddings.position_embeddings
    type             {0}.embeddings.token_type_embeddings
    norm_embedding   {0}.embeddings.LayerNorm
    q                {0}.encoder.layer.*.attention.self.query
    k                {0}.encoder.layer.*.attention.self.key
    v                {0}.encoder.layer.*.attention.self.value
    scores mix       {0}.encoder.layer.*.attention.self
    project          {0}.encoder.layer.*.attention.output.dense
    norm_attention   {0}.encoder.layer.*.attention.output.LayerNorm
    up               {0}.encoder.layer.*.intermediate.dense
    down             {0}.encoder.layer.*.output.dense
    norm_feedforward {0}.encoder.layer.*.output.LayerNorm
"""
BERT = Family(
    "bert",
    "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, arXiv:1810.04805",
    _bert,
    _LAYERS.format("bert")
    + """
    transform   cls.predictions.transform.dense
    norm_head   cls.predictions.transform.LayerNorm
    logits      cls.predictions.decoder
    logits_bias cls.predictions
    """,
)
ROBERTA = Family(
    "roberta",
    "Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach, 2019, arXiv:1907.11692",
    _roberta,
    _LAYERS.format("roberta")
    + """
    transform   lm_head.dense
    norm_head   lm_head.layer_norm
    logits      lm_head.decoder
    logits_bias lm_head
    """,
)
FAMILIES = (BERT, ROBERTA)
