"""Devices as cited data: dense peaks by format, memory, bandwidth, link, power; and this machine, measured.

Peaks are those of dense work. Data sheets often print twice as much, for matrices with two zeros in every four
(structured sparsity), which training does not have.

>>> h100 = device("h100")
>>> h100.peak("bf16"), h100.memory
(989000000000000, 80000000000)
>>> device("H100 SXM") is h100
True
>>> device("a100").peak("fp8")
Traceback (most recent call last):
symflops.training.hardware.DeviceError: a100 has no peak for fp8; it has bf16, fp16, fp32, int8, tf32
>>> device("h1000")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown device 'h1000'; did you mean 'h100' or ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from symflops.claims.verifying import shipped
from symflops.errors import SymflopsError, UnknownName

FORMATS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")
"""The formats of operands that the table of peaks has columns for."""
_SPARSE = Fraction(2)
_TABLE = "hardware_peaks"
_UNITS = {"peak": 10**12, "memory_GB": 10**9, "bandwidth_TBps": 10**12, "link_GBps": 10**9}


class DeviceError(SymflopsError):
    """A figure that a device does not have, or a peak that no device reaches in dense work."""


@dataclass(frozen=True)
class Device:
    """An accelerator: ``peaks`` in FLOP/s of dense work by format of the operands, ``memory`` in bytes, ``bandwidth``
    of its memory and of its ``link`` to neighbours, one way, in bytes a second, ``power`` in watts; None where no
    source says.
    """

    name: str
    title: str
    peaks: Mapping[str, Fraction]
    memory: int | None
    bandwidth: Fraction | None
    link: Fraction | None = None
    power: Fraction | None = None
    source: str = field(default="", repr=False)

    def peak(self, form: str = "bf16") -> Fraction | int:
        """FLOP/s of dense matmuls whose operands have a format. Raises `DeviceError` where there is no figure."""
        if form not in self.peaks:
            raise DeviceError(f"{self.name} has no peak for {form}; it has {', '.join(sorted(self.peaks))}")
        return _whole(self.peaks[form])

    def needs(self, what: str) -> Fraction | int:
        """A figure (``memory``, ``bandwidth``, ``link``, ``power``). Raises `DeviceError` where no source has it."""
        found = getattr(self, what)
        if found is None:
            raise DeviceError(f"no source here names the {what} of {self.name}; give it yourself")
        return _whole(Fraction(found))


def _whole(number: Fraction) -> Fraction | int:
    return int(number) if number.denominator == 1 else number


def device(given: str | Device) -> Device:
    """A device by its name or an alias, letters and spaces as one likes; ``this`` is this machine, measured.

    Raises `UnknownName` with the nearest names.
    """
    if isinstance(given, Device):
        return given
    if given == THIS:
        from symflops.training.machine import this_machine

        return this_machine()
    name = re.sub(r"[\s_]+", "-", given.strip().lower().removeprefix("nvidia").removeprefix("amd").strip(" -"))
    known = names()
    if name not in known:
        raise UnknownName("device", given, {*devices(), THIS})
    return devices()[known[name]]


THIS = "this"
"""The name of this machine."""


@cache
def names() -> Mapping[str, str]:
    """Every name and alias, and the device's own name."""
    return {alias: each["name"] for each in _data() for alias in (each["name"], *each.get("aliases", ()))}


def device_called(text: str) -> Device | None:
    """The device whose name stands in what its driver calls it, the longest such name; nothing where none does.

    >>> device_called("NVIDIA H100 80GB HBM3").name, device_called("AMD EPYC")
    ('h100', None)
    """
    words = f" {re.sub(r'[^a-z0-9]+', ' ', text.lower())} "
    known = [name for name in names() if f" {name.replace('-', ' ')} " in words]
    return device(max(known, key=len)) if known else None


@cache
def devices() -> Mapping[str, Device]:
    """Every device that is declared, by name."""
    rows = {row.label: row for row in shipped()[_TABLE].rows}
    return {each["name"]: _device(each, _corrected(rows[each["row"]].cells, each["row"])) for each in _data()}


@cache
def _data() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((files("symflops.training") / "devices.yaml").read_text("utf-8"))
    return loaded


def _corrected(cells: Mapping[str, str], row: str) -> dict[str, str]:
    """The printed cells of a row, but for those that the claim file shows to be misprints."""
    errata = {each.cell: each.should_read for each in shipped()[_TABLE].errata if each.should_read}
    return {name: errata.get(f"{row}/{name}") or text for name, text in cells.items()}


def _device(data: Mapping[str, Any], cells: Mapping[str, str]) -> Device:
    columns = {form: data.get("columns", {}).get(form, form) for form in FORMATS}
    peaks = {form: _scaled("peak", cells.get(column)) for form, column in columns.items()}
    memory = _scaled("memory_GB", data.get("memory_GB", cells.get("mem_GB")))
    return Device(
        data["name"],
        data["row"],
        {form: peak for form, peak in peaks.items() if peak is not None},
        None if memory is None else int(memory),
        _scaled("bandwidth_TBps", data.get("bandwidth_TBps", cells.get("bw_TBps"))),
        _scaled("link_GBps", data.get("link_GBps")),
        None if "power_W" not in data else Fraction(data["power_W"]),
        data.get("source", f"the row {data['row']!r} of the table {_TABLE}"),
    )


def _scaled(unit: str, text: str | int | None) -> Fraction | None:
    """A printed figure in its base unit; None for a dash or two figures in one cell."""
    printed = "" if text is None else str(text)
    return Fraction(printed) * _UNITS[unit] if re.fullmatch(r"\d+(\.\d+)?", printed) else None


def dense(of: Device, form: str, claimed: Fraction) -> Fraction:
    """A peak that a user gives, unless it is the sparse one of the data sheet.

    >>> dense(device("h100"), "bf16", Fraction(1979 * 10**12))
    Traceback (most recent call last):
    symflops.training.hardware.DeviceError: 1979 TFLOP/s is the peak of h100 for bf16 with structured sparsity; ...

    Raises `DeviceError` for more than the device's peak by half.
    """
    own = of.peaks.get(form)
    if own is not None and claimed > own * Fraction(3, 2):
        sparse = abs(claimed / own - _SPARSE) < Fraction(1, 50)
        what = f"the peak of {of.name} for {form} with structured sparsity" if sparse else "more than it can"
        raise DeviceError(f"{float(claimed / 10**12):g} TFLOP/s is {what}; dense work has {float(own / 10**12):g}")
    return claimed
