"""What the sizes of a hand-written network are in the symbols of a trace, by the config fields that both go by.

>>> from types import SimpleNamespace
>>> from symflops.architectures import FAMILIES
>>> from symflops.notation import d_head, n_head, n_layer, n_vocab, n_ctx
>>> meanings = {"n_embd": n_head * d_head, "n_head": n_head, "n_layer": n_layer}
>>> meanings |= {"vocab_size": n_vocab, "n_positions": n_ctx}
>>> gpt2 = corresponding(FAMILIES["gpt2"].sizes, SimpleNamespace(meanings=meanings, config={"n_inner": None}))
>>> {size.name: meant for size, meant in gpt2.items() if size != meant}
{'d_model': d_head*n_head, 'd_ff': 4*d_head*n_head}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sympy import Expr, Integer, Symbol

from symflops.architectures.fields import Field
from symflops.errors import ConfigError
from symflops.notation import symbol
from symflops.tracing.fields import TABLE, Meanings


def corresponding(sizes: Mapping[str, Field], found: Any) -> dict[Symbol, Expr]:
    """Each size of a family in the symbols of a trace, which has ``meanings`` of fields and a ``config``.

    A size is what its field means; in code that knows the field by another name, what that one means; in code that
    has the size itself, that; else what the family says of a config without the field. Raises `ConfigError` for a size
    that is none of these.
    """
    known = {symbol(name): meant for name, field in sizes.items() for meant in _meant(name, field, found)}
    waiting = {symbol(name): _absent(name, field, found) for name, field in sizes.items() if symbol(name) not in known}
    open_sizes = set(map(symbol, sizes))
    while waiting:
        ready = {size: meant for size, meant in waiting.items() if meant.free_symbols & open_sizes <= set(known)}
        if not ready:
            raise ConfigError(f"the traced config does not say what {', '.join(map(str, waiting))} is")
        known |= {size: meant.xreplace(known) for size, meant in ready.items()}
        waiting = {size: meant for size, meant in waiting.items() if size not in ready}
    return known


def _meant(name: str, field: Field, found: Any) -> Iterator[Expr]:
    """What the trace itself says of a size, if anything."""
    meanings: Meanings = found.meanings
    value = found.config.get(field.name)
    synonyms = [each for each in meanings if field.name in TABLE and TABLE.get(each) == TABLE[field.name]]
    if field.name in meanings:
        yield meanings[field.name]
    elif type(value) is int:
        yield Integer(value)
    elif synonyms:
        yield meanings[synonyms[0]]
    elif symbol(name) in {each for meant in meanings.values() for each in meant.free_symbols}:
        yield symbol(name)


def _absent(name: str, field: Field, found: Any) -> Expr:
    if field.absent is None:
        raise ConfigError(
            f"the traced code has no size {name}, which the network written by hand reads from {field.name!r}; "
            f"say which field it is with --map FIELD={name}"
        )
    absent = field.absent
    return Integer(1) * (absent(found.config) if callable(absent) and not isinstance(absent, Expr) else absent)
