"""Targets: which unmodified model is meant, in which sizes it can vary, and how it is built at given ones.

A target is a class of the installed transformers (`hf:LlamaForCausalLM`, `hf:LlamaConfig`, `hf:llama`), a
config.json, or a function in a user's own file (`path/to/model.py:factory`). Nothing is fetched, and no file is run
but the one named.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from sympy import Expr
from sympy.logic.boolalg import Boolean
from torch import nn

from symflops.errors import ConfigError
from symflops.notation import TERMS, symbol
from symflops.tracing import configs, fields
from symflops.tracing.fields import Meanings
from symflops.tracing.models import STORAGE_FIELDS, Built, _made, _place, without_initialisers
from symflops.tracing.reference import Attention
from symflops.tracing.userfiles import load

Sizes = Mapping[str, Any]
Maker = Callable[[Sizes, Attention], nn.Module]
UNCHANGED: Meanings = MappingProxyType({})


@dataclass(frozen=True)
class Target:
    """An unmodified model whose sizes can vary.

    ``sizes`` names every size of the notation that it has, with a small value to run it at; ``meanings`` says what
    each field of its config is in them, ``dimensions`` what each of them is in the fields. ``conditions`` are relations
    to keep when sizes are varied. ``defaults`` are the fields as the class (or the file) has them. ``attentions`` are
    the implementations it can be built with.
    """

    name: str
    defaults: Mapping[str, Any] = field(repr=False)
    sizes: Mapping[str, int]
    meanings: Meanings
    dimensions: Mapping[str, str]
    conditions: tuple[Boolean, ...]
    attentions: tuple[Attention, ...]
    make: Maker = field(repr=False)

    @property
    def structural(self) -> frozenset[str]:
        """The sizes that drive loops in the code: they must be plain integers."""
        return frozenset(filter(fields.is_structural, self.sizes))

    def build(self, sizes: Sizes, attention: Attention = "eager") -> nn.Module:
        """The model at these sizes, in eval mode and without initialised weights, on the current device.

        Sizes are integers, or torch's symbolic integers where they are not ``structural``; those not given are as in
        ``self.sizes``. Raises `ConfigError` for an attention that the class does not have.
        """
        if attention not in self.attentions:
            raise ConfigError(f"{self.name} has no {attention!r} attention; it has {', '.join(self.attentions)}")
        with without_initialisers():
            return self.make({**self.sizes, **sizes}, attention).eval()

    def concrete(
        self, sizes: Mapping[str, int], attention: Attention = "eager", device: str = "meta", dtype: str = "float32"
    ) -> Built:
        """The model at integer sizes, with the scope to run it in; ``device`` is as in `symflops.tracing.models.build`.

        >>> resolve("hf:gpt2").concrete({"n_layer": 1}).source
        'hf:GPT2LMHeadModel'
        """
        place, mode = _place(device)
        kind: torch.dtype = getattr(torch, dtype)
        module = _made(lambda: self.build(sizes, attention), place, mode, kind)
        return Built(module, self.name, None, place, mode)


def resolve(text: str, overrides: Meanings = UNCHANGED) -> Target:
    """The target that a text names: ``hf:…``, a path to a config.json, or ``path/to/model.py:factory``.

    ``overrides`` gives fields (or a factory's parameters) another meaning in the notation than the table of
    `symflops.tracing.fields`; a field of a config inside another is named with its path, as in
    ``vision_config.hidden_size``. Raises `ConfigError` for a target that does not exist or cannot be read,
    `UnknownName` for an override of a field that it lacks.

    >>> target = resolve("hf:gpt2")
    >>> target.name, target.dimensions["d_head"]
    ('hf:GPT2LMHeadModel', 'n_embd/n_head')
    """
    if text.lower().startswith("hf:"):
        return _of_class(*_named(text[3:].strip()), overrides)
    file, colon, factory = text.rpartition(":")
    if colon and file.endswith(".py"):
        return _of_file(Path(file), factory, overrides)
    if text.endswith(".json") or Path(text).is_dir():
        return _of_class(*_from_json(Path(text)), overrides)
    raise ConfigError(
        f"unknown target {text!r}; give hf:NAME (a model class, config class or model_type of transformers), "
        "a path to a config.json, or path/to/model.py:factory"
    )


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
        return _class_for(config, library), config
    classes: dict[str, str] = {each.lower(): each for each in dir(library)}
    found: Any = getattr(library, classes.get(name.lower(), ""), None)
    if isinstance(found, type) and issubclass(found, library.PreTrainedConfig) and bool(vars(found).get("model_type")):
        config = _default(found)
        return _class_for(config, library), config
    if _is_model(found, library):
        return found, _default(found.config_class)
    near = difflib.get_close_matches(name.lower(), [*types, *filter(_looks_like_model, classes)], n=3)
    hint = f"; did you mean {' or '.join(classes.get(each) or each for each in near)}?" if near else ""
    raise ConfigError(f"transformers {library.__version__} has no model, config or model_type {name!r}{hint}")


def _looks_like_model(name: str) -> bool:
    return not name.startswith(("auto", "_")) and name.endswith(("config", "model", "lm", "generation", "fication"))


def _is_model(found: Any, library: Any) -> bool:
    return bool(
        isinstance(found, type)
        and issubclass(found, library.PreTrainedModel)
        and getattr(found, "config_class", None) is not None
        and not found.__name__.endswith("PreTrainedModel")
    )


def _default(config_class: Any) -> Any:
    try:
        return config_class()
    except Exception as error:
        raise ConfigError(f"{config_class.__name__} has no defaults: {' '.join(str(error).split())}") from error


def _class_for(config: Any, library: Any) -> Any:
    """The class that a family is known for: with its language head where it has one."""
    auto = library.models.auto.modeling_auto
    encoder_decoder = ("MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING")
    alone = ("MODEL_FOR_MASKED_LM_MAPPING", "MODEL_FOR_CAUSAL_LM_MAPPING")
    for mapping in (*(encoder_decoder if config.is_encoder_decoder else alone), "MODEL_MAPPING"):
        known = getattr(auto, mapping)
        if type(config) in known:
            found = known[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise ConfigError(f"transformers has no model for {type(config).__name__}; name a class, as in hf:LlamaForCausalLM")


def _from_json(path: Path) -> tuple[Any, Any]:
    file = path / "config.json" if path.is_dir() else path
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is no JSON file: {error}") from None
    library = _transformers()
    family = read.get("model_type") if isinstance(read, dict) else None
    if family not in library.CONFIG_MAPPING:
        raise ConfigError(f"{file} names no model_type that transformers {library.__version__} knows: {family!r}")
    kept = {name: value for name, value in read.items() if name not in STORAGE_FIELDS}
    try:
        config = library.CONFIG_MAPPING[family].from_dict(kept)
    except Exception as error:
        raise ConfigError(f"transformers refuses {file}: {' '.join(str(error).split())}") from error
    named = [getattr(library, str(each), None) for each in read.get("architectures") or ()]
    return next((each for each in named if _is_model(each, library)), None) or _class_for(config, library), config


def _parts(config: Any) -> Iterator[tuple[str, str, Any]]:
    """A config and those inside it: path, tower and object."""
    yield "", "", config
    for name in config.sub_configs:
        inner = getattr(config, name, None)
        if hasattr(inner, "sub_configs"):
            for path, tower, part in _parts(inner):
                yield f"{name}.{path}" if path else name, tower or fields.TOWERS.get(name, ""), part


def _fields(config: Any) -> Iterator[tuple[str, str, Any]]:
    """Every field of a config and of those inside it, also under the names that transformers maps to it."""
    for path, _, part in _parts(config):
        yield from ((path, name, value) for name, value in vars(part).items())
        yield from ((path, name, vars(part).get(kept, "")) for name, kept in part.attribute_map.items())


def _part(path: str, tower: str, part: Any, overrides: Meanings) -> configs.Part:
    renamed = {part.attribute_map.get(name, name): each for name, each in configs.within(path, overrides).items()}
    return configs.Part.of(vars(part), tower, renamed)


def _of_class(model: Any, config: Any, overrides: Meanings) -> Target:
    configs.refuse_unknown(overrides, {f"{path}.{name}".lstrip("."): each for path, name, each in _fields(config)})
    parts = [(path, _part(path, tower, part, overrides)) for path, tower, part in _parts(config)]
    qualified = {f"{path}.{name}".lstrip("."): each for path, part in parts for name, each in part.meanings.items()}
    kinds = {size: f"{path}.{text}".lstrip(".") for path, part in parts for size, text in part.counted.items()}
    dimensions = configs.dimensions(qualified) | kinds
    free = sorted({each.name for meaning in qualified.values() for each in meaning.free_symbols})
    run = ("n_batch",) if model.main_input_name == "pixel_values" and len(parts) == 1 else ("n_batch", "n_seq")
    names = [*dict.fromkeys([*free, *kinds, *run])]
    _import_parts(config)

    def make(sizes: Sizes, attention: Attention) -> nn.Module:
        changed = copy.deepcopy(config)
        changed._attn_implementation = attention
        for (_, part), (_, _, inner) in zip(parts, _parts(changed), strict=True):
            inner.__dict__.update(part.at(sizes))
        module: nn.Module = model(changed)
        return module

    return Target(
        name=f"hf:{model.__name__}",
        defaults=MappingProxyType(config.to_dict()),
        sizes=MappingProxyType({name: fields.hint(name) for name in names}),
        meanings=MappingProxyType(qualified),
        dimensions=MappingProxyType(dimensions),
        conditions=configs.conditions(qualified, names),
        attentions=("eager", "sdpa") if getattr(model, "_supports_sdpa", False) else ("eager",),
        make=make,
    )


def _import_parts(config: Any) -> None:
    """Import the code of a config's parts now: what is imported while initialisers are replaced keeps the stand-ins."""
    known = _transformers().models.auto.modeling_auto.MODEL_MAPPING
    for _, _, part in _parts(config):
        if type(part) in known:
            _ = known[type(part)]


def _of_file(path: Path, factory: str, overrides: Meanings) -> Target:
    """A user's own function; its parameters are sizes of the notation, or named as a config's fields are."""
    function = getattr(load(path), factory, None)
    if not callable(function):
        raise ConfigError(f"{path} defines no function {factory!r}")
    parameters = [each for each in inspect.signature(function).parameters.values() if each.kind not in _VARIADIC]
    given = {each.name: 1 if each.default is each.empty else each.default for each in parameters}
    configs.refuse_unknown(overrides, given)
    meaning_of = _of_parameters(given, overrides)
    unknown = [each.name for each in parameters if each.default is each.empty and each.name not in meaning_of]
    if unknown:
        raise ConfigError(
            f"{path}:{factory}: no meaning is known for parameter {unknown[0]!r}; give it a default, "
            f"or say what it is with --map {unknown[0]}=SIZE"
        )
    free = sorted({each.name for meaning in meaning_of.values() for each in meaning.free_symbols})
    names = [*free, "n_batch", "n_seq"]

    def make(sizes: Sizes, attention: Attention) -> nn.Module:
        module = function(**{name: configs.value_at(meaning, sizes) for name, meaning in meaning_of.items()})
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{path}:{factory} returned a {type(module).__name__}, not a torch.nn.Module")
        return module

    return Target(
        name=f"{path}:{factory}",
        defaults=MappingProxyType(given),
        sizes=MappingProxyType({name: fields.hint(name) for name in dict.fromkeys(names)}),
        meanings=MappingProxyType(meaning_of),
        dimensions=MappingProxyType(configs.dimensions(meaning_of)),
        conditions=configs.conditions(meaning_of, names),
        attentions=("eager", "sdpa"),
        make=make,
    )


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _of_parameters(given: Mapping[str, Any], overrides: Meanings) -> dict[str, Expr]:
    known = configs.meanings(given, overrides)
    own = {name: symbol(name) for name in given if name in TERMS and configs.is_size(name, given[name])}
    return {name: known.get(name, own.get(name)) for name in given if name in known or name in own}
