"""Sizes that vary, as a command line gives them: every combination of them, by their whole names.

>>> list(combinations(["seq=128,256", "d_model=512:1024:*2"], {"n_batch": 2}))[:2]
[{'n_batch': 2, 'n_seq': 128, 'd_model': 512}, {'n_batch': 2, 'n_seq': 128, 'd_model': 1024}]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from symflops.cli import options
from symflops.errors import SizeError
from symflops.sweeping.axes import Axis, axes

LONGEST = 10**9
_MOST_POINTS = 10_000


def combinations(grid: Sequence[str], fixed: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Every combination of ``NAME=VALUES``, each with the sizes that are fixed and not varied.

    Raises `SizeError` for text that says no sizes, or one twice.
    """
    names: dict[str, str] = {}
    for text in grid:
        name, _, values = (part.strip() for part in text.partition("="))
        if not (name and values) or name in names:
            what = "a size and its values, each size once, such as seq=128,256 or d_model=256:1024:*2"
            raise SizeError(f"--grid is {text!r}; give {what}")
        names[name] = values
    columns = [_column(each) for each in axes(names)]
    for number, values_of in enumerate(product(*(numbers for _, numbers in columns))):
        if number >= _MOST_POINTS:
            raise SizeError(f"--grid has more than {_MOST_POINTS:,} points; give fewer values")
        yield {**fixed, **dict(zip((name for name, _ in columns), values_of, strict=True))}


def _column(of: Axis) -> tuple[str, list[int]]:
    name, numbers = next(iter(of.numbers.items()))
    whole = [number for number in numbers if isinstance(number, int)]
    if len(of.numbers) > 1 or len(whole) < len(numbers):
        raise SizeError(f"--grid: {', '.join(of.columns)} is no size; give whole numbers, such as seq=128,256")
    return name, whole


def bounded(name: str, text: str, most: int = LONGEST) -> int:
    """A positive whole number up to a bound. Raises `SizeError`."""
    found = options.whole(name, text)
    if found > most:
        raise SizeError(f"{name} is {text[:40]}; give at most {most}")
    return found
