"""What each column of a sweep holds, decided before anything is computed, so that files have one type for all parts."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from symflops.notation import TERMS
from symflops.plans.quantities import MFU
from symflops.sizes import LIMIT
from symflops.sweeping.asking import Asked
from symflops.sweeping.axes import ALIASES, DEVICE, Axis
from symflops.sweeping.figures import FIGURES
from symflops.sweeping.measures import Measure
from symflops.sweeping.parts import Column, Forms, Sweep
from symflops.sweeping.running import Form, Kind

_MOST_TRIED = 10**6


def columns_of(asked: Asked, sweep: Sweep) -> Iterator[Column]:
    """The columns of the axes, then those of the measures."""
    for axis in sweep.grid.axes:
        yield from (_of_axis(asked, axis, name) for name in axis.columns)
    shown = {name for axis in sweep.grid.axes for name in axis.columns}
    yield from (_of_measure(asked, sweep, measure) for measure in asked.measures if measure.name not in shown)


def _of_axis(asked: Asked, axis: Axis, name: str) -> Column:
    if name == DEVICE:
        return Column(name, "", "device", "text")
    size = ALIASES.get(name, name)
    numbers = axis.known(size)
    whole, bound = all(isinstance(each, int) for each in numbers), max(int(each) for each in numbers)
    unit, meaning = _said(size)
    return Column(name, unit, meaning, _kind(asked, whole, bound), bound)


def _said(size: str) -> tuple[str, str]:
    if size == MFU.name:
        return "1", "model FLOPs utilisation"
    figure = FIGURES.get(size)
    return (figure.unit, figure.meaning) if figure else (TERMS[size].unit, TERMS[size].meaning)


def _kind(asked: Asked, whole: bool, bound: int) -> Kind:
    if whole and bound < LIMIT:
        return "int64"
    return "float64" if asked.numbers == "float64" else "integer" if whole else "fraction"


def _of_measure(asked: Asked, sweep: Sweep, measure: Measure) -> Column:
    every = [forms for forms in sweep.forms if isinstance(forms, Forms)]
    whole = all(forms.measures[measure.name].whole for forms in every)
    bound = max(_bound(sweep, forms, forms.measures[measure.name]) for forms in every)
    unit = asked.convention.unit if measure.unit == "FLOP" else measure.unit
    return Column(measure.name, unit, measure.meaning, _kind(asked, whole, bound), bound)


def _bound(sweep: Sweep, forms: Forms, form: Form) -> int:
    """A bound on every step of a form, over the whole grid."""
    derived = {name: forms.derived[name] for name in form.arguments & forms.derived.keys()}
    highest = {name: int(values.max()) for name, values in sweep.over(form.arguments).items()}
    return form.highest({**highest, **{name: _largest(sweep, each) for name, each in derived.items()}})


def _largest(sweep: Sweep, form: Form) -> int:
    """The largest value of a derived size: found where its own axes have few points, else a bound."""
    sizes = sweep.over(form.arguments)
    if prod(values.size for values in sizes.values()) <= _MOST_TRIED:
        return int(form.values(sizes, "integer").max())
    return form.highest({name: int(values.max()) for name, values in sizes.items()})
