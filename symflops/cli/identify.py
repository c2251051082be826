"""``symflops identify``: which choices reproduce printed figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from symflops.cli import options
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.identify.rows import Row

_PATIENCE = 2.0
"""Seconds after which a search shows how far it has come."""


@click.command()
@click.argument("file", required=False, metavar="[TABLE|FILE.yaml]")
@click.option("--column", metavar="NAME", help="The column of FILE that holds the figures.")
@click.option("--printed", metavar="TEXT", help="A figure as printed, such as 117M, instead of a FILE.")
@click.option("--unit", default="", metavar="UNIT", help="What the figures are in, such as M (default: as they say).")
@click.option("--quantity", metavar="NAME", help="params, forward, training, flops, or ratio (training / 6*N*D).")
@click.option("--per", default="any", metavar="NAME", help="What work is for: token, sequence, image (default: any).")
@click.option("--set", "sets", multiple=True, metavar="SIZE=VALUE", help="A size that is known; may be repeated.")
@click.option("--unknown", "unknown", multiple=True, metavar="SIZE", help="A size to find; may be repeated once.")
@click.option("--on", metavar="MODEL", help="Search what is counted of this model or config.json, not its parts.")
@click.option("--limit", default="3", metavar="K", help="How many fits to show (default 3).")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def identify(
    file: str | None,
    column: str | None,
    printed: str | None,
    unit: str,
    quantity: str | None,
    per: str,
    sets: tuple[str, ...],
    unknown: tuple[str, ...],
    on: str | None,
    limit: str,
    form: str,
    as_json: bool,
) -> int:
    """Conventions, ties, biases, padding and sizes that reproduce the figures of a TABLE or FILE, or one --printed."""
    from symflops.architectures import architecture
    from symflops.identify import identify as asked_for
    from symflops.identify.report import document
    from symflops.render import known_format, render_document

    shape, most = known_format("json" if as_json else form), options.whole("--limit", limit)
    rows, title, notes = _rows(file, column, printed, unit, options.assignments(sets), unknown)
    model = architecture(on) if on else None
    asked = quantity or _quantity(column or rows[0].figure.unit)
    with _patiently() as progress:
        found = asked_for(rows, asked, unknown, model, per, progress)
    found = replace(found, notes=(*notes, *found.notes))
    click.echo(render_document(document(found, title, most), shape).rstrip())
    return found.exit_code


def _rows(
    file: str | None, column: str | None, printed: str | None, unit: str, sizes: dict[str, int], unknown: Sequence[str]
) -> tuple[list[Row], str, tuple[str, ...]]:
    """The rows, of what, and what is to be said of them. What is asked for of a table is left aside in it."""
    from symflops.claims.figures import figure
    from symflops.identify.rows import Row, named, size_name
    from symflops.identify.table import read

    if printed is not None and file is None:
        one = Row(printed, figure(printed, unit), named(sizes.items()))
        return [one], f"What reproduces {printed}", ()
    if file is None or printed is not None:
        raise SymflopsError("identify takes a FILE.yaml with --column, or one figure with --printed, such as 117M")
    if column is None:
        raise SymflopsError(f"which column of {file} holds the figures? name it with --column")
    table = read(file, column, unit)
    known = named(sizes.items())
    asked = {size_name(each) for each in unknown}
    rows = []
    for each in table.rows:
        own = {name: size for name, size in each.sizes.items() if name not in asked}
        rows.append(replace(each, sizes={**own, **known}))
    aside = sorted(asked.intersection(*(each.sizes for each in table.rows)))
    notes = [f"{name} of the table is left aside, as it is asked for" for name in aside]
    about = f"What reproduces {table.name}, column {column}"
    return rows, about, (f"{table.title}: {table.citation}", *table.notes, *notes)


def _quantity(name: str) -> str:
    """The quantity that a column's name or a figure's unit speaks of."""
    words = {"ratio": "ratio", "param": "params", "flop": "flops", "mac": "flops"}
    found = next((asked for word, asked in words.items() if word in name.lower()), None)
    if found is None:
        raise SymflopsError(
            f"what does {name or 'the figure'!r} count? say --quantity params, forward, training, flops or ratio"
        )
    return found


@contextmanager
def _patiently() -> Iterator[Callable[[int, int], None]]:
    """A progress display that appears only where a search takes a while."""
    from symflops.cli.progress import stages

    with ExitStack() as stack:
        started, shown = monotonic(), list[Any]()

        def progress(done: int, of: int) -> None:
            if not shown and monotonic() - started > _PATIENCE:
                shown.append(stack.enter_context(stages()))
            for stage in shown:
                stage("searching", done, of)

        yield progress
