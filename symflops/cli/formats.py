"""``symflops formats``: number formats and what follows from their bits; what a number becomes in each."""

from __future__ import annotations

from fractions import Fraction

import click

from symflops.cli import options


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME …]")
@click.option("--number", metavar="X", help="What this number becomes in each: 1e-8, 2**-24, 448*1.1.")
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def formats(names: tuple[str, ...], number: str | None, form: str, as_json: bool) -> None:
    """Number formats: bits, range and precision, all derived; with --number, what that becomes and the error."""
    from symflops.render import known_format
    from symflops.training.formats_shown import table_of

    shape = known_format("json" if as_json else form)
    click.echo(table_of(names, None if number is None else exact(number)).show(shape).rstrip())


def exact(text: str) -> Fraction:
    """The exact number that a text says.

    >>> exact("1e-8")
    Fraction(1, 100000000)
    >>> exact("sqrt(2)")
    Traceback (most recent call last):
    symflops.grammar.FormulaError: 'sqrt(2)' is no exact number; give one such as 1e-8, 2**-24 or 448*1.1

    Raises `FormulaError` for text that is no formula, has names, or is irrational.
    """
    from symflops.arithmetic import value
    from symflops.grammar import FormulaError, parse

    try:
        found = value(parse(text), {})
    except FormulaError as error:
        raise FormulaError(f"--number is {text!r}: {error}; give one such as 1e-8, 2**-24 or 448*1.1") from None
    if not isinstance(found, Fraction):
        raise FormulaError(f"{text!r} is no exact number; give one such as 1e-8, 2**-24 or 448*1.1")
    return found
