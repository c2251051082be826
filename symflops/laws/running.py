"""Laws run: on symflops' own declarations, and asked of anybody's cost function, until one case breaks it.

>>> def flops(n_layer, d_model, d_ff, n_vocab, n_seq):
...     return 6 * n_layer * (4 * d_model**2 + 2 * d_model * d_ff + 2 * d_model * n_seq) + 2 * d_model * n_vocab
>>> found = check(flops, "training per=token families=gpt2", examples=20, laws=["vocabulary-slope"])
>>> [broken] = found.failures
>>> broken.law.name, broken.case.sizes["n_layer"], broken.instance.left, broken.instance.right
('vocabulary-slope', 1, '4', '12')
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from symflops.errors import SymflopsError, UnknownName
from symflops.laws.adapters import Adapter, NotAsked, adapter, cost
from symflops.laws.catalogue import LAWS
from symflops.laws.cost import Case, Claims, Cost, CostError
from symflops.laws.keeping import keep, kept_cases
from symflops.laws.law import Instance, Law
from symflops.laws.report import Finding, Report, Shown, ShownReport

Progress = Callable[[str, int, int], None]
EXAMPLES = 60
"""Cases that a law is asked of by default; a thorough run asks ten times as many."""


def no_progress(what: str, done: int, of: int) -> None:
    """Shows nothing."""


def chosen(names: Iterable[str] = (), laws: Iterable[Law] | None = None) -> tuple[Law, ...]:
    """The laws of these names, or all. Raises `UnknownName`."""
    table = {law.name: law for law in (LAWS.values() if laws is None else laws)}
    for name in (wanted := tuple(names)):
        if name not in table:
            raise UnknownName("law", name, table)
    return tuple(law for name, law in table.items() if not wanted or name in wanted)


def run_own(laws: Sequence[Law], progress: Progress = no_progress) -> ShownReport:
    """Every law on symflops' own declarations: all instances, proved or counted, and how long each law took."""
    mine = [law for law in laws if law.show is not None]
    shown = []
    for number, law in enumerate(mine):
        progress(law.name, number, len(mine))
        shown.append(_shown(law))
    return ShownReport(tuple(shown))


def _shown(law: Law) -> Shown:
    start = time.perf_counter()
    instances = tuple(law.show() if law.show else ())
    return Shown(law, instances, time.perf_counter() - start)


@dataclass(frozen=True)
class Search:
    """How cases are searched: how many, from which seed, the folder of those that broke a law, asked first."""

    examples: int = EXAMPLES
    seed: int = 0
    database: Path | None = None


def check(
    function: Callable[..., Any],
    how: Adapter | Claims | str | None = None,
    examples: int = EXAMPLES,
    seed: int = 0,
    database: Path | None = None,
    laws: Iterable[str | Law] = (),
    progress: Progress = no_progress,
) -> Report:
    """Asks a cost function every law that what it claims is subject to, and shrinks each case that breaks one.

    ``how`` is an `Adapter`, or what the function claims, as `Claims` or in words (`read_claims`). The same seed draws
    the same cases. ``database`` is a folder for the cases that broke a law; they are asked first the next time.
    Raises `CostError` where the function cannot be called; whatever it then does is in the report.
    """
    using = how if isinstance(how, Adapter) else adapter(function, how)
    asked, search = tuple(_laws(laws)), Search(examples, seed, database)
    asked_of = cost(function, using)
    first = ask(NUMBER, asked_of, using, search)
    found = [first] if not first.holds else []
    for number, law in enumerate(asked):
        progress(law.name, number, len(asked))
        found.append(ask(law, asked_of, using, search))
    return Report(asked_of.name, using, tuple(found))


def _laws(given: Iterable[str | Law]) -> Iterator[Law]:
    mixed = tuple(given)
    own = [each for each in mixed if isinstance(each, Law)]
    names = [each for each in mixed if isinstance(each, str)]
    yield from own
    if names or not own:
        yield from (law for law in chosen(names) if law.ask is not None)


def assert_holds(function: Callable[..., Any], how: Adapter | Claims | str | None = None, **search: Any) -> Report:
    """As `check`; raises AssertionError with each broken law, its smallest case, both numbers and its source."""
    report = check(function, how, **search)
    if not report.holds:
        raise AssertionError("\n\n".join(failure.told() for failure in report.failures))
    return report


def ask(law: Law, asked_of: Cost, how: Adapter, search: Search) -> Finding:
    """One law asked of a cost function: held, broken with the smallest case, or not asked and why."""
    if law.ask is None or not (law.asks is None or law.asks(asked_of.claims)):
        return Finding(law, "not asked", why="it is about what the function does not claim")
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        raise CostError("laws are asked with hypothesis, which is missing; pip install symflops[laws]") from None
    tally = _Tally(law, asked_of)
    before = () if search.database is None else kept_cases(search.database, asked_of.name, law.name)
    smallest = next((case for case in before if tally.broken(case)), None)
    if smallest is None:
        broken = any(tally.broken(case) for case in _drawn(_Asked.of(how), search.examples, search.seed))
        smallest = _smallest(tally, how, search) if broken else None
    if smallest is None:
        return tally.held()
    if search.database is not None:
        keep(search.database, asked_of.name, law.name, smallest)
    return tally.finding(smallest)


@dataclass(frozen=True)
class _Asked:
    """Which models a function is for, by what says so: all laws are asked of the same cases of them."""

    key: str
    how: Adapter = field(compare=False)

    @classmethod
    def of(cls, how: Adapter) -> _Asked:
        return cls(json.dumps([how.claims.families, dict(how.where), how.named], sort_keys=True, default=str), how)


@lru_cache(maxsize=16)
def _drawn(asked: _Asked, examples: int, seed: int) -> tuple[Case, ...]:
    """The cases that are drawn until one breaks a law, if none does: drawn once for all laws."""
    drawn: list[Case] = []

    def keeps(case: Case) -> bool:
        drawn.append(case)
        return False

    _find(keeps, asked.how, examples, seed)
    return tuple(drawn)


def _smallest(tally: _Tally, how: Adapter, search: Search) -> Case:
    """The smallest case that breaks a law which some case broke; what breaks it only at times, as it was last seen."""
    found = _find(tally.broken, how, search.examples, search.seed)
    return tally.last() if found is None else found


def _find(breaks: Callable[[Case], bool], how: Adapter, examples: int, seed: int) -> Case | None:
    """The smallest case that Hypothesis finds to break something; None where none does, or one only at times."""
    from hypothesis import Phase, Verbosity, find, settings
    from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable

    from symflops.laws.strategies import cases

    phases = (Phase.generate, Phase.shrink)
    using = settings(max_examples=examples, database=None, deadline=None, phases=phases, verbosity=Verbosity.quiet)
    drawn = cases(how.claims.families, how.where, how.named)
    try:
        return find(drawn, breaks, settings=using, random=Random(seed))
    except (NoSuchExample, Unsatisfiable, Flaky):
        return None


class _Tally:
    """What a law said of each case; what broke it is kept, as a function may answer otherwise when asked again."""

    def __init__(self, law: Law, asked_of: Cost) -> None:
        self.law, self.cost, self.cases, self.why = law, asked_of, 0, ""
        self.breaks: dict[str, tuple[Case, Instance]] = {}

    def broken(self, case: Case) -> bool:
        found = self._instances(case)
        self.cases += bool(found)
        wrong = [each for each in found if not each.holds]
        if wrong:
            self.breaks[repr(case)] = case, wrong[0]
        return bool(wrong)

    def _instances(self, case: Case) -> list[Instance]:
        try:
            return list(self.law.ask(self.cost, case)) if self.law.ask else []
        except CostError as error:
            self.why = str(error)
            return [self._raised(case, error)] if self._wrong(case, error) else []
        except SymflopsError as error:
            self.why = f"{case} has no such size: {error}"
        return []

    def _wrong(self, case: Case, error: CostError) -> bool:
        """Whether a function that gives a number for the case should have given one for the law's other sizes too.

        It may refuse sizes: with a ValueError, a failed assertion, or because it is not for them.
        """
        if isinstance(error, NotAsked) or isinstance(error.__cause__, ValueError | AssertionError):
            return False
        try:
            self.cost.of(case)
        except CostError:
            return False  # `NUMBER` says so
        return True

    def _raised(self, case: Case, error: CostError) -> Instance:
        return Instance(f"{self.cost.name} of {case}", False, "tested", str(error), "a finite number", "other sizes")

    def held(self) -> Finding:
        if self.cases:
            return Finding(self.law, "holds", self.cases)
        return Finding(self.law, "not asked", why=self.why or "no model of its families has what the law is about")

    def last(self) -> Case:
        """What broke the law last, although it does not every time: a function that answers by chance."""
        return list(self.breaks.values())[-1][0]

    def finding(self, smallest: Case) -> Finding:
        case, instance = self.breaks[repr(smallest)]
        return Finding(self.law, "broken", self.cases, case=case, instance=instance)


def _number(asked_of: Cost, case: Case) -> Iterator[Instance]:
    """That the function returns a finite number, twice the same, and raises nothing."""
    about = f"{asked_of.name} of {case}"
    try:
        once = asked_of.of(case)
    except NotAsked:
        return
    except CostError as error:
        yield Instance(about, False, "tested", str(error), "a finite number")
        return
    again = asked_of.of(case)
    yield Instance(about, once == again, "tested", str(once), str(again), "asked twice")


NUMBER = Law(
    "returns-a-number",
    r"C \in \mathbb{Q}",
    "A cost is a finite number, the same whenever it is asked.",
    "what a function is",
    "all sizes",
    "any cost",
    ask=_number,
)
"""Asked of every function before any other law."""


def thorough(search: Search) -> Search:
    """Ten times the cases."""
    return replace(search, examples=10 * search.examples)
