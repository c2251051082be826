"""Models of more than one stack: what belongs to which, what runs once, and what only one of them can do.

>>> from symflops.layers.feedforward import NO_BIAS, plain_feedforward
>>> from symflops.networks import uses
>>> from symflops.notation import n_layer
>>> min(use.path for use in uses(part("Encoder", n_layer * plain_feedforward("relu", NO_BIAS))))
'Encoder: Feedforward/act'
>>> within("Encoder", "model.encoder.layers.*", "q k  self_attn.{}_proj").splitlines()[1]
'Encoder*/k model.encoder.layers.*.self_attn.{}_proj'
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sympy import Add, Expr, Mul

from symflops.architectures import stacks
from symflops.architectures.family import lines
from symflops.architectures.fields import Config, Field
from symflops.architectures.runs import Run
from symflops.errors import ConfigError, NoDecoding, SizeError
from symflops.layers.attention import Heads, separate_qkv
from symflops.layers.linear import Bias
from symflops.layers.norm import Norm, residual
from symflops.layers.stream import Stream
from symflops.masks import Full
from symflops.networks import Block, Once, Wrapper
from symflops.nodes import Node
from symflops.notation import n_side


def part(name: str, network: Expr) -> Expr:
    """A network as a part of a greater one: its blocks are called ``name: …``, operations outside of them ``name``."""
    return _each(network, partial(_named, name))


def once(network: Expr) -> Expr:
    """A network that runs once for each sequence, whatever follows."""
    return _each(network, Once)


def _each(network: Expr, change: Callable[[Node], Expr]) -> Expr:
    """A network with every outermost node changed, so that its blocks stay blocks."""
    if isinstance(network, Node):
        return change(network)
    if isinstance(network, Add):
        return Add(*(_each(term, change) for term in network.args))
    return Mul(*(_each(factor, change) if factor.has(Node) else factor for factor in network.args))


def _named(name: str, node: Node) -> Expr:
    if isinstance(node, Block):
        return Block(f"{name}: {node.name}", node.body)
    if isinstance(node, Wrapper):
        return node.func(*node.args[:-1], part(name, node.body))
    return Block(name, node)


def within(name: str, root: str, places: str) -> str:
    """The places of a part's operations, in modules below ``root``."""
    return "".join(f"{name}*/{operation} {root}.{module}\n" for operation, module in lines(places))


def cross_attention(
    run: Run, heads: Heads, source: Stream, norm: Norm, qkv: Bias, out: Bias, key: Bias | None = None
) -> Expr:
    """Attention of a decoder to an encoder's tokens, with its norm and addition (Vaswani et al. 2017, section 3.2.3).

    Keys and values are made of the encoder's tokens, once for each sequence.
    """
    projections = partial(separate_qkv, source=source, key_bias=key)
    attention = stacks.attention(run, heads, Full(run.query, source.seq), qkv, out, projections=projections)
    own = norm("norm_cross", run.stream()) + residual("add_cross", run.stream())
    return Add(part("Cross-attention", attention), own)


def reads_whole_sequences(config: Config, run: Run) -> None:
    """Raises `ConfigError` for a run that goes on from a cache: an encoder has none."""
    if run.query != run.key:
        raise NoDecoding(
            f"{config['model_type']} is an encoder, which does not decode with a cache: sequences are computed whole"
        )


def without(config: Config, *flags: str) -> None:
    """Raises `ConfigError` where one of these flags is set."""
    for flag in flags:
        if config.get(flag):
            raise ConfigError(f"{flag} = {config[flag]} is not supported; use symflops trace")


def one_table(config: Config) -> None:
    """Raises `ConfigError` where nothing ties the logits' matrix to the token table: the code then has more tables."""
    if not config["tie_word_embeddings"]:
        raise ConfigError(f"tie_word_embeddings = False in {config['model_type']} is not supported; use symflops trace")


def patches_of(inner: str = "") -> Field:
    """How many patches lie along a side of an image: not a field of its own, but the quotient of two."""

    def side(config: Config) -> int:
        part = config[inner] if inner else config
        image, patch = (_whole(name, part.get(name)) for name in ("image_size", "patch_size"))
        if image % patch:
            raise SizeError(f"patch_size = {patch} does not divide image_size = {image}")
        return image // patch

    return Field("", side)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; only a square with whole sides is supported; use symflops trace")
    return value


IMAGE = n_side**2 + 1
"""Tokens of an image: its patches, and the class token."""
