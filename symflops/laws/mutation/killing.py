"""Who finds a mutant: the laws, cheap ones first, and the oracles.

>>> from symflops.laws.mutation.planting import of_family
>>> mutant = next(of_family("llama"))
>>> killed(mutant).by_law, killed(mutant).by_oracle
('', '')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from symflops.architectures import Architecture
from symflops.laws.catalogue import LAWS
from symflops.laws.catalogue.subjects import Families, model
from symflops.laws.law import Instance, Law
from symflops.laws.mutation.equal import changed
from symflops.laws.mutation.mutant import Mutant
from symflops.laws.mutation.oracles import by_code

DEAR = (
    "phases-add-to-training", "prices-are-linear", "roles-sum-to-the-total", "frozen-keeps-no-more",
    "model-at-most-hardware", "matmuls-at-most-all-operations", "cost-is-whole", "cost-never-falls", "additivity",
)  # fmt: skip
"""Laws that take long, asked last."""
Killer = tuple[str, Callable[[], Iterable[Instance]]]
"""A law or oracle by its name, and what it says of a mutant."""


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant: the first law and the first oracle that find it; if none does, the costs it changes."""

    mutant: Mutant
    by_law: str
    by_oracle: str
    changed: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Killed, equivalent (no cost is another), or surviving."""
        if self.by_law or self.by_oracle:
            return "killed"
        return "survives" if self.changed else "equivalent"


def killed(mutant: Mutant) -> Outcome:
    """The first law and the first oracle that find a mutant; where none does, what it changes."""
    law, oracle = _first(laws(mutant)), _first(oracles(mutant))
    return Outcome(mutant, law, oracle, () if law or oracle else changes(mutant))


def _first(killers: Iterable[Killer]) -> str:
    return next((name for name, says in killers if _finds(says)), "")


def _finds(says: Callable[[], Iterable[Instance]]) -> bool:
    """Whether an instance does not hold; a fault that a law cannot even be asked of is found as well."""
    try:
        return any(not each.holds for each in says())
    except Exception:  # whatever a broken declaration breaks
        return True


@cache
def in_order() -> tuple[Law, ...]:
    """The laws that are shown, those that take long last."""
    shown = [law for law in LAWS.values() if law.show is not None]
    return tuple(sorted(shown, key=lambda law: DEAR.index(law.name) if law.name in DEAR else -1))


def laws(mutant: Mutant) -> Iterator[Killer]:
    """The laws about what the mutant is of."""
    subject = mutant.subject
    for law in in_order():
        if isinstance(law.show, Families) and isinstance(subject, Architecture) and _about(law, mutant.of):
            yield law.name, _asked(law.show, mutant.of, subject)


@cache
def _scopes(name: str) -> dict[str, bool]:
    return {}


def _about(law: Law, family: str) -> bool:
    known = _scopes(law.name)
    if family not in known:
        known[family] = isinstance(law.show, Families) and law.show.about(family)
    return known[family]


def _asked(show: Families, family: str, subject: Architecture) -> Callable[[], Iterable[Instance]]:
    return lambda: show.of(family, subject)


def oracles(mutant: Mutant) -> Iterator[Killer]:
    """What is known from elsewhere of what the mutant is of."""
    subject = mutant.subject
    if isinstance(subject, Architecture):
        yield "closed forms of the code", lambda: by_code(mutant.of, subject)


def changes(mutant: Mutant) -> tuple[str, ...]:
    """The costs that a mutant changes."""
    subject = mutant.subject
    return changed(model(mutant.of), subject) if isinstance(subject, Architecture) else ("count",)
