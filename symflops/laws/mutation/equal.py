"""Whether a fault changes any cost: every measure of the network, its steps and its cache, symbolically.

>>> from symflops.laws.catalogue.subjects import model
>>> changed(model("llama"), model("llama"))
()
>>> changed(model("gpt2"), model("gpt_neo"))[:2]
('parameters', 'active parameters')
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sympy import Expr, Integer, S, expand

from symflops.architectures import Architecture
from symflops.conventions import EXACT
from symflops.errors import SymflopsError
from symflops.laws.catalogue.caches import kept
from symflops.measures import active_params, bytes_read, bytes_written, params, saved_elements, trainable_params, work

MEASURES: Mapping[str, Callable[[Expr], Expr]] = {
    "parameters": params,
    "active parameters": active_params,
    "trained parameters": trainable_params,
    "saved elements": saved_elements,
    "bytes read": bytes_read,
    "bytes written": bytes_written,
}


def changed(model: Architecture, wrong: Architecture) -> tuple[str, ...]:
    """The costs that differ between a model and a mutant; none, where they are equivalent."""
    return tuple(_changed(model, wrong))


def _changed(model: Architecture, wrong: Architecture) -> Iterator[str]:
    for name, measure in MEASURES.items():
        if not same(measure(model.network), measure(wrong.network)):
            yield name
    yield from (f"work: {', '.join(key)}" for key in other_work(model.network, wrong.network))
    steps = [_step(each) for each in (model, wrong)]
    yield from (f"work of a step: {', '.join(key)}" for key in other_work(*steps))
    if not same(*(_cache(each) for each in (model, wrong))):
        yield "cache"


def other_work(one: Expr, other: Expr) -> Iterator[tuple[str, str, str]]:
    """Kinds, passes and roles of work of which one network does more than another."""
    mine, yours = work(one), work(other)
    for key in sorted(mine.keys() | yours.keys()):
        if not same(*(EXACT.count_pairs(each.get(key, S.Zero)) for each in (mine, yours))):
            yield key


def same(one: Expr, other: Expr) -> bool:
    """Whether two closed forms are one."""
    return bool(one == other or expand(one - other) == 0)


def _step(model: Architecture) -> Expr:
    try:
        return model.step
    except SymflopsError:
        return Integer(0)


def _cache(model: Architecture) -> Expr:
    try:
        return kept(model)
    except SymflopsError:
        return Integer(0)
