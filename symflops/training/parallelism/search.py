"""Which layouts of so many devices hold a model and take least time, by a stated bound, out of all that divide.

Candidates are ranked in float64 from the closed forms; the figures of the best are exact fractions, and a candidate
that float64 let through is dropped if its exact memory is too large.

>>> from symflops.architectures import architecture
>>> cluster = Cluster(64, 8, 989 * 10**12, 80 * 10**9, 450 * 10**9, 50 * 10**9)
>>> found = best_layouts(architecture("llama3-8b"), cluster, n_batch=128, n_seq=8192, most={"tensor": 8})
>>> found.candidates, found.fitting, found.plans[0].fits
(4492, 2954, True)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from sympy import Expr, S

from symflops.architectures.architecture import Architecture
from symflops.conventions import RUN, Convention
from symflops.errors import SizeError, UnknownName
from symflops.training.parallelism.bound import Cluster, Policy, policy, seconds, span
from symflops.training.parallelism.floats import over
from symflops.training.parallelism.layouts import SYMBOLIC, Layout, Stage
from symflops.training.parallelism.memory import MIXED, Widths
from symflops.training.parallelism.messages import sent_by_group
from symflops.training.parallelism.needs import needs
from symflops.training.parallelism.others import bubble
from symflops.training.parallelism.plan import Planned, planned
from symflops.training.parallelism.staged import WAYS, Setting, figures, values
from symflops.training.parallelism.tensor import MEGATRON, Implementation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 1 + 2.0**-40
"""What rounding in float64 may add to memory: a candidate this close is judged exactly."""


@dataclass(frozen=True)
class Choices:
    """What is searched beside numbers of ways, by name."""

    shardings: tuple[str, ...] = ("zero1", "fsdp")
    sequences: tuple[str, ...] = ("split",)
    checkpoints: tuple[str, ...] = ("nothing", "layers")


@dataclass(frozen=True)
class Found:
    """The best ``plans``, the fastest first, out of so many ``candidates``, of which ``fitting`` are in memory."""

    plans: tuple[Planned, ...]
    candidates: int
    fitting: int


def best_layouts(
    model: Architecture,
    cluster: Cluster,
    n_batch: int,
    n_seq: int,
    most: Mapping[str, int] | None = None,
    choices: Choices = Choices(),
    widths: Widths = MIXED,
    code: Implementation = MEGATRON,
    convention: Convention = RUN,
    overlap: str | Policy = "data overlapped",
    limit: int = 10,
) -> Found:
    """The ``limit`` layouts of least time whose fullest device fits in memory, of all that use the cluster and divide.

    ``most`` bounds numbers of ways by name, such as ``{"tensor": 8, "micro": 32}``. Raises `UnknownName` for another
    name or policy, `SizeError` where no layout divides, and what `shares` raises.
    """
    setting = Setting(n_batch, n_seq, widths, code, convention, policy(overlap))
    table = candidates(model, cluster, setting, _bounds(most or {}))
    if not len(table):
        raise SizeError(
            f"no layout of {cluster.devices} devices divides {model.name} at n_batch = {n_batch} and n_seq = {n_seq}; "
            "choose a batch with more divisors, or fewer devices"
        )
    ranked = [each for layout in _chosen(choices) for each in _ranked(model, cluster, setting, layout, table)]
    plans = _exact(model, cluster, setting, ranked, limit)
    return Found(plans, sum(each.tried for each in ranked), sum(len(each.seconds) for each in ranked))


def _bounds(most: Mapping[str, int]) -> Mapping[str, int]:
    for name in most:
        if name not in WAYS:
            raise UnknownName("way", name, WAYS)
    return most


def _chosen(choices: Choices) -> Iterator[Layout]:
    """Layouts in symbols, one for each choice."""
    for sharding, sequence, checkpoint in product(choices.shardings, choices.sequences, choices.checkpoints):
        yield replace(SYMBOLIC, sharding=sharding, sequence=sequence, checkpoint=checkpoint)


def candidates(model: Architecture, cluster: Cluster, setting: Setting, most: Mapping[str, int]) -> NDArray[Any]:
    """All numbers of ways that use the whole cluster and divide what they split, a row for each."""
    import numpy as np

    rows = np.array(list(_rows(model, cluster, setting, most)), dtype=np.int64).reshape(-1, len(WAYS))
    columns = {getattr(SYMBOLIC, name): rows[:, place] for place, name in enumerate(WAYS)}
    sizes: dict[Expr, Any] = {**{name: int(size) for name, size in values(model, setting).items()}, **columns}
    kept = np.ones(len(rows), dtype=bool)
    for need in needs(model.network, replace(SYMBOLIC, sequence="whole")):
        # Micro-batches go in rounds of all stages where parts are interleaved; elsewhere any number does.
        alone = (columns[SYMBOLIC.interleave] == 1) & (need.size == SYMBOLIC.micro)
        kept &= (over(need.size, sizes) % over(need.ways, sizes) == 0) | alone
    return rows[kept]


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, the smallest first.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    low = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return tuple(dict.fromkeys([*low, *(number // each for each in reversed(low))]))


def _rows(
    model: Architecture, cluster: Cluster, setting: Setting, most: Mapping[str, int]
) -> Iterator[tuple[int, ...]]:
    """Numbers of ways whose product is the cluster's devices; those that lack a divisor early are left out."""
    layers, experts = model.sizes["n_layer"], model.sizes.get("n_expert", 1)
    for pipeline in _up_to(divisors(cluster.devices), most.get("pipeline")):
        if layers % pipeline:
            continue
        parts = divisors(layers // pipeline) if pipeline > 1 else (1,)
        for tensor, context in product(divisors(cluster.devices // pipeline), repeat=2):
            rest = cluster.devices // pipeline
            if rest % (tensor * context) or setting.n_batch % (rest // (tensor * context)):
                continue
            data = rest // (tensor * context)
            for row in product(
                (data,), (tensor,), (context,), (pipeline,), _up_to(parts, most.get("interleave")),
                _up_to(divisors(experts), most.get("expert")),
                _up_to(divisors(setting.n_batch // data), most.get("micro")),
            ):  # fmt: skip
                if all(row[place] <= most.get(name, row[place]) for place, name in enumerate(WAYS)):
                    yield row


def _up_to(numbers: tuple[int, ...], most: int | None) -> tuple[int, ...]:
    return numbers if most is None else tuple(each for each in numbers if each <= most)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Candidates of one choice that are in memory, as far as float64 says, with their seconds and bytes."""

    layout: Layout
    rows: NDArray[Any]
    seconds: NDArray[Any]
    held: NDArray[Any]
    tried: int


def _ranked(
    model: Architecture, cluster: Cluster, setting: Setting, chosen: Layout, table: NDArray[Any]
) -> Iterator[_Ranked]:
    """The candidates by whether there is a pipeline, whether it is interleaved, and whether experts are spread."""
    one = {name: table[:, WAYS.index(name)] == 1 for name in ("pipeline", "interleave", "expert")}
    cut = table[:, WAYS.index("context")] * (table[:, WAYS.index("tensor")] if chosen.sequence == "split" else 1)
    divides = setting.n_seq % cut == 0
    for absent in product((True, False), repeat=3):
        same = (one[name] == each for name, each in zip(one, absent, strict=True))
        among = functools.reduce(operator.and_, same, divides)
        rows = table[among]
        if len(rows):
            layout = replace(chosen, **{name: S.One for name, each in zip(one, absent, strict=True) if each})
            yield _measured(model, cluster, setting, layout, rows)


def _measured(model: Architecture, cluster: Cluster, setting: Setting, layout: Layout, rows: NDArray[Any]) -> _Ranked:
    import numpy as np

    sizes = _columns(model, setting, rows)
    held, took = np.zeros(len(rows)), np.zeros(len(rows))
    stages: tuple[Stage, ...] = ("only",) if layout.pipeline == 1 else ("first", "inner", "last")
    for stage in stages:
        forms, there = figures(model, layout, stage, setting), _is_there(stage, rows)
        held = np.maximum(held, there * over(forms.memory.total, sizes))
        times = {"compute": over(forms.work, sizes) / cluster.peak}
        for group, size in sent_by_group(forms.messages).items():
            near = over(span(layout, group), sizes) <= cluster.per_node
            times[group] = over(size, sizes) / np.where(near, float(cluster.inside), float(cluster.across))
        took = np.maximum(took, there * seconds(times, over(bubble(layout), sizes), setting.policy, np.maximum))
    kept = held <= cluster.memory * _SLACK
    return _Ranked(layout, rows[kept], took[kept], held[kept], len(rows))


def _is_there(stage: Stage, rows: NDArray[Any]) -> Any:
    """1 where a candidate has such a stage: two stages have none between them."""
    return (rows[:, WAYS.index("pipeline")] > 2) if stage == "inner" else 1


def _columns(model: Architecture, setting: Setting, rows: NDArray[Any]) -> dict[Expr, Any]:
    """A value in float64 for each symbol: the model's sizes, the batch's, and a column for each of the ways."""
    fixed = {name: float(size) for name, size in values(model, setting).items()}
    return {**fixed, **{getattr(SYMBOLIC, name): rows[:, place].astype(float) for place, name in enumerate(WAYS)}}


def _exact(
    model: Architecture, cluster: Cluster, setting: Setting, ranked: list[_Ranked], limit: int
) -> tuple[Planned, ...]:
    """The fastest, of equal ones those that hold least, each computed exactly and judged by its exact memory."""
    best = sorted(
        (float(time), float(held), place, number)
        for place, each in enumerate(ranked)
        for number, (time, held) in enumerate(zip(each.seconds, each.held, strict=True))
    )
    plans: list[Planned] = []
    for *_, place, number in best:
        row: dict[str, Any] = dict(zip(WAYS, map(int, ranked[place].rows[number]), strict=True))
        found = planned(model, cluster, replace(ranked[place].layout, **row), setting)
        plans += [found] if found.fits else []
        if len(plans) == limit:
            break
    return tuple(sorted(plans, key=lambda each: (each.bound.seconds, each.held)))


__all__ = ["WAYS", "Choices", "Found", "best_layouts", "candidates", "divisors"]
