"""Options of the pytest plugin; nothing of symflops is imported, unless a cost function is named.

``pytest --cost-function mypackage.costs:flops`` asks a cost function every law that it claims to obey, a test for each.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("symflops", "laws of costs")
    for name, metavar, told in (
        ("--cost-function", "MODULE:FUNCTION", "ask this cost function the laws of costs; may be repeated"),
        ("--cost-claims", "WORDS", 'what each of them claims, in their order, such as "flops training per=token"'),
    ):
        group.addoption(name, action="append", default=[], metavar=metavar, help=told)
    group.addoption("--cost-examples", default="60", metavar="N", help="cases for each law (default 60)")
    group.addoption("--cost-keep", default=None, metavar="FOLDER", help="keep cases that broke a law, ask them first")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[Any]) -> None:
    """A test for each law and function, where a function is named."""
    if config.getoption("--cost-function"):
        from symflops.laws.plugin import law_items

        items.extend(law_items(session, config))
    elif config.getoption("--cost-claims"):
        raise pytest.UsageError("--cost-claims is about a function; name it with --cost-function MODULE:FUNCTION")
