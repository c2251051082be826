"""``symflops check``: the formula against the real module."""

from __future__ import annotations

import json

import click

from symflops.architectures import architecture
from symflops.cli import options
from symflops.errors import SymflopsError, UnknownName


@click.command()
@click.argument("name")
@options.batch
@options.seq
@click.option("--attention", default="eager", metavar="KIND", help="eager (default) or sdpa.")
@options.as_json
def check(name: str, batch: str, seq: str | None, attention: str, as_json: bool) -> int:
    """Compare the closed forms of NAME (gpt2, llama3-8b, a config.json) with its real PyTorch module."""
    if attention not in ("eager", "sdpa"):
        raise UnknownName("attention", attention, ["eager", "sdpa"])
    n_batch = options.whole("--batch", batch)
    model = architecture(name, "flash" if attention == "sdpa" else "eager")
    n_seq = model.context if seq is None else options.whole("--seq", seq)
    try:
        from symflops.tracing.check import check_model
    except ModuleNotFoundError as error:
        raise SymflopsError(f"check needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None
    from symflops.cli.progress import stages

    with stages() as stage:
        report = check_model(model, n_batch, n_seq, stage)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.text())
    return 0 if report.holds else 1
