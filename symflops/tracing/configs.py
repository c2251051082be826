"""Configs read in the notation: what each field means at given sizes, and what each size is in the fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sympy import Add, Expr, Integer, Pow, Symbol, expand, fraction, together
from sympy.logic.boolalg import Boolean

from symflops import notation as n
from symflops.architectures.names import KINDS, LAYERS, MAIN, Meanings, meanings
from symflops.errors import SizeError, UnknownName
from symflops.tracing.fields import CONDITIONS, divisible


def agreeing(found: Meanings, values: Mapping[str, Any], overrides: Meanings = MappingProxyType({})) -> dict[str, Expr]:
    """The meanings without those of fields that hold another value than a field of the same meaning before them.

    Two sizes are not one because their names are alike: such a field stays the number that it is.

    >>> read = {"word_embed_proj_dim": n.d_model, "hidden_size": n.d_model}
    >>> agreeing(read, {"word_embed_proj_dim": 2, "hidden_size": 4})
    {'hidden_size': d_model}
    """
    first: dict[Expr, Any] = {}
    kept: set[str] = set()
    for name in sorted(found, key=lambda name: (name not in overrides, name not in MAIN)):
        value = values.get(name)
        if name in overrides or value is None or first.setdefault(found[name], value) == value:
            kept.add(name)
    return {name: meaning for name, meaning in found.items() if name in kept}


@dataclass(frozen=True)
class Part:
    """What the fields of one config mean: ``meanings`` of sizes, and of each list with an entry per layer its kinds.

    ``counted`` gives the number of layers of a kind as text in fields. The first kind of ``kinds`` takes what layers
    the others leave.
    """

    meanings: Meanings
    layers: str | None
    kinds: Mapping[str, tuple[Any, ...]]
    counted: Mapping[str, str]
    padding: int | None

    @classmethod
    def of(cls, values: Mapping[str, Any], tower: str, overrides: Meanings) -> Part:
        """Read a config's fields."""
        found = agreeing(meanings(values, overrides, tower), values, overrides)
        layers = next((name for name in found if name in LAYERS), None)
        length = values[layers] if layers else 0
        lists = {name: tuple(each) for name, each in values.items() if isinstance(each, list) and len(each) == length}
        kinds = {name: _kinds(each) for name, each in lists.items() if each}
        counted = {
            KINDS[kind]: f"{name}.count({kind!r})"
            for name, each in kinds.items()
            for kind in (each[1:] if len(set(lists[name])) == len(each) else ())
            if isinstance(kind, str) and kind in KINDS
        }
        return cls(found, layers, kinds, counted, values.get("pad_token_id"))

    def at(self, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields at sizes. A padding token beyond a small vocabulary becomes token 0; it costs the same."""
        values = {name: value_at(meaning, sizes) for name, meaning in self.meanings.items()}
        if self.layers is not None:
            n_layer = values[self.layers]
            values |= {name: _spread(kinds, n_layer, sizes) for name, kinds in self.kinds.items()}
        if self.padding is not None and self.padding >= 8:
            values["pad_token_id"] = 0
        return values


def _kinds(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """The kinds of layers in a list, the one that is not counted first; the list itself where kinds have no name."""
    kinds = list(dict.fromkeys(entries)) if all(isinstance(entry, str) for entry in entries) else []
    unnamed = [kind for kind in kinds if kind not in KINDS]
    if not kinds or len(unnamed) > 1:
        return entries
    rest = (unnamed or [max(kinds, key=entries.count)])[0]
    return (rest, *(kind for kind in kinds if kind != rest))


def _spread(kinds: tuple[Any, ...], n_layer: int, sizes: Mapping[str, Any]) -> list[Any]:
    counts = {kind: sizes[KINDS[kind]] for kind in kinds[1:] if isinstance(kind, str) and kind in KINDS}
    if len(counts) != len(kinds) - 1:
        return [kinds[place % len(kinds)] for place in range(n_layer)]
    others = [kind for kind, count in counts.items() for _ in range(count)]
    return [kinds[0]] * (n_layer - len(others)) + others


def value_at(meaning: Expr, sizes: Mapping[str, Any]) -> Any:
    """The value of a meaning at sizes that may be symbolic integers of torch, by `+`, `*` and division.

    A quotient of symbols is a symbolic float: code that multiplies it by its divisor has the whole again.

    >>> value_at(n.n_head * n.d_head / n.d_model, {"n_head": 6, "d_head": 16, "d_model": 48})
    2

    Raises `SizeError` where a division leaves a rest.
    """
    above, below = fraction(together(meaning))
    if below == 1:
        return _whole(above, sizes)
    numerator, denominator = _whole(above, sizes), _whole(below, sizes)
    if not (type(numerator) is int and type(denominator) is int):
        return numerator / denominator
    if numerator % denominator:
        raise SizeError(f"{meaning} is no whole number: {numerator} / {denominator}")
    return numerator // denominator


def _whole(node: Expr, sizes: Mapping[str, Any]) -> Any:
    if isinstance(node, Integer):
        return int(node)
    if isinstance(node, Symbol):
        return sizes[node.name]
    parts = [_whole(part, sizes) for part in node.args]
    result = parts[0]
    for part in parts[1:]:
        result = result + part if isinstance(node, Add) else result**part if isinstance(node, Pow) else result * part
    return result


def dimensions(meaning_of: Meanings) -> dict[str, str]:
    """Each symbol as an expression in fields: a field that holds it, or what the fields that use it say.

    >>> dimensions({"n_embd": n.n_head * n.d_head, "n_head": n.n_head})
    {'n_head': 'n_head', 'd_head': 'n_embd/n_head'}
    """
    solved: dict[Symbol, Expr] = {}
    for field, meaning in meaning_of.items():
        if isinstance(meaning, Symbol):
            solved.setdefault(meaning, Symbol(field))
    for field, meaning in meaning_of.items():
        unknown = _unknown(meaning, solved)
        if len(unknown) == 1:
            (symbol,) = unknown
            rest = meaning.subs(symbol, 0)
            slope = (meaning - rest).subs(symbol, 1)
            if expand(rest + slope * symbol - meaning) != 0:
                continue
            solved[symbol] = (Symbol(field) - rest.xreplace(solved)) / slope.xreplace(solved)
    return {symbol.name: str(expression) for symbol, expression in solved.items()}


def _unknown(meaning: Expr, solved: Iterable[Symbol]) -> set[Symbol]:
    return set(meaning.free_symbols) - set(solved)


def conditions(meaning_of: Meanings, names: Iterable[str]) -> tuple[Boolean, ...]:
    """The conditions on sizes of these names: the general ones, that every field is a whole number, and that there is a
    layer of the kind that is not counted beside those that are.
    """
    known = {n.symbol(name) for name in names}
    kinds = [n.symbol(name) for name in sorted(set(KINDS.values())) if n.symbol(name) in known]
    rest = [Add(*kinds, 1) <= n.n_layer] if kinds else []
    divisions = (fraction(together(meaning)) for meaning in meaning_of.values())
    whole = [divisible(above, below) for above, below in divisions if below != 1]
    return tuple(condition for condition in [*CONDITIONS, *whole, *rest] if condition.free_symbols <= known)


def refuse_unknown(overrides: Meanings, known: Mapping[str, Any]) -> None:
    """Raises `UnknownName` for an override of no field; fields that can hold a size are those to choose from."""
    sizes = [name for name, value in known.items() if type(value) is int or value is None]
    for name in overrides:
        if name not in known:
            raise UnknownName("config field", name, [each for each in sizes if not each.startswith("_")])


def within(path: str, overrides: Meanings) -> Meanings:
    """The overrides that concern the config at a path: those that name it count more than those that name no path.

    >>> within("vision_config", {"hidden_size": n.d_model, "vision_config.hidden_size": n.d_ff, "text_config.x": n.r_q})
    {'hidden_size': d_ff}
    """
    named = {name: each for name, each in overrides.items() if "." not in name}
    inside = {name: each for name, each in overrides.items() if name.startswith(f"{path}.")}
    return named | {name.removeprefix(f"{path}."): each for name, each in inside.items()}
