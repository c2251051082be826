"""How tokens run through a stack: which of them are computed, which are attended to, and how the core computes.

>>> TRAINING.causal(), decode_step().causal()
(Causal(n_seq, n_seq), Causal(1, n_past + 1))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from sympy import Expr, Integer

from symflops.errors import ConfigError, UnknownName
from symflops.layers.attention import CORES, Core
from symflops.layers.softmax import Softmax, plain
from symflops.layers.stream import Stream
from symflops.masks import AttendedPairs, Causal, Full, SlidingWindow
from symflops.notation import d_model, n_past, n_query, n_seq, n_window

ABSORBED: Literal["absorbed"] = "absorbed"
"""How latent attention runs over its latents: see `symflops.layers.latent`."""


@dataclass(frozen=True)
class Run:
    """``query`` tokens of each sequence are computed; they and those before them, ``key`` in all, are attended to.

    ``attention`` is how the core runs: ``eager``, or ``flash``, which computes the scores again in the backward pass,
    or, where attention is over latents, ``absorbed``. ``width`` is that of the stream, where a model has several.
    """

    query: Expr = n_seq
    key: Expr = n_seq
    attention: str = "eager"
    width: Expr = d_model

    def __post_init__(self) -> None:
        if self.attention not in (*CORES, ABSORBED):
            raise UnknownName("attention", self.attention, (*CORES, ABSORBED))

    @property
    def whole(self) -> bool:
        """Whether these are all tokens there are, so that nothing was kept of others before them."""
        return bool(self.query == self.key)

    def stream(self, width: Expr | None = None) -> Stream:
        """The residual stream of the computed tokens."""
        return Stream(self.width if width is None else width, self.query)

    def causal(self) -> AttendedPairs:
        """Every token sees those before it."""
        return Causal(self.query, self.key)

    def window(self, width: Expr = n_window) -> AttendedPairs:
        """Every token sees the last ``width``."""
        return SlidingWindow(self.query, self.key, width)

    def full(self) -> AttendedPairs:
        """Every token sees every other, as in an encoder."""
        return Full(self.query, self.key)

    def core(self, softmax: Softmax = plain) -> Core:
        """The attention core of this run.

        Raises `ConfigError` where it is absorbed: only latent attention, which does not ask for a core then, can be.
        """
        if self.attention == ABSORBED:
            raise ConfigError(f"attention {ABSORBED!r} is for latent attention; this one runs as {' or '.join(CORES)}")
        return partial(CORES[self.attention], softmax=softmax, stream=self.stream())


TRAINING = Run()
"""Whole sequences."""


def chunk(tokens: Expr = n_query, attention: str = "eager") -> Run:
    """Some tokens after n_past others whose keys and values are cached: chunked prefill, or verifying a guess."""
    return Run(tokens, n_past + tokens, attention)


def decode_step(attention: str = "eager") -> Run:
    """One token after n_past others."""
    return chunk(Integer(1), attention)
