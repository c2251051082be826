"""The difference of two sides on one architecture, term by term: a value that shows itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sympy import Add, Expr

from symflops.conventions import Convention
from symflops.errors import UnknownName
from symflops.explain.published import Formula, known_phase
from symflops.explain.readings import reading
from symflops.explain.sides import Cell, Place, Side, place, side
from symflops.measures import Phase
from symflops.proof import equal, residual
from symflops.questions.answers import exact
from symflops.questions.subjects import Given
from symflops.render.document import Document


@dataclass(frozen=True)
class Term:
    """What both sides count for the operations of some roles: closed forms, their difference, and values of all three.

    ``readings`` say what each side's form is, in words, where the algebra proves it; ``operations`` are the paths of
    the operations. Values are None where sizes are open.
    """

    roles: tuple[str, ...]
    operations: tuple[str, ...]
    a: Expr
    b: Expr
    difference: Expr
    readings: tuple[str | None, str | None]
    values: tuple[Expr, Expr] | None

    @property
    def name(self) -> str:
        """Its roles."""
        return ", ".join(self.roles)

    @property
    def equal(self) -> bool:
        """Whether both count the same for all sizes, proved by expansion."""
        return bool(self.difference == 0)


@dataclass(frozen=True, repr=False)
class Explanation:
    """All terms of a difference: ``terms`` are those that a side counts, ``uncounted`` the roles that neither does."""

    a: Side
    b: Side
    on: str
    phase: Phase
    n_seq: int | None
    terms: tuple[Term, ...]
    uncounted: tuple[str, ...]

    @property
    def totals(self) -> tuple[Expr, Expr]:
        """What each side counts for one token, in closed form."""
        return Add(*(term.a for term in self.terms)), Add(*(term.b for term in self.terms))

    @property
    def difference(self) -> Expr:
        """The first total less the second, factored."""
        return residual(*self.totals)

    @property
    def values(self) -> tuple[Expr, Expr] | None:
        """Both totals at the sizes, exactly."""
        found = [term.values for term in self.terms]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return Add(*(first for first, _ in known)), Add(*(second for _, second in known))

    @property
    def ratio(self) -> Expr | None:
        """The first total over the second, exactly; None where sizes are open or the second is nothing."""
        if self.values is None or self.values[1] == 0:
            return None
        return self.values[0] / self.values[1]

    def __getitem__(self, role: str) -> Term:
        """The term of a role. Raises `UnknownName`."""
        for term in self.terms:
            if role in term.roles:
                return term
        raise UnknownName("role of a term", role, [each for term in self.terms for each in term.roles])

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for each term that differs: where it comes from."""
        return tuple(self.reason(term) for term in self.terms if not term.equal)

    def reason(self, term: Term) -> str:
        """What each side takes for a term, in words."""
        told = zip((self.a, self.b), term.readings, (term.a, term.b), strict=True)
        said = "; ".join(f"{each.name} counts {_told(words, form)}" for each, words, form in told)
        same = term.values is not None and equal(*term.values)
        return f"{term.name}: {said}{'; at these sizes the same' if same else ''}."

    def document(self) -> Document:
        """The explanation as a page."""
        from symflops.explain.page import page

        return page(self)

    def as_json(self) -> dict[str, Any]:
        """Plain values: integers exact, expressions and fractions as text."""
        return {
            "a": _side_json(self.a),
            "b": _side_json(self.b),
            "on": self.on,
            "phase": self.phase,
            "per": "token",
            "seq": self.n_seq,
            "terms": [self._term_json(each) for each in self.terms],
            "total": _numbers(*self.totals, self.difference, self.values),
            "ratio": None if self.ratio is None else exact(self.ratio),
            "uncounted": list(self.uncounted),
        }

    def _term_json(self, term: Term) -> dict[str, Any]:
        return {
            "roles": list(term.roles),
            "operations": list(term.operations),
            **_numbers(term.a, term.b, term.difference, term.values),
            "equal": term.equal,
            "readings": list(term.readings),
            "reason": None if term.equal else self.reason(term),
        }

    def text(self) -> str:
        """Plain text."""
        from symflops.render import render_document

        return render_document(self.document(), "text").rstrip()

    __str__ = __repr__ = text

    def _repr_html_(self) -> str:
        from symflops.render import render_document

        return render_document(self.document(), "html")


def _told(words: str | None, form: Expr) -> str:
    return words if words is not None else f"{form}, which is none of the readings known here"


def _side_json(of: Side) -> dict[str, str]:
    return {"name": of.name, "title": of.title, "citation": of.citation, "unit": of.unit, "recompute": of.recompute}


def _numbers(a: Expr, b: Expr, difference: Expr, values: tuple[Expr, Expr] | None) -> dict[str, Any]:
    known = (None, None, None) if values is None else (*map(exact, values), exact(values[0] - values[1]))
    names = ("a", "b", "difference")
    forms = dict(zip(names, map(str, (a, b, difference)), strict=True))
    return {**forms, "values": dict(zip(names, known, strict=True))}


def explained(
    a: str | Path | Convention | Formula,
    b: str | Path | Convention | Formula,
    on: Given,
    n_seq: int | None,
    phase: Phase,
) -> Explanation:
    """See `symflops.explain`."""
    known_phase(phase)
    first, second = side(a), side(b)
    where = place(on, n_seq)
    cells = first.cells(where, phase), second.cells(where, phase)
    groups = aligned([cell.roles for each in cells for cell in each if cell.form != 0], where, cells)
    terms = tuple(_term(group, cells, (first, second), where, phase) for group in groups)
    counted = {role for group in groups for role in group}
    uncounted = tuple(role for role in where.roles if role not in counted)
    return Explanation(first, second, where.name, phase, where.length, terms, uncounted)


def aligned(
    sets: Iterable[frozenset[str]], where: Place, cells: tuple[tuple[Cell, ...], tuple[Cell, ...]]
) -> tuple[tuple[str, ...], ...]:
    """The smallest groups of roles that no cell crosses, in reading order.

    A table that embedding and logits share is one group where a side pays for the logits by the table's parameters.
    """
    shared = [frozenset({"embedding", "logits"})] if any(_pays_by_table(each, where) for each in cells) else []
    groups: list[frozenset[str]] = []
    for each in (*sets, *shared):
        touched = [group for group in groups if group & each]
        groups = [group for group in groups if not group & each] + [each.union(*touched)]
    order = {role: number for number, role in enumerate(where.roles)}
    inside = (tuple(sorted(group, key=order.__getitem__)) for group in groups)
    return tuple(sorted(inside, key=lambda group: order[group[0]]))


def _pays_by_table(cells: tuple[Cell, ...], where: Place) -> bool:
    sums = {role: Add(*(cell.form for cell in cells if role in cell.roles)) for role in ("embedding", "logits")}
    return where.tied and sums["embedding"] != 0 and sums["logits"] == 0


def _term(
    group: tuple[str, ...],
    cells: tuple[tuple[Cell, ...], tuple[Cell, ...]],
    both: tuple[Side, Side],
    where: Place,
    phase: Phase,
) -> Term:
    those = tuple(use for role in group for use in where.by_role[role])
    a, b = (Add(*(cell.form for cell in each if cell.roles <= set(group))) for each in cells)
    told = tuple(reading(form, those, phase, of.unit) for form, of in zip((a, b), both, strict=True))
    paths = tuple(dict.fromkeys(use.path for use in those))
    return Term(group, paths, a, b, residual(a, b), (told[0], told[1]), _values(a, b, where))


def _values(a: Expr, b: Expr, where: Place) -> tuple[Expr, Expr] | None:
    if where.length is None:
        return None
    found = where.value(a, where.length), where.value(b, where.length)
    return None if any(each.free_symbols for each in found) else found
