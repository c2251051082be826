"""What can be derived by name: the sources in `derivations`, every architecture, and any network.

>>> derive("kaplan2020").N
2*d_model*n_layer*(2*d_attn + d_ff)
>>> derive("gpt2", "exact").convention.name
'exact'
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sympy import Expr

from symflops.architectures import Architecture, architecture, presets
from symflops.conventions import TORCH, Convention
from symflops.derivation import Derivation, Study, derive_network
from symflops.errors import UnknownName
from symflops.nodes import Node


def derive(
    given: str | Path | Expr | Architecture | Any, convention: str | Convention | None = None
) -> Derivation | Study:
    """The table, N and C_forward for one token, of a source, an architecture, a config, or a network.

    A source that is about no single network is a `Study`: its sections alone.

    Without a convention, a source is shown under its own and anything else under ``torch``.
    Raises `UnknownName` for a name that is none, `SymflopsError` for a convention of a source that takes none, and what
    `architecture` raises for a config.
    """
    from derivations import SOURCES, derived

    if isinstance(given, str) and given in SOURCES:
        return derived(given, convention)
    chosen = TORCH if convention is None else convention
    if isinstance(given, Expr) and given.has(Node):
        return derive_network("network", "A network", "given as an expression", given, chosen)
    model = given if isinstance(given, Architecture) else _model(given, SOURCES)
    citation = f"{model.family.citation}; sizes: {model.source}"
    return derive_network(model.name, model.name, citation, model.network, chosen)


def _model(given: Any, sources: tuple[str, ...]) -> Architecture:
    try:
        return architecture(given)
    except UnknownName:
        if isinstance(given, str) and (not given or not Path(given).exists()):
            raise UnknownName("name", given, [*sources, *presets()]) from None
        raise
