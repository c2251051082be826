"""What a cost function claims, in one line of words, which are short for a price list and for what it is asked of.

>>> claims, where = read_claims("flops forward per=sequence counts=-logits families=llama d_ff=4*d_model")
>>> claims.phase, claims.per, "logits" in claims.counts, claims.families, where
('forward', 'sequence', False, ('llama',), {'d_ff': '4*d_model'})
>>> read_claims("convention=macs")[0].unit, read_claims("convention=palm counts=-position")[0].convention.title
('MAC', 'PaLM, appendix B (model FLOPs utilisation)')
>>> read_claims("flops per=image")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown value of per 'image' (known: batch, sequence, token)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from symflops.architectures import FAMILIES
from symflops.architectures.fields import defaults
from symflops.conventions import Convention, convention
from symflops.errors import UnknownFamily, UnknownName
from symflops.laws.cost import MATMULS, ROLES, Claims, Pairs
from symflops.notation import TERMS

Where = Mapping[str, Any]
"""What has to be so of a case: sizes by formulas (``{"d_ff": "4*d_model"}``) and fields of configs by values."""
_HINTS = get_type_hints(Claims)
_SETS: Mapping[str, frozenset[str]] = {"all": frozenset(ROLES), "matmuls": MATMULS}
"""Words for many roles."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    each.name: get_args(_HINTS[each.name])
    for each in fields(Claims)
    if each.name not in ("counts", "families", "convention")
}
"""The words of each claim that takes one of several."""
_BARE = {word: name for name, words in CHOICES.items() for word in words if name in ("quantity", "phase", "unit")}
_KEYS = (*CHOICES, "counts", "families", "convention")


def read_claims(text: str, claims: Claims = Claims()) -> tuple[Claims, Where]:  # noqa: B008
    """Claims, and conditions on cases, from words: ``training``, ``per=token``, ``counts=qkv``, ``d_ff=4*d_model``.

    ``convention=NAME`` claims what a convention does, wherever it stands; other words change it. ``counts`` with signs
    (``+embedding,-logits``) changes what is counted, which is ``all`` for parameters; ``all`` and ``matmuls`` are words
    for many roles. Raises `UnknownName` and `CostError` for other words.
    """
    where: dict[str, Any] = {}
    for name, equals, value in sorted((word.partition("=") for word in text.split()), key=_turn):
        if not equals:
            claims = _bare(claims, name)
        elif name in _KEYS:
            claims = _claimed(claims, name, value)
        else:
            where[name] = _condition(name, value)
    return claims, where


def _turn(word: tuple[str, str, str]) -> int:
    """What is counted changes what a convention and a quantity count, in whichever order they are said."""
    turns = {"convention": 0, "counts": 2}
    return turns.get(word[0], 1)


def _bare(claims: Claims, word: str) -> Claims:
    if word not in _BARE:
        raise UnknownName("claim", word, [*_BARE, *(f"{name}=" for name in _KEYS)])
    return _replaced(claims, _BARE[word], word)


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
    every: dict[str, Any] = {"counts": frozenset(ROLES)} if value == "params" else {}
    return replace(claims, **{**every, name: value})


def _counts(before: frozenset[str], words: Iterable[str]) -> frozenset[str]:
    """Roles by their names, and by words for many of them; those with a sign change what is there without them."""
    named: set[str] = set()
    signed: list[tuple[str, frozenset[str]]] = []
    for word in (each.replace("_", " ") for each in words):
        if word[:1] in ("+", "-"):
            signed.append((word[:1], _roles(word[1:])))
        else:
            named |= _roles(word)
    found = frozenset(named) or before
    for sign, roles in signed:
        found = found | roles if sign == "+" else found - roles
    return found


def _roles(word: str) -> frozenset[str]:
    if word not in _SETS and word not in ROLES:
        raise UnknownName("role", word, [*ROLES, *_SETS])
    return _SETS.get(word, frozenset({word}))


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
    """The same claims, with a convention's prices, pairs and unit, and of all roles those that it does not leave out.

    Raises `UnknownName`.

    >>> claims = claims_of("kaplan")
    >>> sorted(set(ROLES) - claims.counts), claims.pairs
    (['embedding', 'logits', 'position'], 'dense')
    """
    chosen = convention(given)
    pairs: Pairs = "none" if chosen.pairs == "uncounted" else chosen.pairs
    counts = frozenset(ROLES) - chosen.left_out
    return replace(claims, convention=chosen, unit=chosen.unit, pairs=pairs, counts=counts)


def told(claims: Claims, where: Where = MappingProxyType({})) -> str:
    """Claims in the words that `read_claims` reads; of a convention of your own, its name, which it does not know.

    >>> told(Claims(), {"d_ff": "4*d_model"})
    'flops training per=token pairs=dense FLOP counts=matmuls families=gpt2,llama d_ff=4*d_model'
    >>> told(Claims(recompute="full", counts=frozenset({"state space"})))
    'flops training per=token pairs=dense FLOP recompute=full counts=state_space families=gpt2,llama'
    """
    bare, usual = set(_BARE.values()), Claims()
    shown = [name for name in CHOICES if name != "recompute" or claims.recompute != usual.recompute]
    words = [str(getattr(claims, name)) if name in bare else f"{name}={getattr(claims, name)}" for name in shown]
    named = [] if claims.convention == usual.convention else [f"convention={claims.convention.name}"]
    conditions = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in where.items()]
    return " ".join(
        [*words, *named, f"counts={_listed(claims.counts)}", f"families={','.join(claims.families)}", *conditions]
    )


def _listed(roles: frozenset[str]) -> str:
    """Roles by the word for them, by all but a few, or one by one."""
    for word, many in _SETS.items():
        if roles == many:
            return word
    out = [role for role in ROLES if role not in roles]
    words = ["all", *(f"-{role}" for role in out)] if len(out) < len(ROLES) // 3 else [r for r in ROLES if r in roles]
    return ",".join(words).replace(" ", "_")
