"""Where a layer stands: how many sequences, how many tokens of each are computed, and how wide the stream is."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from symflops.notation import d_model, n_batch, n_seq


@dataclass(frozen=True)
class Stream:
    """A residual stream: its width, the tokens of each sequence that are computed, and the sequences of a batch.

    >>> Stream().seq, Stream(seq=d_model).width
    (n_seq, d_model)
    """

    width: Expr = d_model
    seq: Expr = n_seq
    batch: Expr = n_batch

    def sizes(self, **more: Expr) -> dict[str, Expr]:
        """The sizes of the axes ``batch``, ``seq`` and ``d_model``, and others."""
        return {"batch": self.batch, "seq": self.seq, "d_model": self.width, **more}


STREAM = Stream()
"""Whole sequences of n_seq tokens, d_model wide."""
