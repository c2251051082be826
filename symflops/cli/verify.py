"""``symflops verify``: the tables of papers, cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from symflops.cli import options

if TYPE_CHECKING:
    from symflops.claims import Table


@click.command()
@click.argument("given", nargs=-1, metavar="[SOURCE|TABLE|FILE …]")
@click.option(
    "--draft", is_flag=True, help="Print the claim file that a bare table (hyper, formulas as text) is read as."
)
@click.option("--faults", is_flag=True, help="Change each digit in turn, and say what share of them is noticed.")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def verify(given: tuple[str, ...], draft: bool, faults: bool, form: str, as_json: bool) -> int:
    """Verify printed tables: all of a SOURCE (chinchilla2022), one TABLE, a claim FILE; without any, all that ship.

    Exit code 1 where a cell differs that the file does not declare as an erratum, or a declared one reproduces.
    """
    from symflops.claims.faults import plant
    from symflops.claims.pages import faults_page, page
    from symflops.claims.reading import drafted
    from symflops.claims.verifying import report, tables
    from symflops.render import known_format, render_document

    if draft:
        click.echo("---\n".join(drafted(Path(each)) for each in given).rstrip("\n"))
        return 0
    form = "json" if as_json else known_format(form)
    chosen = tables(*given)
    if faults:
        planted = {table.id: plant(table) for table in _shown(chosen, "planting faults in")}
        click.echo(render_document(faults_page(planted), form).rstrip("\n"))
        return 0
    found = report(_shown(chosen, "verifying"))
    if form == "json":
        click.echo(json.dumps([verdict.as_json() for verdict in found.verdicts], indent=2, ensure_ascii=False))
    else:
        click.echo(render_document(page(found), form).rstrip("\n"))
    return 0 if found.holds else 1


def _shown(chosen: Sequence[Table], what: str) -> Iterator[Table]:
    """The tables one by one, with a bar."""
    from symflops.cli.progress import stages

    with stages() as stage:
        for number, table in enumerate(chosen):
            stage(f"{what} {table.id}", number, len(chosen))
            yield table
