"""``symflops plan largest``: the largest model that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.cli.plans import options as own
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention


@click.command()
@own.device
@click.option("--count", default="1", metavar="G", help="Devices that share model states (default 1).")
@own.optimizer
@own.precision
@own.model
@options.batch
@options.seq
@own.recompute
@own.attention
@own.printed
def largest(
    device: str | None,
    count: str,
    optimizer: str,
    precision: str,
    name: str | None,
    batch: str,
    seq: str | None,
    recompute: str,
    attention: Attention,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """The largest model that fits: by model state alone, or, with a --model whose shape is scaled, with activations."""
    from symflops.plans.largest import Room
    from symflops.plans.largest import largest as plan_of
    from symflops.training.checkpoints import scheme
    from symflops.training.hardware import device as device_of
    from symflops.training.optimizers import optimizer as optimizer_of
    from symflops.training.precision import precision as precision_of

    if device is None:
        raise SymflopsError("plan largest needs --device, such as --device h100")
    asked = Room(
        device_of(device),
        own.whole("--count", count),
        optimizer_of(optimizer),
        precision_of(precision),
        own.named(name, attention),
        own.whole("--batch", batch),
        own.whole_or_none("--seq", seq),
        scheme(recompute),
    )
    return own.show(plan_of(asked), symbolic, form, plot, as_json)
