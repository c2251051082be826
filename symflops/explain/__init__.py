"""The difference of two conventions, papers or tools on one architecture, term by term, each term with its operations.

>>> found = explain("verl", "megatron-lm", on="llama3-8b")
>>> found.difference, [term.name for term in found.terms if not term.equal]
(6*d_model*n_vocab, ['embedding'])

The formulas of papers and tools are data: a YAML file each in `formulas`, with its citation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from symflops.conventions import Convention
    from symflops.explain.explanation import Explanation
    from symflops.explain.published import Formula
    from symflops.measures import Phase
    from symflops.questions.subjects import Given

DEFAULT = "llama3-8b"
"""Grouped heads, a gated layer, its own table of logits: what GPT-2's sizes make equal is told apart here."""


def explain(
    a: str | Path | Convention | Formula,
    b: str | Path | Convention | Formula,
    on: Given = DEFAULT,
    n_seq: int | None = None,
    phase: Phase = "training",
) -> Explanation:
    """What ``a`` counts and ``b`` does not, for one token of an architecture, by groups of operations.

    ``a`` and ``b`` are a convention, a published formula by its id, a file of one, or their values; ``n_seq`` is by
    default the whole context; ``phase`` is ``training`` or ``forward``.

    Raises `UnknownName` for names that are none, `ExplainError` for a formula that does not state the phase or is of
    operations and sizes that the architecture has not, and what `architecture` raises.
    """
    from symflops.explain.explanation import explained

    return explained(a, b, on, n_seq, phase)


__all__ = ["DEFAULT", "explain"]
