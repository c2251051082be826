"""Whose work an operator is where no root was named: every module being called, named as torch's module tracker does.

A chain is those names from the outermost in, in one text, so that it can stand where a module's path does.
"""

from __future__ import annotations

import functools
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from torch import nn

from symflops.tracing.internals import OUTSIDE
from symflops.tracing.internals.attribution import Attribution

_LINK: Final = "\n"


@functools.lru_cache(maxsize=2**16)
def links(chain: str) -> tuple[str, ...]:
    """The names in a chain, the outermost first, each once.

    >>> links("Model\\nModel.h.0\\nModel.h.0.up"), links(OUTSIDE)
    (('Model', 'Model.h.0', 'Model.h.0.up'), ())
    """
    return () if chain == OUTSIDE else tuple(dict.fromkeys(chain.split(_LINK)))


def innermost(chain: str) -> str:
    """The name of the module that does the work itself.

    >>> innermost("Model\\nModel.h.0"), innermost(OUTSIDE)
    ('Model.h.0', '<outside>')
    """
    return chain.rpartition(_LINK)[2]


class Names:
    """Names of modules as torch's module tracker gives them, for as long as the modules live.

    A module that is called and not known is named after its class, all below it after their place in it. What is met
    again inside another module is renamed.

    >>> inner = nn.Linear(1, 1)
    >>> names = Names()
    >>> names.of(inner), names.of(nn.Sequential(inner)), names.of(inner)
    ('Linear', 'Sequential', 'Sequential.0')
    """

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._seen: WeakSet[nn.Module] = WeakSet()

    def of(self, module: nn.Module) -> str:
        """The module's name."""
        name = self._names.setdefault(module, type(module).__name__)
        if module not in self._seen:
            for place, child in module.named_children():
                self._names[child] = f"{name}.{place}"
                self.of(child)
            self._seen.add(module)
        return name

    def have_parameters(self) -> bool:
        """Whether any of the modules has parameters."""
        return any(next(module.parameters(), None) is not None for module in self._names)


class Chains(Attribution):
    """Attribution without a root: work belongs to the chain of modules being called, whoever holds them."""

    def __init__(self, names: Names) -> None:
        super().__init__(nn.Module())
        self._names = names

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        chain, name = self._stack[-1][1], self._names.of(module)
        self.entered = True
        self._push(module, name if chain == OUTSIDE else chain + _LINK + name)
