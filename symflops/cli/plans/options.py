"""Options that plans share, how their numbers are read, and how a plan is printed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from symflops.arithmetic import value
from symflops.errors import SymflopsError
from symflops.grammar import parse

if TYPE_CHECKING:
    from symflops.architectures import Architecture
    from symflops.architectures.architecture import Attention
    from symflops.plans.plan import Plan

_PRINTED = (
    click.option("--symbolic", is_flag=True, help="Print the closed forms with their derivation, as LaTeX by default."),
    click.option("--format", "form", metavar="FORMAT", help="text, markdown, latex, html or json."),
    click.option("--plot", metavar="FILE", help="Draw into a .png or .svg too."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
device = click.option("--device", metavar="NAME", help="h100, a100, mi300x, tpu-v5p, … or this, which is measured.")
model = click.option("--model", "name", metavar="NAME", help="A model by name, or a config.json.")
optimizer = click.option("--optimizer", default="adamw", metavar="NAME", help="sgd, adamw (default), lion, muon, …")
precision = click.option(
    "--precision", default="mixed-bf16", metavar="NAME", help="fp32, amp-bf16, mixed-bf16 (default), …"
)
dtype = click.option("--dtype", default="bf16", metavar="FORMAT", help="Format of the matmuls' operands (bf16).")
attention = click.option(
    "--attention", default="flash", type=click.Choice(["eager", "flash", "absorbed"]), help="How the core runs (flash)."
)
calibration = click.option(
    "--calibration", metavar="RECORD.json", help="Predict times from a record of symflops time --out."
)
recompute = click.option("--recompute", default="none", metavar="HOW", help="none, selective, full, or K layers.")


FARTHEST = 10**40
"""The largest number that is taken: more than all FLOPs, tokens and devices that there are."""


def printed(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which a plan is printed."""
    for option in reversed(_PRINTED):
        command = option(command)
    return command


def exact(name: str, text: str | None) -> Fraction | None:
    """A positive number from the command line, such as 15e12, 0.4 or 70*10**9, exactly; None where there is none.

    >>> exact("--tokens", "15e12"), exact("--mfu", None)
    (Fraction(15000000000000, 1), None)
    >>> exact("--tokens", "many")
    Traceback (most recent call last):
    symflops.errors.SymflopsError: --tokens is 'many'; give a positive number up to 1e40, such as 15e12 or 0.4

    Raises `SymflopsError` for what is no positive number, or beyond `FARTHEST`.
    """
    if text is None:
        return None
    try:
        found = value(parse(text), {})
    except SymflopsError:
        found = Fraction(0)
    if not isinstance(found, Fraction) or not 0 < found <= FARTHEST:
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        raise SymflopsError(f"{name} is {shown!r}; give a positive number up to 1e40, such as 15e12 or 0.4")
    return found


def whole_or_none(name: str, text: str | None) -> int | None:
    """A positive whole number, also as 1e3; None where there is none. Raises `SymflopsError` for another."""
    found = exact(name, text)
    if found is not None and found.denominator != 1:
        raise SymflopsError(f"{name} is {text!r}; give a whole number, such as 1024")
    return None if found is None else int(found)


def whole(name: str, text: str) -> int:
    """A positive whole number, also as 1e3. Raises `SymflopsError` for another."""
    return whole_or_none(name, text) or 1


def named(name: str | None, attention: Attention = "eager") -> Architecture | None:
    """The model of a name, whose attention's core runs in some way; None where there is no name."""
    from symflops.architectures import architecture

    return None if name is None else architecture(name, attention)


def show(plan: Plan, symbolic: bool, form: str | None, plot: str | None, as_json: bool) -> int:
    """Print a plan: its figures, or, symbolic, its closed forms. The exit code: 1 where it takes more than is there."""
    from symflops.render import known_format, render_document

    if plot is not None:
        from symflops.pictures import save
        from symflops.plan_pictures import draw_plan

        save(draw_plan(plan), plot)

    shape = known_format("json" if as_json else form or ("latex" if symbolic else "text"))
    document = plan.symbolic() if symbolic else plan.document()
    click.echo(render_document(document, shape).rstrip())
    return 0 if plan.holds else 1
