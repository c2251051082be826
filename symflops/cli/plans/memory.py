"""``symflops plan memory``: what a training holds on each device, and the largest batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.cli.plans import options as own
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention


@click.command()
@own.model
@own.optimizer
@own.precision
@options.batch
@options.seq
@own.recompute
@own.attention
@own.device
@click.option("--count", default="1", metavar="G", help="Devices that share model states (default 1).")
@click.option("--sharding", default="zero3", metavar="NAME", help="ddp, zero1, zero2, zero3 (default) or fsdp.")
@own.printed
def memory(
    name: str | None,
    optimizer: str,
    precision: str,
    batch: str,
    seq: str | None,
    recompute: str,
    attention: Attention,
    device: str | None,
    count: str,
    sharding: str,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """Parameters, gradients, optimiser states, activations and loss of a training, and, on a --device, what fits."""
    from symflops.plans.memory import Holding, held
    from symflops.training.checkpoints import scheme
    from symflops.training.hardware import device as device_of
    from symflops.training.optimizers import optimizer as optimizer_of
    from symflops.training.precision import precision as precision_of

    model = own.named(name, attention)
    if model is None:
        raise SymflopsError("plan memory needs --model, such as --model gpt2-xl")
    asked = Holding(
        model,
        precision_of(precision),
        optimizer_of(optimizer),
        batch=own.whole("--batch", batch),
        seq=own.whole_or_none("--seq", seq),
        recompute=scheme(recompute),
        device=None if device is None else device_of(device),
        count=own.whole("--count", count),
        sharding=sharding,
    )
    return own.show(held(asked), symbolic, form, plot, as_json)
