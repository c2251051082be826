"""What a choice is: a dimension with its options, each with a sentence, what it does, and how far it is from the usual.

Nothing of the search is written for one choice: a dimension more, or an option more, is a line of data in `space`.

>>> halved = Option("half", "half of all pairs", Pricing(pairs="dense", shares={"scores": HALF}))
>>> halved.departure, halved.effect.pairs
(0, 'dense')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from symflops.conventions import Price

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Part:
    """Another part of the network: the builder of the fragment goes by the option's name."""


@dataclass(frozen=True)
class Rule:
    """A size that follows from others by a formula of the grammar, where it is not given."""

    size: str
    formula: str


@dataclass(frozen=True)
class Given:
    """A size as it is given."""

    size: str


@dataclass(frozen=True)
class Change:
    """A size that is another than the one given, by a formula of the grammar."""

    size: str
    formula: str


@dataclass(frozen=True)
class Without:
    """Roles whose parameters are not counted."""

    roles: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pricing:
    """What a convention's price list is changed to: lines before its own, roles that it counts although it would not.

    ``pairs`` is how attended pairs are counted (dense or exact; empty: as the convention does), and ``shares`` what is
    counted of a role's work.
    """

    prices: tuple[Price, ...] = ()
    counted: frozenset[str] = frozenset()
    pairs: str = ""
    shares: Mapping[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True)
class Priced:
    """Work is priced by the convention of that name."""

    convention: str


@dataclass(frozen=True)
class Passes:
    """The passes whose work is counted; forward alone where there is one."""

    passes: tuple[str, ...]


@dataclass(frozen=True)
class Per:
    """What the work is divided by: a formula of the grammar."""

    formula: str


Effect: TypeAlias = Part | Rule | Given | Change | Without | Pricing | Priced | Passes | Per


@dataclass(frozen=True)
class Option:
    """One answer to a choice. ``needs`` are sizes without which it is not tried."""

    name: str
    sentence: str
    effect: Effect
    departure: int = 0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dimension:
    """A choice. ``roles`` are those whose price it changes; without any it is about all of them, or about parts."""

    name: str
    title: str
    options: tuple[Option, ...]
    roles: frozenset[str] = frozenset()

    def of(self, *kinds: type) -> bool:
        """Whether its options have effects of these kinds."""
        return any(isinstance(each.effect, kinds) for each in self.options)

    def option(self, name: str) -> Option:
        """The option of that name."""
        return next(each for each in self.options if each.name == name)


Assignment: TypeAlias = Mapping[str, Option]
"""The option taken of each dimension, by the dimension's name."""
