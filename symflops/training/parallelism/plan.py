"""One layout of a model on a cluster, exactly: what its fullest device holds, what it sends, how long a step takes.

>>> from symflops.architectures import architecture
>>> cluster = Cluster(64, 8, 989 * 10**12, 80 * 10**9, 450 * 10**9, 50 * 10**9)
>>> found = plan(architecture("llama3-8b"), cluster, Layout(data=64, sharding="fsdp", micro=2), n_batch=128, n_seq=8192)
>>> found.fits, found.bound.binds, f"{float(found.bound.seconds):.2f} s"
(False, 'data', '1.81 s')
>>> plan(architecture("llama3-8b"), cluster, Layout(data=32, sharding="fsdp"), n_batch=128, n_seq=8192)
Traceback (most recent call last):
symflops.errors.SizeError: data 32 * context 1 * tensor 1 * pipeline 1 = 32 devices, and the cluster has 64; ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TypeVar

from symflops.architectures.architecture import Architecture
from symflops.conventions import RUN, Convention
from symflops.errors import SizeError
from symflops.training.parallelism.bound import Bound, Cluster, Policy, bandwidth, least, policy, span
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import MIXED, Widths
from symflops.training.parallelism.messages import by_collective, sent_by_group
from symflops.training.parallelism.needs import check
from symflops.training.parallelism.others import bubble
from symflops.training.parallelism.staged import Setting, figures, kind, number, values
from symflops.training.parallelism.tensor import MEGATRON, Implementation


@dataclass(frozen=True)
class Planned:
    """A layout with its figures, of the stage that holds most and of the one that takes longest.

    ``memory`` bytes by part; ``sent`` bytes that a device sends in a ring, by group; ``collectives`` payload bytes by
    (collective, group, pass); ``bound`` the least seconds of a step and what binds; ``fits`` whether memory suffices.
    """

    layout: Layout
    memory: Mapping[str, Fraction]
    sent: Mapping[str, Fraction]
    collectives: Mapping[tuple[str, str, str], Fraction]
    bound: Bound
    limit: int

    @property
    def held(self) -> Fraction:
        """Bytes of memory in all."""
        return sum(self.memory.values(), Fraction(0))

    @property
    def fits(self) -> bool:
        """Whether a device's memory holds it."""
        return self.held <= self.limit


def plan(
    model: Architecture,
    cluster: Cluster,
    layout: Layout,
    n_batch: int,
    n_seq: int,
    widths: Widths = MIXED,
    code: Implementation = MEGATRON,
    convention: Convention = RUN,
    overlap: str | Policy = "data overlapped",
) -> Planned:
    """The figures of one layout, as exact fractions.

    Raises `SizeError` for a layout that does not divide or use all of the cluster, and what `shares` raises.
    """
    _uses_all(layout, cluster)
    check(model, layout, n_batch=n_batch, n_seq=n_seq)
    return planned(model, cluster, layout, Setting(n_batch, n_seq, widths, code, convention, policy(overlap)))


def planned(model: Architecture, cluster: Cluster, layout: Layout, setting: Setting) -> Planned:
    """As `plan`, for a layout that is known to divide."""
    stages = [_staged(model, cluster, layout, setting, stage) for stage in layout.stages]
    fullest = max(stages, key=lambda each: sum(each.memory.values()))
    longest = max(stages, key=lambda each: each.bound.seconds)
    return replace(longest, memory=fullest.memory)


def _staged(model: Architecture, cluster: Cluster, layout: Layout, setting: Setting, stage: Stage) -> Planned:
    """The figures of one stage."""
    forms, at = figures(model, kind(layout), stage, setting), values(model, setting, layout)
    found = [each for each in forms.messages if number(each.ways, at) != 1 and number(each.bytes, at) != 0]
    sent = {group: number(size, at) for group, size in sent_by_group(found).items()}
    times = {group: size / bandwidth(cluster, int(span(layout, group))) for group, size in sent.items()}
    return Planned(
        layout,
        _frozen({name: number(size, at) for name, size in forms.memory.parts.items()}),
        _frozen(sent),
        _frozen({key: number(size, at) for key, (_, size) in by_collective(found).items()}),
        least({"compute": number(forms.work, at) / cluster.peak, **times}, number(bubble(layout), at), setting.policy),
        cluster.memory,
    )


_Key = TypeVar("_Key")


def _frozen(figures: dict[_Key, Fraction]) -> Mapping[_Key, Fraction]:
    return MappingProxyType(figures)


def _uses_all(layout: Layout, cluster: Cluster) -> None:
    if layout.devices != cluster.devices:
        ways = " * ".join(f"{name} {getattr(layout, name)}" for name in ("data", "context", "tensor", "pipeline"))
        raise SizeError(
            f"{ways} = {layout.devices} devices, and the cluster has {cluster.devices}; choose ways of that product"
        )
