"""What came of it: laws run on symflops' own declarations, laws asked of a cost function, laws listed; as pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from symflops.architectures.fields import completed
from symflops.derivation import Page
from symflops.documents import Block, Document, Heading, Prose, Remarks, Table
from symflops.laws.adapters import Adapter
from symflops.laws.claiming import told
from symflops.laws.cost import Case
from symflops.laws.drawing import FLAGS
from symflops.laws.law import HOW, Instance, Law

Status = Literal["holds", "broken", "not asked"]


@dataclass(frozen=True)
class Finding:
    """What came of asking one law: the number of cases that it was asked of, or why of none.

    Where it is broken, ``case`` is the smallest that breaks it, and ``instance`` has both numbers.
    """

    law: Law
    status: Status
    cases: int = 0
    why: str = ""
    case: Case | None = None
    instance: Instance | None = None

    @property
    def holds(self) -> bool:
        """Whether no case broke it."""
        return self.status != "broken"

    def told(self) -> str:
        """The law, the smallest case that breaks it, both numbers, and the source, on four lines."""
        if self.case is None or self.instance is None:
            return f"{self.law.name}: {self.status}"
        said = f" ({self.instance.detail})" if self.instance.detail else ""
        return (
            f"{self.law.name}: {self.law.prose}\n"
            f"  smallest case: {described(self.case)}\n"
            f"  {self.instance.left} against {self.instance.right}{said}\n"
            f"  source: {self.law.source}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers as text, because they are exact."""
        case = None if self.case is None else {"family": self.case.model.family.name, "sizes": self.case.sizes}
        found = None if self.instance is None else _instance(self.instance)
        flags = {} if self.case is None else {"config": dict(self.case.model.config)}
        return {
            "law": self.law.name, "status": self.status, "cases": self.cases, "why": self.why,
            "source": self.law.source, "smallest": case and {**case, **flags}, "found": found,
        }  # fmt: skip


def described(case: Case) -> str:
    """A case by its sizes, and the flags of its config that are not as its class has them by default.

    >>> from symflops.architectures import architecture
    >>> described(Case(architecture("gpt2").with_sizes(n_layer=1), n_seq=8))
    'gpt2(n_layer=1, d_model=768, d_ff=3072, n_vocab=50257, n_ctx=1024, n_head=12, d_head=64, n_batch=1, n_seq=8)'
    """
    usual, config = completed({"model_type": case.model.family.name}), case.model.config
    flags = [f"{name}={json.dumps(config[name])}" for name in FLAGS if config.get(name) != usual.get(name)]
    return f"{case} with {', '.join(flags)}" if flags else str(case)


def _instance(found: Instance) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("subject", "holds", "how", "left", "right", "detail")}


@dataclass(frozen=True)
class Report(Page):
    """A cost function, what it claims, and what came of each law."""

    name: str
    adapter: Adapter
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether no law is broken."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The broken laws."""
        return tuple(each for each in self.findings if not each.holds)

    def of(self, status: Status) -> tuple[Finding, ...]:
        """The findings of a status."""
        return tuple(each for each in self.findings if each.status == status)

    def document(self) -> Document:
        """The page."""
        return Document(f"Laws asked of {self.name}", tuple(self._blocks()), self.as_json())

    def _blocks(self) -> Iterator[Block]:
        yield Prose(f"It claims: {told(self.adapter.claims, self.adapter.where)}.")
        held, unasked = self.of("holds"), self.of("not asked")
        yield Prose(f"{_laws(len(self.failures))} broken, {len(held)} hold, {len(unasked)} not asked.")
        for each in self.failures:
            yield from _broken(each)
        if held:
            yield Table("Laws that hold", ("law", "cases"), tuple((each.law.name, str(each.cases)) for each in held))
        if unasked:
            yield Table("Laws that were not asked", ("law", "why"), tuple((e.law.name, e.why) for e in unasked))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "function": self.name,
            "claims": told(self.adapter.claims, self.adapter.where),
            "holds": self.holds,
            "laws": [each.as_json() for each in self.findings],
        }


def _laws(number: int) -> str:
    return f"{number} law" if number == 1 else f"{number} laws"


def _broken(found: Finding) -> Iterator[Block]:
    yield Heading(f"Broken: {found.law.name}")
    if found.instance is not None:
        remarks = [
            ("", found.law.prose),
            ("smallest case", described(found.case) if found.case else ""),
            ("numbers", f"{found.instance.left} against {found.instance.right}"),
            ("of", found.instance.detail or "this case"),
            ("source", found.law.source),
        ]
        yield Remarks(tuple(remarks))


@dataclass(frozen=True)
class Shown:
    """A law on symflops' own declarations: every instance, and the seconds that it took."""

    law: Law
    instances: tuple[Instance, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every instance holds, of one at least."""
        return bool(self.instances) and all(each.holds for each in self.instances)

    @property
    def how(self) -> str:
        """How its instances are established: the weakest way among them."""
        ways = [way for way in HOW if any(each.how == way for each in self.instances)]
        return ways[-1] if ways else "-"


@dataclass(frozen=True)
class ShownReport(Page):
    """Laws run on symflops' own declarations."""

    shown: tuple[Shown, ...]

    @property
    def holds(self) -> bool:
        """Whether every law holds."""
        return all(each.holds for each in self.shown)

    @property
    def failures(self) -> tuple[Shown, ...]:
        """The laws that do not hold."""
        return tuple(each for each in self.shown if not each.holds)

    def document(self) -> Document:
        """The page."""
        return Document("Laws on symflops' own declarations", tuple(self._blocks()), self.as_json())

    def _blocks(self) -> Iterator[Block]:
        number = sum(len(each.instances) for each in self.shown)
        seconds = sum(each.seconds for each in self.shown)
        yield Prose(f"{_laws(len(self.shown))}, {number} instances, {seconds:.1f} s; {len(self.failures)} broken.")
        for each in self.failures:
            wrong = [one for one in each.instances if not one.holds] or [Instance("no instance", False, "tested")]
            yield Heading(f"Broken: {each.law.name}")
            yield Remarks(tuple((one.subject, f"{one.left} against {one.right}. {one.detail}") for one in wrong))
        head = ("law", "how", "instances", "seconds")
        rows = ((e.law.name, e.how, str(len(e.instances)), f"{e.seconds:.2f}") for e in self.shown)
        yield Table("Laws", head, tuple(rows))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"holds": self.holds, "laws": [_shown(each) for each in self.shown]}


def _shown(each: Shown) -> Mapping[str, Any]:
    return {
        "law": each.law.name, "holds": each.holds, "how": each.how, "instances": len(each.instances),
        "seconds": round(each.seconds, 3), "broken": [_instance(one) for one in each.instances if not one.holds],
    }  # fmt: skip


@dataclass(frozen=True)
class Listed(Page):
    """Laws, with what they say."""

    laws: tuple[Law, ...]

    def document(self) -> Document:
        """The page: of several laws a line each, of one all that is said of it."""
        title = "Laws of costs" if len(self.laws) > 1 else self.laws[0].name
        return Document(title, tuple(self._blocks()), {"laws": [_law(each) for each in self.laws]})

    def _blocks(self) -> Iterator[Block]:
        if len(self.laws) > 1:
            yield Prose(f"{'; '.join(f'{how}: {meant}' for how, meant in HOW.items())}.")
            rows = ((law.name, law.prose, law.ways, law.scope) for law in self.laws)
            yield Table("", ("law", "what it says", "how", "scope"), tuple(rows))
        else:
            yield Remarks(tuple((name.replace("_", " "), text) for name, text in _law(self.laws[0]).items()))


def _law(law: Law) -> dict[str, str]:
    texts = {name: getattr(law, name) for name in ("name", "statement", "prose", "source", "domain", "scope")}
    return {**texts, "how": law.ways}


def listed(laws: Iterable[Law]) -> Listed:
    """The page of some laws."""
    return Listed(tuple(laws))
