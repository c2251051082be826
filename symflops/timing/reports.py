"""What a record says, as a page: each kernel beside its closed form, the laws, the fits, what was noted.

>>> from symflops.timing.samples import Record, Sample
>>> sample = Sample("up", "matmul", "forward", {"n_seq": 1024}, 6 * 10**9, 6 * 10**6, (1e-5, 1e-5))
>>> row = report(Record("H100", {}, "2026-01-31", "bf16", (), (sample,))).data["samples"][0]
>>> row["flops_per_second"], row["of_measured_peak"], row["of_data_sheet"]
(600000000000000.0, 1.0, None)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from symflops.documents import Block, Document, Heading, Prose, Remarks, Table
from symflops.timing.fitted import Estimate, Fit
from symflops.timing.laws import LAUNCHES, SHOWN, Ceilings, Departure, Finding, ceilings, judge
from symflops.timing.predicting import Calibration, Prediction
from symflops.timing.samples import Record, Sample
from symflops.training.hardware import Device

UNSTEADY = 0.25
"""A spread beyond this share of the median is said."""


def report(record: Record, device: Device | None = None, calibration: Calibration | None = None) -> Document:
    """A record as a page; with shares of a device's data sheet and the fits of a calibration where they are given."""
    top, found = ceilings(record), judge(record)
    sheet = None if device is None or record.dtype not in device.peaks else float(device.peaks[record.dtype])
    rows = [_told(each, top, sheet) for each in record.samples]
    blocks = [_samples(rows), *_laws(found), *([] if calibration is None else _fits(calibration)), *_notes(record)]
    fits = {} if calibration is None else {"calibration": _calibration(calibration)}
    about = {"device": record.device, "dtype": record.dtype, "date": record.date, "versions": dict(record.versions)}
    data = {**about, "notes": list(record.notes), "samples": rows, "laws": [asdict(each) for each in found], **fits}
    return Document(f"Kernels timed on {record.device}, {record.dtype}", tuple(blocks), data)


def _told(sample: Sample, top: Ceilings, sheet: float | None) -> dict[str, Any]:
    """A sample in plain values."""
    rate = sample.flops / sample.median
    shares = {"of_measured_peak": rate / top.peak, "of_data_sheet": None if sheet is None else rate / sheet}
    return {**sample.figures, **shares, "bound": bound(sample, top)}


def bound(sample: Sample, top: Ceilings) -> str:
    """What bounds a kernel: the launch, where it takes little longer than the shortest, else compute or memory."""
    if sample.median < LAUNCHES * top.shortest and sample.median > LAUNCHES * top.work(sample):
        return "launch"
    return top.bound(sample.flops, sample.bytes)


def _samples(rows: Sequence[Mapping[str, Any]]) -> Table:
    head = (
        "operation", "kernel", "phase", "FLOPs", "bytes", "FLOP/byte", "µs", "spread", "TFLOP/s", "GB/s",
        "of peak measured", "of data sheet", "bound",
    )  # fmt: skip
    return Table("", head, tuple(map(_line, rows)))


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    rates = (f"{row['flops_per_second'] / 1e12:.4g}", f"{row['bytes_per_second'] / 1e9:.4g}")
    counts = (f"{row['flops']:.3e}", f"{row['bytes']:.3e}", f"{row['intensity']:.3g}")
    times = (f"{row['seconds'] * 1e6:.4g}", _share(row["spread"]))
    shares = (_share(row["of_measured_peak"]), _share(row["of_data_sheet"]))
    return (row["operation"], row["kernel"], row["phase"], *counts, *times, *rates, *shares, row["bound"])


def _share(of: float | None) -> str:
    return "" if of is None else f"{100 * of:.3g}%"


def _laws(found: Sequence[Finding]) -> Iterator[Block]:
    """The laws that there were samples for, and where they depart."""
    if not found:
        return
    yield Heading("Laws")
    head = ("law", "of", "expected", "measured", "95% interval", "verdict")
    yield Table("", head, tuple(_finding(each) for each in found))
    off = [each for each in found if each.departures and each.verdict != "holds"]
    if off:
        yield Heading("Where they depart", 2)
        yield Remarks(tuple((f"{each.law}: {each.subject}", _places(each.departures)) for each in off))


def _finding(of: Finding) -> tuple[str, ...]:
    value, interval = f"{of.estimate.value:.3g}", f"{of.estimate.low:.3g} to {of.estimate.high:.3g}"
    return (of.law, of.subject, f"{of.expected:.3g}", value, interval, of.verdict)


def _places(found: Sequence[Departure]) -> str:
    said = [
        f"{', '.join(f'{name}={size}' for name, size in each.sizes.items())}: {each.factor:.3g} times as long"
        + (f" ({each.why})" if each.why else "")
        for each in found[:SHOWN]
    ]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join([*said, *more])


def _fits(of: Calibration) -> Iterator[Block]:
    yield Heading("Fits: seconds = latency + the longer of FLOPs/peak and bytes/bandwidth")
    head = ("kind", "phase", "latency, µs", "peak, TFLOP/s", "bandwidth, GB/s", "samples", "median error")
    yield Table("", head, tuple((kind, phase, *_fit(fit)) for (kind, phase), fit in of.fits.items()))
    if of.tiles is not None:
        size = f"{of.tiles.rows} x {of.tiles.columns}"
        yield Prose(f"Tiles of {size} on {of.tiles.processors} processors explain the matmuls better than none.")
    if of.notes:
        yield Remarks(tuple(("", note) for note in of.notes))


def _fit(of: Fit) -> tuple[str, ...]:
    rates = (_estimate(of.latency, 1e6), _estimate(of.peak, 1e-12), _estimate(of.bandwidth, 1e-9))
    return (*rates, str(of.points), _share(of.error))


def _estimate(of: Estimate | None, scale: float) -> str:
    return "" if of is None else f"{of.value * scale:.4g} ({of.low * scale:.4g} to {of.high * scale:.4g})"


def _calibration(of: Calibration) -> dict[str, Any]:
    fits = [{"kind": kind, "phase": phase, **asdict(fit)} for (kind, phase), fit in of.fits.items()]
    return {"fits": fits, "tiles": None if of.tiles is None else asdict(of.tiles), "notes": list(of.notes)}


def _notes(record: Record) -> Iterator[Block]:
    yield Heading("Measured with")
    seen = [
        ("date", record.date),
        *record.versions.items(),
        *(("", note) for note in (*record.notes, *_unsteady(record))),
    ]
    yield Remarks(tuple(seen))


def _unsteady(record: Record) -> Iterator[str]:
    """Whether times scatter more than a quiet machine's."""
    wide = sum(each.spread > UNSTEADY for each in record.samples)
    if wide:
        yield f"{wide} of {len(record.samples)} samples spread by more than {_share(UNSTEADY)}: was the machine busy?"


def predicted(of: Prediction, device: str) -> Document:
    """A prediction as a page: the operations, and forward, backward, a layer and a step of both together."""
    head = ("operation", "phase", "runs", "FLOPs", "bytes", "predicted µs")
    rows = tuple(
        (
            row.path,
            row.phase,
            f"{float(row.runs):g}",
            f"{float(row.flops):.3e}",
            f"{float(row.bytes):.3e}",
            _micro(row.seconds),
        )
        for row in of.rows
    )
    whole = {"forward": of.of("forward"), "backward": of.of("backward"), "layer": of.layer, "step": of.step}
    sums = Table("All together", ("what", "predicted µs"), tuple((name, _micro(at)) for name, at in whole.items()))
    plain = [
        {**asdict(row), "runs": float(row.runs), "flops": float(row.flops), "bytes": float(row.bytes)}
        for row in of.rows
    ]
    return Document(f"Predicted time on {device}", (Table("", head, rows), sums), {"rows": plain, "seconds": whole})


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.4g}"
