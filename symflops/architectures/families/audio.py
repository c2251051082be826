"""Encoder and decoder over sound: frames of a spectrogram, made half as many by convolutions, and text."""

from __future__ import annotations

from sympy import Add, Expr

from symflops.architectures.families.encoders import HEADS
from symflops.architectures.families.translators import PLACES, SAME_HEADS, layer
from symflops.architectures.family import Family
from symflops.architectures.fields import Config
from symflops.architectures.runs import Run
from symflops.architectures.stacks import LEARNED
from symflops.architectures.towers import cross_attention, once, part
from symflops.layers.convolution import over_time
from symflops.layers.embedding import de_embedding, embedding
from symflops.layers.feedforward import activation_step, plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.layers.norm import layer_norm, residual
from symflops.layers.positions import frozen_positions
from symflops.layers.stream import Stream
from symflops.networks import Block, Tied
from symflops.notation import d_ff, d_ff_decoder, d_model, n_layer, n_layer_decoder, n_mel, n_source


def _whisper(config: Config, run: Run) -> Expr:
    listening, stream = Run(n_source, n_source, run.attention), run.stream()
    act, heard, head = config["activation_function"], listening.stream(), de_embedding(stream=stream)
    encoder = layer(listening, listening.full(), plain_feedforward(act, BIAS, d_ff, heard), NO_BIAS)
    decoder = layer(run, run.causal(), plain_feedforward(act, BIAS, d_ff_decoder, stream), NO_BIAS)
    cross = cross_attention(run, HEADS, heard, layer_norm, BIAS, BIAS, NO_BIAS)
    return Add(
        once(part("Encoder", _sound(heard) + n_layer * encoder + layer_norm("norm_final", heard))),
        part("Decoder", embedding(LEARNED, stream) + n_layer_decoder * (decoder + cross)),
        part("Decoder", layer_norm("norm_final", stream)),
        Tied(head) if config["tie_word_embeddings"] else head,
    )


def _sound(stream: Stream) -> Block:
    """Two convolutions of three frames, the second over every other one, each with a GELU, and positions."""
    first = over_time("conv1", n_mel, 3, 1, 2 * n_source, frozen=("x",))
    second = over_time("conv2", d_model, 3, 2, n_source)
    activations = (activation_step("gelu", d_model, Stream(d_model, seq)) for seq in (2 * n_source, n_source))
    return Block("Embed", Add(first, second, *activations, frozen_positions(n_source, stream), residual("add", stream)))


WHISPER = Family(
    "whisper",
    "Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, arXiv:2212.04356",
    _whisper,
    PLACES
    + """
    conv1 conv2         model.encoder.{}
    Encoder*/norm_final model.encoder.layer_norm
    Decoder*/norm_final model.decoder.layer_norm
    token  model.decoder.embed_tokens
    logits proj_out
    """,
    fields=SAME_HEADS,
)
FAMILIES = (WHISPER,)
