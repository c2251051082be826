"""All mutants tried, on as many processes as there are, and the page of what came of them.

>>> report = mutate(of=["macs"])
>>> report.holds, report.told["mutants"]["surviving"]
(True, 0)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

from symflops.architectures import FAMILIES
from symflops.conventions import CONVENTIONS
from symflops.derivation import Page
from symflops.documents import Block, Document, Prose, Table
from symflops.errors import UnknownName
from symflops.laws.catalogue.masks import MASKS
from symflops.laws.mutation.counts import of_masks
from symflops.laws.mutation.killing import killed
from symflops.laws.mutation.mutant import KINDS, Mutant
from symflops.laws.mutation.planting import of_family
from symflops.laws.mutation.prices import of_conventions
from symflops.laws.mutation.record import Told, plain, told

Progress = Callable[[str, int, int], None]
OF: tuple[str, ...] = (*(mask.__name__ for mask in MASKS), *CONVENTIONS, *FAMILIES)
"""What mutants are of: masks, conventions, families."""
HEAD = ("kind", "planted", "killed", "by laws", "by oracles", "by both", "equivalent", "surviving")


@cache
def mutants(of: str) -> tuple[Mutant, ...]:
    """The mutants of a mask, convention or family, by its name. Raises `UnknownName`."""
    if of in FAMILIES:
        return tuple(of_family(of))
    if of not in OF:
        raise UnknownName("mask, convention or family", of, OF)
    return tuple(mutant for mutant in (*of_masks(), *of_conventions()) if mutant.of == of)


def outcomes(of: str) -> list[dict[str, Any]]:
    """What came of all mutants of one mask, convention or family."""
    return [plain(killed(mutant)) for mutant in mutants(of)]


def _silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


def mutate(of: Iterable[str] = OF, progress: Progress = _silent, processes: int | None = None) -> Mutated:
    """Plants all faults and asks all laws and oracles; the same faults each time, whatever the machine."""
    names, found = tuple(of), []
    for number, (name, each) in enumerate(_in_turn(names, processes or os.cpu_count() or 1)):
        progress(f"mutants of {name}", number, len(names))
        found += each
    return Mutated(told(found))


def _in_turn(names: tuple[str, ...], processes: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The outcomes of each name, in order, tried on several processes where there are several names."""
    if processes == 1 or len(names) == 1:
        yield from ((name, outcomes(name)) for name in names)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(names, pool.map(outcomes, names), strict=True)


@dataclass(frozen=True)
class Mutated(Page):
    """What came of mutants, as a page; ``told`` is the record in plain values."""

    told: Told

    @property
    def holds(self) -> bool:
        """Whether no mutant that changes a cost survives."""
        return not self.told["surviving"]

    def document(self) -> Document:
        """The page."""
        return Document("Mutants of symflops' own declarations", tuple(blocks(self.told)), dict(self.told))


def summary(record: Told) -> str:
    """The figures in a sentence or two."""
    all_of = record["mutants"]
    return (
        f"{all_of['planted']} faults planted: {all_of['killed']} found ({all_of['by_laws']} by laws, "
        f"{all_of['by_oracles']} by oracles, {all_of['by_both']} by both), {all_of['equivalent']} change no cost, "
        f"{all_of['surviving']} that change one survive."
    )


def blocks(record: Told) -> Iterator[Block]:
    """The tables of a record: by kind, who finds how many, what survives, what is equivalent."""
    yield Prose(summary(record))
    yield Table("By kind", (*HEAD, "what is changed"), tuple(_rows(record["kinds"])))
    for name, about in (("laws", "Laws by what they find first"), ("oracles", "Oracles by what they find first")):
        rows = tuple((killer, str(count)) for killer, count in record[name].items())
        yield Table(about, (name[:-1], "mutants"), rows)
    if record["surviving"]:
        rows = tuple((_told(each), ", ".join(each["changed"])) for each in record["surviving"])
        yield Table("Surviving", ("mutant", "what it changes"), rows)
    if record["equivalent"]:
        rows = tuple((_told(each), each["why"]) for each in record["equivalent"])
        yield Table("Equivalent: no cost is another", ("mutant", "why"), rows)


def _rows(kinds: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, ...]]:
    for kind, each in kinds.items():
        yield (kind, *(str(each[name.replace(" ", "_")]) for name in HEAD[1:]), KINDS[kind])


def _told(each: Mapping[str, Any]) -> str:
    return f"{each['of']}: {each['where']}: {each['what']}"
