"""One literate, executable file per source: prose, derivation and the engine's remarks together."""

from collections.abc import Callable, Mapping
from importlib import import_module

from symflops.conventions import Convention
from symflops.derivation import Derivation

SOURCES = ("kaplan2020",)
"""Every source with a derivation of its own, by its module's name."""


def source(name: str) -> Callable[[str | Convention], Derivation]:
    """The function that derives a source under a convention."""
    found: Mapping[str, Callable[[str | Convention], Derivation]] = vars(import_module(f"derivations.{name}"))
    return found["derive"]
