"""What devices send one another: a collective, the devices of its group, its bytes, and when.

The payload is the whole tensor: what is reduced, what is gathered, what is scattered. A ring sends it in pieces, so
that each of n devices sends (n - 1)/n of it, and twice as much for an all-reduce, which is a reduce-scatter and an
all-gather (Thakur, Rabenseifner and Gropp 2005, section 4; Patarasuk and Yuan 2009).

>>> from symflops.notation import n_data, n_param
>>> gradients = Message("gradients", "all_reduce", "data", n_data, "backward", 1, 2 * n_param)
>>> gradients.sent.factor()
4*n_param*(n_data - 1)/n_data
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from sympy import Add, Expr, Integer, S, sympify

from symflops.errors import UnknownName

Collective = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]
When = Literal["forward", "backward", "step"]
"""In which pass, or once after all micro-batches of a step."""


def ring_share(collective: str, ways: Expr) -> Expr:
    """The part of the payload that each device sends, in a ring of so many.

    >>> [ring_share(each, Integer(8)) for each in ("all_reduce", "all_gather", "send")]
    [7/4, 7/8, 1]

    Raises `UnknownName` for another collective.
    """
    part = (ways - 1) / ways
    found = {"all_reduce": 2 * part, "all_gather": part, "reduce_scatter": part, "all_to_all": part, "send": S.One}
    if collective not in found:
        raise UnknownName("collective", collective, found)
    return found[collective]


@dataclass(frozen=True)
class Message:
    """What one device takes part in: ``times`` collectives with a payload of so many ``bytes`` in all of them."""

    what: str
    collective: Collective
    group: str
    ways: Expr
    when: When
    times: Expr
    bytes: Expr

    @property
    def sent(self) -> Expr:
        """Bytes that each device sends, in a ring."""
        return self.bytes * ring_share(self.collective, self.ways)

    def repeated(self, times: Expr) -> Message:
        """The same for several micro-batches; what is sent once in a step stays."""
        factor = S.One if self.when == "step" else times
        return replace(self, times=self.times * factor, bytes=self.bytes * factor)


def message(
    what: str, collective: Collective, group: str, ways: Expr, when: When, times: Expr | int, size: Expr
) -> tuple[Message, ...]:
    """A message, or none in a group of one device, or of nothing."""
    times = sympify(times, strict=True)
    nothing = ways == 1 or size == 0 or times == 0
    return () if nothing else (Message(what, collective, group, ways, when, times, size),)


def by_collective(messages: Iterable[Message]) -> dict[tuple[str, str, str], tuple[Expr, Expr]]:
    """Times and bytes of each collective of a group in a pass: (collective, group, pass) to (times, bytes)."""
    found: dict[tuple[str, str, str], tuple[Expr, Expr]] = {}
    for each in messages:
        key = (each.collective, each.group, each.when)
        times, size = found.get(key, (S.Zero, S.Zero))
        found[key] = (times + each.times, size + each.bytes)
    return found


def sent_by_group(messages: Iterable[Message]) -> dict[str, Expr]:
    """Bytes that a device sends in each kind of group."""
    parts: dict[str, list[Expr]] = {}
    for each in messages:
        parts.setdefault(each.group, []).append(each.sent)
    return {group: Add(*sizes) for group, sizes in parts.items()}


__all__ = ["Collective", "Integer", "Message", "When", "by_collective", "message", "ring_share", "sent_by_group"]
