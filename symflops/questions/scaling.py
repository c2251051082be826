"""What multiplying a size does: to parameters, to the work for one token, and to the cache.

>>> scaling("gpt2", "n_layer", 2).params.value
272779/162031
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sympy import Expr, Rational, Symbol

from symflops.architectures.names import KINDS
from symflops.conventions import TORCH, Convention, convention
from symflops.errors import SizeError, UnknownName
from symflops.measures import flops, params
from symflops.notation import n_batch, n_seq, symbol
from symflops.questions.answers import Answer, Case, Reply
from symflops.questions.subjects import Given, Subject, exact_number, ratio, subject, title
from symflops.serving import cache_elements


@dataclass(frozen=True, repr=False)
class Scaling(Reply):
    """The ratios, new over old, of parameters, forward work of a batch, and elements of its cache."""

    params: Answer
    flops: Answer
    cache: Answer


def scaling(
    given: Given, size: str, factor: int | Fraction, length: int | None = None, under: str | Convention = TORCH
) -> Scaling:
    """What multiplying one size by a factor does to parameters, to the forward work and to the cache.

    All other sizes stay, also those that a config makes follow; only layers of several kinds, where ``size`` is
    n_layer, keep their proportions. The work is that of a batch of sequences of ``length`` tokens, by default the
    model's context. Raises `UnknownName` for a size that the network does not have, `SizeError` for a factor that is
    not exact or does not make a whole number of it.
    """
    of, chosen = subject(given), convention(under)
    n_tokens, times = of.length(length), exact_number("factor", factor)
    changed = _changed(of, size, times, n_tokens)

    def answer(quantity: str, form: Expr) -> Answer:
        if form == 0 or of.value(form, n_tokens) == 0:
            return Answer(quantity, note="there is none")
        grown = ratio(form.subs(changed, simultaneous=True), form)
        return Answer(quantity, (Case(grown),), of.value(grown, n_tokens))

    return Scaling(
        title(f"{size} times {times}", of, chosen),
        ("Each is a ratio, new over old; all other sizes stay.",),
        answer("parameters", params(of.network)),
        answer(f"forward {chosen.unit}s of a batch", flops(of.network, chosen).expr),
        answer("cache of a batch", cache_elements(of.network)),
    )


def _changed(of: Subject, size: str, times: Rational, length: int | None) -> Mapping[Symbol, Expr]:
    known = {each.name for each in of.network.free_symbols} | {n_batch.name, n_seq.name}
    if size not in known:
        raise UnknownName(f"size of {of.name}", size, known)
    kinds = [name for name in KINDS.values() if name in known] if size == "n_layer" else []
    old = {**of.sizes, "n_batch": 1, **({} if length is None else {"n_seq": length})}
    for name in (size, *kinds):
        if name in old and name != "n_batch" and not (old[name] * times).is_Integer:
            raise SizeError(f"{times} times {name} = {old[name]} is no whole number; give another factor")
    new = {**old, **{name: times * old[name] for name in (size, *kinds) if name in old}}
    for divisor, number in of.divides:
        if divisor in new and number in new and new[number] % new[divisor]:
            raise SizeError(
                f"{divisor} = {new[divisor]} would not divide {number} = {new[number]}; give another factor"
            )
    return {symbol(name): times * symbol(name) for name in (size, *kinds)}
