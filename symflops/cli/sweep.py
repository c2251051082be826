"""``symflops sweep``: measures of a model over grids of sizes, runs and devices."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from symflops.cli import options
from symflops.cli.plans import options as plans
from symflops.cli.progress import stages
from symflops.errors import SizeError, SymflopsError

if TYPE_CHECKING:
    from symflops.architectures.architecture import Attention
    from symflops.sweeping import Sweep, Swept
    from symflops.sweeping.files import Written

_MOST_PRINTED = 10_000


@click.command()
@click.argument("name", required=False)
@click.option(
    "--over", multiple=True, metavar="NAME=VALUES", help="12,24 or 768:12288:128 or 1:64:*2; may be repeated."
)
@click.option("--measure", "measures", multiple=True, metavar="NAMES", help="What is computed; --list names them.")
@click.option("--where", multiple=True, metavar="CONDITION", help="Keep points that meet it, such as 'days <= 30'.")
@click.option(
    "--zip", "zipped", multiple=True, metavar="NAMES", help="Names, such as n_layer,d_model, that vary together."
)
@click.option("--unfit", default="drop", metavar="HOW", help="Points that are no model: drop (default) or refuse.")
@click.option("--numbers", default="exact", metavar="HOW", help="exact (default), or float64 where int64 does not do.")
@options.convention
@click.option(
    "--attention", default="eager", type=click.Choice(["eager", "flash", "absorbed"]), help="How the core runs (eager)."
)
@plans.dtype
@plans.recompute
@click.option("--out", metavar="FILE", help="Write a .csv or .parquet file, part by part.")
@click.option("--scheduler", metavar="ADDRESS", help="Compute on a Dask cluster: its address, or local.")
@click.option("--list", "listed", is_flag=True, help="Print what can be measured.")
@options.as_json
def sweep(
    name: str | None,
    over: tuple[str, ...],
    measures: tuple[str, ...],
    where: tuple[str, ...],
    zipped: tuple[str, ...],
    unfit: str,
    numbers: str,
    convention: str | None,
    attention: Attention,
    dtype: str,
    recompute: str,
    out: str | None,
    scheduler: str | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Measures of the model NAME at every point of a grid, exact."""
    from symflops.conventions import TORCH
    from symflops.sweeping import prepared
    from symflops.sweeping.files import writer_of
    from symflops.training.checkpoints import scheme

    if listed:
        click.echo(_measures(as_json))
        return
    if name is None:
        raise SymflopsError("name a model, such as gpt2, or ask for --list")
    if out is not None:
        writer_of(Path(out))
    found = prepared(
        plans.named(name, attention),
        _ranges(over),
        [each for text in measures for each in _names(text)] or ("params", "C_training"),
        where=where,
        zipped=[_names(text) for text in zipped],
        unfit=unfit,
        numbers=numbers,
        convention=convention or TORCH,
        form=dtype,
        recompute=scheme(recompute),
    )
    click.echo(_held(found, scheduler, as_json) if out is None else _written(found, Path(out), scheduler, as_json))


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _ranges(texts: tuple[str, ...]) -> dict[str, str]:
    """What varies, from ``n_layer=12,24`` and such. Raises `SizeError` for text that says no range, or one twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or name in found:
            raise SizeError(
                f"--over takes name=values, each name once, such as n_layer=12,24 or seq=1024:8192:1024; not {text!r}"
            )
        found[name] = values
    return found


def _measures(as_json: bool) -> str:
    from symflops.render.plain import columns
    from symflops.sweeping import MEASURES

    rows = [(each.name, each.unit, each.meaning) for each in MEASURES.values()]
    if as_json:
        return json.dumps([dict(zip(("name", "unit", "meaning"), row, strict=True)) for row in rows], indent=2)
    return columns(["measure", "unit", "meaning"], rows)


def _progress(sweep: Sweep, run: Callable[[Callable[[int], None]], Any]) -> Any:
    """Runs with a bar of the points that are done."""
    total = sweep.grid.points
    with stages() as stage:
        return run(lambda done: stage(f"{done:,} of {total:,} points", done, total))


def _held(sweep: Sweep, scheduler: str | None, as_json: bool) -> str:
    from symflops.sweeping import held

    found: Swept = _progress(sweep, lambda progress: held(sweep, scheduler, progress))
    if not as_json:
        return "\n".join([found.text(), *_said(found.dropped, found.notes)])
    if len(found) > _MOST_PRINTED:
        raise SizeError(
            f"{len(found):,} points are more than the {_MOST_PRINTED:,} that are printed; write them with --out"
        )
    rows = [{name: _plain(value) for name, value in row.items()} for row in found.rows()]
    return json.dumps({**_head(sweep, len(found), found.dropped), "rows": rows}, indent=2)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value


def _written(sweep: Sweep, path: Path, scheduler: str | None, as_json: bool) -> str:
    from symflops.sweeping import stream

    found: Written = _progress(sweep, lambda progress: stream(sweep, path, scheduler, progress))
    if as_json:
        return json.dumps({**_head(sweep, found.points, found.dropped), "out": str(path)}, indent=2)
    return "\n".join([f"{found.points:,} points written to {path}", *_said(found.dropped, sweep.notes)])


def _head(sweep: Sweep, points: int, dropped: Mapping[str, int]) -> dict[str, Any]:
    columns = [{key: text for key, text in asdict(each).items() if key != "bound"} for each in sweep.columns]
    return {**sweep.chosen, "points": points, "dropped": dict(dropped), "columns": columns, "notes": list(sweep.notes)}


def _said(dropped: Mapping[str, int], notes: tuple[str, ...]) -> list[str]:
    return [
        *(f"dropped: {count:,} points, not {text}" for text, count in dropped.items()),
        *(f"note: {each}" for each in notes),
    ]
