"""How a law is asked of someone's cost function: other sizes of the same case, and what both sides then are.

>>> from symflops.architectures import Architecture, architecture
>>> case = Case(architecture("gpt2"), n_seq=16)
>>> wider = alone(case, d_model=1536)
>>> wider.sizes["d_model"], wider.sizes["d_ff"], wider.sizes["d_head"], alone(case, n_kv_head=2) is None
(1536, 3072, 128, True)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from symflops.architectures import Architecture, architecture
from symflops.architectures.composing import symbols_of
from symflops.architectures.fields import completed
from symflops.errors import ConfigError, SizeError, UnknownName
from symflops.laws.catalogue.predicted import LOOKUPS, kinds, on_weights
from symflops.laws.catalogue.subjects import looks_tokens_up, one_stream, scans
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance
from symflops.notation import n_seq

Number = int | Fraction
Ask = Callable[[Cost, Case], Iterator[Instance]]
KINDS = ("n_layer_sliding", "n_layer_local", "n_layer_chunked", "n_layer_dense", "n_layer_attention")


def alone(case: Case, **sizes: int) -> Case | None:
    """The case at other sizes, all others staying as they are, also those that follow from them by default.

    None where the model has no such size of its own, or cannot have it. A size that its config has no field for, such
    as the width of GPT-2's heads, follows.
    """
    own = {name: sizes.pop(name) for name in ("n_batch", "n_seq") if name in sizes}
    model = _resized(_Keyed.of(case.model), tuple(sorted(sizes.items()))) if sizes else case.model
    return None if model is None else replace(case, model=model, **own)


@dataclass(frozen=True)
class _Keyed:
    """A model by what it was made of: one law after the other asks for the same other sizes of it."""

    key: str
    model: Architecture = field(compare=False)

    @classmethod
    def of(cls, model: Architecture) -> _Keyed:
        return cls(json.dumps([model.name, model.attention, dict(model.config)], sort_keys=True, default=str), model)


@lru_cache(maxsize=4096)
def _resized(of: _Keyed, sizes: tuple[tuple[str, int], ...]) -> Architecture | None:
    known = of.model.sizes
    if not all(settable(of.model, name) for name, _ in sizes):
        return None
    fixed = {name: known[name] for name in FOLLOWING & known.keys() if settable(of.model, name)}
    try:
        return of.model.with_sizes(**{**fixed, **dict(sizes)})
    except (ConfigError, SizeError, UnknownName):
        return None


def settable(model: Architecture, size: str) -> bool:
    """Whether a config of the model's has a field for a size: its class does, or it was written there.

    >>> settable(architecture("gpt2"), "d_head"), settable(architecture("gpt3-13b"), "d_head")
    (False, True)
    """
    field = model.table.get(size)
    fields = {**completed({"model_type": model.family.name}), **model.config}
    return field is not None and field.name != "" and field.name.split(".")[0] in fields


FOLLOWING = frozenset({"d_ff", "d_head", "n_kv_head", "d_rope", "d_ff_decoder", "n_layer_decoder"})
"""Sizes that follow from others where a config does not give them."""


def steps(case: Case, size: str, by: int = 1, count: int = 3) -> tuple[Case, ...]:
    """The case with a size as it is, ``by`` more, and so on; nothing where the model cannot have them all."""
    if size not in case.sizes:
        return ()
    found = [alone(case, **{size: case.sizes[size] + by * number}) for number in range(count)]
    return tuple(each for each in found if each is not None) if None not in found else ()


def on_tokens(ask: Ask) -> Ask:
    """A law of tokens, asked of models whose matmuls by weights all run over n_batch*n_seq of them, unscanned."""

    def asked(cost: Cost, case: Case) -> Iterator[Instance]:
        family = case.model.family.name
        if one_stream(family) and not scans(family) and n_seq in symbols_of(case.model.network):
            yield from on_tables(ask)(cost, case)

    return asked


def on_tables(ask: Ask) -> Ask:
    """A law of what is done for each token, asked where tables that are claimed as matmuls are looked up for tokens."""

    def asked(cost: Cost, case: Case) -> Iterator[Instance]:
        if looks_tokens_up(case.model.family.name) or "one_hot_mac" not in kinds(cost.claims, LOOKUPS):
            yield from ask(cost, case)

    return asked


def tested(cost: Cost, case: Case, left: Number, right: Number, about: str) -> Instance:
    """An instance that two numbers are the same."""
    return Instance(f"{cost.name} of {case}", left == right, "tested", str(left), str(right), about)


def at_most(cost: Cost, case: Case, left: Number, right: Number, about: str) -> Instance:
    """An instance that one number is no more than another."""
    return Instance(f"{cost.name} of {case}", left <= right, "tested", str(left), str(right), about)


def no_curve(cost: Cost, cases: tuple[Case, ...], size: str) -> Iterator[Instance]:
    """That the cost is a straight line in one size: equal steps make equal differences."""
    if len(cases) >= 3:
        first, second, third = (cost.of(each) for each in cases[:3])
        about = f"steps of {size} = {', '.join(str(each.sizes[size]) for each in cases[:3])}"
        yield tested(cost, cases[0], second - first, third - second, about)


def of_flops(claims: Claims) -> bool:
    """Laws of work."""
    return claims.quantity == "flops"


def of_params(claims: Claims) -> bool:
    """Laws of parameters."""
    return claims.quantity == "params"


def of_cache(claims: Claims) -> bool:
    """Laws of a cache."""
    return claims.quantity == "cache_bytes"


def shared(claims: Claims) -> bool:
    """Whether a number may be a part of what is done for more: for a sequence, or once for a batch."""
    return claims.per == "token" or (claims.per == "sequence" and of_flops(claims) and not on_weights(claims))


def always(claims: Claims) -> bool:
    """Laws of any cost."""
    return True


def without_field(case: Case, size: str) -> Case | None:
    """The case of a config that does not say a size, which then follows from others; None without such a field."""
    field = case.model.table.get(size)
    if field is None or field.name not in case.model.config:
        return None
    config = {name: value for name, value in case.model.config.items() if name != field.name}
    return configured(case, {**config, field.name: None})


def configured(case: Case, config: Mapping[str, Any]) -> Case | None:
    """The case of another config; None where no model is made of it."""
    try:
        return replace(case, model=architecture(config))
    except (ConfigError, SizeError, UnknownName):
        return None
