"""Certificates: closed forms compared, exactly, with the concrete module at random sizes that no run has seen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from sympy import Expr

from symflops.errors import SymflopsError
from symflops.notation import symbol
from symflops.tracing.inputs import loss
from symflops.tracing.internals.fake_kernels import Routing, fake_kernels
from symflops.tracing.merging import Merged, merged
from symflops.tracing.phases import Phase
from symflops.tracing.records import Run
from symflops.tracing.sampling import Domain, draw, holds
from symflops.tracing.targets import Kernels, Target

_LARGEST = 24
_MOST_LAYERS = 5


class NotCertified(SymflopsError):
    """A closed form that the concrete module contradicts: it is not shown."""


@dataclass(frozen=True)
class Certificate:
    """At how many random sizes, none of them used before, the concrete module gave exactly the closed forms' values.

    ``refuted`` says of each form of `MOVED` that was not equal everywhere where it was not; it is not shown.
    """

    points: int
    equal: bool
    refuted: Mapping[str, str] = field(default_factory=dict, repr=False)


MOVED = frozenset({"bytes_read", "bytes_written"})
"""Forms that a trace can do without: code that computes tables may depend on its sizes in any way."""


@dataclass(frozen=True)
class Claims:
    """Closed forms by name, and where they hold; ``apart`` holds further conditions for some of them, by name.

    ``drawn`` is where sizes are drawn from: the part of the ``domain`` where the model is sure to exist.
    """

    forms: Mapping[str, Expr]
    domain: Domain
    drawn: Domain
    apart: Mapping[str, Domain]

    def at(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The values of the forms that are claimed at these sizes."""
        values = {symbol(name): value for name, value in sizes.items()}
        claimed = [name for name in self.forms if all(holds(each, sizes) for each in self.apart.get(name, ()))]
        return {name: self.forms[name].subs(values) for name in claimed}


@dataclass(frozen=True)
class Concrete:
    """The module that claims are compared with: a target, built with some kernels, called as in a phase."""

    target: Target
    kernels: Kernels
    phase: Phase

    def run(self, sizes: Mapping[str, int]) -> Run:
        """What the module does at integer sizes, on fake tensors."""
        built = self.target.concrete(sizes, self.kernels, "fake")
        with fake_kernels(Routing.of(sizes)), built.scope():
            with torch.device(built.device):
                given = self.target.inputs(built.module, sizes)
            return self.phase.concrete(self.phase.prepare(built.module), given, loss)


def certified(claims: Claims, module: Concrete, points: int, stage: Callable[[int], None]) -> Certificate:
    """Compare claims with the concrete module at ``points`` random sizes.

    Sizes that the module itself refuses (a padding token beyond the vocabulary) are drawn anew. Raises `NotCertified`,
    with the sizes, where the module differs, or refuses most sizes.
    """
    done, refused, name = 0, 0, module.target.name
    refuted: dict[str, str] = {}
    for sizes in random_sizes(module.target, claims.drawn) if points else ():
        stage(done)
        try:
            seen = concrete_values(module, sizes)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            refused += 1
            if refused > points:
                raise NotCertified(f"{name} refuses most random sizes; the last: {error}") from error
            continue
        refuted |= _compare(claims.at(sizes), seen, name, sizes)
        done += 1
        if done == points:
            break
    return Certificate(done, True, refuted)


def _compare(
    claimed: Mapping[str, int], seen: Mapping[str, int], name: str, sizes: Mapping[str, int]
) -> dict[str, str]:
    """What of `MOVED` is not as claimed; anything else that is not is an error."""
    wrong = [each for each, value in claimed.items() if value != seen[each]]
    shown = ", ".join(f"{each}={value}" for each, value in sizes.items())
    if set(wrong) <= MOVED:
        return {each: f"{claimed[each]} by the formula, {seen[each]} in the module at {shown}" for each in wrong}
    said = "; ".join(f"{each}: {claimed[each]} by the formula, {seen[each]} in it" for each in wrong)
    raise NotCertified(f"the module of {name} contradicts its closed form at {shown}: {said}")


def random_sizes(target: Target, domain: Domain) -> Iterator[dict[str, int]]:
    """Random sizes inside a domain, not the hints, without end and the same ones every time."""
    source = random.Random(target.name)
    spans = {
        name: (min(2, size), _MOST_LAYERS) if name in target.structural else (2, _LARGEST)
        for name, size in target.sizes.items()
    }
    while True:
        sizes = draw(spans, domain, source)
        if sizes != dict(target.sizes):
            yield sizes


def concrete_values(module: Concrete, sizes: Mapping[str, int]) -> dict[str, int]:
    """What the module does at integer sizes: parameters, FLOPs and bytes forward and backward, bytes saved."""
    found = merged(module.run(sizes))
    return {name: int(form) for name, form in measured(found).items() if form is not None}


def measured(found: Merged) -> dict[str, Any]:
    """What is claimed of a model: each form by its name; None where there is none."""
    return {
        "params": found.params,
        "C_forward": found.flops("forward"),
        "C_backward": found.flops("backward", "recompute"),
        "saved_bytes": found.saved_bytes,
        "bytes_read": found.bytes_read("forward"),
        "bytes_written": found.bytes_written("forward"),
    }
