"""Reading sizes out of a Hugging Face config: which field holds which size, and what an absent field means.

The fields that each family's config has, with their defaults, are data (`defaults.json`, as the config classes of
transformers have them); which size a field is says the table of `symflops.architectures.names`.

>>> config = completed({"model_type": "gpt2", "hidden_size": 8})
>>> config["n_embd"], config["n_layer"], config["n_inner"]
(8, 12, None)
>>> table = fields_of(config, {})
>>> table["d_model"].name, table["d_ff"].name, table["d_ff"].absent
('n_embd', 'n_inner', 4*d_model)
>>> resolve({"d_model": table["d_model"], "d_ff": table["d_ff"]}, config)
{'d_model': 8, 'd_ff': 32}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from sympy import Expr

from symflops.architectures.names import CONTEXTS, KINDS, MAIN, TABLE, TOWERS
from symflops.errors import ConfigError, SizeError, UnknownName
from symflops.notation import TERMS, d_model, n_head, n_layer, symbol

Config = Mapping[str, Any]
DEFAULTS = Path(__file__).with_name("defaults.json")
Rule: TypeAlias = "int | Expr | Callable[[Config], Any]"
"""What a size is where no field says: a number, an expression in other sizes, or a function of the config."""


@dataclass(frozen=True)
class Field:
    """A config field that holds a size, with its path (``text_config.hidden_size``), or ``""`` where none does.

    ``absent`` is what the size is where the field is null or missing; ``also`` are other fields that hold it too.
    """

    name: str
    absent: Rule | None = None
    also: tuple[str, ...] = ()


def _layers_of(kind: str, config: Config) -> int:
    """How many layers of a kind a config lists."""
    return list(config.get("layer_types") or ()).count(kind)


ABSENT: Mapping[str, Rule] = MappingProxyType(
    {
        "n_kv_head": n_head, "d_head": d_model / n_head, "d_ff": 4 * d_model, "n_layer_decoder": n_layer,
        **{name: partial(_layers_of, kind) for kind, name in KINDS.items()},
    }
)  # fmt: skip
"""What a size is in any family whose config does not say."""


@cache
def defaults() -> Mapping[str, Mapping[str, Any]]:
    """By model_type: the ``class`` that the family is known for, the ``fields`` of its config with their defaults, and
    ``aliases`` that other versions write.

    >>> defaults()["gpt2"]["aliases"]["hidden_size"]
    'n_embd'
    """
    read = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    families: dict[str, dict[str, Any]] = read["families"]
    return families


def completed(config: Config) -> Config:
    """A config with every field that its family has: as given, under whichever name, else the default.

    Raises `ConfigError` where two names of one field are given different values.
    """
    known = defaults().get(str(config.get("model_type")), {"fields": {}, "aliases": {}})
    aliases = known["aliases"]
    given: dict[str, Any] = {}
    for name, value in sorted(config.items(), key=lambda item: item[0] in aliases):
        own = aliases.get(name, name)
        if value is not None and own in given and given[own] not in (None, value):
            raise ConfigError(f"the config says {own} = {given[own]} and {name} = {value}, which are one field")
        given[own] = given[own] if given.get(own) is not None else value
    inner = {name: part for name, part in known["fields"].items() if isinstance(part, dict)}
    nested = {name: {**part, **_part(given, name)} for name, part in inner.items() if "model_type" in part}
    return {**known["fields"], **given, **nested}


def _part(config: Config, name: str) -> Config:
    part = config.get(name) or {}
    if not isinstance(part, Mapping):
        raise ConfigError(f"{name} is {part!r}, not the fields of a config")
    return part


def fields_of(config: Config, special: Mapping[str, Field]) -> dict[str, Field]:
    """The field of every size that a completed config has, and the sizes of ``special``; see `Field`."""
    family = defaults().get(str(config.get("model_type")), {"fields": {}})["fields"]
    found: dict[str, Field] = {}
    for name, path in _held(config):
        found.setdefault(name, Field(path, ABSENT.get(name) if _within(family, path) is None else None))
    return {**{name: Field("", rule) for name, rule in ABSENT.items()}, **found, **special}


def _held(config: Config) -> Iterator[tuple[str, str]]:
    """Size and path of each field that holds one; of several for one size, the one that says what it is comes first."""
    table = dict(TABLE)
    for marks, exceptions in CONTEXTS:
        if marks <= config.keys():
            table |= exceptions
    named = [name for name in config if table.get(name) is not None and table[name].is_Symbol]
    for name in sorted(named, key=lambda name: name not in MAIN):
        yield table[name].name, name
    for inner in [name for name, part in config.items() if isinstance(part, Mapping) and name.endswith("_config")]:
        tower = TOWERS.get(inner, "")
        for name, path in _held(config[inner]):
            yield f"{name}_{tower}" if f"{name}_{tower}" in TERMS else name, f"{inner}.{path}"


def overridden(table: Mapping[str, Field], config: Config, given: Mapping[str, int]) -> Config:
    """The config with other values in the fields of some sizes.

    Raises `UnknownName` for a size the table lacks, `ConfigError` for one that follows from others.
    """
    changed = dict(config)
    for name, value in given.items():
        if name not in table:
            raise UnknownName("size", name, table)
        if not table[name].name:
            rule = table[name].absent
            others = "other fields" if callable(rule) and not isinstance(rule, Expr) else rule
            raise ConfigError(f"{name} has no field of its own in this config; it follows from {others}")
        for path in (table[name].name, *table[name].also):
            inner, _, field = path.rpartition(".")
            changed |= {inner: {**changed[inner], field: value}} if inner else {field: value}
    return changed


def resolve(table: Mapping[str, Field], config: Config) -> dict[str, int]:
    """Every size of the table as a whole number: from the config, or from other sizes.

    Raises `ConfigError` for a field that is missing, `SizeError` for a size that is no positive integer.
    """
    raw = said(table, config)
    values: dict[str, int] = {}
    for name in _numbers_first(raw):
        values[name] = size_of(name, raw[name], values)
    return {name: values[name] for name in table}


def said(table: Mapping[str, Field], config: Config) -> dict[str, Any]:
    """Every size of the table as the config says it: a number, or an expression in other sizes.

    >>> gpt2 = completed({"model_type": "gpt2"})
    >>> said({"d_ff": fields_of(gpt2, {})["d_ff"]}, gpt2)
    {'d_ff': 4*d_model}

    Raises `ConfigError` for a field that is missing.
    """
    return {name: _read(name, field, config) for name, field in table.items()}


def size_of(name: str, raw: Any, values: Mapping[str, int]) -> int:
    """A size as a whole number, of what the config says and the sizes that it follows from.

    Raises `SizeError` for what is no positive integer; of one kind of layer there may be none.
    """
    if not _open(raw):
        return 0 if name.startswith("n_layer_") and raw == 0 else positive_integer(name, raw)
    return positive_integer(f"{name} = {raw}", raw.subs({symbol(known): size for known, size in values.items()}))


def positive_integer(name: str, value: Any) -> int:
    """A size as an int.

    >>> positive_integer("n_head", 2.5)
    Traceback (most recent call last):
    symflops.errors.SizeError: n_head is 2.5; a size must be a positive integer

    Raises `SizeError` for anything else.
    """
    whole = isinstance(value, int) or getattr(value, "is_Integer", False)
    if isinstance(value, bool) or not whole or value <= 0:
        raise SizeError(f"{name} is {value}; a size must be a positive integer")
    return int(value)


def _within(config: Config, path: str) -> Any:
    """The value of a field, of a config or of one inside it; None where there is none."""
    inner, _, last = path.rpartition(".")
    return (config.get(inner) or {} if inner else config).get(last)


def _read(name: str, field: Field, config: Config) -> Any:
    value = _within(config, field.name)
    for other in field.also:
        if _within(config, other) != value:
            raise ConfigError(
                f"{field.name} = {value} and {other} = {_within(config, other)} must be one {name}; use symflops trace"
            )
    if value is not None and value != "auto":
        return value
    if field.absent is None:
        raise ConfigError(
            f"the config has no {field.name!r}, which holds {name}; add it, or use a config.json that save_pretrained "
            "wrote"
        )
    return field.absent(config) if callable(field.absent) and not isinstance(field.absent, Expr) else field.absent


def _open(value: Any) -> bool:
    return isinstance(value, Expr) and bool(value.free_symbols)


def _numbers_first(raw: Mapping[str, Any]) -> list[str]:
    """Sizes that are numbers, then sizes of one other size, and so on: an order in which each can be computed."""
    done = [name for name in raw if not _open(raw[name])]
    waiting = [name for name in raw if name not in done]
    while waiting:
        ready = [name for name in waiting if {each.name for each in raw[name].free_symbols} <= set(done)]
        done, waiting = done + ready, [name for name in waiting if name not in ready]
        if not ready:
            raise ConfigError(f"the config gives no numbers for {', '.join(waiting)}")
    return done
