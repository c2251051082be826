"""What a record says, as a page: each kernel beside its closed form, the sums, the laws, the fits, what was noted.

>>> from symflops.timing.records import Record
>>> from symflops.timing.samples import Sample
>>> sample = Sample("up", "mm", "forward", {"n_seq": 1024}, 6 * 10**9, 6 * 10**6, (1e-5, 1e-5))
>>> page = report(Shown(Record("AMD EPYC", {}, "2026-01-31", "fp32", (), (sample,))))
>>> page.data["rows"][0]["of_peak"], page.data["peaks"]["flops"], page.data["laws"]
(1.0, 600000000000000.0, [])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from symflops.documents import Block, Document, Heading, Prose, Remarks, Table
from symflops.timing.calibrating import Calibration
from symflops.timing.fitted import Estimate, Fit
from symflops.timing.laws import SHOWN, Departure, Finding, judge
from symflops.timing.predicting import Accuracy, Prediction, accuracy
from symflops.timing.records import Record
from symflops.timing.rows import Shown
from symflops.timing.samples import PHASES
from symflops.timing.subjects import Subject

UNSTEADY = 0.25
"""A spread beyond this share of the median is said."""
_TERA = 1e13
"""Rates are in TFLOP/s where the peak is above this, else in GFLOP/s."""


def report(of: Shown, calibration: Calibration | None = None) -> Document:
    """A record as a page, with the fits of a calibration where one is given."""
    record, found, off = of.record, judge(of.record), errors(of)
    blocks = [
        Prose(f"{record.device}, {record.dtype}, {record.date}"), *_forms(of.subject, found), _samples(of), *_sums(of),
        *_errors(off), *_laws(found), *([] if calibration is None else _fits(calibration)), *_notes(of),
    ]  # fmt: skip
    fits = {} if calibration is None else {"calibration": _calibration(calibration)}
    about = {"device": record.device, "dtype": record.dtype, "date": record.date, "versions": dict(record.versions)}
    sheet = None if of.sheet is None else of.sheet.peak
    peaks = {"flops": of.top.peak, "bandwidth": of.top.bandwidth, "sheet": sheet}
    laws, named = [asdict(each) for each in found], {name: asdict(each) for name, each in off.items()}
    data = {
        **about,
        **_plain_forms(of.subject, found),
        "peaks": peaks,
        "rows": of.rows,
        "totals": of.totals,
        "errors": named,
        "laws": laws,
        **fits,
    }
    return Document(_title(of), tuple(blocks), {**data, "notes": list(record.notes)})


def errors(of: Shown) -> dict[str, Accuracy]:
    """How far each prediction is off, over all kernels that it has a figure for."""
    single = of.record.kernels
    return {name: accuracy(single, by) for name, by in of.predicted.items() if single}


def _title(of: Shown) -> str:
    what = "Kernels" if of.subject is None else f"The operations of {of.subject.name}"
    return f"{what} timed on {of.record.device}, {of.record.dtype}"


def _forms(of: Subject | None, found: Sequence[Finding]) -> Iterator[Block]:
    """The closed form of each operation that has FLOPs, and the laws that its times follow."""
    if of is None:
        return
    rows = [(name, *(of.forms.get((name, phase), "") for phase in PHASES)) for name in of.runs]
    shown = tuple((name, *forms, ", ".join(_followed(name, found))) for name, *forms in rows if any(forms))
    yield Table("FLOPs of one run", ("operation", *PHASES, "laws that its times follow"), shown)


def _followed(name: str, found: Sequence[Finding]) -> list[str]:
    """The laws that hold of all kernels of an operation that they were asked of."""
    own = [each for each in found if each.subject.startswith(f"{name}, ")]
    wrong = {each.law for each in own if each.verdict != "holds"}
    return [law for law in dict.fromkeys(each.law for each in own) if law not in wrong]


def _plain_forms(of: Subject | None, found: Sequence[Finding]) -> dict[str, Any]:
    """The same in plain values; what times follow is *timed*."""
    if of is None:
        return {}
    told = {
        name: {**{phase: str(of.forms[name, phase]) for phase in PHASES if (name, phase) in of.forms},
               "follows": _followed(name, found), "evidence": "timed" if _followed(name, found) else "none"}
        for name in of.runs
    }  # fmt: skip
    return {"forms": told}


def _samples(of: Shown) -> Table:
    unit, scale = _unit(of)
    head = (
        "operation", "sizes", "kernel", "phase", "runs", "FLOPs", "bytes", "FLOP/byte", "µs", "spread", unit, "GB/s",
        "of peak", "of sheet", "of roof", "bound", *(f"{name}, µs" for name in of.predicted),
    )  # fmt: skip
    rows = [_line(row, scale, tuple(of.predicted)) for row in of.rows]
    varied = _varied([row["sizes"] for row in of.rows])
    sizes = [" ".join(f"{name}={row['sizes'][name]}" for name in varied if name in row["sizes"]) for row in of.rows]
    return _without_empty("", head, [(row[0], size, *row[1:]) for row, size in zip(rows, sizes, strict=True)])


def _varied(sizes: Sequence[Mapping[str, int]]) -> list[str]:
    """The sizes of which there is more than one."""
    names = {name: {each[name] for each in sizes if name in each} for each in sizes for name in each}
    return sorted(name for name, values in names.items() if len(values) > 1)


def _without_empty(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table without the columns that say nothing."""
    kept = [number for number in range(len(head)) if any(row[number] for row in rows)]
    cut = tuple(tuple(row[number] for number in kept) for row in rows)
    return Table(title, tuple(head[number] for number in kept), cut)


def _unit(of: Shown) -> tuple[str, float]:
    return ("TFLOP/s", 1e-12) if of.top.peak > _TERA else ("GFLOP/s", 1e-9)


def _line(row: Mapping[str, Any], scale: float, predicted: Sequence[str]) -> tuple[str, ...]:
    runs = "" if row["runs"] is None else str(row["runs"])
    counts = (f"{row['flops']:.4g}", f"{row['bytes']:.4g}", f"{row['intensity']:.3g}")
    rates = (f"{row['flops_per_second'] * scale:.4g}", f"{row['bytes_per_second'] / 1e9:.4g}")
    shares = (_share(row["of_peak"]), _share(row["of_sheet"]), _share(row["of_roof"]), row["bound"])
    said = [_micro(row["predicted"][name]) if name in row["predicted"] else "" for name in predicted]
    return (row["operation"], row["kernel"], row["phase"], runs, *counts, _micro(row["seconds"]), _share(row["spread"]),
            *rates, *shares, *said)  # fmt: skip


def _share(of: float | None) -> str:
    return "" if of is None else f"{100 * of:.3g}%"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.4g}"


def _sums(of: Shown) -> Iterator[Block]:
    """What the rows come to; of a module the FLOPs are the model's, and the share of the peak is the MFU."""
    if not of.totals:
        return
    unit, scale = _unit(of)
    rows = [
        (name, f"{each['flops']:.4g}", _micro(each["seconds"]), f"{each['flops'] / each['seconds'] * scale:.4g}",
         _share(each["mfu"]), _share(each["mfu_of_sheet"]), _share(each.get("mfu_6ND")))
        for name, each in of.totals.items()
    ]  # fmt: skip
    head = ("what", "FLOPs", "µs", unit, "MFU", "MFU of the data sheet", "MFU by 6 x tokens x parameters")
    yield _without_empty("All together", head, rows)


def _errors(off: Mapping[str, Accuracy]) -> Iterator[Block]:
    if off:
        head = ("predicted by", "median error", "95 of 100 below", "worst", "kernels")
        rows = [
            (name, _share(each.median), _share(each.most), _share(each.worst), str(each.points))
            for name, each in off.items()
        ]
        yield Table("Predictions", head, tuple(rows))


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
    yield Heading("Fits: seconds = latency + FLOPs/peak and bytes/bandwidth, at once (the longer) or one by one (both)")
    head = (
        "kernel or kind", "phase", "latency, µs", "peak, GFLOP/s", "bandwidth, GB/s", "both", "samples", "median error",
    )  # fmt: skip
    yield Table("", head, tuple((name, phase, *_fit(fit)) for (name, phase), fit in of.fits.items()))
    tiles, blocks = of.waste.tiles, of.waste.blocks
    if tiles is not None:
        size = f"{tiles.rows} x {tiles.columns}"
        yield Prose(f"Tiles of {size} on {tiles.processors} processors explain the matmuls better than none.")
    if blocks is not None:
        yield Prose(f"Blocks of {blocks.side} keys explain causal attention better than none.")
    if of.notes:
        yield Remarks(tuple(("", note) for note in of.notes))


def _fit(of: Fit) -> tuple[str, ...]:
    rates = (_estimate(of.latency, 1e6), _estimate(of.peak, 1e-9), _estimate(of.bandwidth, 1e-9))
    return (*rates, of.way if of.peak and of.bandwidth else "", str(of.points), _share(of.error))


def _estimate(of: Estimate | None, scale: float) -> str:
    return "" if of is None else f"{of.value * scale:.4g} ({of.low * scale:.4g} to {of.high * scale:.4g})"


def _calibration(of: Calibration) -> dict[str, Any]:
    fits = [{"kernel": name, "phase": phase, **asdict(fit)} for (name, phase), fit in of.fits.items()]
    return {"fits": fits, "waste": asdict(of.waste), "notes": list(of.notes)}


def _notes(of: Shown) -> Iterator[Block]:
    record = of.record
    peaks = f"best seen: {of.top.peak:.4g} FLOP/s, {of.top.bandwidth:.4g} bytes/s"
    sheet = "" if of.sheet is None else f"; data sheet: {of.sheet.peak:.4g} FLOP/s, {of.sheet.bandwidth:.4g} bytes/s"
    said = (peaks + sheet, *record.notes, *_unsteady(record))
    yield Heading("Measured with")
    yield Remarks((*record.versions.items(), *(("", note) for note in said)))


def _unsteady(record: Record) -> Iterator[str]:
    """Whether times scatter more than a quiet machine's."""
    wide = sum(each.spread > UNSTEADY for each in record.samples)
    if wide:
        yield f"{wide} of {len(record.samples)} samples spread by more than {_share(UNSTEADY)}: was the machine busy?"


def predicted(of: Prediction, device: str) -> Document:
    """A prediction as a page: the operations, and forward, backward, a layer and a step of both and the optimiser."""
    head = ("operation", "kernel", "phase", "runs", "FLOPs", "bytes", "predicted µs")
    rows = [
        (row.path, row.kernel, row.phase, str(row.runs), f"{row.flops:.4g}", f"{row.bytes:.4g}", _micro(row.seconds))
        for row in of.rows
    ]
    whole = {
        **{phase: of.of(phase) for phase in PHASES}, "optimizer": of.optimizer.seconds, "step": of.step,
        **{f"layer, {phase}": of.layer(phase) for phase in PHASES},
    }  # fmt: skip
    sums = Table("All together", ("what", "predicted µs"), tuple((name, _micro(at)) for name, at in whole.items()))
    plain = [{**asdict(row), "share": float(row.share)} for row in of.rows]
    return Document(
        f"Predicted time on {device}", (Table("", head, tuple(rows)), sums), {"rows": plain, "seconds": whole}
    )


__all__ = ["Shown", "errors", "predicted", "report"]
