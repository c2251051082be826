"""``symflops laws``: laws of costs listed, run on symflops' own declarations, or asked of a function of yours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from symflops.cli import options
from symflops.cli.progress import stages
from symflops.errors import SymflopsError

if TYPE_CHECKING:
    from symflops.derivation import Page
    from symflops.laws.adapters import Adapter, Function


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME …]")
@click.option("--run", "own", is_flag=True, help="Run them on symflops' own declarations.")
@click.option(
    "--mutate",
    is_flag=True,
    help="Plant faults in symflops' own declarations and see who finds them; about ten minutes on two cores. "
    "NAME is then a family, a mask or a convention (default all). Exit 1 if a fault that changes a cost survives.",
)
@click.option("--target", metavar="MODULE:FUNCTION", help="Ask them of this function; its module is imported.")
@click.option("--claims", metavar="WORDS", help='What it claims, such as "flops training per=token families=llama".')
@click.option("--with", "given", multiple=True, metavar="ARG=SIZE", help="What an argument is given; may be repeated.")
@click.option("--result", default="", metavar="KEY", help="Which of several numbers that it returns.")
@click.option("--scale", default="1", metavar="N", help="What one of the number is worth: 1e12 for TFLOPs.")
@click.option("--identify", is_flag=True, help="Find the claims that it fulfils, in place of asking the laws.")
@click.option("--examples", default="60", metavar="N", help="Cases for each law (default 60).")
@click.option("--seed", default="0", metavar="N", help="Other cases.")
@click.option("--keep", metavar="FOLDER", help="Keep cases that broke a law there, and ask them first.")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def laws(
    names: tuple[str, ...],
    own: bool,
    mutate: bool,
    target: str | None,
    claims: str | None,
    given: tuple[str, ...],
    result: str,
    scale: str,
    identify: bool,
    examples: str,
    seed: str,
    keep: str | None,
    form: str,
    as_json: bool,
) -> int:
    """The laws that costs obey: listed; with --run on symflops' own declarations; with --target on your function."""
    if mutate:
        return _mutated(names, "json" if as_json else form, own or target is not None)
    from symflops.laws.report import listed
    from symflops.laws.running import chosen, run_own
    from symflops.render import known_format

    shape, wanted = known_format("json" if as_json else form), chosen(names)
    if target is None:
        for option, value in (("--claims", claims), ("--with", given), ("--identify", identify), ("--keep", keep)):
            if value:
                raise SymflopsError(f"{option} is about a function; name it with --target MODULE:FUNCTION")
        if not own:
            return _shown(listed(wanted), shape, True)
        with stages() as stage:
            ran = run_own(wanted, stage)
        return _shown(ran, shape, ran.holds)
    from symflops.laws.targets import target as found

    function = found(target)
    how = _adapter(function, claims, given, result, scale)
    if identify:
        from symflops.laws.finding import find_claims

        fits = find_claims(function, how)
        return _shown(fits, shape, bool(fits.fits))
    return _asked(function, how, names, _search(examples, seed, keep), shape)


def _mutated(names: tuple[str, ...], form: str, more: bool) -> int:
    from symflops.laws.mutation.running import OF, mutate
    from symflops.render import known_format

    if more:
        raise SymflopsError("--mutate plants faults in symflops' own declarations; leave out --run and --target")
    shape = known_format(form)
    with stages() as stage:
        found = mutate(names or OF, stage)
    return _shown(found, shape, found.holds)


def _search(examples: str, seed: str, keep: str | None) -> dict[str, object]:
    from pathlib import Path

    number = 0 if seed == "0" else options.whole("--seed", seed)
    return {"examples": options.whole("--examples", examples), "seed": number, "database": Path(keep) if keep else None}


def _asked(function: Function, how: Adapter, names: tuple[str, ...], search: dict[str, object], shape: str) -> int:
    from symflops.laws.running import check

    with stages() as stage:
        report = check(function, how, laws=names, progress=stage, **search)  # type: ignore[arg-type]
    return _shown(report, shape, report.holds)


def _adapter(function: Function, claims: str | None, given: tuple[str, ...], result: str, scale: str) -> Adapter:
    from symflops.arithmetic import value
    from symflops.grammar import parse
    from symflops.laws.adapters import adapter

    said = dict(_pair(each) for each in given)
    return adapter(function, claims, said, result, value(parse(scale), {}))


def _pair(text: str) -> tuple[str, str]:
    name, equals, what = text.partition("=")
    if not (name and equals and what):
        raise SymflopsError(f"--with takes ARGUMENT=SIZE, such as num_layers=n_layer or cfg=config; not {text!r}")
    return name.strip(), what.strip()


def _shown(page: Page, shape: str, holds: bool) -> int:
    click.echo(page.show(shape).rstrip())
    return 0 if holds else 1
