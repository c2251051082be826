"""``symflops verify``: the tables of papers, cell by cell."""

from __future__ import annotations

import json

import click

from symflops.cli import options


@click.command()
@click.argument("given", nargs=-1, metavar="[SOURCE|TABLE|FILE …]")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def verify(given: tuple[str, ...], form: str, as_json: bool) -> int:
    """Verify printed tables: all of a SOURCE (chinchilla2022), one TABLE, a claim FILE; without any, all that ship.

    Exit code 1 where a cell differs that the file does not declare as an erratum, or a declared one reproduces.
    """
    from symflops.claims import verify as verified
    from symflops.claims.pages import page
    from symflops.render import known_format, render_document

    known_format(form)
    report = verified(*given)
    if as_json or form == "json":
        click.echo(json.dumps([verdict.as_json() for verdict in report.verdicts], indent=2, ensure_ascii=False))
    else:
        click.echo(render_document(page(report), form), nl=False)
    return 0 if report.holds else 1
