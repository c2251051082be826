"""The search: each fragment is counted once for each of its choices, and combinations of them are sums.

A row is reproduced where ``low <= counted/divisor <= high``. For ``low = p/q`` that is ``q*counted - p*divisor >= 0``,
which is a sum over fragments too: so a combination of choices is a sum of integers, one for each bound of each row, and
all combinations are sums of a few arrays. Where a size is asked for, each number is a polynomial in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod

from symflops.identify.cases import Case, blocks
from symflops.identify.choices import Assignment, Change, Dimension, Given, Passes, Priced, Pricing, Rule
from symflops.identify.counting import Counter, Dependences, Entry, Quantity, split
from symflops.identify.parts import Fragment
from symflops.identify.polynomials import Ranges
from symflops.identify.pricing import Terms
from symflops.identify.rows import Row
from symflops.identify.shapes import shapes

_MOST = 20_000
KEPT = 300
"""Combinations that are looked at closely under each set of shared choices: those nearest to the usual."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Space:
    """What is searched: the network's fragments, and the choices."""

    fragments: tuple[Fragment, ...]
    dimensions: tuple[Dimension, ...]


@dataclass(frozen=True)
class Hit:
    """A combination: its case, an entry of each fragment, the rows it reproduces, and the size asked for."""

    case: Case
    entries: tuple[Entry, ...]
    rows: frozenset[int]
    ranges: Ranges

    @cached_property
    def departure(self) -> int:
        """How far its nearest reading is from the usual."""
        return self.case.departure + sum(each.departure for each in self.entries)


@dataclass
class Found:
    """What a search has found so far: what reproduces ``most`` rows at once.

    ``used`` are, for each case, the entries of each fragment that do; ``missing`` says what could not be tried.
    """

    most: int = 1
    hits: list[Hit] = field(default_factory=list)
    tried: int = 0
    reproducing: int = 0
    used: list[tuple[Case, tuple[tuple[Entry, ...], ...]]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    all_kept: bool = True

    def trim(self) -> None:
        """Forget the combinations that are far from the usual where there are very many."""
        if len(self.hits) > _MOST:
            self.hits = sorted(self.hits, key=lambda hit: hit.departure)[: _MOST // 4]
            self.all_kept = False


def search(
    rows: Sequence[Row],
    asked: Quantity,
    space: Space,
    unknown: str | None,
    stepped: Sequence[Assignment] = ({},),
    progress: Progress = lambda done, of: None,
) -> Found:
    """Every combination of the space that reproduces as many rows as any does.

    ``unknown`` is a size that is solved for; ``stepped`` are values of another, each a choice that all share.
    """
    sized = [each for each in space.dimensions if each.of(Rule, Given, Change)]
    shared, own = split(space.fragments, space.dimensions)
    shared = [each for each in shared if each not in sized]
    outers = [
        dict(zip((each.name for each in shared), options, strict=True))
        for options in product(*(each.options for each in shared))
    ]
    priced_by = {each.name: _priced_roles(each) for each in space.dimensions if not each.of(Priced, Passes)}
    run = _Run(rows, asked, space.fragments, sized, outers, own, unknown, stepped, priced_by)
    found = Found()
    for least in _targets(len(rows)):
        found = Found(least, missing=found.missing)
        run.into(found, progress)
        if found.hits:
            break
    return found


def _priced_roles(dimension: Dimension) -> frozenset[str]:
    return dimension.roles if dimension.of(Pricing) else frozenset()


def _targets(rows: int) -> list[int]:
    """How many rows a combination has to reproduce: all; where nothing does, all but a few, half, one."""
    return sorted({rows, *(max(1, rows - missed) for missed in (1, 3)), -(-rows // 2), 1}, reverse=True)


@dataclass(frozen=True)
class _Run:
    """A search, ready to run."""

    rows: Sequence[Row]
    asked: Quantity
    fragments: Sequence[Fragment]
    sized: Sequence[Dimension]
    outers: Sequence[Assignment]
    own: Sequence[Dependences]
    unknown: str | None
    stepped: Sequence[Assignment]
    priced_by: Mapping[str, frozenset[str]]

    def into(self, found: Found, progress: Progress) -> None:
        """Try everything once."""
        terms: dict[Hashable, Terms] = {}
        for number, values in enumerate(self.stepped):
            given = _given(self.rows, values)
            cases, skipped = shapes(given, self.sized, self.unknown)
            found.missing.update(skipped)
            each = len(cases) * len(self.outers)
            for done, (shape, outer) in enumerate(product(cases, self.outers)):
                progress(number * each + done, len(self.stepped) * each)
                counter = Counter(given, self.asked, shape, {**values, **outer}, self.priced_by, terms)
                _try(counter, self.fragments, self.own, found)


def _given(rows: Sequence[Row], values: Assignment) -> list[Row]:
    """The rows with the values of sizes that are stepped through."""
    more = {each.effect.size: int(each.effect.formula) for each in values.values() if isinstance(each.effect, Rule)}
    return [Row(row.label, row.figure, {**row.sizes, **more}) for row in rows]


def _try(counter: Counter, fragments: Sequence[Fragment], own: Sequence[Dependences], found: Found) -> None:
    """All combinations of a case."""
    tables = tuple(counter.table(one, each, found.missing) for one, each in zip(fragments, own, strict=True))
    if not all(tables):
        return
    case = Case(counter.rows, counter, tables)
    readings = prod(sum(len(each.chosen) for each in table) for table in tables)
    found.tried += readings * len(counter.shape.choices)
    for block in blocks(case, found.most):
        best = block.most(found.most)
        if best < found.most:
            continue
        if best > found.most:
            found.most, found.hits, found.used, found.reproducing = best, [], [], 0
        found.reproducing += block.number(best)
        found.used.append((case, block.used(best)))
        found.hits += [Hit(case, entries, held, ranges) for entries, held, ranges in block.nearest(best, KEPT)]
    found.trim()


__all__ = ["KEPT", "Found", "Hit", "Space", "search"]
