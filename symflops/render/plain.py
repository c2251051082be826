"""Text in columns and lines of a width: words wrap, formulas stay whole, so that they can be copied."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from symflops.documents import Cell, Piece, pieces, plain
from symflops.render.wording import spelled

WIDTH = 110
"""Letters of a line where no terminal is there to say."""
_NARROWEST = 24
_JOINED = "\ue000"


def terminal_width() -> int:
    """Letters of a line of the terminal, or `WIDTH` where the output goes elsewhere."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns, the first left, as text.

    >>> print(columns(["size", "value"], [["n_layer", "12"]]))
    size     value
    -------  -----
    n_layer  12
    """
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> str:
    """As `columns`, with words wrapped where the table is wider than a line.

    >>> print(table(["row", "why"], [["Embed", "two lookups and an addition, no matmul"]], 36))
    row    why
    -----  ----------------------------
    Embed  two lookups and an addition,
           no matmul
    """
    widths = _widths([head, *rows], width)
    lines = [[wrapped(cell, room) for cell, room in zip(row, widths, strict=True)] for row in [head, *rows]]
    shown = [max(map(len, (part for line in column for part in line))) for column in zip(*lines, strict=True)]
    rule = "  ".join("-" * each for each in shown)
    first, *rest = ("\n".join(_side_by_side(line, shown)) for line in lines)
    return "\n".join([first, rule, *rest])


def _side_by_side(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    deepest = max(map(len, cells))
    filled = [[*cell, *[""] * (deepest - len(cell))] for cell in cells]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*filled, strict=True)
    ]


def _widths(rows: Sequence[Sequence[Cell]], width: int) -> list[int]:
    """What each column gets: what it asks for while there is room; the widest give way, down to their longest word."""
    found = [max(len(plain(cell)) for cell in column) for column in zip(*rows, strict=True)]
    least = [max(map(_longest_word, column)) for column in zip(*rows, strict=True)]
    least = [min(asked, max(word, _NARROWEST)) for asked, word in zip(found, least, strict=True)]
    while sum(found) + 2 * (len(found) - 1) > width and found != least:
        widest = max((each for each in range(len(found)) if found[each] > least[each]), key=lambda each: found[each])
        found[widest] -= 1
    return found


def _longest_word(cell: Cell) -> int:
    return max(map(len, _joined(cell).split()), default=0)


def wrapped(cell: Cell, width: int, indent: str = "", further: str = "") -> list[str]:
    """Lines of at most so many letters, unless a formula is longer; ``indent`` before the first, ``further`` after it.

    >>> from symflops.notation import n_ctx
    >>> wrapped(("takes ", n_ctx + 1, " steps"), 10)
    ['takes', 'n_ctx + 1', 'steps']
    """
    # A break at a hyphen would take a name of the notation apart.
    lines = textwrap.wrap(
        _joined(cell), max(width, 1), initial_indent=indent, subsequent_indent=further, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_JOINED, " ") for line in lines] or [indent.rstrip()]


def _joined(cell: Cell) -> str:
    """A cell as text in which the spaces of formulas do not break."""
    return "".join(_kept(piece) for each in pieces(cell) for piece in _parts(each))


def _parts(piece: Piece) -> tuple[Piece, ...]:
    return tuple(spelled(piece)) if isinstance(piece, str) else (piece,)


def _kept(piece: Piece) -> str:
    return piece if isinstance(piece, str) else plain(piece).replace(" ", _JOINED)
