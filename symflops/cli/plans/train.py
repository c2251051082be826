"""``symflops plan train``: days, devices, tokens or MFU of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.cli.plans import options as own
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.plans.training import Training


@click.command()
@own.model
@click.option("--params", metavar="N", help="Parameters, where there is no architecture: 6 FLOPs for each and token.")
@click.option("--tokens", metavar="D", help="Tokens in all, such as 15e12.")
@click.option("--flops", metavar="C", help="FLOPs in all, instead of tokens.")
@own.device
@click.option("--count", metavar="G", help="Devices.")
@click.option("--mfu", metavar="U", help="Model FLOPs utilisation, in (0, 1].")
@own.calibration
@click.option("--batch", metavar="B", help="Sequences of the step that --calibration predicts (default 1).")
@click.option("--days", metavar="T", help="Days.")
@options.seq
@own.dtype
@click.option("--peak", metavar="P", help="FLOP/s of a device in dense work, instead of the data sheet's.")
@own.recompute
@own.optimizer
@own.precision
@click.option("--price", metavar="X", help="Price of a device hour.")
@options.convention
@own.printed
def train(
    name: str | None,
    params: str | None,
    tokens: str | None,
    flops: str | None,
    device: str | None,
    count: str | None,
    mfu: str | None,
    calibration: str | None,
    batch: str | None,
    days: str | None,
    seq: str | None,
    dtype: str,
    peak: str | None,
    recompute: str,
    optimizer: str,
    precision: str,
    price: str | None,
    convention: str | None,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """How long a training takes, or what else of it is not given: --days, --count, --mfu, --tokens or --params."""
    from symflops.conventions import TORCH
    from symflops.conventions import convention as convention_of
    from symflops.plans.train import Training
    from symflops.plans.train import train as plan_of
    from symflops.training.checkpoints import scheme
    from symflops.training.hardware import dense
    from symflops.training.hardware import device as device_of
    from symflops.training.optimizers import optimizer as optimizer_of
    from symflops.training.precision import precision as precision_of

    if name is not None and params is not None:
        raise SymflopsError("--model has its own parameters; give --model or --params")
    chosen, claimed = None if device is None else device_of(device), own.exact("--peak", peak)
    asked = Training(
        model=own.named(name),
        params=own.exact("--params", params),
        tokens=own.exact("--tokens", tokens),
        budget=own.exact("--flops", flops),
        device=chosen,
        count=own.whole_or_none("--count", count),
        mfu=own.exact("--mfu", mfu),
        days=own.exact("--days", days),
        seq=own.whole_or_none("--seq", seq),
        form=dtype,
        peak=claimed if claimed is None or chosen is None else dense(chosen, dtype, claimed),
        recompute=scheme(recompute),
        price=own.exact("--price", price),
        convention=convention_of(convention or TORCH),
        optimizer=optimizer_of(optimizer),
        precision=precision_of(precision),
    )
    return own.show(plan_of(_timed(asked, calibration, batch)), symbolic, form, plot, as_json)


def _timed(asked: Training, calibration: str | None, batch: str | None) -> Training:
    """The training with the step that a record predicts; as it was without a record.

    Raises `SymflopsError` for a batch without a record, and what `calibrated` and `Record.read` raise.
    """
    if calibration is None:
        if batch is not None:
            raise SymflopsError("--batch is of the step that --calibration predicts; give --calibration too")
        return asked
    from symflops.plans.calibrated import calibrated
    from symflops.timing.records import Record

    return calibrated(asked, Record.read(calibration), own.whole_or_none("--batch", batch) or 1)
