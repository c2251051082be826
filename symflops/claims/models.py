"""What formulas of a claim file may ask of a network: ``model.params``, ``model.C_forward``, ``model.logits.params``.

>>> from symflops.conventions import TORCH
>>> measure(Network(architecture_of("gpt2", {}).network), ("logits", "forward"), TORCH)
2*d_model*n_batch*n_seq*n_vocab
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from sympy import Expr

from symflops.architectures import Architecture, architecture
from symflops.claims.table import Model
from symflops.conventions import Convention
from symflops.derivation import READING_ORDER
from symflops.errors import SymflopsError, UnknownName
from symflops.measures import (
    Phase,
    active_params,
    flops,
    flops_of_all,
    params,
    params_without,
    saved_elements,
    trainable_params,
)
from symflops.networks import blocks, of_role
from symflops.notation import n_batch, n_seq
from symflops.serving import cache_elements

_PLAIN: Mapping[str, Callable[[Expr], Expr]] = {
    "params": params,
    "N": params_without,
    "active": active_params,
    "trainable": trainable_params,
    "cache": cache_elements,
    "saved": saved_elements,
}
PHASES: tuple[Phase, ...] = ("forward", "backward", "training")
PRICED = (*PHASES, *(f"C_{phase}" for phase in PHASES))
"""Measures that a convention prices: of a batch, and for each token of it."""
MEASURES = (*_PLAIN, *PRICED)
ROW = "row"
"""The part of a network that a row is named after."""


class ModelError(SymflopsError):
    """A model of a claim file that is none."""


@dataclass(frozen=True)
class Network:
    """A network in symbols, and the numbers of the sizes that are known of it."""

    expression: Expr
    sizes: Mapping[str, int] = field(default_factory=dict)


def network_of(model: Model, cells: Mapping[str, str]) -> Network:
    """The network of a model, in the row that has these cells.

    Raises `ModelError` for a model that names no network, or several; what `architecture` raises for a bad config.
    """
    if [bool(model.family), bool(model.network), bool(model.named_by)].count(True) != 1:
        raise ModelError("a model is one of family (with settings), network, or named_by, the column of its name")
    if model.network:
        return Network(_derived(model.network))
    if model.named_by:
        if model.named_by not in cells:
            raise ModelError(f"the row has no column {model.named_by!r}, which names its model")
        named = _named(cells[model.named_by])
        return Network(named.network, named.sizes)
    return Network(_of_family(model.family, _frozen(model.settings)))


@cache
def _named(name: str) -> Architecture:
    if "/" in name or "\\" in name or name.endswith(".json"):
        raise ModelError(f"{name!r} is no name of a model; a claim file reads no other files")
    return architecture(name)


def architecture_of(family: str, settings: Mapping[str, object]) -> Architecture:
    """An architecture of a family with some fields set, at its default sizes."""
    return architecture({"model_type": family, **settings})


@lru_cache(maxsize=64)
def _of_family(family: str, settings: tuple[tuple[str, object], ...]) -> Expr:
    return architecture_of(family, {name: _thawed(value) for name, value in settings}).network


def _frozen(value: object) -> tuple[tuple[str, object], ...]:
    assert isinstance(value, Mapping)
    return tuple((name, _hashable(each)) for name, each in value.items())


def _hashable(value: object) -> object:
    if isinstance(value, Mapping):
        return ("mapping", _frozen(value))
    return ("list", tuple(map(_hashable, value))) if isinstance(value, list) else value


def _thawed(value: object) -> object:
    match value:
        case ("mapping", tuple(items)):
            return {name: _thawed(each) for name, each in items}
        case ("list", tuple(items)):
            return [_thawed(each) for each in items]
    return value


@cache
def _derived(text: str) -> Expr:
    """The network of a derivation: its NETWORK, or one of its NETWORKS by name."""
    from importlib import import_module

    from derivations import SOURCES

    source, _, name = text.partition("/")
    if source not in SOURCES:
        raise UnknownName("source", source, SOURCES)
    module = vars(import_module(f"derivations.{source}"))
    known = {**({"": module["NETWORK"]} if "NETWORK" in module else {}), **module.get("NETWORKS", {})}
    if name not in known:
        raise UnknownName(f"network of {source}", name, known)
    found: Expr = known[name]
    return found


def measure(network: Network, path: tuple[str, ...], chosen: Convention, label: str = "") -> Expr:
    """The closed form of a measure, of the whole network, of one role's operations, or of the part named as the row.

    Raises `UnknownName` for another measure or part.
    """
    *inside, name = path
    if name not in MEASURES:
        raise UnknownName("measure", name, MEASURES)
    whole = not inside
    part = network.expression if whole else _part(network.expression, inside[0], label)
    if name in _PLAIN:
        return _plain(part, name)
    phase = name.removeprefix("C_")
    total = _priced(part, chosen, phase, whole)
    return total if phase == name else total / (n_batch * n_seq)


@lru_cache(maxsize=512)
def _plain(network: Expr, name: str) -> Expr:
    return _PLAIN[name](network)


@lru_cache(maxsize=2048)
def _priced(network: Expr, chosen: Convention, name: str, whole: bool) -> Expr:
    phase: Phase = next(each for each in PHASES if each == name)
    return (flops if whole else flops_of_all)(network, chosen, phase).expr


@lru_cache(maxsize=512)
def _part(network: Expr, part: str, label: str) -> Expr:
    if part == ROW:
        named = blocks(network)
        if label not in named:
            raise UnknownName("part of the network", label, named)
        return named[label]
    if part not in READING_ORDER:
        raise UnknownName("part of a network", part, (ROW, *(role for role in READING_ORDER if " " not in role)))
    return of_role(network, part)
