"""Answers: a closed form, where it holds, and its exact value at a model's sizes.

>>> from sympy import Integer
>>> from symflops.notation import d_ff, n_layer
>>> answer = Answer("n_seq of the example", (Case(3 * d_ff / 2),), Integer(21504), first=21505)
>>> answer.form, answer.value, answer.first
(3*d_ff/2, 21504, 21505)
>>> shown(Rational(3, 2)), shown(Rational(1, 3)), shown(Integer(21504))
('1.5', '~0.333333', '21,504')
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from sympy import And, Expr, Rational, floor
from sympy.logic.boolalg import Boolean

from symflops.documents import Cell, Document, Prose, Table, plain
from symflops.notation import TERMS
from symflops.render.latex import QUANTITIES, formula
from symflops.render.plain import columns

_DIGITS = 6
_SHORT = 12
_NAME = re.compile(r"\b(" + "|".join(map(re.escape, [*TERMS, *QUANTITIES])) + r")\b")


@dataclass(frozen=True)
class Case:
    """A closed form and the conditions under which it is the answer; without conditions it always is."""

    form: Expr
    domain: tuple[Boolean, ...] = ()


@dataclass(frozen=True, repr=False)
class Answer:
    """What a quantity is: its closed form, by cases where there are several, and its exact value at a model's sizes.

    At a model's sizes ``cases`` holds the one that applies. ``first`` is the first integer at which what was asked
    holds. ``value`` is None where sizes are open or there is no such quantity; ``note`` then says why.
    """

    quantity: str
    cases: tuple[Case, ...] = ()
    value: Expr | None = None
    first: int | None = None
    note: str = ""

    @property
    def form(self) -> Expr | None:
        """The closed form, where there is one for all sizes or the model's."""
        return self.cases[0].form if len(self.cases) == 1 else None

    def as_json(self) -> dict[str, Any]:
        """Plain values: integers exact, other numbers and expressions as text in the ASCII notation."""
        cases = [{"closed_form": str(each.form), "domain": [plain(it) for it in each.domain]} for each in self.cases]
        value = None if self.value is None else exact(self.value)
        return {"quantity": self.quantity, "cases": cases, "value": value, "first": self.first, "note": self.note}

    def at_sizes(self) -> str:
        """The value as text, from which integer on it holds, and the note."""
        value = [] if self.value is None else [shown(self.value)]
        first = [] if self.first is None else [f"more from {self.first:,} on"]
        return "; ".join([*value, *first, *([self.note] if self.note else [])])

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """The lines of a table: the quantity, a closed form, where it holds, the value."""
        if not self.cases:
            yield self.quantity, "none", "", self.at_sizes()
        for number, case in enumerate(self.cases):
            first = number == 0
            yield (
                self.quantity if first else "",
                case.form,
                _where(case) or "all sizes",
                self.at_sizes() if first else "",
            )

    def lines(self) -> Iterator[str]:
        """Lines for a terminal: the quantity, then what it equals."""
        yield self.quantity
        for case in self.cases:
            where = _where(case)
            yield f"    = {case.form}" + (f", where {where}" if where else "")
        if self.at_sizes() not in ("", str(self.form)):
            yield f"    {'' if self.value is None or shown(self.value).startswith('~') else '= '}{self.at_sizes()}"

    def text(self) -> str:
        """Plain text."""
        return "\n".join(self.lines())

    __str__ = __repr__ = text

    def _repr_latex_(self) -> str:
        return _aligned(self.latex())

    def latex(self) -> Iterator[str]:
        """Lines of an ``aligned``: quantity, closed form, value."""
        value = "" if self.value is None else _set(shown(self.value))
        last = rf"\quad \text{{({self.note})}}" if self.note else ""
        for case in self.cases:
            where = rf"\quad \text{{where }} {formula(And(*case.domain))}" if case.domain else ""
            yield rf"{_phrase(self.quantity)} &: {formula(case.form)}{value}{where}{last}"
        if not self.cases:
            yield rf"{_phrase(self.quantity)} &: \text{{none}}{value}{last}"


@dataclass(frozen=True, repr=False)
class Reply:
    """What a question is answered with: answers by name, each an attribute, and remarks. It shows itself."""

    title: str
    remarks: tuple[str, ...]

    @property
    def answers(self) -> dict[str, Answer]:
        """Every answer, by the name of its attribute."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: each for name, each in found.items() if isinstance(each, Answer)}

    @property
    def table(self) -> Table:
        """The answers as one table."""
        rows = tuple(row for answer in self.answers.values() for row in answer.rows())
        columns = [0, 1, 2, 3] if any(row[2] not in ("", "all sizes") for row in rows) else [0, 1, 3]
        head = ("quantity", "closed form", "where", "value")
        return Table("", tuple(head[each] for each in columns), tuple(tuple(r[each] for each in columns) for r in rows))

    @property
    def more(self) -> tuple[Table, ...]:
        """Tables besides the answers."""
        return ()

    def document(self) -> Document:
        """The reply as a page, for any format that `render_document` knows."""
        remarks = tuple(map(Prose, self.remarks))
        return Document(self.title, (self.table, *self.more, *remarks), self.as_json())

    def text(self) -> str:
        """Plain text."""
        lines = (f"  {line}" for answer in self.answers.values() for line in answer.lines())
        return "\n".join([self.title, *lines, *self._tables(), *self.remarks])

    def _tables(self) -> list[str]:
        return [columns(each.head, [[plain(cell) for cell in row] for row in each.rows]) for each in self.more]

    def as_json(self) -> dict[str, Any]:
        """Plain values: the title, each answer by name, remarks."""
        return {
            "title": self.title,
            **{name: answer.as_json() for name, answer in self.answers.items()},
            "remarks": list(self.remarks),
        }

    def _repr_latex_(self) -> str:
        return _aligned(line for answer in self.answers.values() for line in answer.latex())

    __str__ = __repr__ = text


def _aligned(lines: Iterable[str]) -> str:
    return r"$\displaystyle \begin{aligned} " + r" \\ ".join(lines) + r" \end{aligned}$"


def _where(case: Case) -> str:
    return " and ".join(map(plain, case.domain))


def exact(value: Expr) -> int | str:
    """An integer as such, any other number as text without rounding.

    >>> exact(Rational(6, 2)), exact(Rational(1, 3))
    (3, '1/3')
    """
    return int(value) if value.is_Integer else str(value)


def shown(value: Expr) -> str:
    """A number for a reader: whole or with few decimals as it is, else rounded, with ``~`` before it."""
    if value.is_Integer:
        return f"{int(value):,}"
    if value.is_Rational and 10**4 % value.q == 0 and len(str(value.p)) <= _SHORT:
        places = next(each for each in range(1, 5) if 10**each % value.q == 0)
        whole, part = divmod(abs(value.p) * 10**places // value.q, 10**places)
        return f"{'-' if value < 0 else ''}{whole:,}.{part:0{places}}"
    if abs(value) >= 10**6:
        return f"~{int(floor(value + Rational(1, 2))):,}"
    if abs(value) >= 1000:
        tenths = int(floor(10 * value + Rational(1, 2)))
        return f"~{tenths // 10:,}.{tenths % 10}"
    return f"~{float(value):.{_DIGITS}g}"


def _phrase(text: str) -> str:
    """A phrase with the names of the notation set as formulas."""
    parts = _NAME.split(text)
    named = {**{name: term.latex for name, term in TERMS.items()}, **QUANTITIES}
    return "".join(named[part] if place % 2 else _words(part) for place, part in enumerate(parts) if part)


def _words(text: str) -> str:
    escaped = text.replace("%", r"\%").replace("_", r"\_")
    return rf"\text{{{escaped}}}"


def _set(number: str) -> str:
    sign = r"\approx" if number.startswith("~") else "="
    return f" {sign} " + number.removeprefix("~").replace(",", "{,}")
