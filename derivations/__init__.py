"""One literate, executable file per source: prose, derivation and the engine's remarks together.

Every module here is a source by its name, unless the name begins with ``_``, and has a function ``derive``. It takes a
convention where the source's figures can be priced by another one than its own, and nothing where they cannot.

>>> "kaplan2020" in SOURCES, derived("kaplan2020", "torch").convention.name
(True, 'torch')
"""

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules
from typing import TypeAlias

from symflops.conventions import Convention
from symflops.derivation import Derivation, Study
from symflops.errors import SymflopsError

Source: TypeAlias = Derivation | Study
SOURCES = tuple(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))
"""Every source with a derivation of its own, by its module's name."""


def source(name: str) -> Callable[..., Source]:
    """The function that derives a source, under a convention if it takes one."""
    found: Callable[..., Source] = import_module(f"derivations.{name}").derive
    return found


def derived(name: str, given: str | Convention | None = None) -> Source:
    """A source under a convention, by default its own.

    Raises `SymflopsError` where a convention is given for a source that takes none, `UnknownName` for one that is none.
    """
    derive = source(name)
    if given is None:
        return derive()
    if not signature(derive).parameters:
        raise SymflopsError(f"{name} is not priced by a convention, so it takes none; leave out {_name(given)!r}")
    return derive(given)


def derived_network(name: str, given: str | Convention) -> Derivation:
    """A source's derivation under a convention, of which the network is wanted.

    Raises `SymflopsError` for a source that is about no single network, and what `derived` raises.
    """
    found = derived(name, given if signature(source(name)).parameters else None)
    if isinstance(found, Study):
        raise SymflopsError(f"{name} is about no single network, so it has no sizes; see symflops derive {name}")
    return found


def _name(given: str | Convention) -> str:
    return given if isinstance(given, str) else given.name
