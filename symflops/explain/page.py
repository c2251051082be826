"""An explanation as a page: both sources, the terms in closed form and in numbers, where each difference is from."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Expr

from symflops.explain.explanation import Explanation, Term
from symflops.explain.sides import Side, sides
from symflops.questions.answers import shown
from symflops.render.document import Block, Cell, Document, Prose, Table, readable


def page(found: Explanation) -> Document:
    """The page."""
    title = f"{found.a.name} - {found.b.name} on {found.on}"
    return Document(title, tuple(_blocks(found)), found.as_json())


def _blocks(found: Explanation) -> Iterator[Block]:
    for each in (found.a, found.b):
        yield Prose(_source(each))
    head = ("operations", found.a.name, found.b.name, "difference")
    yield Prose(f"{found.phase} {_units(found)} for one token{_length(found)}.")
    closed = tuple((term.name, *map(readable, (term.a, term.b)), _difference(term)) for term in found.terms)
    yield Table("Closed forms", head, (*closed, ("total", "", "", found.difference)))
    names = (found.a.name, found.b.name)
    totals = tuple((name, readable(form)) for name, form in zip(names, found.totals, strict=True))
    yield Table("Totals", ("source", "closed form"), totals)
    if found.values is not None:
        yield Table("Numbers", head, (*_numbers(found), _row("total", found.values)))
        if found.ratio is not None:
            yield Prose(f"{found.a.name} is {float(found.ratio):.6g} times {found.b.name}.")
    if found.reasons:
        yield Table("Where the difference is from", ("operations", "source", "counts"), tuple(_reasons(found)))
    for term in found.terms:
        if not term.equal and _same(term):
            yield Prose(f"{term.name}: different in closed form; the same at these sizes.")
    yield from map(Prose, _equal(found))


def _source(of: Side) -> str:
    again = "" if of.recompute == "nothing" else f" Counted again: {of.recompute}."
    return f"{of.name}: {of.title}. {of.citation}.{again}{f' {of.notes}' if of.notes else ''}"


def _units(found: Explanation) -> str:
    units = {found.a.unit, found.b.unit}
    return f"{units.pop()}s" if len(units) == 1 else f"{found.a.unit}s against {found.b.unit}s"


def _length(found: Explanation) -> str:
    return "" if found.n_seq is None else f", in a sequence of {found.n_seq:,}"


def _difference(term: Term) -> Cell:
    return "equal" if term.equal else term.difference


def _row(name: str, values: tuple[Expr, Expr]) -> tuple[Cell, ...]:
    return name, shown(values[0]), shown(values[1]), shown(values[0] - values[1])


def _numbers(found: Explanation) -> Iterator[tuple[Cell, ...]]:
    for term in found.terms:
        if term.values is not None:
            yield _row(term.name, term.values)


def _same(term: Term) -> bool:
    return term.values is not None and term.values[0] == term.values[1]


def _reasons(found: Explanation) -> Iterator[tuple[Cell, ...]]:
    for term in found.terms:
        if not term.equal:
            told = [words or "what is none of the readings known here" for words in term.readings]
            yield f"{term.name} ({', '.join(term.operations)})", found.a.name, told[0]
            yield "", found.b.name, told[1]


def _equal(found: Explanation) -> Iterator[str]:
    same = [term.name for term in found.terms if term.equal]
    if same:
        yield f"Equal for all sizes, proved by expansion: {'; '.join(same)}."
    if found.uncounted:
        yield f"Counted by neither: {', '.join(found.uncounted)}."


def listing() -> Document:
    """Every convention and formula, with its citation."""
    rows = tuple((each.name, each.title, each.citation) for each in sides())
    data = {"sources": [dict(zip(("name", "title", "citation"), row, strict=True)) for row in rows]}
    return Document("Conventions and formulas", (Table("", ("name", "title", "citation"), rows),), data)
