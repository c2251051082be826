"""``symflops time``: the operations of a model as their kernels, timed on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from symflops.cli import options
from symflops.cli.plans import options as own
from symflops.errors import SizeError, SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention
    from symflops.timing.samples import Record

_MOST_RUNS = 10_000
_LONGEST = 10**9


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
@click.option("--repeat", default="20", metavar="N", help="Runs of each kernel (default 20).")
@click.option("--step", is_flag=True, help="The whole model and a step of AdamW too.")
@own.attention
@click.option("--out", metavar="FILE", help="Write the record with all samples, after each operation.")
@options.as_json
def time(
    name: str | None,
    operations: Sequence[str],
    device: str,
    dtype: str,
    batch: str,
    seq: str | None,
    changes: Sequence[str],
    repeat: str,
    step: bool,
    attention: Attention,
    out: str | None,
    as_json: bool,
) -> int:
    """Time every operation of a model as its real kernels, forward and backward, against its closed form.

    Each kernel is first compared with float64. Exit code 2 where a device, format or the memory is not there.
    """
    if name is None:
        raise SymflopsError("time needs --model, such as --model gpt2 or a config.json")
    runs = _bounded("--repeat", repeat, _MOST_RUNS)
    n_batch = _bounded("--batch", batch, _LONGEST)
    n_seq = None if seq is None else _bounded("--seq", seq, _LONGEST)
    keep = _keeping(out)
    try:
        from symflops.tracing.timing import peaks, places, report, running, whole
        from symflops.tracing.timing import tasks as of
    except ModuleNotFoundError as error:
        raise SymflopsError(f"time needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None
    from symflops.architectures import architecture
    from symflops.cli.progress import stages
    from symflops.render import render_document

    where = places.place(device, dtype)
    model = architecture(name, attention)
    model = model.with_sizes(**options.assignments(changes)) if changes else model
    length, every = model.length(n_seq), of.tasks(model, n_batch, n_seq)
    tasks = of.named(every, operations)
    with stages() as stage:
        record = running.run(tasks, where, runs, keep, stage)
        if step:
            stage("whole model", 0, 1)
            for sample in whole.whole(model, every, where, runs, n_batch, length):
                record = record.with_sample(sample)
            keep(record)
        best = peaks.measured(where, runs)
    title = f"{model.name}, {n_batch} x {length} tokens, timed"
    found = report.Timed(title, tasks, record, best).document()
    click.echo(render_document(found, "json" if as_json else "text").rstrip())
    return 0


def _bounded(name: str, text: str, most: int) -> int:
    found = options.whole(name, text)
    if found > most:
        raise SizeError(f"{name} is {text[:40]}; give at most {most}")
    return found


def _keeping(out: str | None) -> Callable[[Record], Any]:
    """What is done with the record after each operation. Raises `SymflopsError` for a file that cannot be there."""
    if out is None:
        return lambda record: None
    if Path(out).is_dir() or not Path(out).absolute().parent.is_dir():
        raise SymflopsError(f"--out is {out!r}; give a file in a folder that exists, such as record.json")
    return lambda record: record.write(out)


__all__ = ["time"]
