"""``symflops plan layout``: the best layouts of a model on a cluster, or the figures of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.cli.plans import options as own
from symflops.cli.progress import stages
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention


@click.command()
@own.model
@own.device
@click.option("--count", metavar="G", help="Devices.")
@options.batch
@options.seq
@click.option("--layout", "said", metavar="data=8,tensor=2,…", help="One layout; else the best are searched.")
@click.option("--most", "most", multiple=True, metavar="WAY=N", help="At most so many ways, such as tensor=8.")
@click.option("--node", default="8", metavar="G", help="Devices of a node (default 8).")
@click.option("--inside", metavar="B", help="Bytes a second of a device inside a node (default: the device's link).")
@click.option("--across", default="50e9", metavar="B", help="Bytes a second of a device between nodes (50e9).")
@click.option("--overlap", default="data overlapped", metavar="POLICY", help="serial, data overlapped, all overlapped.")
@click.option("--limit", default="10", metavar="K", help="How many of the best are shown (default 10).")
@own.dtype
@own.optimizer
@own.precision
@own.attention
@own.printed
def layout(
    name: str | None,
    device: str | None,
    count: str | None,
    batch: str,
    seq: str | None,
    said: str | None,
    most: Sequence[str],
    node: str,
    inside: str | None,
    across: str,
    overlap: str,
    limit: str,
    dtype: str,
    optimizer: str,
    precision: str,
    attention: Attention,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """How devices share a training: memory, traffic and the least time of a step, of the best layouts or of one."""
    from symflops.pictures import writable
    from symflops.plans.layout import Sharing, best, front, read_layout, single
    from symflops.training.hardware import device as device_of
    from symflops.training.optimizers import optimizer as optimizer_of
    from symflops.training.precision import precision as precision_of

    model = own.named(name, attention)
    if model is None or device is None or count is None:
        raise SymflopsError("plan layout needs --model, --device and --count, such as --count 64")
    asked = Sharing(
        model,
        device_of(device),
        own.whole("--count", count),
        batch=own.whole("--batch", batch),
        seq=model.length(own.whole_or_none("--seq", seq)),
        node=own.whole("--node", node),
        across=own.whole("--across", across),
        inside=own.whole_or_none("--inside", inside),
        form=dtype,
        optimizer=optimizer_of(optimizer),
        precision=precision_of(precision),
        most=options.assignments(most),
        overlap=overlap,
        limit=own.whole("--limit", limit),
    )
    with stages() as stage:
        stage("layouts", 0, 1)
        found = best(asked) if said is None else single(asked, read_layout(said))
        if plot is not None and said is None:
            writable(plot)
            stage("the fastest under less and less memory", 0, 1)
            found = replace(found, front=tuple(front(asked)))
    return own.show(found, symbolic, form, plot, as_json)
