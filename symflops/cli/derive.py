"""``symflops derive``: a table of operations and its closed forms."""

from __future__ import annotations

import click

from symflops import catalogue
from symflops.cli import options


@click.command()
@click.argument("name")
@options.convention
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def derive(name: str, convention: str | None, form: str, as_json: bool) -> None:
    """Derive the table of NAME (kaplan2020, gpt2, llama3-8b, a config.json), N and C_forward, step by step."""
    from symflops.render import known_format, render

    shape = known_format("json" if as_json else form)
    click.echo(render(catalogue.derive(name, convention), shape).rstrip())
