"""Faults of a network as a whole: its layers, what it ties, routes, runs once or again, and which pairs it attends to.

>>> from symflops.laws.catalogue.subjects import network
>>> [what for _, what, _ in reach(network("mixtral"))][:2]
['of experts, one more runs', 'of experts, all run']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sympy import Expr, Integer, Symbol

from symflops.architectures.names import KINDS as LAYER_KINDS
from symflops.laws.mutation.declared import with_sizes
from symflops.laws.mutation.mutant import At, Change
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, SlidingWindow
from symflops.networks import Once, Recomputed, Routed, Tied, Use, Wrapper, uses
from symflops.notation import n_layer, n_window, symbol
from symflops.operations import Operation

Faults = Iterator[tuple[str, str, Change]]
"""Where a fault stands, what is changed, and the change."""
ALL = "everywhere"


class OneMore(Causal):
    """A causal mask that lets through one key more for each query."""

    @property
    def shift(self) -> Expr:
        return super().shift + 1

    def doit(self, **_: object) -> Expr:
        """The exact count."""
        return super()._exact()


class OneLess(Causal):
    """A causal mask that lets through one key less: not the query's own."""

    @property
    def shift(self) -> Expr:
        return super().shift - 1


def reach(whole: Expr) -> Faults:
    """What is stored, and what runs: routed experts, tied tables, what runs once, what runs again."""
    if whole.has(Routed):
        for what, change in _ROUTED.items():
            yield ALL, f"of experts, {what}", _each(Routed, change)
    for kind, what in ((Tied, "tied weights are owned"), (Once, "what runs once runs in each step")):
        if whole.has(kind):
            yield ALL, what, _each(kind, lambda each: each.body)
    for use in uses(whole):
        if use.operation.parameters:
            yield use.path, "weights of another", At(use.path, Tied)
        yield use.path, "runs again backward", At(use.path, Recomputed)
        yield use.path, "runs once for each sequence", At(use.path, Once)


_ROUTED: dict[str, Callable[[Wrapper], Expr]] = {
    "one more runs": lambda each: Routed(each.args[0], each.args[1] + 1, each.body),
    "all run": lambda each: Routed(each.args[0], each.args[0], each.body),
    "those that run are stored": lambda each: Routed(each.args[1], each.args[1], each.body),
    "one more is stored": lambda each: Routed(each.args[0] + 1, each.args[1], each.body),
    "stored and running exchanged": lambda each: Routed(each.args[1], each.args[0], each.body),
    "one is stored": lambda each: Routed(Integer(1), each.args[1], each.body),
}


def _each(kind: type[Wrapper], change: Callable[[Wrapper], Expr]) -> Change:
    def changed(network: Expr) -> Expr:
        found: Expr = network.replace(lambda each: isinstance(each, kind), change)
        return found

    return changed


def layers(whole: Expr) -> Faults:
    """One layer more or less; layers of a kind, and those that are not, exchanged."""
    for by in (1, -1):
        yield ALL, f"n_layer {by:+d}", _substituted({n_layer: n_layer + by})
    for size in sorted(whole.free_symbols & {symbol(name) for name in LAYER_KINDS.values()}, key=str):
        yield ALL, f"{size} + 1", _substituted({size: size + 1})
        yield ALL, f"{size} for the layers that are not", _substituted({size: n_layer - size})


def _substituted(sizes: dict[Symbol, Expr]) -> Change:
    def changed(network: Expr) -> Expr:
        found: Expr = network.subs(sizes, simultaneous=True)
        return found

    return changed


def masks(whole: Expr) -> Faults:
    """Other pairs: in all attentions with a mask, and in one of their steps."""
    for kind in sorted({type(each) for each in whole.atoms(AttendedPairs)}, key=str):
        for what, other in _OTHERS.get(kind, {}).items():
            yield ALL, f"{what}, not {kind.__name__}", _masked(kind, other)
    for use in uses(whole):
        kind = type(use.operation.mask)
        for what, other in _OTHERS.get(kind, {}).items():
            yield use.path, f"{what}, not {kind.__name__}", At(use.path, _masked(kind, other))


Other = Callable[[AttendedPairs], AttendedPairs]
_OTHERS: dict[type, dict[str, Other]] = {
    Causal: {
        "one key more": lambda each: OneMore(*each.args),
        "one key less": lambda each: OneLess(*each.args),
        "aligned at the top left": lambda each: CausalTopLeft(*each.args),
        "all pairs": lambda each: Full(*each.args),
        "a window": lambda each: SlidingWindow(*each.args, n_window),
    },
    SlidingWindow: {
        "a longer window": lambda each: SlidingWindow(*each.args[:2], each.args[2] + 1),
        "a shorter window": lambda each: SlidingWindow(*each.args[:2], each.args[2] - 1),
        "no window": lambda each: Causal(*each.args[:2]),
    },
    Full: {
        "causal pairs": lambda each: Causal(*each.args),
        "causal pairs from the top left": lambda each: CausalTopLeft(*each.args),
    },
}  # fmt: skip


def _masked(kind: type, other: Other) -> Change:
    def changed(network: Expr) -> Expr:
        found: list[Any] = [each for each in network.atoms(AttendedPairs) if type(each) is kind]
        made: Expr = network.xreplace({each: other(each) for each in found})
        return made

    return changed


__all__ = ["Operation", "Use", "layers", "masks", "reach", "with_sizes"]
