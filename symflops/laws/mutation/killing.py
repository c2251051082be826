"""Who finds a mutant: the laws, cheap ones first, and the oracles.

>>> from symflops.laws.mutation.planting import of_family
>>> mutant = next(of_family("llama"))
>>> killed(mutant).by_law, killed(mutant).by_oracle
('groups-of-one-are-multi-head', 'closed forms of the code')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from symflops.architectures import Architecture
from symflops.conventions import Convention
from symflops.laws.catalogue import LAWS
from symflops.laws.catalogue.masks import MASKS, Masks
from symflops.laws.catalogue.subjects import Families, model
from symflops.laws.law import Instance, Law
from symflops.laws.mutation.computing import computed
from symflops.laws.mutation.counts import by_loops, other_counts
from symflops.laws.mutation.equal import changed
from symflops.laws.mutation.flow import flows
from symflops.laws.mutation.mutant import Mutant
from symflops.laws.mutation.oracles import by_code
from symflops.laws.mutation.pricing import other_totals, priced_laws, printed
from symflops.laws.mutation.standing import stands

OF_MEASURES = frozenset({
    "additivity", "homogeneity", "names-cost-nothing", "phases-add-to-training", "prices-are-linear",
    "roles-sum-to-the-total", "substitution-commutes", "flops-are-two-macs",
})  # fmt: skip
"""Laws of how costs are measured: they hold of any network, so that no fault of a network breaks them."""
DEAR = (
    "matmul-intensity-at-most-vectors", "frozen-keeps-no-more", "model-at-most-hardware",
    "matmuls-at-most-all-operations", "cost-is-whole", "cost-never-falls",
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
    """The first killer of which an instance does not hold; else the first that cannot even be asked."""
    raising = ""
    for name, says in killers:
        try:
            if any(not each.holds for each in says()):
                return name
        except Exception as error:  # whatever a broken declaration breaks
            raising = raising or f"{name} (raises {type(error).__name__})"
    return raising


@cache
def in_order() -> tuple[Law, ...]:
    """The laws that are shown, those that take long last."""
    shown = [law for law in LAWS.values() if law.show is not None and law.name not in OF_MEASURES]
    return tuple(sorted(shown, key=lambda law: DEAR.index(law.name) if law.name in DEAR else -1))


def laws(mutant: Mutant) -> Iterator[Killer]:
    """The laws about what the mutant is of: of families, of masks, of conventions."""
    subject = mutant.subject
    if isinstance(subject, Convention):
        yield from priced_laws(mutant.of, subject)
        return
    for law in in_order():
        show = law.show
        if isinstance(subject, Architecture):
            if isinstance(show, Families) and _about(law.name, mutant.of):
                yield law.name, partial(show.of, mutant.of, subject)
        elif isinstance(show, Masks) and mutant.of in {mask.__name__ for mask in show.masks}:
            yield law.name, partial(show.of, subject)


@cache
def _about(name: str, family: str) -> bool:
    """Whether a law is about a family as it is declared, without the fault."""
    show = LAWS[name].show
    return isinstance(show, Families) and show.about(family)


def oracles(mutant: Mutant) -> Iterator[Killer]:
    """What is known from elsewhere of what the mutant is of."""
    subject = mutant.subject
    if isinstance(subject, Architecture):
        yield "closed forms of the code", partial(by_code, mutant.of, subject)
        yield "what is read was written", lambda: flows(mutant.of, subject.network)
        yield "roles, pairs and steps by name", partial(stands, mutant.of, subject)
        yield "steps in numbers", lambda: computed(mutant.of, subject.network)
    elif isinstance(subject, Convention):
        yield "printed formulas and counts", partial(printed, mutant.of, subject)
    else:
        yield "pairs counted by loops", partial(by_loops, mutant.of, subject)


def changes(mutant: Mutant) -> tuple[str, ...]:
    """The costs that a mutant changes."""
    subject = mutant.subject
    if isinstance(subject, Architecture):
        return changed(model(mutant.of), subject)
    if isinstance(subject, Convention):
        return other_totals(mutant.of, subject)
    return other_counts(next(mask for mask in MASKS if mask.__name__ == mutant.of), subject)
