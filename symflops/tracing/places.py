"""Where the code keeps what a network written by hand computes: its closed forms, by pass and module path."""

from __future__ import annotations

from collections import defaultdict

from sympy import Expr

from symflops.architectures import Architecture
from symflops.conventions import TORCH
from symflops.derivation import reading_position
from symflops.measures import Phase, priced
from symflops.networks import Use, uses

PHASES: tuple[Phase, ...] = ("forward", "backward")


def closed_forms(
    model: Architecture, network: Expr | None = None
) -> tuple[dict[tuple[Phase, str], list[Expr]], dict[str, list[str]]]:
    """The formula's FLOPs by pass and module path, and the operations at each path, in reading order.

    ``network`` is the model's for other tokens than whole sequences in symbols.
    """
    forms: dict[tuple[Phase, str], list[Expr]] = defaultdict(list)
    named: dict[str, list[str]] = defaultdict(list)
    for use in sorted(uses(model.network if network is None else network), key=reading_position):
        path = module_of(model, use)
        named[path].append(use.path)
        for phase in PHASES:
            forms[phase, path].append(priced(use, TORCH, phase))
    return forms, named


def label(paths: list[str]) -> str:
    """What the formula calls the operations of one module: their common block, where there are several."""
    if len(paths) == 1:
        return paths[0]
    outer = dict.fromkeys(path.split("/")[0] for path in paths)
    return " + ".join(outer) or "nothing in the formula"


def module_of(model: Architecture, use: Use) -> str:
    """The module path of an operation in transformers' code; the operation's own path where the family names none."""
    return model.family.place(use).module
