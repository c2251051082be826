"""``symflops time``: the operations of a model as their kernels, timed on a device, or what a record says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from symflops.cli import options
from symflops.cli.grids import bounded, combinations
from symflops.cli.plans import options as own
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Architecture, Attention
    from symflops.timing.calibrating import Calibration
    from symflops.timing.records import Record

_MOST_RUNS = 10_000
_DEFAULT = "gpt2"


@click.command()
@own.model
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Only these: qkv, up, Feedforward/up, …")
@click.option("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or cuda:N.")
@click.option("--dtype", default="fp32", metavar="FORMAT", help="fp32 (default), bf16 or fp16.")
@options.batch
@options.seq
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=SIZE", help="Another size of the model, as d_model=1024."
)
@click.option(
    "--grid", multiple=True, metavar="NAME=VALUES", help="Sizes that vary: seq=128,256 or d_model=256:1024:*2."
)
@click.option("--repeat", default="20", metavar="N", help="Runs of each kernel (default 20).")
@click.option("--step", is_flag=True, help="A layer, the whole model and a step of AdamW too.")
@click.option("--peers", is_flag=True, help="Ask PyTorch's RuntimeEstimator for its time of each kernel too.")
@own.attention
@click.option("--out", metavar="FILE", help="Write the record with all samples, after each operation.")
@click.option("--record", metavar="FILE", help="Time nothing: show the record of an earlier --out.")
@click.option("--calibration", metavar="FILE", help="Predict each time by the fits of another record.")
@click.option("--plot", metavar="FILE", help="Draw the roofline, and predicted against measured, into a .png or .svg.")
@options.as_json
def time(
    name: str | None,
    operations: tuple[str, ...],
    device: str,
    dtype: str,
    batch: str,
    seq: str | None,
    changes: Sequence[str],
    grid: tuple[str, ...],
    repeat: str,
    step: bool,
    peers: bool,
    attention: Attention,
    out: str | None,
    record: str | None,
    calibration: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """Time every operation of a model as its real kernels, forward and backward, against its closed form.

    Each kernel is first compared with float64. Exit code 2 where a device, format or the memory is not there.
    """
    from symflops.architectures import architecture

    if name is None and not operations and record is None:
        raise SymflopsError("time needs --model, such as --model gpt2 or a config.json; or --operation, or --record")
    if record is not None and (operations or grid or step or peers or out or seq):
        given = "--operation, --seq, --grid, --step, --peers and --out are of a run"
        raise SymflopsError(f"--record shows what an earlier run timed; {given}: leave them out")
    _drawable(plot)
    by = None if calibration is None else _calibrated(calibration)
    model = architecture(name or _DEFAULT, attention)
    model = model.with_sizes(**options.assignments(changes)) if changes else model
    if record is not None:
        from symflops.timing.records import Record

        found = Record.read(record)
        if by is not None:
            by.need(found.device, found.dtype)
    else:
        runs, keep = bounded("--repeat", repeat, _MOST_RUNS), _keeping(out)
        fixed = {"n_batch": bounded("--batch", batch)} | ({} if seq is None else {"n_seq": bounded("--seq", seq)})
        found = _timed(_Run(model, operations, combinations(grid, fixed), step, peers, device, dtype, runs, by, keep))
    _show(found, model if name or record is None else None, by, plot, as_json)
    if record is None and found.interrupted:
        click.echo(found.interrupted, err=True)
        return 2
    return 0


@dataclass(frozen=True)
class _Run:
    """What was asked for, once it is read."""

    model: Architecture
    operations: tuple[str, ...]
    sizes: Iterable[Mapping[str, int]]
    step: bool
    peers: bool
    device: str
    dtype: str
    repeat: int
    calibration: Calibration | None
    keep: Callable[[Record], Any]


def _timed(of: _Run) -> Record:
    """The record of a model at each combination of sizes."""
    from symflops.cli.progress import stages

    try:
        from symflops.tracing.timing.peers import asked
        from symflops.tracing.timing.places import place
        from symflops.tracing.timing.points import Often, nobody, nothing, points, timed
        from symflops.tracing.timing.whole import whole
    except ModuleNotFoundError as error:
        raise SymflopsError(f"time needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None

    where = place(of.device, of.dtype)
    if of.calibration is not None:
        of.calibration.need(where.name, where.form)
    each = points(of.model, of.sizes, of.operations, whole if of.step else nothing)
    with stages() as stage:
        return timed(each, where, Often(of.repeat), of.keep, stage, asked if of.peers else nobody)


def _calibrated(file: str) -> Calibration:
    from symflops.timing.calibrating import calibrate
    from symflops.timing.records import Record

    return calibrate(Record.read(file))


def _show(record: Record, model: Architecture | None, by: Calibration | None, plot: str | None, as_json: bool) -> None:
    """Print the page of a record, and draw it."""
    from symflops.render import render_document
    from symflops.timing.calibrating import calibrate
    from symflops.timing.fitted import FitError
    from symflops.timing.reports import report
    from symflops.timing.rows import Shown, predictions
    from symflops.timing.subjects import subject

    by_name = predictions(record, by)
    shown = Shown(record, None if model is None else subject(model), by_name)
    own_fits = None
    with suppress(FitError):
        own_fits = calibrate(record) if shown.several else None
    click.echo(render_document(report(shown, own_fits), "json" if as_json else "text").rstrip())
    if plot is not None:
        from symflops.pictures import save
        from symflops.timing_pictures import draw_timings

        save(draw_timings(record, shown.sheet, by_name), plot)


def _drawable(plot: str | None) -> None:
    """Raises `SymflopsError` for a picture that cannot be drawn, before anything is timed."""
    if plot is not None:
        from symflops.pictures import need_matplotlib, writable

        need_matplotlib()
        writable(plot)


def _keeping(out: str | None) -> Callable[[Record], Any]:
    """What is done with the record after each operation. Raises `SymflopsError` for a file that cannot be there."""
    if out is None:
        return lambda record: None
    if Path(out).is_dir() or not Path(out).absolute().parent.is_dir():
        raise SymflopsError(f"--out is {out!r}; give a file in a folder that exists, such as record.json")
    return lambda record: record.write(out)


__all__ = ["time"]
