"""Architectures from a name, a config.json, a dict or a config object of transformers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from symflops.architectures.architecture import Architecture, Attention
from symflops.architectures.families import FAMILIES
from symflops.architectures.fields import Config, completed, resolve
from symflops.architectures.names import KINDS
from symflops.architectures.presets import preset, presets
from symflops.errors import ConfigError, SizeError, UnknownFamily

_KINDS = {*KINDS.values(), "n_layer_dense"}
_AT_MOST = (("n_active", "n_expert"), ("d_rope", "d_head"))


def architecture(given: str | Path | Config | Any, attention: Attention = "eager") -> Architecture:
    """A model by name (``gpt2``, ``llama3-8b``), from a config.json or its folder, from its dict, or its object.

    Raises `UnknownName` for a name that is none (with the nearest) or a family that symflops does not know,
    `ConfigError` for a config that cannot be read, `SizeError` for sizes that do not fit.
    """
    if isinstance(given, Mapping):
        return build(str(given.get("model_type", "config")), given, "config", attention)
    if hasattr(given, "to_dict"):
        return architecture(given.to_dict(), attention)
    if _is_path(given):
        return build(str(given), read_config(Path(given)), str(given), attention)
    name, entry = preset(str(given))
    return build(name, entry["config"], entry["source"], attention)


def _is_path(given: Any) -> bool:
    if isinstance(given, Path):
        return True
    text = str(given)
    if text.endswith(".json") or "/" in text or "\\" in text:
        return True
    return text != "" and text not in presets() and Path(text).exists()


def read_config(path: Path) -> Config:
    """The fields of a config.json, or of the one in a folder. Raises `ConfigError` for what cannot be read."""
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is no JSON file: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{file} holds a {type(config).__name__}, not the fields of a config")
    return config


def build(name: str, config: Config, source: str, attention: Attention) -> Architecture:
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ConfigError(f"the config names no model_type; known families: {', '.join(FAMILIES)}")
    if model_type not in FAMILIES:
        raise UnknownFamily(model_type, FAMILIES)
    family, config = FAMILIES[model_type], completed(config)
    model = Architecture(name, family, config, source, MappingProxyType({}), attention)
    sizes = resolve(model.table, config)
    _refuse_contradictions(sizes, family.divides)
    whole = replace(model, sizes=MappingProxyType(sizes))
    vars(whole).update(network=model.network, table=model.table)  # made already
    return whole


def _refuse_contradictions(sizes: Mapping[str, int], divides: Iterable[tuple[str, str]]) -> None:
    """Raises `SizeError` for sizes that no model has together."""
    for divisor, number in divides:
        if {divisor, number} <= sizes.keys() and sizes[number] % sizes[divisor]:
            raise SizeError(f"{divisor} = {sizes[divisor]} does not divide {number} = {sizes[number]}")
    for less, more in at_most(sizes):
        if sizes[less] > sizes[more]:
            raise SizeError(f"{less} = {sizes[less]} is more than {more} = {sizes[more]}")


def at_most(names: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of sizes of which the first is no larger than the second, of any family.

    >>> at_most({"n_layer": 12, "n_layer_dense": 3, "n_head": 12})
    [('n_layer_dense', 'n_layer')]
    """
    pairs = [*((name, "n_layer") for name in names if name in _KINDS), *_AT_MOST]
    return [(less, more) for less, more in pairs if less in names and more in names]
