"""All mutants: of every family by rule, of every mask, and of every convention.

>>> llama = list(of_family("llama"))
>>> sorted({mutant.kind for mutant in llama})[:3]
['bias', 'coefficient', 'dimension dropped']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from sympy import Expr

from symflops.architectures import FAMILIES
from symflops.errors import SymflopsError
from symflops.laws.catalogue.subjects import model, network
from symflops.laws.mutation.declared import BY_KIND, widths
from symflops.laws.mutation.mutant import At, Fault, Mutant, planted
from symflops.laws.mutation.structural import layers, masks, reach
from symflops.networks import uses

PER_FAMILY: Mapping[str, int] = {
    "dimension swapped": 2, "dimension dropped": 2, "coefficient": 2, "heads exchanged": 2, "bias": 1, "gradient": 1,
    "mask": 2, "operation": 1, "role": 1, "reach": 1, "formula": 1,
}  # fmt: skip
"""How many of each kind are planted in a family, of all that there are."""


@cache
def faults(family: str) -> Mapping[str, tuple[Fault, ...]]:
    """All faults of a family's network that the rules make, by kind; those that are no declaration left out."""
    whole = network(family)
    pool = _pool(whole)
    found: dict[str, list[Fault]] = {kind: [] for kind in PER_FAMILY}
    for use in uses(whole):
        for kind, made in BY_KIND.items():
            found[kind] += (Fault(kind, use.path, what, At(use.path, each)) for what, each in made(use.operation, pool))
    for kind, of_network in (("coefficient", layers), ("mask", masks), ("reach", reach)):
        found[kind] += (Fault(kind, where, what, change) for where, what, change in of_network(whole))
    return {kind: tuple(dict.fromkeys(each)) for kind, each in found.items()}


def _pool(whole: Expr) -> Sequence[Expr]:
    """The widths that operations of a network have."""
    sizes = {size for use in uses(whole) for size in widths(use.operation).values() if size.free_symbols}
    return tuple(sorted(sizes, key=str))


def of_family(family: str) -> Iterator[Mutant]:
    """Some mutants of each kind of a family, spread over its operations, each family beginning at another."""
    start = list(FAMILIES).index(family)
    for kind, found in faults(family).items():
        yield from _some(family, found, PER_FAMILY[kind], start)


def _some(family: str, found: Sequence[Fault], count: int, start: int) -> Iterator[Mutant]:
    """So many of the faults, evenly spread; where one is no declaration, the next."""
    taken: set[int] = set()
    for number in range(min(count, len(found))):
        at = (start * 7 + number * len(found) // count) % len(found)
        for more in range(len(found)):
            place = (at + more) % len(found)
            mutant = _planted(family, found[place]) if place not in taken else None
            taken.add(place)
            if mutant is not None:
                yield mutant
                break


def _planted(family: str, fault: Fault) -> Mutant | None:
    """The mutant; none where the fault is refused by the declarations themselves."""
    wrong = planted(model(family), fault)
    try:
        whole = wrong.network
    except SymflopsError:
        return None
    return Mutant(fault.kind, family, fault.where, fault.what, wrong) if whole != network(family) else None


def of_families() -> Iterator[Mutant]:
    """Mutants of every family."""
    for family in FAMILIES:
        yield from of_family(family)
