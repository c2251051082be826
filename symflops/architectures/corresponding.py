"""What the sizes of a hand-written network are in the symbols of a trace, by the config fields that both go by.

>>> from types import SimpleNamespace
>>> from symflops.architectures import architecture
>>> from symflops.notation import d_ff, d_head, d_model, n_head
>>> code = SimpleNamespace(meanings={"n_embd": n_head * d_head, "n_head": n_head}, config={"n_inner": None})
>>> corresponding(architecture("gpt2").table, code, {d_model, d_ff})
{d_model: d_head*n_head, d_ff: 4*d_head*n_head}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from sympy import Expr, Symbol

from symflops.architectures.fields import Field
from symflops.architectures.names import meanings
from symflops.notation import symbol


def corresponding(sizes: Mapping[str, Field], found: Any, needed: AbstractSet[Any]) -> dict[Symbol, Expr]:
    """The needed sizes of a family in the symbols of a trace, which has ``meanings`` of fields and a ``config``.

    A size is what its field means; where the code's config lacks the field, what the tables would read it as, or the
    size itself, if the trace has those symbols; else what the family says of a config without the field, unless that is
    a number: a family's default is no size of other code. A size that is none of these stays, as one that only the
    network has; see `foreign`.
    """
    return {symbol(name): _size(name, sizes, found) for name in sizes if symbol(name) in needed}


def _size(name: str, sizes: Mapping[str, Field], found: Any) -> Expr:
    for meant in _meant(name, sizes[name], found):
        return meant
    absent = _absent(name, sizes[name], found)
    if absent is None:
        return symbol(name)
    inside = [each for each in absent.free_symbols if each.name in sizes]
    return absent.xreplace({each: _size(each.name, sizes, found) for each in inside})


def _meant(name: str, field: Field, found: Any) -> Iterator[Expr]:
    """What the trace itself says of a size, the surest first."""
    if field.name in found.meanings:
        yield found.meanings[field.name]
    known = {each for meant in found.meanings.values() for each in meant.free_symbols}
    as_read = meanings({**found.config, field.name: 1}).get(field.name)
    if as_read is not None and as_read.free_symbols <= known:
        yield as_read
    if symbol(name) in known:
        yield symbol(name)


def _absent(name: str, field: Field, found: Any) -> Expr | None:
    given = field.absent
    absent = given(found.config) if callable(given) and not isinstance(given, Expr) else given
    return absent if isinstance(absent, Expr) else None


def foreign(sizes: Mapping[str, Field], found: Any, corresponding: Mapping[Symbol, Expr]) -> dict[str, str]:
    """The sizes that the traced code does not have, and the fields that the network's family reads them from."""
    known = {each for meant in found.meanings.values() for each in meant.free_symbols}
    apart = {each.name for meant in corresponding.values() for each in meant.free_symbols - known}
    return {name: field.name for name, field in sizes.items() if name in apart}
