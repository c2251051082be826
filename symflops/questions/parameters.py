"""Parameters and the rules of thumb: 2N and 6N with their exact remainders, and what embeddings are of a model.

>>> embedding_share("gpt2").value
51281/162031
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import S

from symflops.conventions import TORCH, Convention, convention
from symflops.measures import Phase, active_params, flops, params, params_without
from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.subjects import TOKENS, Given, Subject, ratio, subject, title


@dataclass(frozen=True, repr=False)
class SixN(Reply):
    """What 2N (forward) and 6N (training) leave out of the work for one token, and its share of them."""

    forward: Answer
    forward_share: Answer
    training: Answer
    training_share: Answer


def against_6n(given: Given, n_seq: int | None = None, under: str | Convention = TORCH) -> SixN:
    """The work for one token less 2N, and with the backward pass less 6N, exactly (Kaplan et al. 2020, section 2.1).

    N are the parameters without embeddings, of routed experts those that serve one token. A convention in
    multiply-accumulates is held against N and 3N. By default at the model's whole context.
    """
    of, chosen = subject(given), convention(under)
    each = 2 if chosen.unit == "FLOP" else 1
    return SixN(
        title(f"{chosen.unit}s for one token against {each}N and {3 * each}N", of, chosen),
        ("N are the parameters without embeddings and de-embedding, of experts those that serve one token.",),
        *_remainder("C_forward", "forward", each, of, chosen, of.length(n_seq)),
        *_remainder("C", "training", 3 * each, of, chosen, of.length(n_seq)),
    )


def _remainder(
    quantity: str, phase: Phase, times: int, of: Subject, chosen: Convention, length: int | None
) -> tuple[Answer, Answer]:
    embeddings = params(of.network) - params_without(of.network)
    n = times * (active_params(of.network) - embeddings)
    left = flops(of.network, chosen, phase).expr / TOKENS - n
    name = f"{quantity} for one token, less {times}*N" if times > 1 else f"{quantity} for one token, less N"
    whole = Answer(name, (Case(ratio(left, S.One)),), of.value(left, length))
    if n == 0:
        return whole, Answer(f"{name}, as a share", note="there is no N")
    share = ratio(left, n)
    return whole, Answer(f"{name}, as a share of it", (Case(share),), of.value(share, length))


def embedding_share(given: Given) -> Answer:
    """What token and position tables and the de-embedding are of all parameters; a tied table counts once."""
    of = subject(given)
    every = params(of.network)
    quantity = "share of embeddings in all parameters"
    if every == 0:
        return Answer(quantity, note="there are no parameters")
    form = ratio(every - params_without(of.network), every)
    return Answer(quantity, (Case(form),), of.value(form))
