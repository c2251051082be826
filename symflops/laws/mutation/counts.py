"""Faults of masks: of their count, of the question that they ask of a pair, of what a cache has to keep.

>>> [mutant.what for mutant in of_masks()][:2]
['one pair more is counted', 'one pair for each query more is counted']
>>> shift = next(mutant for mutant in of_masks() if mutant.what == "each query sees one key more")
>>> shift.subject(3, 3).doit()
8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from sympy import Expr, Integer, Max, Min, Rational

from symflops.laws.catalogue.masks import MASKS
from symflops.laws.law import Instance, counted
from symflops.laws.mutation.mutant import Mutant
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow, staircase

Mask = type[AttendedPairs]
Members = dict[str, Any]
"""What of a mask is another: members of its class by name."""


def _count(change: Callable[[AttendedPairs, Expr], Expr], mask: Mask) -> Members:
    """Another count, the question as it was."""
    return {"_exact": lambda self: change(self, mask._exact(self))}


def _shifted(by: int, mask: Mask) -> Members:
    shift = mask.shift.fget
    return {"shift": property(lambda self: shift(self) + by)}


def _shift_counted(by: int, mask: Mask) -> Members:
    """Counted from another diagonal, the question as it was."""
    moved = type(mask.__name__, (mask,), _shifted(by, mask))
    return {"_exact": lambda self: moved(*self.args).doit()}


def _shift_asked(by: int, mask: Mask) -> Members:
    """Asked from another diagonal, the count as it was."""
    moved = type(mask.__name__, (mask,), _shifted(by, mask))
    return {"attends": lambda self, i, j: moved(*self.args).attends(i, j)}


def _reach(change: Callable[[AttendedPairs, Expr], Expr], mask: Mask) -> Members:
    reach = mask.reach.fget  # type: ignore[attr-defined]
    return {"reach": property(lambda self: change(self, reach(self)))}


def _dense(change: Callable[[AttendedPairs], Expr]) -> Members:
    return {"dense": property(change)}


OF_ALL: Mapping[str, Callable[[Mask], Members]] = {
    "one pair more is counted": lambda mask: _count(lambda self, n: n + 1, mask),
    "one pair for each query more is counted": lambda mask: _count(lambda self, n: n + self.n_query, mask),
    "one pair for each query less is counted": lambda mask: _count(lambda self, n: n - self.n_query, mask),
    "half of all pairs are counted": lambda mask: _count(lambda self, n: self.n_query * self.n_key / 2, mask),
    "all pairs are counted": lambda mask: _count(lambda self, n: self.n_query * self.n_key, mask),
    "queries are counted as keys": lambda mask: _count(
        lambda self, n: mask(self.n_query, self.n_query, *self.args[2:]).doit(), mask),
    "queries and keys exchanged": lambda mask: _count(
        lambda self, n: mask(self.n_key, self.n_query, *self.args[2:])._exact(), mask),
    "all pairs are the square of the queries": lambda mask: _dense(lambda self: self.n_query**2),
    "all pairs are the square of the keys": lambda mask: _dense(lambda self: self.n_key**2),
    "all pairs are half of them": lambda mask: _dense(lambda self: self.n_query * self.n_key * Rational(1, 2)),
    "one key more is kept": lambda mask: _reach(lambda self, kept: kept + 1, mask),
    "one key less is kept": lambda mask: _reach(lambda self, kept: kept - 1, mask),
    "the queries are kept": lambda mask: _reach(lambda self, kept: self.n_query, mask),
}  # fmt: skip
OF_CAUSAL: Mapping[str, Callable[[Mask], Members]] = {
    "each query sees one key more": lambda mask: _shifted(1, mask),
    "each query sees one key less": lambda mask: _shifted(-1, mask),
    "counted from one diagonal higher": lambda mask: _shift_counted(1, mask),
    "counted from one diagonal lower": lambda mask: _shift_counted(-1, mask),
    "asked from one diagonal higher": lambda mask: _shift_asked(1, mask),
    "asked from one diagonal lower": lambda mask: _shift_asked(-1, mask),
}
OF_ONE: Mapping[Mask, Mapping[str, Callable[[Mask], Members]]] = {
    Full: {"asks whether the key is the query's or before it": lambda mask: {"attends": lambda self, i, j: j <= i}},
    Causal: {
        "from the top left": lambda mask: {"shift": property(lambda self: Integer(0))},
        "the shift has the other sign": lambda mask: {"shift": property(lambda self: self.n_query - self.n_key)},
    },
    CausalTopLeft: {"from the bottom right": lambda mask: {"shift": property(lambda self: self.n_key - self.n_query)}},
    SlidingWindow: {
        "the window is one longer where it is counted": lambda mask: _window_counted(1),
        "the window is one shorter where it is counted": lambda mask: _window_counted(-1),
        "the window is one longer where it is asked": lambda mask: _window_asked(1),
        "the window is one shorter where it is asked": lambda mask: _window_asked(-1),
        "the window is one longer": lambda mask: _window_counted(1) | _window_asked(1),
        "the window is one shorter": lambda mask: _window_counted(-1) | _window_asked(-1),
        "all keys are kept": lambda mask: _reach(lambda self, kept: self.n_key, mask),
        "the longer of window and keys is kept": lambda mask: _reach(
            lambda self, kept: Max(self.n_key, self.args[2]), mask),
    },
    Prefix: {
        "the prefix is one longer where it is counted": lambda mask: _prefix_counted(1),
        "the prefix is one shorter where it is counted": lambda mask: _prefix_counted(-1),
        "the prefix is one longer where it is asked": lambda mask: _prefix_asked(1),
        "the prefix is one shorter where it is asked": lambda mask: _prefix_asked(-1),
        "the prefix's own triangle is counted twice": lambda mask: _count(
            lambda self, n: n + staircase(self.n_query, Min(self.args[2], self.n_key), self.shift), mask),
        "only the prefix is kept": lambda mask: _reach(lambda self, kept: Min(self.n_key, self.args[2]), mask),
    },
}  # fmt: skip


def _window_counted(by: int) -> Members:
    return {"_exact": lambda self: Causal._exact(self) - staircase(
        self.n_query, self.n_key, self.shift - self.args[2] - by)}  # fmt: skip


def _window_asked(by: int) -> Members:
    return {"attends": lambda self, i, j: Causal.attends(self, i, j) and bool(j > i + self.shift - self.args[2] - by)}


def _prefix_counted(by: int) -> Members:
    return {"_exact": lambda self: Prefix(self.n_query, self.n_key, Max(self.args[2] + by, 0)).doit()}


def _prefix_asked(by: int) -> Members:
    return {"attends": lambda self, i, j: bool(j < self.args[2] + by) or Causal.attends(self, i, j)}


def of_masks() -> Iterator[Mutant]:
    """Mutants of every mask."""
    for mask in MASKS:
        of_causal = OF_CAUSAL if issubclass(mask, Causal) else {}
        for what, made in {**OF_ALL, **of_causal, **OF_ONE[mask]}.items():
            wrong = type(mask.__name__, (mask,), made(mask))
            yield Mutant("mask's count", mask.__name__, "the mask", what, wrong)


SEES: Mapping[str, Callable[..., bool]] = {
    "Full": lambda i, j, q, k: True,
    "Causal": lambda i, j, q, k: j - i <= k - q,
    "CausalTopLeft": lambda i, j, q, k: j <= i,
    "SlidingWindow": lambda i, j, q, k, w: j - i <= k - q and (i + k - q) - j < w,
    "Prefix": lambda i, j, q, k, p: j < p or j - i <= k - q,
}
"""Whether query i of q sees key j of k, said once more and by itself."""
_LENGTHS, _EXTRA = range(1, 6), range(1, 8)


def by_loops(name: str, mask: Mask) -> Iterator[Instance]:
    """Pairs counted one by one; all pairs; the keys that one query more could see."""
    for query, key in product(_LENGTHS, _LENGTHS):
        for extra in product(*(_EXTRA for _ in mask.extra)):
            pairs, about = mask(query, key, *extra), f"{name}{(query, key, *extra)}"
            seen = [(i, j) for i in range(query) for j in range(key) if SEES[name](i, j, query, key, *extra)]
            yield counted(f"pairs of {about}", pairs.doit(), len(seen))
            yield counted(f"all pairs of {about}", pairs.dense, sum(1 for _ in product(range(query), range(key))))
            yield counted(f"question of {about}", _asked(pairs), seen)
            yield counted(f"kept of {about}", pairs.reach, _kept(name, query, key, extra))


def _asked(pairs: AttendedPairs) -> list[tuple[int, int]]:
    query, key = (range(int(each)) for each in pairs.args[:2])
    return [(i, j) for i, j in product(query, key) if pairs.attends(i, j)]


def _kept(name: str, query: int, key: int, extra: tuple[int, ...]) -> int:
    """A window as long as it is; of other masks every key, which a later query may see."""
    return min(key, *extra) if name == "SlidingWindow" else key


def other_counts(mask: Mask, wrong: Mask) -> tuple[str, ...]:
    """What two masks count apart from each other at small sizes, where the sizes mean something."""
    found = []
    for name, count in _COUNTS.items():
        for query, key, *extra in product(_LENGTHS, _LENGTHS, *(_EXTRA for _ in mask.extra)):
            if count(mask(query, key, *extra)) != count(wrong(query, key, *extra)):
                found.append(name)
                break
    return tuple(found)


_COUNTS: Mapping[str, Callable[[AttendedPairs], Expr]] = {
    "pairs": lambda pairs: pairs.doit(),
    "all pairs": lambda pairs: pairs.dense,
    "kept": lambda pairs: pairs.reach,
}
