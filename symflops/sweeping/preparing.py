"""From a model, ranges and measures to a sweep: which sizes stay open, which forms are compiled, what columns hold.

>>> found = prepared("gpt2", {"n_layer": "12:48:12", "seq": [512, 1024]}, ["params", "C_forward"])
>>> found.grid.shape, [(column.name, column.kind) for column in found.columns]
((4, 2), [('n_layer', 'int64'), ('seq', 'int64'), ('params', 'int64'), ('C_forward', 'int64')])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from sympy import Expr

from symflops.architectures import Architecture, architecture
from symflops.conventions import TORCH, Convention
from symflops.conventions import convention as convention_of
from symflops.errors import ConfigError, SizeError, UnknownName
from symflops.sweeping.asking import Asked
from symflops.sweeping.axes import Values, axes
from symflops.sweeping.columns import columns_of
from symflops.sweeping.conditions import Nowhere, condition, read
from symflops.sweeping.grid import Grid
from symflops.sweeping.measures import MEASURES, Measure
from symflops.sweeping.parts import Forms, Sweep
from symflops.sweeping.running import Form
from symflops.sweeping.variants import Said, Variant, clamped, variant
from symflops.training.checkpoints import NONE, Scheme
from symflops.training.formats_known import number_format

_MOST_VARIANTS = 1000


def prepared(
    model: Any,
    over: Mapping[str, Values],
    measures: Sequence[str] = ("params", "C_training"),
    *,
    where: Sequence[str] = (),
    zipped: Sequence[Sequence[str]] = (),
    unfit: str = "drop",
    numbers: str = "exact",
    convention: str | Convention = TORCH,
    form: str = "bf16",
    recompute: Scheme = NONE,
) -> Sweep:
    """The sweep of a model over ranges of its sizes, of runs and of devices, of which nothing is computed yet.

    ``over`` names what varies: sizes of the model, batch, seq, tokens, count, mfu, device, or a figure of devices such
    as peak; see `axis` for values. ``where`` are conditions that points must meet, ``zipped`` names that vary together.
    ``unfit`` says whether points that are no model, as where heads do not divide the width, are dropped and counted, or
    refused; ``numbers`` whether what int64 does not hold is exact or float64; ``form`` is the number format of elements
    and of matmuls' operands. Axes by whose values the network itself changes come first.

    Raises `UnknownName` for a model, size, measure, device or choice that is none, `SizeError` for values that are
    none, an empty grid, and measures that need a size that is not given.
    """
    found = model if isinstance(model, Architecture) else architecture(model)
    number_format(form)
    asked = Asked(
        found, axes(over, zipped, form), tuple(map(_measure, dict.fromkeys(measures))), tuple(where), unfit, numbers,
        convention_of(convention), form, recompute,
    )  # fmt: skip
    asked.check()
    return _prepared(asked)


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise UnknownName("measure", name, MEASURES)
    return MEASURES[name]


@dataclass(frozen=True)
class _Made:
    """A variant with the forms of its measures and conditions."""

    variant: Variant
    measures: Mapping[str, Expr]
    where: tuple[Said, ...]


def _prepared(asked: Asked) -> Sweep:
    leading, made = _made_of_all(asked)
    first = [axis for axis in asked.axes if axis.numbers.keys() & leading]
    asked = replace(asked, axes=(*first, *(axis for axis in asked.axes if axis not in first)))
    forms = tuple(each if isinstance(each, str) else _compiled(asked, each) for each in made)
    reasons = [each for each in forms if isinstance(each, str)]
    if len(reasons) == len(forms):
        raise SizeError(f"no point of the grid is left: {reasons[0]}")
    chosen = {"model": asked.model.name, "convention": asked.convention.name, "dtype": asked.form,
              "recompute": asked.recompute.name, "numbers": asked.numbers, "unfit": asked.unfit}  # fmt: skip
    sweep = Sweep(Grid(asked.axes, len(first)), forms, (), chosen, asked.model.notes)
    if asked.unfit == "refuse":
        sweep.refuse_unfit()
    return replace(sweep, columns=tuple(columns_of(asked, sweep)))


def _made_of_all(asked: Asked) -> tuple[frozenset[str], list[_Made | str]]:
    """The sizes by whose values the network itself changes, and the forms at each combination of their values."""
    leading: frozenset[str] = frozenset()
    while True:
        found = [_made(asked, fixed) for fixed in _combinations(asked, leading)]
        more = frozenset().union(*(each.variant.structural for each in found if not isinstance(each, str)))
        if not more:
            return leading, found
        leading |= more


def _combinations(asked: Asked, leading: frozenset[str]) -> Iterator[dict[str, int]]:
    """The values of sizes, for each combination of the values of the axes that hold them, the last one fastest."""
    held = [axis for axis in asked.axes if axis.numbers.keys() & leading]
    count = prod(map(len, held))
    if count > _MOST_VARIANTS:
        raise SizeError(
            f"{', '.join(sorted(leading))} change the network of {asked.model.name} itself, and {count:,} combinations "
            f"of them are more than {_MOST_VARIANTS:,}; give fewer values"
        )
    for places in product(*(range(len(axis)) for axis in held)):
        chosen = [axis.one(place) for axis, place in zip(held, places, strict=True)]
        yield {name: int(each.numbers[name][0] or 0) for each in chosen for name in each.numbers.keys() & leading}


def _made(asked: Asked, fixed: dict[str, int]) -> _Made | str:
    """The forms of a variant, all of them made, so that it is known what they read; or why it is no model."""
    try:
        found = variant(asked.model, asked.swept, fixed)
    except (SizeError, ConfigError) as error:
        if not fixed or asked.unfit == "refuse":
            raise
        return str(error)
    setting = asked.setting(found)
    conditions = ((text, *read(text, lambda name: asked.resolve(name, setting))) for text in asked.where)
    needs = dict.fromkeys(need for each in asked.measures for need in each.needs(setting))
    return _Made(found, {each.name: each.form(setting) for each in asked.measures}, (*needs, *conditions))


def _compiled(asked: Asked, made: _Made) -> Forms | str:
    """The compiled forms, or the condition that holds nowhere."""

    def settled(what: str, form: Expr) -> Expr:
        found = made.variant.at(form)
        asked.check_given(what, found, made.variant.derived)
        return found.xreplace(asked.scales)

    def conditions(said: Sequence[Said]) -> tuple[Any, ...]:
        found = (condition(text, settled(repr(text), left), relation) for text, left, relation in said)
        return tuple(each for each in found if each is not None)

    try:
        own, where = conditions(made.variant.conditions), conditions(made.where)
    except Nowhere as error:
        if asked.unfit == "refuse":
            raise
        return error.text
    derived = {name: Form.of(settled(name, clamped(rule))) for name, rule in made.variant.derived.items()}
    measures = {name: Form.of(settled(name, form)) for name, form in made.measures.items()}
    needed = frozenset().union(
        *(each.arguments for each in (*(each.form for each in (*own, *where)), *measures.values()))
    )
    return Forms({name: form for name, form in derived.items() if name in needed}, own, where, measures)
