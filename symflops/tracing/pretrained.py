"""Targets of the installed transformers: a model class, a config class, a model_type, or a config.json."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from symflops.architectures.names import TOWERS, Meanings
from symflops.architectures.reading import read_config
from symflops.errors import ConfigError
from symflops.tracing import configs
from symflops.tracing.classes import class_for, is_model
from symflops.tracing.internals.copies import layers_copied
from symflops.tracing.models import STORAGE_FIELDS
from symflops.tracing.target import Inputs, Kernels, Sizes, Target, small


def of_name(name: str, overrides: Meanings, inputs: Inputs) -> Target:
    """The target of a class's name or a model_type. Raises `ConfigError` for a name that is none."""
    return _of_class(*_named(name), overrides, inputs)


def of_json(path: Path, overrides: Meanings, inputs: Inputs) -> Target:
    """The target of a config.json or its folder. Raises `ConfigError` for a file that cannot be read."""
    return _of_class(*_from_json(path), overrides, inputs)


def of_config(config: Mapping[str, Any], inputs: Inputs) -> Target:
    """The target of a config's fields: the class that its family is known for. Raises `ConfigError`."""
    made = _config(config, "the config")
    return _of_class(class_for(made, _transformers()), made, {}, inputs)


def _transformers() -> Any:
    try:
        import transformers
        from transformers import modeling_utils  # noqa: F401
    except ImportError as error:
        raise ConfigError("transformers is not installed; pip install transformers") from error
    return transformers


def _named(name: str) -> tuple[Any, Any]:
    """A model class of transformers and its default config."""
    library = _transformers()
    types: dict[str, str] = {each.lower(): each for each in library.CONFIG_MAPPING}
    family = types.get(name.lower()) or types.get(name.lower().replace("-", "_"))
    if family:
        config = _default(library.CONFIG_MAPPING[family])
        return class_for(config, library), config
    classes: dict[str, str] = {each.lower(): each for each in dir(library)}
    found: Any = getattr(library, classes.get(name.lower(), ""), None)
    if isinstance(found, type) and issubclass(found, library.PreTrainedConfig) and bool(vars(found).get("model_type")):
        config = _default(found)
        return class_for(config, library), config
    if is_model(found, library):
        return found, _default(found.config_class)
    near = difflib.get_close_matches(name.lower(), [*types, *filter(_looks_like_model, classes)], n=3)
    hint = f"; did you mean {' or '.join(classes.get(each) or each for each in near)}?" if near else ""
    raise ConfigError(f"transformers {library.__version__} has no model, config or model_type {name!r}{hint}")


def _looks_like_model(name: str) -> bool:
    return not name.startswith(("auto", "_")) and name.endswith(("config", "model", "lm", "generation", "fication"))


def _default(config_class: Any) -> Any:
    try:
        return config_class()
    except Exception as error:
        raise ConfigError(f"{config_class.__name__} has no defaults: {' '.join(str(error).split())}") from error


def _from_json(path: Path) -> tuple[Any, Any]:
    read, library = read_config(path), _transformers()
    config = _config(read, str(path))
    named = [getattr(library, str(each), None) for each in read.get("architectures") or ()]
    return next((each for each in named if is_model(each, library)), None) or class_for(config, library), config


def _config(read: Mapping[str, Any], where: str) -> Any:
    """A config object of transformers from its fields."""
    library = _transformers()
    family = read.get("model_type")
    if family not in library.CONFIG_MAPPING:
        raise ConfigError(f"{where} names no model_type that transformers {library.__version__} knows: {family!r}")
    kept = {name: value for name, value in read.items() if name not in STORAGE_FIELDS}
    try:
        return library.CONFIG_MAPPING[family].from_dict(copy.deepcopy(kept))
    except Exception as error:
        raise ConfigError(f"transformers refuses {where}: {' '.join(str(error).split())}") from error


def _parts(config: Any) -> Iterator[tuple[str, str, Any]]:
    """A config and those inside it: path, tower and object."""
    yield "", "", config
    for name in config.sub_configs:
        inner = getattr(config, name, None)
        if hasattr(inner, "sub_configs"):
            for path, tower, part in _parts(inner):
                yield f"{name}.{path}" if path else name, tower or TOWERS.get(name, ""), part


def _fields(config: Any) -> Iterator[tuple[str, str, Any]]:
    """Every field of a config and of those inside it, also under the names that transformers maps to it."""
    for path, _, part in _parts(config):
        yield from ((path, name, value) for name, value in vars(part).items())
        yield from ((path, name, vars(part).get(kept, "")) for name, kept in part.attribute_map.items())


def _part(path: str, tower: str, part: Any, overrides: Meanings) -> configs.Part:
    renamed = {part.attribute_map.get(name, name): each for name, each in configs.within(path, overrides).items()}
    return configs.Part.of(vars(part), tower, renamed)


def _of_class(model: Any, config: Any, overrides: Meanings, inputs: Inputs) -> Target:
    configs.refuse_unknown(overrides, {f"{path}.{name}".lstrip("."): each for path, name, each in _fields(config)})
    parts = [(path, _part(path, tower, part, overrides)) for path, tower, part in _parts(config)]
    qualified = {f"{path}.{name}".lstrip("."): each for path, part in parts for name, each in part.meanings.items()}
    kinds = {size: f"{path}.{text}".lstrip(".") for path, part in parts for size, text in part.counted.items()}
    dimensions = configs.dimensions(qualified) | kinds
    free = sorted({each.name for meaning in qualified.values() for each in meaning.free_symbols})
    run = ("n_batch",) if model.main_input_name == "pixel_values" and len(parts) == 1 else ("n_batch", "n_seq")
    routed = ("n_routed",) if "n_expert" in free else ()
    names = [*dict.fromkeys([*free, *kinds, *run, *routed])]
    conditions = configs.conditions(qualified, names)
    _import_parts(config)

    def make(sizes: Sizes, kernels: Kernels) -> nn.Module:
        changed = copy.deepcopy(config)
        changed._attn_implementation = kernels.attention
        changed._experts_implementation = kernels.experts
        for (_, part), (_, _, inner) in zip(parts, _parts(changed), strict=True):
            inner.__dict__.update(part.at(sizes))
        with layers_copied():
            module: nn.Module = model(changed)
        return module

    return Target(
        name=f"hf:{model.__name__}",
        defaults=MappingProxyType(config.to_dict()),
        sizes=small(names, conditions),
        meanings=MappingProxyType(qualified),
        dimensions=MappingProxyType(dimensions),
        conditions=conditions,
        attentions=("eager", "sdpa") if getattr(model, "_supports_sdpa", False) else ("eager",),
        experts=EXPERTS if "n_expert" in names and _experts_can_be_set(model) else (),
        make=make,
        inputs=inputs,
    )


EXPERTS = ("eager", "batched_mm", "grouped_mm")
"""How transformers can run experts: a loop over those that are hit, a product for each choice, grouped products."""


def _experts_can_be_set(model: Any) -> bool:
    return bool(getattr(model, "_can_set_experts_implementation", lambda: False)())


def _import_parts(config: Any) -> None:
    """Import the code of a config's parts now: what is imported while initialisers are replaced keeps the stand-ins."""
    known = _transformers().models.auto.modeling_auto.MODEL_MAPPING
    for _, _, part in _parts(config):
        if type(part) in known:
            _ = known[type(part)]
