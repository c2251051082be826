"""Laws as tests of pytest: one for each law and cost function. `pytest_symflops` has the options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from symflops.errors import SymflopsError
from symflops.laws.adapters import adapter, cost
from symflops.laws.law import Law
from symflops.laws.report import Finding
from symflops.laws.running import NUMBER, Search, ask, chosen
from symflops.laws.targets import target


class BrokenLaw(AssertionError):
    """A law that a cost function breaks; its text is the law, the smallest case, both numbers and the source."""


class LawItem(pytest.Item):
    """A law asked of a cost function."""

    def __init__(self, *, law: Law, function: Any, how: Any, search: Search, **inherited: Any) -> None:
        super().__init__(**inherited)
        self.law, self.function, self.how, self.search = law, function, how, search

    def runtest(self) -> None:
        """Asks; skips where no case is one that the law is about."""
        found: Finding = ask(self.law, cost(self.function, self.how), self.how, self.search)
        if found.status == "not asked":
            pytest.skip(found.why)
        if not found.holds:
            raise BrokenLaw(found.told())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What the law says, without the lines of code that found it."""
        if isinstance(excinfo.value, BrokenLaw):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands in a report."""
        return self.path, None, f"{self.name}"


def law_items(session: pytest.Session, config: pytest.Config) -> Iterator[LawItem]:
    """The tests of every named function: of each law that what it claims is subject to.

    Raises `pytest.UsageError`, in one line, where a function cannot be found or called.
    """
    names, claims = config.getoption("--cost-function"), config.getoption("--cost-claims")
    if len(claims) > len(names):
        raise pytest.UsageError(f"{len(claims)} --cost-claims for {len(names)} --cost-function; give one for each")
    said = [*claims, *[None] * (len(names) - len(claims))]
    try:
        search = Search(_number(config.getoption("--cost-examples")), 0, _folder(config.getoption("--cost-keep")))
        for name, words in zip(names, said, strict=True):
            yield from _of_function(session, name, words, search)
    except SymflopsError as error:
        raise pytest.UsageError(str(error)) from None


def _of_function(session: pytest.Session, name: str, words: str | None, search: Search) -> Iterator[LawItem]:
    function = target(name)
    how = adapter(function, words)
    for law in (NUMBER, *chosen()):
        if law.ask is not None and (law.asks is None or law.asks(how.claims)):
            yield LawItem.from_parent(
                session, name=f"{name}[{law.name}]", law=law, function=function, how=how, search=search
            )


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise SymflopsError(f"--cost-examples is {text!r}; give a positive integer in digits, such as 60")
    return int(text)


def _folder(text: str | None) -> Path | None:
    return None if text is None else Path(text)
