"""How devices share a training: one layout's memory, traffic and least time, or the best layouts of a cluster.

>>> from symflops.architectures import architecture
>>> from symflops.training.hardware import device
>>> asked = Sharing(architecture("gpt2-xl", "flash"), device("a100"), 8, batch=64, seq=1024)
>>> found = best(asked)
>>> str(found.result("candidates")), found.result("seconds").value < 1
('888 layouts', True)
>>> one = single(asked, read_layout("data=8,sharding=zero1"))
>>> one.result("optimizer").value * 8 == 12 * asked.model.params()
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

from sympy import Integer

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.derivation import Section
from symflops.documents import Table
from symflops.errors import UnknownName
from symflops.plans.memory import activation_bytes
from symflops.plans.plan import Plan, Point
from symflops.plans.quantities import Quantity, number, shown
from symflops.plans.relations import PlanError
from symflops.steps import Step
from symflops.training.hardware import Device
from symflops.training.optimizers import Optimizer
from symflops.training.optimizers_known import OPTIMIZERS
from symflops.training.parallelism import (
    Choices,
    Cluster,
    Found,
    Layout,
    Planned,
    Setting,
    Widths,
    best_layouts,
    policy,
)
from symflops.training.parallelism import plan as planned
from symflops.training.parallelism.staged import Staged, figures, kind
from symflops.training.precision import PRECISIONS, Precision
from symflops.training.state import matrix_state

ACROSS = 50 * 10**9
"""Bytes a second that a device sends to other nodes, one way: one link of 400 Gbit/s each, as in NVIDIA's DGX H100."""
NODE = 8
_WAYS = tuple(each.name for each in fields(Layout))
_NUMBERS = ("data", "tensor", "context", "pipeline", "interleave", "expert", "micro")


@dataclass(frozen=True)
class Sharing:
    """What is shared: a ``model``, trained on ``batch`` sequences of ``seq`` tokens a step by ``count`` devices, in
    nodes of ``node`` with links of the device's own speed, and ``across`` bytes a second between nodes.

    ``most`` bounds numbers of ways by name; ``overlap`` is a policy of what runs at the same time; ``memory`` bounds a
    device's bytes, by default its own.
    """

    model: Architecture
    device: Device
    count: int
    batch: int
    seq: int
    node: int = NODE
    across: int = ACROSS
    inside: int | None = None
    form: str = "bf16"
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    precision: Precision = PRECISIONS["mixed-bf16"]
    most: Mapping[str, int] | None = None
    overlap: str = "data overlapped"
    memory: int | None = None
    limit: int = 10


def read_layout(text: str) -> Layout:
    """A layout from words: ``data=8,tensor=2,sharding=fsdp,checkpoint=layers``.

    >>> read_layout("data=4,tensor=2").devices
    8

    Raises `UnknownName` for another word, `PlanError` for one without a value, and what `Layout` raises.
    """
    given: dict[str, Any] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = word.partition("=")
        if name not in _WAYS:
            raise UnknownName("part of a layout", name, _WAYS)
        if not equals or not value or (name in _NUMBERS and not value.isdecimal()):
            raise PlanError(f"{word!r} says no value of {name}; write data=8,tensor=2,sharding=fsdp")
        given[name] = int(value) if name in _NUMBERS else value
    return Layout(**given)


def widths(asked: Sharing) -> Widths:
    """Bytes of each parameter by part, of matrices, as the optimiser and the precision keep them.

    Raises `PlanError` for an optimiser whose states depend on shapes.
    """
    state = matrix_state(asked.optimizer, asked.precision)
    kept = [each for each in state.kept if each.per == "parameter"]
    parts = {part: sum(each.bytes for each in kept if each.part == part) / state.N for part in _PARTS}
    if not all(each.is_Rational for each in parts.values()):
        raise PlanError(f"the states of {asked.optimizer.name} depend on shapes; layouts know bytes for each parameter")
    element = activation_bytes(asked.precision)
    gradient = next((each.form.bytes_of(Integer(1)) for each in kept if each.part == "gradients"), element)
    return Widths(parts["parameters"], parts["gradients"], parts["optimizer"], element, element, gradient)


_PARTS = ("parameters", "gradients", "optimizer")


def cluster(asked: Sharing) -> Cluster:
    """The devices and their links.

    Raises `DeviceError` where no source names a figure, `SizeError` for broken nodes.
    """
    inside = asked.inside if asked.inside is not None else int(asked.device.needs("link"))
    memory = asked.memory if asked.memory is not None else int(asked.device.needs("memory"))
    peak = int(asked.device.peak(asked.form))
    return Cluster(asked.count, asked.node, peak, memory, inside, asked.across)


def best(asked: Sharing) -> Plan:
    """The fastest layouts whose fullest device fits, by the bound.

    Raises `PlanError` where none fits, `SizeError` where none divides, `NotSplit` or `SeveralStacks` for a model that
    has no layouts here.
    """
    found = _searched(asked)
    if not found.plans:
        raise PlanError(
            f"none of {found.candidates:,} layouts of {asked.model.name} fits {asked.count} x {asked.device.name}; "
            "give a larger --count or a smaller --batch"
        )
    counted = (
        Quantity("candidates", "layouts that divide", found.candidates, "layouts"),
        Quantity("fitting", "layouts that fit", found.fitting, "layouts"),
    )
    rows = tuple(_row(asked, each) for each in found.plans)
    head = ("layout", "memory", "step at least", "MFU at most", "binds")
    section = Section("The best, by the least time of a step", (Table("", head, rows),))
    whole = single(asked, found.plans[0].layout)
    return replace(whole, results=(*counted, *whole.results), sections=(section, *whole.sections))


def front(asked: Sharing) -> Iterator[Point]:
    """The fastest layout under less and less memory, each time a tenth less than the last one held: the Pareto front.

    Raises as `best` where not even one fits.
    """
    limit = cluster(asked).memory
    while True:
        found = _searched(replace(asked, memory=limit, limit=1))
        if not found.plans:
            return
        fastest = found.plans[0]
        yield Point(_said(fastest.layout), fastest.held, fastest.bound.seconds)
        limit = int(fastest.held * Fraction(9, 10))


def _searched(asked: Sharing) -> Found:
    return best_layouts(
        asked.model, cluster(asked), asked.batch, asked.seq, asked.most, Choices(), widths(asked),
        overlap=asked.overlap, limit=asked.limit,
    )  # fmt: skip


def single(asked: Sharing, layout: Layout) -> Plan:
    """One layout: what its fullest device holds, what it sends, and the least time of a step.

    Raises `SizeError` for a layout that does not divide the model or use all devices.
    """
    found = planned(
        asked.model, cluster(asked), layout, asked.batch, asked.seq, widths(asked),
        overlap=asked.overlap,
    )  # fmt: skip
    forms = figures(asked.model, kind(layout), layout.stages[0], _setting(asked))
    return Plan(
        "layout",
        f"{asked.model.name} on {asked.count} x {asked.device.name}: {_said(layout)}",
        tuple(_inputs(asked)),
        tuple(_results(asked, found, forms)),
        _binding(found),
        tuple(_steps(forms)),
        _chosen(asked, layout),
        (_traffic(found),),
        (f"a bound, not a forecast: work at the peak, links at full speed, {asked.overlap}",),
        (asked.device.source,),
        found.fits,
        tuple(found.memory),
        Quantity("memory", "memory of a device", cluster(asked).memory, "bytes"),
    )


def _said(layout: Layout) -> str:
    """A layout in the words that `read_layout` reads, without what is one or the default."""
    plain = Layout()
    named = ((name, getattr(layout, name)) for name in _WAYS if getattr(layout, name) != getattr(plain, name))
    return ",".join(f"{name}={value}" for name, value in named) or "data=1"


def _binding(found: Planned) -> str:
    if not found.fits:
        return f"memory: {shown(number(found.held), 'bytes')} of {shown(found.limit, 'bytes')} do not fit"
    return f"{found.bound.binds}: the longest part of a step"


def _inputs(asked: Sharing) -> Iterator[Quantity]:
    links = cluster(asked)
    yield Quantity("count", "devices", asked.count, "devices")
    yield Quantity("batch", "sequences of a step", asked.batch, "sequences")
    yield Quantity("seq", "tokens of a sequence", asked.seq, "tokens")
    yield Quantity("node", "devices of a node", asked.node, "devices")
    yield Quantity("inside", "link inside a node", links.inside, "bytes/s")
    yield Quantity("across", "link between nodes", links.across, "bytes/s")


def _chosen(asked: Sharing, layout: Layout) -> dict[str, str | int]:
    return {
        "model": asked.model.name, "device": asked.device.name, "dtype": asked.form, "layout": _said(layout),
        "precision": asked.precision.name, "optimizer": asked.optimizer.name, "overlap": asked.overlap,
    }  # fmt: skip


def _setting(asked: Sharing) -> Setting:
    """What layouts are judged under."""
    return Setting(asked.batch, asked.seq, widths(asked), policy=policy(asked.overlap))


def _steps(forms: Staged) -> Iterator[Step]:
    """The closed forms of a device of the first stage: what it holds, computes, and sends in a ring."""
    for name, form in forms.memory.parts.items():
        if form != 0:
            yield Step(name, form, "bytes that a device of the first stage holds")
    yield Step("work", forms.work, "its FLOPs of a step")
    for each in forms.messages:
        if each.sent != 0:
            yield Step(
                each.collective, each.sent, f"{each.what}, {each.when}: bytes that it sends in a ring, {each.group}"
            )


def _results(asked: Sharing, found: Planned, forms: Staged) -> Iterator[Quantity]:
    for name, size in found.memory.items():
        if size:
            yield Quantity(name, name, number(size), "bytes", forms.memory.parts[name])
    yield Quantity("held", "memory of the fullest device", number(found.held), "bytes")
    yield Quantity("seconds", "step, at least", number(found.bound.seconds), "s")
    yield Quantity("mfu", "MFU, at most", number(_mfu(asked, found)), "1")
    tokens = asked.batch * asked.seq / found.bound.seconds
    yield Quantity("tokens_per_second", "tokens a second, at most", number(tokens), "tokens/s")


def _mfu(asked: Sharing, found: Planned) -> Fraction:
    """The model's FLOPs over what the devices could do in the least time of a step."""
    work = asked.model.flops(asked.batch, asked.seq, "exact", "training").expr
    return fraction(work) / (asked.count * cluster(asked).peak * found.bound.seconds)


def _row(asked: Sharing, each: Planned) -> tuple[str, ...]:
    held, took = shown(number(each.held), "bytes"), shown(number(each.bound.seconds), "s")
    return _said(each.layout), held, took, f"{float(_mfu(asked, each)):.3f}", each.bound.binds


def _traffic(found: Planned) -> Section:
    """What a device sends in a step, and the seconds of each part."""
    sent = tuple(
        (collective, group, pass_, shown(number(size), "bytes"))
        for (collective, group, pass_), size in found.collectives.items()
    )
    times = tuple((name, shown(number(took), "s")) for name, took in found.bound.parts.items() if took)
    tables = (Table("", ("collective", "among", "pass", "payload of a step"), sent),) if sent else ()
    return Section("A step of one device", (*tables, Table("", ("part", "at least"), times)))


__all__ = ["ACROSS", "Sharing", "best", "cluster", "front", "read_layout", "single", "widths"]
