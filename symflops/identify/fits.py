"""What a search found, merged and ranked: several fits are listed as several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from symflops.claims.figures import Figure
from symflops.identify.choices import Assignment, Option, Pricing, Rule
from symflops.identify.counting import Quantity, Vector
from symflops.identify.known import well_known
from symflops.identify.polynomials import Ranges
from symflops.identify.rows import Row
from symflops.identify.search import Found, Hit, Space

Key = tuple[Vector, Vector]


@dataclass(frozen=True)
class Cell:
    """A row against a fit: the figure as printed, and the exact value, where no size is asked for."""

    label: str
    figure: Figure
    value: Fraction | None
    reproduced: bool


@dataclass(frozen=True)
class Fit:
    """One closed form: the reading nearest to the usual, and the ``others`` that come to the same in these rows.

    ``counts`` are the roles that are counted, ``ranges`` the values of the size that is asked for.
    """

    choices: Assignment
    others: Mapping[str, tuple[Option, ...]]
    cells: tuple[Cell, ...]
    ranges: Ranges
    departure: int
    counts: frozenset[str]
    tried: Mapping[str, int]
    """The value of a size that was stepped through."""
    known: tuple[tuple[int, str], ...]
    """Well-known values of the size that is asked for which lie in the ranges, and whose they are."""

    @property
    def missed(self) -> tuple[Cell, ...]:
        """The rows that it does not reproduce."""
        return tuple(each for each in self.cells if not each.reproduced)

    @property
    def apart(self) -> Fraction:
        """The largest distance of a value from what is printed, in units of what rounding may hide."""
        pairs = [(each.figure, each.value) for each in self.cells if each.value is not None and each.reproduced]
        apart = (abs(value - figure.value) / figure.half for figure, value in pairs if figure.half)
        return max(apart, default=Fraction(0))


@dataclass(frozen=True)
class Identified:
    """The fits of some figures, the best first.

    ``everything`` says whether they reproduce all rows; if not, they are the best there are. ``decided`` holds for
    every choice that all of them agree on what it is, ``undecided`` the options of the others.
    """

    quantity: Quantity
    rows: tuple[Row, ...]
    fits: tuple[Fit, ...]
    everything: bool
    tried: int
    reproducing: int
    number: int
    decided: Mapping[str, Option]
    undecided: Mapping[str, tuple[Option, ...]]
    always: frozenset[str]
    never: frozenset[str]
    roles: frozenset[str]
    all_kept: bool
    space: Space
    unknown: str | None
    notes: tuple[str, ...]

    @property
    def titles(self) -> Mapping[str, str]:
        """What each choice is about."""
        return {each.name: each.title for each in self.space.dimensions}

    @property
    def options(self) -> Mapping[str, tuple[Option, ...]]:
        """The options of each choice."""
        return {each.name: each.options for each in self.space.dimensions}

    @property
    def priced(self) -> Mapping[str, frozenset[str]]:
        """The roles that each choice of a price is about."""
        return {each.name: each.roles for each in self.space.dimensions if each.of(Pricing)}

    @property
    def exit_code(self) -> int:
        """0 where something reproduces all rows, 1 where nothing does."""
        return 0 if self.everything else 1


def ranked(found: Found, rows: Sequence[Row], asked: Quantity, space: Space, unknown: str | None) -> Identified:
    """The fits of a search."""
    merged: dict[Key, list[Hit]] = {}
    for hit in found.hits:
        merged.setdefault(_key(hit), []).append(hit)
    fits = sorted((_fit(same, rows, unknown) for same in merged.values()), key=_rank)
    decided, undecided = _agreed(found, space)
    always, never, roles = _roles(found)
    return Identified(
        asked, tuple(rows), tuple(fits), bool(fits) and found.most == len(rows), found.tried, found.reproducing,
        len(fits), decided, undecided, always, never, roles, found.all_kept, space, unknown, _notes(found),
    )  # fmt: skip


def _notes(found: Found) -> tuple[str, ...]:
    """What was not tried because a size is not given."""
    names = sorted(each for each in found.missing if each.isidentifier())
    rest = sorted(each for each in found.missing if not each.isidentifier())
    lacking = [f"not tried: what needs {', '.join(names)}, which the rows do not give"] if names else []
    return (*lacking, *rest)


def _rank(fit: Fit) -> tuple[int, bool, Fraction, str]:
    shown = " ".join(f"{name}={option.name}" for name, option in fit.choices.items())
    return fit.departure, not fit.known, fit.apart, shown


def _key(hit: Hit) -> Key:
    """The values in all rows, which is what makes two combinations the same here."""
    counted, divisor = hit.case.sums(hit.entries)
    return _trimmed(counted), _trimmed(divisor)


def _trimmed(vector: Vector) -> Vector:
    return tuple(tuple(Fraction(each) for each in row[: _length(row)]) for row in vector)


def _length(row: Sequence[int | Fraction]) -> int:
    return next((size for size in range(len(row), 0, -1) if row[size - 1] != 0), 0)


def _fit(same: Sequence[Hit], rows: Sequence[Row], unknown: str | None) -> Fit:
    best = min(same, key=lambda hit: hit.departure)
    counted, divisor = best.case.sums(best.entries)
    cells = []
    for number, (row, c, d) in enumerate(zip(rows, counted, divisor, strict=True)):
        exact = Fraction(c[0]) / d[0] if not any((*c[1:], *d[1:])) and d[0] else None
        cells.append(Cell(row.label, row.figure, exact, number in best.rows))
    outer = best.case.counter.outer.items()
    tried = {each.effect.size: int(each.effect.formula) for _, each in outer if isinstance(each.effect, Rule)}
    choices = {name: option for name, option in nearest(best).items() if name.removesuffix(" tried") == name}
    names = {name: _unique(each[name] for hit in same for each in _readings(hit) if name in each) for name in choices}
    others = {name: tuple(each for each in found if each != choices[name]) for name, found in names.items()}
    roles = frozenset().union(*(each.roles for each in best.entries))
    known = well_known(unknown, best.ranges) if unknown else ()
    told = {name: each for name, each in others.items() if each}
    return Fit(choices, told, tuple(cells), best.ranges, best.departure, roles, tried, known)


def nearest(hit: Hit) -> Assignment:
    """The reading of a combination that is nearest to the usual."""
    sizes = min(hit.case.counter.shape.choices, key=lambda each: sum(one.departure for one in each.values()))
    own = [min(each.chosen, key=lambda one: one[0])[1] for each in hit.entries]
    return {name: option for each in (sizes, hit.case.counter.outer, *own) for name, option in each.items()}


def _readings(hit: Hit) -> Iterable[Assignment]:
    """The parts of all readings: what each choice may be, whatever the others are."""
    yield from hit.case.counter.shape.choices
    yield hit.case.counter.outer
    for entry in hit.entries:
        yield from (each for _, each in entry.chosen)


def _unique(options: Iterable[Option]) -> tuple[Option, ...]:
    return tuple({each.name: each for each in options}.values())


def _agreed(found: Found, space: Space) -> tuple[dict[str, Option], dict[str, tuple[Option, ...]]]:
    """Of each choice that was open, the one option that all have, or the options that some have."""
    options: dict[str, dict[str, Option]] = {}
    for case, used in found.used:
        assignments = [*case.counter.shape.choices, case.counter.outer]
        assignments += [each for table in used for entry in table for _, each in entry.chosen]
        for each in assignments:
            for name, option in each.items():
                options.setdefault(name, {})[option.name] = option
    open_ = {each.name for each in space.dimensions if len(each.options) > 1}
    stepped = options.keys() - {each.name for each in space.dimensions}
    mine = {name: tuple(each.values()) for name, each in options.items() if name in open_ | stepped}
    return (
        {name: each[0] for name, each in mine.items() if len(each) == 1},
        {name: each for name, each in mine.items() if len(each) > 1},
    )


def _roles(found: Found) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The roles that every combination found counts, those that none does, and all there are."""
    always: frozenset[str] | None = None
    sometimes: frozenset[str] = frozenset()
    every: frozenset[str] = frozenset()
    for case, used in found.used:
        for table in case.tables:
            every |= frozenset().union(*(entry.roles for entry in table))
        sure = frozenset().union(*(frozenset.intersection(*(e.roles for e in table)) for table in used if table))
        always = sure if always is None else always & sure
        sometimes |= frozenset().union(*(entry.roles for table in used for entry in table))
    return always or frozenset(), every - sometimes, every
