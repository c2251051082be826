"""``symflops explain``: the difference of two conventions, papers or tools, term by term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.errors import SymflopsError
from symflops.explain import DEFAULT

if TYPE_CHECKING:
    from symflops.render.document import Document


@click.command()
@click.argument("sources", nargs=-1, metavar="A B")
@click.option("--on", "name", default=DEFAULT, metavar="NAME", help=f"A model or a config.json (default {DEFAULT}).")
@options.seq
@click.option("--phase", default="training", metavar="NAME", help="training (the default) or forward.")
@click.option("--set", "sets", multiple=True, metavar="SIZE=VALUE", help="Another value for a size; may be repeated.")
@click.option("--list", "listed", is_flag=True, help="List the conventions and formulas, with their citations.")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def explain(
    sources: tuple[str, ...],
    name: str,
    seq: str | None,
    phase: str,
    sets: tuple[str, ...],
    listed: bool,
    form: str,
    as_json: bool,
) -> None:
    """What A counts and B does not, for one token: conventions, formulas of papers and tools, or a file of one."""
    from symflops.render import known_format, render_document

    shape = known_format("json" if as_json else form)
    if listed:
        from symflops.explain.page import listing

        click.echo(render_document(listing(), shape).rstrip())
        return
    if len(sources) != 2:
        raise SymflopsError("explain takes two conventions or formulas, such as verl megatron-lm; see explain --list")
    click.echo(render_document(_page(sources, name, seq, phase, sets), shape).rstrip())


def _page(sources: tuple[str, ...], name: str, seq: str | None, phase: str, sets: tuple[str, ...]) -> Document:
    from symflops.architectures import architecture
    from symflops.explain.explanation import explained
    from symflops.explain.published import known_phase

    length, given = None if seq is None else options.whole("--seq", seq), options.assignments(sets)
    model = architecture(name)
    model = model.with_sizes(**given) if given else model
    first, second = sources
    return explained(first, second, model, length, known_phase(phase)).document()
