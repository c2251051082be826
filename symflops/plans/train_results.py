"""What else is asked of every training: speed, device hours, HFU, energy, cost, the model state, the roofline."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from sympy import Expr, Rational, Symbol

from symflops.arithmetic import fraction
from symflops.conventions import TORCH
from symflops.derivation import Section
from symflops.documents import Prose
from symflops.measures import flops
from symflops.notation import n_device, n_param
from symflops.plans.quantities import C_RUN, C_TOKEN, DAYS, MFU, PEAK, Quantity, number
from symflops.plans.relations import Solved, at
from symflops.plans.training import Training
from symflops.training.roofline import Row, roofline, table, total
from symflops.training.state import matrix_state, model_state


def follow(asked: Training, found: Solved) -> Iterator[Quantity]:
    """What else is asked of every training: speed, device hours, HFU, energy, cost."""
    if DAYS not in found.values:
        return
    hours, rate = 24 * n_device * DAYS, n_device * PEAK * MFU / C_TOKEN
    yield _followed("tokens_per_second", "tokens a second", rate, "tokens/s", found)
    yield _followed("device_hours", "device hours", hours, "hours", found)
    if asked.model is not None:
        hfu = number(found.values[MFU] * _hardware_share(asked))
        yield Quantity("hfu", "HFU", hfu, "1", MFU * C_RUN / C_TOKEN, "all FLOPs that run, recomputed ones too")
    power = None if asked.device is None else asked.device.power
    if power is not None:
        energy = number(power * at(hours, found.values))
        yield Quantity("energy", "energy of the devices at their power limit", energy, "Wh", Symbol("power") * hours)
    if asked.price is not None:
        cost = number(asked.price * at(hours, found.values))
        yield Quantity("cost", "cost", cost, "of the price's currency", Symbol("price") * hours)


def state(asked: Training, found: Solved) -> Iterator[Quantity]:
    """The bytes of the model state, and the fewest devices that hold it, where each holds its own share."""
    if asked.model is not None:
        form = model_state(asked.model, asked.optimizer, asked.precision).bytes
        size = asked.model.at(form)
    else:
        each = matrix_state(asked.optimizer, asked.precision).per_parameter
        if not each.is_Rational or n_param not in found.values:
            return
        form = each * n_param
        size = form.subs(n_param, Rational(ceil(found.values[n_param])))
    yield Quantity("model_state", "model state", number(size), "bytes", form)
    if asked.device is not None and asked.device.memory is not None:
        least = ceil(fraction(size) / asked.device.memory)
        yield Quantity("least_devices", "devices that hold it, at least", least, "devices", form / Symbol("memory"))


def _followed(name: str, label: str, form: Expr, unit: str, found: Solved) -> Quantity:
    return Quantity(name, label, number(at(form, found.values)), unit, form)


def _hardware_share(asked: Training) -> Fraction:
    """FLOPs that run over FLOPs of the model, which recomputation is no part of."""
    assert asked.model is not None
    length = asked.model.length(asked.seq)
    network = asked.recompute.recomputed(asked.model.of_length(length))
    run = asked.model.at(flops(network, TORCH, "training").expr, n_batch=1, n_seq=length)
    own = asked.model.flops(1, length, asked.convention, "training").expr
    return fraction(run) / fraction(own)


def operations(asked: Training) -> tuple[Row, ...]:
    """The operations of one sequence's forward pass against the roofline; none without a model and a device."""
    if asked.model is None or asked.device is None or asked.device.bandwidth is None:
        return ()
    length = asked.model.length(asked.seq)
    return roofline(asked.model, asked.device, asked.form, asked.model.of_length(length), n_batch=1, n_seq=length)


def rooflines(rows: tuple[Row, ...]) -> Iterator[Section]:
    """The operations that take longest, and the MFU that all allow."""
    if not rows:
        return
    ideal = sum(row.compute_seconds for row in rows)
    text = (
        f"Each as a kernel of its own, one sequence, forward: they take at least {float(total(rows)):.4g} s, so that "
        f"at most {float(ideal / total(rows)):.3g} of the peak is reached, unless kernels are fused."
    )
    yield Section("The least time of each operation", (Prose(text), table(rows)))
