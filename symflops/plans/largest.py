"""The largest model that fits: by its model state alone, as the lecture counts, or of a model's shape with activations.

>>> from symflops.training.hardware import device
>>> found = largest(Room(device("h100"), 8, optimizer("adamw"), precision("fp32")))
>>> str(found.result("params")), found.result("params").formula, found.binding
('40,000,000,000 parameters', memory*n_device/16, 'memory: model state of 16 bytes for each parameter')

The lecture's count is Stanford CS336, lecture 2: 80e9 bytes of 8 devices over 4 + 4 + 4 + 4 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from sympy import Expr, Rational, Symbol

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.notation import n_device, n_param
from symflops.plans.memory import Holding, held
from symflops.plans.plan import Plan
from symflops.plans.quantities import Quantity, number
from symflops.plans.relations import PlanError
from symflops.steps import Step
from symflops.training.checkpoints import NONE, Scheme
from symflops.training.hardware import Device
from symflops.training.optimizers import Optimizer, optimizer
from symflops.training.precision import Precision, precision
from symflops.training.state import matrix_state

MEMORY = Symbol("memory", positive=True)
_MULTIPLE = 64
"""Hidden layers come in multiples of this."""
_SCALED = ("d_ff", "d_expert", "d_shared")


@dataclass(frozen=True)
class Room:
    """What a model has to fit: ``count`` devices that share all model state, an ``optimizer`` and a ``precision``.

    With a ``shape``, a model whose depth, heads and widths are scaled together, ``batch`` sequences of ``seq`` tokens
    on each device are held too.
    """

    device: Device
    count: int
    optimizer: Optimizer
    precision: Precision
    shape: Architecture | None = None
    batch: int = 1
    seq: int | None = None
    recompute: Scheme = NONE


def largest(asked: Room) -> Plan:
    """The plan of the largest model.

    Raises `PlanError` where none fits, or bytes depend on shapes and no shape is given.
    """
    return _counted(asked) if asked.shape is None else _shaped(asked, asked.shape)


def bytes_per_parameter(asked: Room) -> Expr:
    """Bytes for each parameter of the model state, of a matrix of any shape.

    Raises `PlanError` for an optimiser whose states depend on shapes.
    """
    found = matrix_state(asked.optimizer, asked.precision).per_parameter
    if not found.is_Rational:
        raise PlanError(f"the states of {asked.optimizer.name} depend on shapes; give a --model whose shape is scaled")
    return found


def _counted(asked: Room) -> Plan:
    each = bytes_per_parameter(asked)
    value = number(Fraction(asked.count * asked.device.needs("memory")) / fraction(each))
    form = MEMORY * n_device / each
    scaling = (kept for kept in matrix_state(asked.optimizer, asked.precision).kept if kept.per == "parameter")
    parts = " + ".join(f"{Rational(kept.form.bytes_of(1))} ({kept.name})" for kept in scaling)
    params = Quantity("params", "largest model", number(int(value)), "parameters", form)
    return Plan(
        "largest",
        f"The largest model on {asked.count} x {asked.device.name}",
        tuple(_inputs(asked)),
        (Quantity("bytes_per_parameter", "bytes for each parameter", number(each), "bytes"), params),
        f"memory: model state of {each} bytes for each parameter",
        (Step("state", each * n_param, parts), Step("n_param", form, "state = memory*n_device solved for n_param")),
        _chosen(asked),
        notes=("no activations: give a --model whose shape is scaled, --batch and --seq",),
        sources=(asked.optimizer.citation, asked.precision.citation, asked.device.source),
    )


def _inputs(asked: Room) -> Iterator[Quantity]:
    yield Quantity("memory", "memory of a device", number(asked.device.needs("memory")), "bytes")
    yield Quantity("count", "devices", asked.count, "devices")


def _chosen(asked: Room) -> dict[str, str | int]:
    return {"device": asked.device.name, "optimizer": asked.optimizer.name, "precision": asked.precision.name}


def scaled(model: Architecture, times: int) -> Architecture:
    """A model with ``times`` groups of heads, and depth and widths in proportion.

    >>> from symflops.architectures import architecture
    >>> half = scaled(architecture("llama3-8b"), 4)
    >>> half.sizes["n_layer"], half.sizes["n_head"], half.sizes["d_model"], half.sizes["d_ff"]
    (16, 16, 2048, 7168)

    Raises `PlanError` for a model without heads.
    """
    own = model.sizes
    if "n_head" not in own:
        raise PlanError(f"{model.name} has no heads, by whose number its shape could be scaled")
    groups = own.get("n_kv_head", own["n_head"])
    share, group = Fraction(times, groups), own["n_head"] // groups
    fewest = max(1, own.get("n_layer_dense", 0))
    sizes = {"n_head": group * times, "n_layer": max(fewest, round(own["n_layer"] * share))}
    if "n_kv_head" in own:
        sizes["n_kv_head"] = times
    sizes["d_model"] = int(own["d_model"] * share)
    sizes |= {each: _MULTIPLE * max(1, round(own[each] * share / _MULTIPLE)) for each in _SCALED if each in own}
    return model.with_sizes(**{name: size for name, size in sizes.items() if name in model.table})


def _shaped(asked: Room, shape: Architecture) -> Plan:
    best = _most(asked, shape)
    found = held(_holding(asked, scaled(shape, best)))
    model = scaled(shape, best)
    sizes = ", ".join(f"{name}={size}" for name, size in model.sizes.items())
    params = Quantity("params", "largest model of the shape", model.params(), "parameters")
    return replace(
        found,
        name="largest",
        title=f"The largest model of the shape of {shape.name} on {asked.count} x {asked.device.name}",
        results=(params, *found.results),
        binding=f"memory: with one group of heads more it does not fit; {sizes}",
        chosen={**found.chosen, "model": shape.name},
    )


def _holding(asked: Room, model: Architecture) -> Holding:
    return Holding(
        model, asked.precision, asked.optimizer, asked.batch, asked.seq, asked.recompute, asked.device, asked.count
    )


def _most(asked: Room, shape: Architecture) -> int:
    """The most groups of heads that fit: memory grows with them, so that halving finds it."""
    if not _fits(asked, shape, 1):
        raise PlanError(f"no model of the shape of {shape.name} fits; give a smaller --batch or --seq, or --recompute")
    low, high = 1, 2
    while _fits(asked, shape, high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(asked, shape, middle) else (low, middle)
    return low


def _fits(asked: Room, shape: Architecture, times: int) -> bool:
    return held(_holding(asked, scaled(shape, times))).holds


__all__ = ["Room", "bytes_per_parameter", "largest", "optimizer", "precision", "scaled"]
