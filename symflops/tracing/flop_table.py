"""The table of FLOPs by module and operator, in the layout of torch's `FlopCounterMode.get_table`.

That one needs the package tabulate; this one writes the same lines without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

Counts: TypeAlias = MutableMapping[str, MutableMapping[Any, int]]
"""FLOPs by module name, then by operator."""
GLOBAL: Final = "Global"
_HEAD: Final = ("Module", "FLOP", "% Total")
_SUFFIXES: Final = ("", "K", "M", "B", "T")
_PADDING: Final = 2
"""Headings keep this much room beside them, and a column is never narrower."""


def table(counts: Mapping[str, Mapping[Any, int]], depth: int | None) -> str:
    """Modules by name down to ``depth`` (None: all), each with its operators; ``Global`` where no module has it all.

    Numbers are in thousands, millions and so on, all in that of the total.

    >>> print(table({"Linear": {"aten.mm": 30_000_000}, "Global": {"aten.mm": 60_000_000}}, 2))
    Module          FLOP    % Total
    -----------  -------  ---------
    Global       60.000M    100.00%
     - aten.mm   60.000M    100.00%
     Linear      30.000M     50.00%
      - aten.mm  30.000M     50.00%
    """
    rows = list(_rows(counts, depth)) or [(GLOBAL, "0", "0%")]
    return _laid_out(rows)


def _rows(counts: Mapping[str, Mapping[Any, int]], depth: int | None) -> Iterator[tuple[str, str, str]]:
    """Name, FLOPs and share of every module and operator that is shown."""
    total = sum(counts.get(GLOBAL, {}).values())
    levels = {name: name.count(".") for name in sorted(counts) if name != GLOBAL}
    shown = {name: level for name, level in levels.items() if depth is None or level < depth}
    apart = GLOBAL in counts and all(sum(counts[name].values()) < total for name in shown)
    if apart:
        yield from _module(GLOBAL, "", counts[GLOBAL], total)
    for name, level in shown.items():
        yield from _module(name, " " * (level + apart), counts[name], total)


def _module(name: str, indent: str, counts: Mapping[Any, int], total: int) -> Iterator[tuple[str, str, str]]:
    yield indent + name, _number(sum(counts.values()), total), _share(sum(counts.values()), total)
    for operator, flops in counts.items():
        yield f"{indent} - {operator}", _number(flops, total), _share(flops, total)


def _number(flops: int, total: int) -> str:
    """With the suffix that leaves the total two to four digits before the point; numbers without one are whole."""
    place = max(0, min(len(_SUFFIXES) - 1, (len(str(total)) - 2) // 3))
    shown = f"{flops / 1000**place:.3f}"
    return shown + _SUFFIXES[place] if place else f"{float(shown):g}"


def _share(flops: int, total: int) -> str:
    return f"{flops / total:.2%}" if total else "0%"


def _laid_out(rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headings: names to the left, numbers to the right."""
    heads = [len(head) + _PADDING for head in _HEAD]
    widths = [max(head, *map(len, column)) for head, column in zip(heads, zip(*rows, strict=True), strict=True)]
    lines = [_HEAD, ["-" * width for width in widths], *rows]
    return "\n".join(f"{name:<{widths[0]}}  {flops:>{widths[1]}}  {share:>{widths[2]}}" for name, flops, share in lines)
