"""The figures of devices that closed forms take as sizes.

>>> from symflops.training.hardware import device
>>> FIGURES["bandwidth"].of(device("h100"), "bf16"), FIGURES["bandwidth"].unit
(3350000000000, 'bytes/s')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from sympy import Symbol

from symflops.plans.quantities import PEAK
from symflops.training.hardware import Device


@dataclass(frozen=True)
class Figure:
    """A figure of a device: its symbol in closed forms, its unit, its meaning, and the number for a number format.

    ``of`` gives None where no source names it.
    """

    symbol: Symbol
    unit: str
    meaning: str
    of: Callable[[Device, str], int | Fraction | None]


def _figure(name: str, unit: str, meaning: str) -> Figure:
    def of(device: Device, form: str) -> int | Fraction | None:
        return None if getattr(device, name) is None else device.needs(name)

    return Figure(Symbol(name, positive=True), unit, meaning, of)


def _peak(device: Device, form: str) -> int | Fraction | None:
    return device.peak(form) if form in device.peaks else None


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        PEAK.name: Figure(PEAK, "FLOP/s", "peak of a device in dense work", _peak),
        "memory": _figure("memory", "bytes", "memory of a device"),
        "bandwidth": _figure("bandwidth", "bytes/s", "bandwidth of a device's memory"),
        "link": _figure("link", "bytes/s", "bandwidth of a device's link, one way"),
        "power": _figure("power", "W", "power limit of a device"),
    }
)
"""By name; each is also a measure, and may be swept over as a number."""
