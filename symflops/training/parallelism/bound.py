"""The least time of a step of a layout on a cluster: its work, what it sends, and its pipeline's bubble.

A bound, not a forecast: work at the peak, a ring at the full bandwidth of a link, no latency. What may run at the same
time is a policy, by name.

>>> policy("data overlapped").overlapped == {"data", "expert data", "table"}
True
>>> times = {"compute": Fraction(8), "tensor": Fraction(2), "data": Fraction(3)}
>>> [least(times, Fraction(1, 10), policy(each)).seconds for each in ("serial", "data overlapped", "all overlapped")]
[Fraction(14, 1), Fraction(11, 1), Fraction(44, 5)]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from sympy import Expr

from symflops.errors import SizeError, UnknownName
from symflops.sizes import positive_integer
from symflops.training.parallelism.layouts import Layout

GROUPS = ("tensor", "context", "expert", "pipeline", "data", "expert data", "table")
"""The kinds of groups that send, innermost first: a tensor parallel group lies next to one another."""
ONCE = frozenset({"data", "expert data", "table"})
"""Groups that hold the same parameters: what they send is not held up by each micro-batch in turn."""


@dataclass(frozen=True)
class Cluster:
    """So many ``devices``, of which ``per_node`` share a fast link: ``inside`` a node and ``across``, bytes a second of
    each device one way; ``peak`` FLOP a second and ``memory`` bytes of each.

    Raises `SizeError` for what is no positive integer, and for nodes that do not divide the devices.
    """

    devices: int
    per_node: int
    peak: int
    memory: int
    inside: int
    across: int

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            positive_integer(f"of the cluster's {name}", getattr(self, name))
        if self.devices > self.per_node and self.devices % self.per_node:
            raise SizeError(
                f"{self.devices} devices are no whole nodes of {self.per_node}; give a multiple of {self.per_node}"
            )


@dataclass(frozen=True)
class Policy:
    """Which groups send while others compute; all else comes one after another."""

    name: str
    meaning: str
    overlapped: frozenset[str]


_POLICIES = (
    Policy("serial", "nothing overlaps: the sum of all parts", frozenset()),
    Policy("data overlapped", "gradients and parameters are sent during the passes: the larger of both", ONCE),
    Policy(
        "all overlapped",
        "everything is sent during the passes, one after another: the larger of work and all that is sent",
        frozenset(GROUPS),
    ),
)
POLICIES: Mapping[str, Policy] = MappingProxyType({each.name: each for each in _POLICIES})
"""All policies, by name."""


def policy(given: str | Policy) -> Policy:
    """A policy by its name. Raises `UnknownName` for one that is not declared."""
    if isinstance(given, Policy):
        return given
    if given not in POLICIES:
        raise UnknownName("policy", given, POLICIES)
    return POLICIES[given]


def span(layout: Layout, group: str) -> Expr:
    """Over how many neighbouring devices a group reaches, tensor innermost, then context, data, pipeline."""
    inner = layout.tensor * layout.context
    spans = {
        "tensor": layout.tensor, "context": inner, "expert": layout.tensor * layout.expert,
        "data": inner * layout.data, "expert data": inner * layout.data,
        "pipeline": layout.devices, "table": layout.devices,
    }  # fmt: skip
    return spans[group]


def bandwidth(cluster: Cluster, reach: int) -> int:
    """Bytes a second that a device of a group sends: at the slower link, unless a node holds the whole group."""
    return cluster.inside if reach <= cluster.per_node else cluster.across


@dataclass(frozen=True)
class Bound:
    """The least seconds of a step, those of each part, the bubble among them, and the part that ``binds``."""

    seconds: Fraction
    parts: Mapping[str, Fraction]
    binds: str


def least(times: Mapping[str, Fraction], waiting: Fraction, chosen: Policy) -> Bound:
    """The bound from the seconds of compute and of each group, and the share of them that a pipeline waits.

    What binds is the largest of the overlapped parts, where the step takes longer for them, or the largest of the rest.
    """
    line, beside = in_line(times, waiting, chosen), _overlapped(times, chosen)
    whole, hidden = sum(line.values(), Fraction(0)), sum(beside.values(), Fraction(0))
    binding = beside if hidden > whole else line
    parts = MappingProxyType({**times, "bubble": line["bubble"]})
    return Bound(max(whole, hidden), parts, max(binding, key=lambda name: binding[name]))


def in_line(times: Mapping[str, Any], waiting: Any, chosen: Policy) -> dict[str, Any]:
    """What comes one after another: compute, what is sent within passes, the bubble, and what is sent after them.

    What is sent within passes and not overlapped is on a stage's time, so that the bubble grows with it.
    """
    shown = {name: time for name, time in times.items() if name not in chosen.overlapped}
    within = sum(time for name, time in shown.items() if name not in ONCE)
    return {**shown, "bubble": waiting * within}


def _overlapped(times: Mapping[str, Any], chosen: Policy) -> dict[str, Any]:
    return {name: time for name, time in times.items() if name in chosen.overlapped}


def seconds(times: Mapping[str, Any], waiting: Any, chosen: Policy, larger: Callable[[Any, Any], Any]) -> Any:
    """As `least`, the seconds alone, of numbers or arrays of them, by a maximum of two."""
    return larger(sum(in_line(times, waiting, chosen).values()), sum(_overlapped(times, chosen).values()))
