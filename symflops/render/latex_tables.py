r"""Tables in LaTeX that fit the page: paragraphs as columns, each as wide as its longest word and its text ask for.

A table that is too wide for the page is set smaller, then along the long side of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sympy import Add, Basic, Expr, Mul, Pow, S, Symbol, fraction
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from symflops.documents import Cell, Code, Piece, Table, division, pieces
from symflops.render.latex import LONG_FRACTION, breakable, prose, verbatim
from symflops.render.wording import is_symbol, spelled


@dataclass(frozen=True)
class _Layout:
    """A size of letters, where the table stands, how wide a line is in em, and the gap beside a column in points."""

    size: str
    around: str
    line: float
    gap: float


# The page is A4 with margins of 2 cm: 483 pt, or 731 pt along its long side. Smaller letters are wider for their size.
_LAYOUTS = (
    _Layout(r"\small", "", 53, 6),
    _Layout(r"\footnotesize", "", 57, 4),
    _Layout(r"\scriptsize", "", 60.5, 3),
    _Layout(r"\footnotesize", "landscape", 86, 4),
    _Layout(r"\scriptsize", "landscape", 91.5, 3),
    _Layout(r"\tiny", "landscape", 107, 2),
)
_POINTS = {r"\small": 9, r"\footnotesize": 8.5, r"\scriptsize": 8, r"\tiny": 6.8}
_ROOM = 15
"""How many em a column of sentences should have; below it, another layout is tried."""
_FORMULA, _TYPEWRITER, _SAFETY = 0.5, 0.54, 0.4
_WIDTHS = {
    **dict.fromkeys("ijl.,;:'|!", 0.29),
    **dict.fromkeys("frtsI()[]-/ ", 0.42),
    **dict.fromkeys("mwABCDEFGHJKLNOPQRSTUVXYZ%&", 0.8),
    **dict.fromkeys("MW", 1.05),
}
_LETTER, _LONG_WORD, _CHUNK = 0.56, 24, 8


def longtable(table: Table) -> str:
    """The table with its title, over several pages where it needs them."""
    layout, shares = _fitted(list(zip(table.head, *table.rows, *([table.total] if table.total else []), strict=True)))
    title = [rf"\textbf{{{prose(table.title)}}}\nopagebreak", ""] if table.title else []
    last = [r"\midrule", _line(table.total)] if table.total else []
    start = [rf"\begin{{longtable}}{{{_columns(shares)}}}", r"\toprule", _line(table.head), r"\midrule", r"\endhead"]
    body = [*map(_line, table.rows), *last, r"\bottomrule", r"\end{longtable}"]
    begin, end = ([rf"\begin{{{layout.around}}}"], [rf"\end{{{layout.around}}}"]) if layout.around else ([], [])
    setup = rf"{layout.size}\setlength{{\tabcolsep}}{{{layout.gap:g}pt}}"
    return "\n".join([*begin, rf"{{{setup}", *title, *start, *body, "}", *end])


def _line(cells: Sequence[Cell]) -> str:
    # What begins with a star or a bracket would be read as an argument of the line break before it.
    return "{}" + " & ".join(map(cell, cells)) + r" \\"


def cell(shown: Cell) -> str:
    """What stands in a cell or a paragraph, in LaTeX."""
    return "".join(map(_piece, pieces(shown)))


def _piece(piece: Piece) -> str:
    if isinstance(piece, str):
        return prose(piece)
    if isinstance(piece, Code):
        return verbatim(piece.text)
    divided = division(piece)
    return f"${breakable(piece)}$" if divided is None else rf"${breakable(divided[0])} \mid {breakable(divided[1])}$"


def _columns(shares: Sequence[float]) -> str:
    gaps = rf"\dimexpr\linewidth-{2 * len(shares)}\tabcolsep\relax"
    return "".join(rf">{{\raggedright\arraybackslash}}p{{{share:.4f}{gaps}}}" for share in shares)


def _fitted(columns: Sequence[Sequence[Cell]]) -> tuple[_Layout, list[float]]:
    """The first layout in which every column has room, and what part of the line each column gets."""
    least = [max(map(longest, column)) + _SAFETY for column in columns]
    asked = [max(max(map(_width, column)) - fewest, 0) for column, fewest in zip(columns, least, strict=True)]
    needed = sum(least) + min(_ROOM, sum(asked))
    layout = next((each for each in _LAYOUTS if needed <= _room(each, len(columns))), _LAYOUTS[-1])
    line = _room(layout, len(columns))
    given = _shared(max(line - sum(least), 0), asked)
    widths = [fewest + more for fewest, more in zip(least, given, strict=True)]
    return layout, [width / max(line, sum(widths)) for width in widths]


def _room(layout: _Layout, columns: int) -> float:
    return layout.line - 2 * columns * layout.gap / _POINTS[layout.size]


def _shared(room: float, asked: Sequence[float]) -> list[float]:
    """What is left of a line, to each column what it asks for, or its equal part of the rest."""
    order = sorted(range(len(asked)), key=lambda each: asked[each])
    found = [0.0] * len(asked)
    for place, each in enumerate(order):
        found[each] = min(asked[each], room / (len(order) - place))
        room -= found[each]
    return found


def _width(shown: Cell) -> float:
    """About how wide a cell is in one line, in em."""
    return sum(map(_piece_width, pieces(shown)))


def _piece_width(piece: Piece) -> float:
    if isinstance(piece, Basic):
        return _FORMULA * len(str(piece))
    return _TYPEWRITER * len(piece.text) if isinstance(piece, Code) else _words_width(piece)


def _words_width(text: str) -> float:
    return sum(_WIDTHS.get(letter, _LETTER) for letter in text)


def longest(shown: Cell) -> float:
    """About how wide the widest part is that does not break, in em."""
    return max(map(_longest_part, pieces(shown)), default=0)


def _longest_part(piece: Piece) -> float:
    if isinstance(piece, Basic):
        return _FORMULA * _unbroken(piece)
    if isinstance(piece, Code):
        return _TYPEWRITER * max(map(_letters, _broken(piece.text, "*./:_,(")), default=0)
    return max(map(_spelled_width, spelled(piece)), default=0)


def _spelled_width(part: str | Code) -> float:
    if isinstance(part, Code):
        return _longest_part(part)
    return max((_words_width(word[: _letters(word)]) for word in _broken(part, "/")), default=0)


def _letters(word: str) -> int:
    return _CHUNK if len(word) >= _LONG_WORD else len(word)


def _broken(text: str, after: str) -> list[str]:
    """The parts of a text that stay whole: it breaks at spaces and after some signs."""
    places = [place for place, letter in enumerate(text, 1) if letter in after or letter.isspace()]
    return [text[first:last].strip() for first, last in pairwise([0, *places, len(text)])]


def _unbroken(expression: Basic) -> int:
    """Letters in ASCII of the longest part of a formula that does not break."""
    if isinstance(expression, Add | Relational | BooleanFunction):
        return max(map(_unbroken, expression.args), default=4) + 2
    if isinstance(expression, Mul):
        return _of_product(expression)
    if isinstance(expression, Pow) and isinstance(expression.base, Add) and expression.exp.is_positive:
        return _unbroken(expression.base) + 2
    # A symbol that is no name, such as of a foreign config, is set as a text.
    return len(str(expression)) * (2 if isinstance(expression, Symbol) and not is_symbol(expression.name) else 1)


def _of_product(expression: Expr) -> int:
    numerator, denominator = fraction(expression, exact=True)
    if denominator is S.One:
        return max(map(_unbroken, expression.args)) + 2
    above, below = len(str(numerator)), len(str(denominator))
    if max(above, below) <= LONG_FRACTION:
        return max(above, below)
    return max(_unbroken(numerator), _unbroken(denominator) if below > LONG_FRACTION else below)
