"""``symflops compare``: models side by side."""

from __future__ import annotations

import click

from symflops.cli import options
from symflops.conventions import TORCH
from symflops.conventions import convention as convention_of


@click.command()
@click.argument("names", nargs=-1)
@options.batch
@click.option("--seq", metavar="T", help="Tokens in a sequence (default: the shortest of the contexts).")
@options.convention
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@click.option("--plot", metavar="FILE", help="Draw FLOPs for one token against n_seq into FILE.png or FILE.svg.")
@options.as_json
def compare(
    names: tuple[str, ...],
    batch: str,
    seq: str | None,
    convention: str | None,
    form: str,
    plot: str | None,
    as_json: bool,
) -> None:
    """Sizes, parameters, FLOPs, cache of two NAMES or more (gpt2, llama3-8b, a config.json or its folder)."""
    from symflops.questions import compare as compared
    from symflops.render import known_format, render_document

    shape, chosen = known_format("json" if as_json else form), convention_of(convention or TORCH)
    n_batch, n_seq = options.whole("--batch", batch), None if seq is None else options.whole("--seq", seq)
    if plot is not None:
        from symflops.pictures import writable

        writable(plot)
    found = compared(names, n_batch, n_seq, chosen)
    if plot is not None:
        from symflops.pictures import draw_work, save

        save(draw_work([each.model for each in found.models], chosen, n_batch), plot)
    click.echo(render_document(found.document(), shape).rstrip())
