"""The cache of keys and values against the weights.

>>> cache_equals_weights("llama2-7b").tokens
tokens whose cache is as large as the weights
    = d_model*(n_layer*(3*d_ff + 2*d_head*(n_head + n_kv_head) + 2) + 2*n_vocab + 1)/(2*d_head*n_kv_head*n_layer)
    ~25,705.0; more from 25,706 on
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sympy import Eq, Expr, expand, floor
from sympy.logic.boolalg import Boolean

from symflops.measures import params
from symflops.notation import n_batch, n_seq, symbol
from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.crossings import crossing
from symflops.questions.subjects import TOKENS, Given, Subject, exact_number, ratio, subject
from symflops.serving import cache_elements

BYTES = 2
"""Bytes of an element where nothing else is said: bfloat16."""


@dataclass(frozen=True, repr=False)
class CacheAndWeights(Reply):
    """When the cache holds as many bytes as the weights: the tokens, the length of one sequence, the sequences."""

    tokens: Answer
    length: Answer
    batch: Answer


def cache_equals_weights(
    given: Given,
    length: int | None = None,
    weight_bytes: int | Fraction = BYTES,
    cache_bytes: int | Fraction = BYTES,
) -> CacheAndWeights:
    """When the cache holds as many bytes as the weights: in tokens, in the length of one sequence, in sequences.

    A window keeps no more keys than it is long, so that the cache does not grow with every token, and there is no
    answer in tokens alone. ``length`` is that of the sequences, by default the model's context; ``weight_bytes`` and
    ``cache_bytes`` are those of one element. Raises `SizeError` for a number that is not positive and exact.
    """
    of = subject(given)
    n_tokens = of.length(length)
    weights = params(of.network) * exact_number("weight_bytes", weight_bytes)
    cache = expand(cache_elements(of.network) * exact_number("cache_bytes", cache_bytes))
    at = "" if n_tokens is None else f" of {n_tokens:,} tokens"
    return CacheAndWeights(
        f"{of.name}: the cache against the weights",
        (f"{weight_bytes} bytes for each parameter, {cache_bytes} for each element of the cache.",),
        _tokens(weights, cache, of),
        crossing("n_seq, the cache of one sequence as large as the weights", cache.subs(n_batch, 1), weights, of),
        _quotient(
            f"n_batch, the cache of sequences{at} as large as the weights", weights, cache / n_batch, of, n_tokens
        ),
    )


def _tokens(weights: Expr, cache: Expr, of: Subject) -> Answer:
    # No layers of some kind, such as those with windows, is what a config says: the form then holds for that.
    none = {symbol(name): 0 for name, size in of.sizes.items() if size == 0}
    quantity, each = "tokens whose cache is as large as the weights", expand(cache.subs(none) / TOKENS)
    if each.has(n_seq):
        return Answer(quantity, note="the cache does not grow with every token")
    return _quotient(quantity, weights, each, of, None, tuple(Eq(size, 0, evaluate=False) for size in none))


def _quotient(
    quantity: str, weights: Expr, each: Expr, of: Subject, length: int | None, domain: tuple[Boolean, ...] = ()
) -> Answer:
    """How many times ``each`` are as much as the weights, and from how many on they are more."""
    if each == 0 or of.value(each, length) == 0:
        return Answer(quantity, note="never: nothing is cached")
    form = ratio(weights, each)
    value = of.value(form, length)
    return Answer(quantity, (Case(form, domain),), value, None if value is None else int(floor(value)) + 1)
