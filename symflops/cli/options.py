"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

from collections.abc import Sequence

import click

from symflops.errors import SizeError

convention = click.option("--convention", metavar="NAME", help="How to price the work: kaplan, palm, torch, exact, …")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
batch = click.option("--batch", default="1", metavar="B", help="Sequences in a batch (default 1).")
seq = click.option("--seq", metavar="T", help="Tokens in a sequence (default: the whole context).")


def whole(name: str, text: str) -> int:
    """A positive integer of any length from the command line.

    >>> whole("--batch", "8")
    8
    >>> whole("--batch", "2.5")
    Traceback (most recent call last):
    symflops.errors.SizeError: --batch is '2.5'; give a positive integer in digits, such as 96

    Raises `SizeError` for anything else.
    """
    digits = text.replace("_", "")
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) <= 1000 and int(digits) > 0):
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        raise SizeError(f"{name} is {shown!r}; give a positive integer in digits, such as 96")
    return int(digits)


def assignments(texts: Sequence[str]) -> dict[str, int]:
    """Sizes from ``n_layer=96`` and such.

    >>> assignments(["n_layer=96"])
    {'n_layer': 96}

    Raises `SizeError` for text that assigns no size, or one twice.
    """
    found: dict[str, int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise SizeError(f"--set takes name=integer, each size once, such as n_layer=96; not {text!r}")
        found[name.strip()] = whole(name.strip(), value.strip())
    return found
