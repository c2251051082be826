"""Targets that a user wrote: a function that makes a module, given as itself or by its file and name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sympy import Expr
from torch import nn

from symflops.architectures.names import Meanings, is_size, meanings
from symflops.errors import ConfigError
from symflops.notation import TERMS, symbol
from symflops.tracing import configs
from symflops.tracing.internals.copies import layers_copied
from symflops.tracing.internals.symbolic_scope import keep_symbols
from symflops.tracing.target import Inputs, Kernels, Sizes, Target, small
from symflops.tracing.usercode import namespaces, of_layers
from symflops.tracing.userfiles import load

Factory = Callable[..., nn.Module]
Choice = Mapping[str, "str | Expr"] | Iterable[str] | None
"""Which parameters of a factory vary: their names, with or without what they mean in the notation."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def of_file(path: Path, name: str, overrides: Meanings, inputs: Inputs) -> Target:
    """A function in a user's own file; where the file defines ``inputs(module, sizes)``, that makes the inputs.

    Raises `ConfigError` for a file that does not run, or lacks the function.
    """
    module = load(path)
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} defines no function {name!r}")
    return of_function(function, f"{path}:{name}", overrides, None, getattr(module, "inputs", inputs))


def of_function(function: Factory, name: str, overrides: Meanings, sizes: Choice, inputs: Inputs) -> Target:
    """A function whose parameters are sizes of the notation, or named as a config's fields are.

    Raises `ConfigError` for a parameter of which neither a default nor a meaning is known, `UnknownName` for an
    override of no parameter.
    """
    parameters = [each for each in inspect.signature(function).parameters.values() if each.kind not in _VARIADIC]
    given = {each.name: 1 if each.default is each.empty else each.default for each in parameters}
    meaning_of = _chosen(given, overrides, sizes)
    unknown = [each.name for each in parameters if each.default is each.empty and each.name not in meaning_of]
    if unknown:
        raise ConfigError(
            f"{name}: no meaning is known for parameter {unknown[0]!r}; give it a default, "
            f"or say what it is with --map {unknown[0]}=SIZE"
        )
    _refuse_twins(name, {each.name for each in parameters if each.default is each.empty}, meaning_of, overrides, sizes)
    free = sorted({each.name for meaning in meaning_of.values() for each in meaning.free_symbols})
    names = list(dict.fromkeys([*free, "n_batch", "n_seq", *(("n_routed",) if "n_expert" in free else ())]))
    conditions = configs.conditions(meaning_of, names)
    own = namespaces(function)

    def make(sizes: Sizes, kernels: Kernels) -> nn.Module:
        keep_symbols(own)
        with layers_copied():
            module = function(**{name: configs.value_at(meaning, sizes) for name, meaning in meaning_of.items()})
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{name} returned a {type(module).__name__}, not a torch.nn.Module")
        keep_symbols(of_layers(module))
        return module

    return Target(
        name=name,
        defaults=MappingProxyType(given),
        sizes=small(names, conditions),
        meanings=MappingProxyType(meaning_of),
        dimensions=MappingProxyType(configs.dimensions(meaning_of)),
        conditions=conditions,
        attentions=("eager", "sdpa"),
        experts=(),
        make=make,
        inputs=inputs,
    )


def _refuse_twins(name: str, bare: set[str], meaning_of: Meanings, overrides: Meanings, sizes: Choice) -> None:
    """Raises `ConfigError` for two parameters without defaults that are read as one size, where nobody said so."""
    said = {*overrides, *(sizes if isinstance(sizes, Mapping) else ())}
    first: dict[Expr, str] = {}
    for each in [each for each in meaning_of if each in bare and each not in said]:
        other = first.setdefault(meaning_of[each], each)
        if other != each:
            raise ConfigError(
                f"{name}: parameters {other!r} and {each!r} are both read as {meaning_of[each]}; "
                f"say what they are with --map {each}=SIZE"
            )


def _chosen(given: Mapping[str, Any], overrides: Meanings, sizes: Choice) -> dict[str, Expr]:
    """What the parameters mean that vary: those of ``sizes``, or all of which the name tells."""
    if sizes is None:
        configs.refuse_unknown(overrides, given)
        return _of_parameters(given, overrides)
    named = sizes if isinstance(sizes, Mapping) else dict.fromkeys(sizes)
    said = {name: symbol(each) if isinstance(each, str) else each for name, each in named.items() if each is not None}
    configs.refuse_unknown(dict.fromkeys(named, symbol("n_seq")), given)
    known = _of_parameters(given, {**overrides, **said})
    meaningless = [name for name in named if name not in known]
    if meaningless:
        raise ConfigError(
            f"no meaning is known for parameter {meaningless[0]!r}; give it as {{{meaningless[0]!r}: SIZE}}"
        )
    return {name: meaning for name, meaning in known.items() if name in named}


def _of_parameters(given: Mapping[str, Any], overrides: Meanings) -> dict[str, Expr]:
    # Where there is no default, 1 stands for it and says nothing.
    said = {name: None if value == 1 else value for name, value in given.items()}
    known = configs.agreeing(meanings(given, overrides), said, overrides)
    own = {name: symbol(name) for name in given if name in TERMS and is_size(name, given[name])}
    return {name: known.get(name, own.get(name)) for name in given if name in known or name in own}
