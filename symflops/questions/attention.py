"""Attention against the rest of a layer: where it overtakes, what share it is, and at which length it is a given share.

The core of attention is what runs over pairs of tokens, scores and mix; its work for one token grows with the length,
that of everything else does not.

>>> attention_overtakes("llama3-8b", "exact")
llama3-8b: where attention overtakes (convention exact)
  n_seq, attention as the feed-forward
      = 3*d_ff*d_model/(d_head*n_head) - 1
      = 43,007; more from 43,008 on
  n_seq, attention as all other work
      = 3*d_ff*d_model/(d_head*n_head) + 2*d_model + 2*d_model*n_kv_head/n_head - 1
      = 53,247; more from 53,248 on
Attention is its core, scores and mix; layers only, without embeddings and logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sympy import Expr, Rational

from symflops.conventions import TORCH, Convention, convention
from symflops.errors import SizeError
from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.crossings import crossing
from symflops.questions.subjects import Given, Subject, ratio, subject, title, work

_REMARK = "Attention is its core, scores and mix; layers only, without embeddings and logits."


@dataclass(frozen=True, repr=False)
class Overtaking(Reply):
    """The lengths at which attention costs as much as the feed-forward, and as all other work of the layers."""

    feedforward: Answer
    others: Answer


def attention_overtakes(given: Given, under: str | Convention = TORCH) -> Overtaking:
    """The n_seq at which the core of attention costs as much as the feed-forward, and as all other work of the layers.

    Under a convention that counts attended pairs exactly the lengths are about twice those under one that counts all.
    Raises `UnknownName` for an unknown convention, and what `subject` raises.
    """
    of, chosen = subject(given), convention(under)
    parts = work(of, chosen)
    return Overtaking(
        title("where attention overtakes", of, chosen),
        (_REMARK,),
        crossing("n_seq, attention as the feed-forward", parts.core, parts.feedforward, of),
        crossing("n_seq, attention as all other work", parts.core, parts.others, of),
    )


@dataclass(frozen=True, repr=False)
class Share(Reply):
    """The share of attention in the layers' work, and the length at which it is one half."""

    share: Answer
    half: Answer


def attention_share(given: Given, n_seq: int | None = None, under: str | Convention = TORCH) -> Share:
    """The share of the core of attention in the work of the layers, by default at the model's whole context.

    Raises `SizeError` for an n_seq that is no positive integer.
    """
    of, chosen = subject(given), convention(under)
    parts, length = work(of, chosen), of.length(n_seq)
    at = f" at n_seq = {length:,}" if length else ""
    return Share(
        title("the share of attention", of, chosen),
        (_REMARK,),
        _share(f"share of attention{at}", parts.core, parts.core + parts.others, of, length),
        _reached(of, chosen, Rational(1, 2)),
    )


def attention_reaches(given: Given, share: int | Fraction | Rational, under: str | Convention = TORCH) -> Answer:
    """The n_seq at which the core of attention is a given share of the layers' work, such as ``Fraction(1, 3)``.

    Raises `SizeError` for a share that is not exact or not between 0 and 1.
    """
    if isinstance(share, bool) or not isinstance(share, Fraction | Rational) or not 0 < share < 1:
        raise SizeError(f"a share is {share!r}; give an exact one between 0 and 1, such as Fraction(1, 3)")
    return _reached(subject(given), convention(under), Rational(share))


def _reached(of: Subject, chosen: Convention, share: Rational) -> Answer:
    parts = work(of, chosen)
    quantity = f"n_seq, attention as {share} of the layers' work"
    return crossing(quantity, (1 - share) * parts.core, share * parts.others, of)


def _share(quantity: str, part: Expr, whole: Expr, of: Subject, length: int | None) -> Answer:
    if whole == 0:
        return Answer(quantity, note="the layers cost nothing")
    form = ratio(part, whole)
    return Answer(quantity, (Case(form),), of.value(form, length))
