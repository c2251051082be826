"""Every cost law, by name: a tuple `LAWS` of each theme, gathered.

>>> LAWS["additivity"].statement
'C(A + B) = C(A) + C(B)'
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from symflops.laws.catalogue import (
    adapters,
    algebra,
    attention,
    caches,
    closed_forms,
    experts,
    lengths,
    linearity,
    masks,
    matmuls,
    parallel,
    parameters,
    prices,
    serving,
    training,
)
from symflops.laws.law import Law

_MODULES = (
    linearity,
    matmuls,
    masks,
    lengths,
    attention,
    caches,
    serving,
    experts,
    parameters,
    closed_forms,
    algebra,
    training,
    adapters,
    parallel,
    prices,
)
THEMES: Mapping[str, tuple[Law, ...]] = MappingProxyType(
    {each.__name__.rpartition(".")[2]: each.LAWS for each in _MODULES}
)
"""The laws of each theme."""
LAWS: Mapping[str, Law] = MappingProxyType({law.name: law for laws in THEMES.values() for law in laws})
"""Every law, by its name."""
