"""What a fragment comes to under some choices: its share of what is counted, and of what that is divided by.

A quantity is ``counted / divisor``. Both are sums over fragments, so that each fragment is counted once for each of its
own choices, exactly, and a combination of all is a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import lcm

from symflops.errors import UnknownName
from symflops.identify import space
from symflops.identify.choices import Assignment, Dimension, Option, Part, Per, Pricing, Without
from symflops.identify.forms import Missing
from symflops.identify.parts import Fragment, Piece
from symflops.identify.polynomials import Polynomial, plus, scaled, times, whole
from symflops.identify.pricing import Terms, params_of, work_of
from symflops.identify.rows import Row
from symflops.identify.shapes import Shape
from symflops.notation import n_seq

Vector = tuple[Polynomial, ...]
"""A value in every row."""


@dataclass(frozen=True)
class Quantity:
    """What a figure counts: ``measure`` is params or work; ``over`` is what it is divided by: nothing, or 6*N*D."""

    name: str
    title: str
    measure: str
    over: str
    phase: str


QUANTITIES: Mapping[str, Quantity] = {
    each.name: each
    for each in (
        Quantity("params", "parameters", "params", "", ""),
        Quantity("forward", "work of a forward pass", "work", "", "forward"),
        Quantity("training", "work of a training step", "work", "", "training"),
        Quantity("flops", "work of a forward pass or a training step", "work", "", "any"),
        Quantity("ratio", "work of a training step / 6*N*D", "work", "6*N*D", "training"),
    )
}


def quantity(name: str) -> Quantity:
    """The quantity of that name. Raises `UnknownName`."""
    if name not in QUANTITIES:
        raise UnknownName("quantity", name, QUANTITIES)
    return QUANTITIES[name]


def dimensions_of(asked: Quantity, per: str) -> tuple[Dimension, ...]:
    """The choices of what is counted that a quantity leaves open.

    Raises `UnknownName` for another ``per`` than token, sequence, image or any.
    """
    if per not in space.PER:
        raise UnknownName("per", per, space.PER)
    if asked.measure == "params":
        return (space.COUNTED,)
    work = (space.CONVENTION, space.PHASES[asked.phase], *space.PRICES)
    return (*work, space.COUNTED) if asked.over else (*work, space.PER[per])


@dataclass(frozen=True, eq=False)
class Entry:
    """What a fragment comes to: all combinations of its choices that come to the same, and the roles it counts.

    ``bounds`` are what it adds to each row's two bounds, and ``denominator`` is common to their coefficients.
    """

    counted: Vector
    divisor: Vector
    chosen: tuple[tuple[int, Assignment], ...]
    roles: frozenset[str]
    bounds: tuple[Polynomial, ...]
    denominator: int

    @cached_property
    def departure(self) -> int:
        """That of the combination that is nearest to the usual."""
        return min(departure for departure, _ in self.chosen)


def departure(options: Sequence[Option]) -> int:
    """How far options are from the usual, all together."""
    return sum(each.departure for each in options)


@dataclass(frozen=True)
class Counter:
    """Counts fragments for one quantity, under the choices that several fragments share (``outer``), at a shape."""

    rows: Sequence[Row]
    asked: Quantity
    shape: Shape
    outer: Assignment
    priced_by: Mapping[str, frozenset[str]]
    """The roles whose price a choice is about, for the choices that are about some."""
    terms: dict[Hashable, Terms] = field(default_factory=dict, repr=False)
    """What pieces cost in symbols, for all counters of a search."""

    def table(self, fragment: Fragment, own: Dependences, missing: set[str]) -> tuple[Entry, ...]:
        """What a fragment comes to under each of its own choices; ``missing`` collects sizes that some would need."""
        key = (fragment.name, *(self.outer[name].name for name in own.shared if name in self.outer))
        if key not in self.shape.tables:
            self.shape.tables[key] = tuple(self._entries(fragment, own.inner, missing))
        found: tuple[Entry, ...] = self.shape.tables[key]
        return found

    def _entries(self, fragment: Fragment, inner: Sequence[Dimension], missing: set[str]) -> Iterator[Entry]:
        known = frozenset(self.shape.rows[0]).intersection(*self.shape.rows)
        found: dict[tuple[Vector, Vector, frozenset[str]], list[tuple[int, Assignment]]] = {}
        for options in product(*([each for each in one.options if known.issuperset(each.needs)] for one in inner)):
            own = dict(zip((each.name for each in inner), options, strict=True))
            try:
                key = self._counted(fragment, {**self.shape.choices[0], **self.outer, **own})
            except Missing as error:
                missing.add(str(error))
                continue
            found.setdefault(key, []).append((departure(options), own))
        for (counted, divisor, roles), chosen in found.items():
            bounds = self.bounds(counted, divisor)
            denominator = lcm(*(each.denominator for one in bounds for each in one))
            yield Entry(counted, divisor, tuple(chosen), roles, bounds, denominator)

    def bounds(self, counted: Vector, divisor: Vector) -> tuple[Polynomial, ...]:
        """For each row, what is not negative where a figure is large enough, and where it is small enough."""
        found = []
        for row, c, d in zip(self.rows, counted, divisor, strict=True):
            low, high = row.bounds
            found.append(plus(scaled(low.denominator, c), scaled(-low.numerator, d)))
            found.append(plus(scaled(high.numerator, d), scaled(-high.denominator, c)))
        return tuple(found)

    def _counted(self, fragment: Fragment, chosen: Assignment) -> tuple[Vector, Vector, frozenset[str]]:
        pieces = fragment.build({name: chosen[name].name for name in fragment.choices})
        measure = self._params if self.asked.measure == "params" else self._work
        counted = [measure(each, chosen) for each in pieces]
        divisor = [self._params(each, chosen) for each in pieces] if self.asked.over else []
        roles = frozenset(each.role for each, value in zip(pieces, counted, strict=True) if value is not None)
        tokens = self.shape.of(6 * n_seq) if self.asked.over else ()
        by_tokens = tuple(times(a, b) for a, b in zip(tokens, self._total(divisor), strict=False))
        return self._total(counted), by_tokens or self._total([]), roles

    def _params(self, piece: Piece, chosen: Assignment) -> Vector | None:
        """The parameters of a piece in every row; None where none are counted."""
        without = next((each.effect.roles for each in chosen.values() if isinstance(each.effect, Without)), frozenset())
        return None if piece.role in without else self._value((piece,), lambda: params_of(piece.use))

    def _work(self, piece: Piece, chosen: Assignment) -> Vector | None:
        """The priced work of a piece in every row; None where none is counted."""
        about = tuple(option for name, option in chosen.items() if piece.role in self.priced_by.get(name, _ALL))
        key = (piece, *(each.name for each in about))
        return self._value(key, lambda: work_of(piece.use, about))

    def _value(self, key: Hashable, terms: Callable[[], Terms]) -> Vector | None:
        if key not in self.shape.tables:
            if key not in self.terms:
                self.terms[key] = terms()
            self.shape.tables[key] = self._sum(self.terms[key])
        found: Vector | None = self.shape.tables[key]
        return found

    def _sum(self, terms: Terms) -> Vector | None:
        values = [tuple(scaled(_small(price), each) for each in self.shape.of(amount)) for price, amount in terms]
        return tuple(map(whole, self._total(values))) if values else None

    def _total(self, values: Iterable[Vector | None]) -> Vector:
        total: Vector = ((0,),) * len(self.rows)
        for each in values:
            if each is not None:
                total = tuple(map(plus, total, each))
        return total


class _Everything(frozenset[str]):
    """All roles: what a choice that is not about some of them is about."""

    def __contains__(self, role: object) -> bool:
        return True


_ALL = _Everything()


def _small(price: Fraction) -> Fraction | int:
    return price.numerator if price.denominator == 1 else price


@dataclass(frozen=True)
class Dependences:
    """The choices of a fragment: its own, and the names of those it shares with others."""

    inner: tuple[Dimension, ...]
    shared: tuple[str, ...]


def split(fragments: Sequence[Fragment], dimensions: Sequence[Dimension]) -> tuple[list[Dimension], list[Dependences]]:
    """The choices that all or several fragments share, and each fragment's dependences."""
    depends = [_dependences(each, dimensions) for each in fragments]
    times_ = {each.name: sum(each in one for one in depends) for each in dimensions}
    own = {each.name for each in dimensions if times_[each.name] == 1 and _is_own(each)}
    shared = [each for each in dimensions if each.name not in own and times_[each.name]]
    return shared, [
        Dependences(
            tuple(each for each in one if each.name in own),
            tuple(each.name for each in one if each.name not in own and not each.of(Per)),
        )
        for one in depends
    ]


def _is_own(dimension: Dimension) -> bool:
    """A choice of a part or of a price; sizes, price lists and passes concern all."""
    return all(isinstance(each.effect, Part | Pricing | Without) for each in dimension.options)


def _dependences(fragment: Fragment, dimensions: Sequence[Dimension]) -> list[Dimension]:
    roles = roles_of(fragment, dimensions)
    return [each for each in dimensions if each.name in fragment.choices or _touches(each, roles)]


def _touches(dimension: Dimension, roles: frozenset[str]) -> bool:
    return bool(dimension.roles & roles) if dimension.roles else not dimension.of(Part)


def roles_of(fragment: Fragment, dimensions: Sequence[Dimension]) -> frozenset[str]:
    """The roles that a fragment has under any of its choices."""
    own = [each for each in dimensions if each.name in fragment.choices]
    built = (
        fragment.build({each.name: option.name for each, option in zip(own, options, strict=True)})
        for options in product(*(each.options for each in own))
    )
    return frozenset(each.role for pieces in built for each in pieces)


def per_of(chosen: Assignment) -> str:
    """What the work is for, as a formula."""
    return next((each.effect.formula for each in chosen.values() if isinstance(each.effect, Per)), "1")
