"""Compositions that many families share: layers from norms, attention and feed-forward, and decoders from layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from sympy import Add, Expr, Rational, floor

from symflops.architectures.fields import Config, Field
from symflops.architectures.runs import Run
from symflops.errors import ConfigError
from symflops.layers.attention import Heads, fused_qkv, project, separate_qkv
from symflops.layers.embedding import LEARNED, ROTARY, Positions, de_embedding, embedding
from symflops.layers.heads import bias_of_logits
from symflops.layers.linear import BIAS, NO_BIAS, Bias
from symflops.layers.norm import Norm, residual
from symflops.layers.rotary import rotary_angles, rotate
from symflops.layers.softmax import Softmax, plain
from symflops.layers.stream import Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block, Tied
from symflops.notation import d_head, d_model, d_rope, n_ctx, n_head, n_kv_head

PRE = ("norm_attention", "norm_feedforward")
"""Two norms in a layer, before each part or after it: the operations are the same."""
ONE = ("norm_attention",)
"""One norm in a layer, whose result both parts read."""
SANDWICH = ("norm_attention", "norm_after_attention", "norm_feedforward", "norm_after_feedforward")
"""A norm before and after each part."""


def bias(config: Config, field: str) -> Bias:
    """Whether a flag of the config gives a layer biases.

    >>> bias({"mlp_bias": True}, "mlp_bias")
    'bias'
    """
    return BIAS if config.get(field) else NO_BIAS


def width(config: Config) -> Expr:
    """The width of a head: a size of its own where the config can say it, else the model's share."""
    return d_head if "head_dim" in config else d_model / n_head


def grouped(config: Config) -> Heads:
    """The heads of most decoders: fewer for keys and values than for queries."""
    return Heads(n_head, n_kv_head, width(config))


def attention(
    run: Run,
    heads: Heads,
    mask: AttendedPairs,
    qkv: Bias = NO_BIAS,
    out: Bias = NO_BIAS,
    rotated: Expr | None = None,
    softmax: Softmax = plain,
    norms: tuple[Expr, ...] = (),
    projections: Callable[..., Block] = separate_qkv,
) -> Expr:
    """Projections, rotary positions on ``rotated`` elements of each head, the core, and the projection back."""
    stream = run.stream()
    turned = [] if rotated is None else [rotary(heads, rotated, run)]
    core = run.core(softmax)(heads, mask)
    return Add(projections(heads, qkv, stream), *norms, *turned, core, project(heads, out, stream))


def rotary(heads: Heads, rotated: Expr, run: Run) -> Block:
    """The rotation of queries and keys."""
    turns = (("q", heads.n_head), ("k", heads.n_kv_head))
    return Block("Attention: Rotary", Add(*(rotate(name, count, rotated, run.stream()) for name, count in turns)))


def layer(run: Run, norm: Norm, attention: Expr, feedforward: Expr, norms: tuple[str, ...] = PRE) -> Expr:
    """A layer: its norms by name, two parts, and their additions; in parallel or in sequence, the same operations."""
    stream = run.stream()
    added = (residual(name, stream) for name in ("add_attention", "add_feedforward"))
    return Add(*(norm(name, stream) for name in norms), attention, feedforward, *added)


def decoder(
    config: Config,
    run: Run,
    layers: Expr,
    norm: Norm,
    positions: Positions = ROTARY,
    rotated: Expr | None = None,
    rows: Expr = n_ctx,
    logits: Bias = NO_BIAS,
) -> Expr:
    """Embedding, layers, the last norm, and logits by a table that is tied to the token table where the config says."""
    stream = run.stream()
    angles = [] if rotated is None else [rotary_angles(rotated, stream)]
    ends = (embedding(positions, stream, rows), *angles, norm("norm_final", stream), *_logits(config, logits, stream))
    return Add(layers, *ends)


def _logits(config: Config, bias: Bias, stream: Stream) -> Iterator[Expr]:
    """The last matmul, with a table of its own or with the token table; a bias is never that table's."""
    if not config.get("tie_word_embeddings"):
        yield de_embedding(bias, stream)
        return
    yield Tied(de_embedding(NO_BIAS, stream))
    if bias == BIAS:
        yield Block("De-embed", bias_of_logits(stream))


def share_of_head(default: float, *fields: str) -> Callable[[Config], Expr]:
    """The rotated elements of a head, from the share that a config keeps in one of several places."""

    def rotated(config: Config) -> Expr:
        parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kept = parameters.get("partial_rotary_factor") if isinstance(parameters, Mapping) else parameters
        read = (kept, *(config.get(name) for name in fields))
        share = next((each for each in read if each is not None), default)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ConfigError(f"the rotated share of a head is {share!r}; it must be over 0 and at most 1")
        whole = width(config)
        return whole if share == 1 else floor(Rational(Fraction(share)) * whole)

    return rotated


def rope(default: float, *fields: str) -> Mapping[str, Field]:
    """How a family reads d_rope from a share of the head."""
    return {"d_rope": Field("rotary_dim", share_of_head(default, *fields))}


__all__ = [
    "LEARNED", "ONE", "PRE", "ROTARY", "SANDWICH", "attention", "bias", "d_rope", "decoder", "fused_qkv", "grouped",
    "layer", "rope", "rotary", "separate_qkv", "share_of_head", "width",
]  # fmt: skip
