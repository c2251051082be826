"""``symflops plan inference``: weights, cache, the largest batch, and what binds prefill and decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli.plans import options as own
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention
    from symflops.plans.inference import Serving
    from symflops.plans.plan import Plan


@click.command()
@own.model
@own.device
@click.option("--count", default="1", metavar="G", help="Devices that share weights, cache and work (default 1).")
@click.option("--prompt", default="1024", metavar="T", help="Tokens of a prompt (default 1024).")
@click.option("--new", default="256", metavar="T", help="Tokens that are made after it (default 256).")
@click.option("--batch", metavar="B", help="Sequences that are served together (default: as many as fit).")
@own.dtype
@own.attention
@click.option("--weights", default="bf16", metavar="FORMAT", help="Format of the weights in memory (bf16).")
@click.option("--cache", default="bf16", metavar="FORMAT", help="Format of the cache (bf16).")
@own.calibration
@own.printed
def inference(
    name: str | None,
    device: str | None,
    count: str,
    prompt: str,
    new: str,
    batch: str | None,
    dtype: str,
    attention: Attention,
    weights: str,
    cache: str,
    calibration: str | None,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """The cache, the largest batch, the least time of prefill and of a step of decoding, and what binds them."""
    from symflops.plans.inference import Serving
    from symflops.plans.inference import inference as plan_of
    from symflops.training.hardware import device as device_of

    model = own.named(name, attention)
    if model is None or device is None:
        raise SymflopsError("plan inference needs --model and --device, such as --model llama3-8b --device h100")
    numbers = {"--prompt": prompt, "--new": new, "--count": count}
    lengths = {flag: own.whole(flag, text) for flag, text in numbers.items()}
    asked = Serving(
        model,
        device_of(device),
        prompt=lengths["--prompt"],
        new=lengths["--new"],
        batch=own.whole_or_none("--batch", batch),
        count=lengths["--count"],
        form=dtype,
        weights=weights,
        cache=cache,
    )
    plan = plan_of(asked) if calibration is None else _timed(asked, calibration)
    return own.show(plan, symbolic, form, plot, as_json)


def _timed(asked: Serving, calibration: str) -> Plan:
    from symflops.plans.calibrated import calibrated_inference
    from symflops.timing.records import Record

    return calibrated_inference(asked, Record.read(calibration))
