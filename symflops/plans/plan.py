"""A plan: what was given, what follows, with units and closed forms, and which constraint binds.

>>> from symflops.notation import n_param
>>> days = Quantity("state", "model state", 16 * 10**9, "bytes", 16 * n_param)
>>> plan = Plan("memory", "A model", (Quantity("params", "parameters", 10**9, "parameters"),), (days,), "memory: full")
>>> print(plan.show())
A model
<BLANKLINE>
given       value
----------  ------------------------
parameters  1,000,000,000 parameters
<BLANKLINE>
result       value
-----------  -----
model state  16 GB
<BLANKLINE>
Binding: memory: full.
<BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from symflops.derivation import Page
from symflops.documents import Block, Document, Forms, Heading, Prose, Remarks, Section, Steps, Table
from symflops.plans.quantities import Quantity
from symflops.steps import Step
from symflops.training.roofline import Row


@dataclass(frozen=True)
class Point:
    """A choice among several: what it holds in bytes, and the seconds that it takes."""

    label: str
    held: Fraction
    seconds: Fraction


@dataclass(frozen=True)
class Plan(Page):
    """An answer to what something takes.

    ``binding`` names the constraint that decides; ``steps`` derive the closed forms, ``sections`` hold tables beside
    the results, ``chosen`` is what was given by name, ``sources`` are the citations. ``holds`` says whether it can be
    done: whether what it takes is there. For pictures: ``parts`` are results that make up what is held, ``room`` what
    there is, ``rows`` the operations against the roofline, ``front`` choices none of which is better in all.
    """

    name: str
    title: str
    inputs: tuple[Quantity, ...]
    results: tuple[Quantity, ...]
    binding: str
    steps: tuple[Step, ...] = ()
    chosen: Mapping[str, str | int] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    holds: bool = True
    parts: tuple[str, ...] = ()
    room: Quantity | None = None
    rows: tuple[Row, ...] = ()
    front: tuple[Point, ...] = ()

    def result(self, name: str) -> Quantity:
        """A result by its name."""
        return next(each for each in self.results if each.name == name)

    def document(self) -> Document:
        """The figures."""
        return Document(self.title, tuple(self._blocks()), self.as_json())

    def symbolic(self) -> Document:
        """The closed forms and how they are derived, with nothing put in."""
        forms = tuple((each.name, each.formula) for each in self.results if each.formula is not None)
        blocks: list[Block] = [Forms(forms), Heading("Steps, each checked by machine"), Steps(self.steps)]
        meanings = tuple((each.name, f"{each.label}, in {each.unit}") for each in (*self.inputs, *self.results))
        blocks += [Heading("What is what"), Remarks(meanings)]
        return Document(self.title, tuple(blocks), self.as_json())

    def _blocks(self) -> Iterator[Block]:
        given = [(name, str(each)) for name, each in self.chosen.items()]
        yield Table("", ("given", "value"), (*given, *((each.label, str(each)) for each in self.inputs)))
        yield Table("", ("result", "value"), tuple((each.label, str(each)) for each in self.results))
        yield Prose(f"Binding: {self.binding}.")
        for section in self.sections:
            yield from section.shown()
        if self.notes:
            yield Remarks(tuple(("note", note) for note in self.notes))

    def as_json(self) -> dict[str, Any]:
        """Plain values: inputs and results with their units and formulas, the binding constraint, the steps."""
        return {
            "plan": self.name,
            "title": self.title,
            "inputs": {**self.chosen, **{each.name: each.as_json() for each in self.inputs}},
            "results": {each.name: each.as_json() for each in self.results},
            "binding": self.binding,
            "holds": self.holds,
            "formula": {each.name: str(each.formula) for each in self.results if each.formula is not None},
            "steps": [step.as_json() for step in self.steps],
            "sections": [section.as_json() for section in self.sections],
            "notes": list(self.notes),
            "sources": list(self.sources),
        }
