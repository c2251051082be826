"""Reading sizes out of a Hugging Face config: which field holds which size, and what an absent field means.

>>> from symflops.notation import d_model
>>> table = {"d_model": Field("n_embd"), "d_ff": Field("n_inner", absent=4 * d_model)}
>>> resolve(table, {"n_embd": 8})
{'d_model': 8, 'd_ff': 32}
>>> resolve(table, overridden(table, {"n_embd": 8}, {"d_ff": 10}))
{'d_model': 8, 'd_ff': 10}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Expr

from symflops.errors import ConfigError, SizeError, UnknownName
from symflops.notation import symbol

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """A config field that holds a size.

    ``absent`` is what the size is without it: a number, an expression in other sizes, or a function of the config.
    """

    name: str
    absent: int | Expr | Callable[[Config], Expr] | None = None


def overridden(table: Mapping[str, Field], config: Config, given: Mapping[str, int]) -> Config:
    """The config with other values in the fields of some sizes.

    Raises `UnknownName` for a size the table lacks.
    """
    for name in given:
        if name not in table:
            raise UnknownName("size", name, table)
    return {**config, **{table[name].name: value for name, value in given.items()}}


def resolve(table: Mapping[str, Field], config: Config) -> dict[str, int]:
    """Every size of the table as a positive integer: from the config, or from other sizes.

    Raises `ConfigError` for a field that is missing, `SizeError` for a size that is no positive integer.
    """
    raw = {name: _read(field, config) for name, field in table.items()}
    values: dict[str, int] = {}
    for name in _numbers_first(raw):
        values[name] = _value(name, raw[name], values)
    return {name: values[name] for name in table}


def _value(name: str, raw: Any, values: Mapping[str, int]) -> int:
    if not _open(raw):
        return positive_integer(name, raw)
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


def _read(field: Field, config: Config) -> Any:
    value = config.get(field.name)
    if value is not None:
        return value
    if field.absent is None:
        raise ConfigError(
            f"the config has no field {field.name!r}; add it, or use a config.json that save_pretrained wrote"
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
