"""What a cost function claims, in one line of words, and what a convention claims.

>>> claims, where = read_claims("flops forward per=sequence counts=-logits families=llama d_ff=4*d_model")
>>> claims.phase, claims.per, "logits" in claims.counts, claims.families, where
('forward', 'sequence', False, ('llama',), {'d_ff': '4*d_model'})
>>> read_claims("convention=macs")[0].unit
'MAC'
>>> read_claims("flops per=image")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown value of per 'image' (known: batch, sequence, token)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from symflops.architectures import FAMILIES
from symflops.architectures.fields import defaults
from symflops.conventions import Convention, convention
from symflops.derivation import READING_ORDER
from symflops.errors import UnknownFamily, UnknownName
from symflops.laws.cost import Claims, CostError
from symflops.notation import TERMS

Where = Mapping[str, Any]
"""What has to be so of a case: sizes by formulas (``{"d_ff": "4*d_model"}``) and fields of configs by values."""
_HINTS = get_type_hints(Claims)
CHOICES: Mapping[str, tuple[str, ...]] = {
    each.name: get_args(_HINTS[each.name]) for each in fields(Claims) if each.name not in ("counts", "families")
}
"""The words of each claim that takes one of several."""
_BARE = {word: name for name, words in CHOICES.items() for word in words if name in ("quantity", "phase", "unit")}
_KEYS = (*CHOICES, "counts", "families", "convention")


def read_claims(text: str, claims: Claims = Claims()) -> tuple[Claims, Where]:  # noqa: B008
    """Claims, and conditions on cases, from words: ``training``, ``per=token``, ``counts=qkv``, ``d_ff=4*d_model``.

    ``counts`` with signs (``+embedding,-logits``) changes what is counted; of parameters, every role is, if none is
    named. ``convention=NAME`` claims what a convention does. Raises `UnknownName` and `CostError` for other words.
    """
    where: dict[str, Any] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals:
            claims = _replaced(claims, _bare(word), word)
        elif name in _KEYS:
            claims = _claimed(claims, name, value)
        else:
            where[name] = _condition(name, value)
    if claims.quantity == "params" and claims.counts == Claims().counts:
        claims = replace(claims, counts=frozenset(READING_ORDER))
    return claims, where


def _bare(word: str) -> str:
    if word not in _BARE:
        raise UnknownName("claim", word, [*_BARE, *(f"{name}=" for name in _KEYS)])
    return _BARE[word]


def _claimed(claims: Claims, name: str, value: str) -> Claims:
    if name == "convention":
        return claims_of(value, claims)
    if name == "counts":
        return replace(claims, counts=_counts(claims.counts, value.split(",")))
    if name == "families":
        return replace(claims, families=tuple(map(_family, value.split(","))))
    if value not in CHOICES[name]:
        raise UnknownName(f"value of {name}", value, CHOICES[name])
    return _replaced(claims, name, value)


def _replaced(claims: Claims, name: str, value: Any) -> Claims:
    return replace(claims, **{name: value})


def _counts(before: frozenset[str], words: Iterable[str]) -> frozenset[str]:
    named, signed = set(), set(before)
    for word in (each.replace("_", " ") for each in words):
        if word[:1] == "+":
            signed.add(word[1:])
        elif word[:1] == "-":
            signed.discard(word[1:])
        else:
            named.add(word)
    return frozenset(named or signed)


def _family(name: str) -> str:
    if name not in FAMILIES:
        raise UnknownFamily(name, FAMILIES)
    return name


def _condition(name: str, value: str) -> Any:
    if name in TERMS:
        return value
    known = {field for family in defaults().values() for field in family["fields"]}
    if name not in known:
        raise UnknownName("claim, size or config field", name, [*_KEYS, *TERMS])
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def claims_of(given: str | Convention, claims: Claims = Claims()) -> Claims:  # noqa: B008
    """The same claims, with what a convention counts, over which pairs and in which unit.

    Raises `UnknownName`, and `CostError` for a convention that prices more than matmuls, which no claims say.
    """
    chosen = convention(given)
    said = {"mac", "one_hot_mac"} | ({"lookup"} if {"embedding", "position"} <= chosen.left_out else set())
    beside = sorted({each.kind for each in chosen.prices if each.price and each.kind not in said})
    if beside:
        raise CostError(
            f"the convention {chosen.name} prices {', '.join(beside)} beside matmuls, which claims have no words for; "
            "say counts= and pairs= instead, or find them with --identify"
        )
    roles = sorted(Claims().counts)
    counted = {role for role in roles if chosen.price("mac", "forward", role)} - chosen.left_out
    pairs: Literal["dense", "exact", "none"] = "none" if chosen.pairs == "uncounted" else chosen.pairs
    return replace(claims, unit=chosen.unit, pairs=pairs, counts=frozenset(counted))


def told(claims: Claims, where: Where = MappingProxyType({})) -> str:
    """Claims in the words that `read_claims` reads.

    >>> told(Claims(), {"d_ff": "4*d_model"})
    'flops training per=token pairs=dense FLOP counts=qkv,scores,... families=gpt2,llama d_ff=4*d_model'
    """
    bare = set(_BARE.values())
    words = [str(getattr(claims, name)) if name in bare else f"{name}={getattr(claims, name)}" for name in CHOICES]
    counts = ",".join(role.replace(" ", "_") for role in READING_ORDER if role in claims.counts)
    conditions = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in where.items()]
    return " ".join([*words, f"counts={counts}", f"families={','.join(claims.families)}", *conditions])
