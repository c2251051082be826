"""What is asked of a sweep, checked by name and value.

>>> from symflops.architectures import architecture
>>> from symflops.sweeping.axes import axes
>>> Asked(architecture("gpt2"), axes({"d_modle": 768}), ()).check()
Traceback (most recent call last):
symflops.errors.UnknownName: unknown size 'd_modle'; did you mean 'd_model'? (known: bandwidth, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr, Symbol

from symflops.architectures import Architecture
from symflops.conventions import TORCH, Convention
from symflops.errors import SizeError, UnknownName
from symflops.notation import symbol
from symflops.plans.quantities import MFU
from symflops.sweeping.axes import ALIASES, Axis
from symflops.sweeping.figures import FIGURES
from symflops.sweeping.measures import MEASURES, Measure, Setting
from symflops.sweeping.variants import Variant, check_lengths, check_names
from symflops.training.checkpoints import NONE, Scheme

UNFIT, NUMBERS = ("drop", "refuse"), ("exact", "float64")
RUN: Mapping[str, str] = {**{size: short for short, size in ALIASES.items()}, **dict.fromkeys(FIGURES, "device")}
"""Sizes that are not a model's, and by which name one gives them."""
_EXAMPLES = {"device": "h100", "mfu": "0.4", "tokens": "15e12", "count": "1024"}


@dataclass(frozen=True)
class Asked:
    """What is asked of a sweep; see `prepared`."""

    model: Architecture
    axes: tuple[Axis, ...]
    measures: tuple[Measure, ...]
    where: tuple[str, ...] = ()
    unfit: str = "drop"
    numbers: str = "exact"
    convention: Convention = TORCH
    form: str = "bf16"
    recompute: Scheme = NONE

    @cached_property
    def swept(self) -> frozenset[str]:
        """The sizes that vary."""
        return frozenset(name for axis in self.axes for name in axis.numbers)

    @cached_property
    def scales(self) -> Mapping[Symbol, Expr]:
        """What stands for a size whose numbers are fractions: an integer over a scale."""
        found = {}
        for axis in self.axes:
            for name in axis.numbers:
                if None not in axis.numbers[name] and axis.scale(name) != 1:
                    found[symbol_of(name)] = symbol_of(name) / axis.scale(name)
        return found

    def setting(self, of: Variant) -> Setting:
        """What the forms of a variant are of."""
        return Setting(of.model, self.convention, self.form, self.recompute, of.seq)

    def check(self) -> None:
        """Raises `UnknownName` or `SizeError` for a name or a value that is none."""
        for name, choices in (("unfit", UNFIT), ("numbers", NUMBERS)):
            if getattr(self, name) not in choices:
                raise UnknownName(f"choice of {name}", getattr(self, name), choices)
        table = self.model.table
        for name in self.swept - RUN.keys():
            if name not in table:
                raise UnknownName("size", name, {*table, *RUN.values(), *FIGURES})
        if not self.axes or not self.measures:
            what = "nothing varies; give a range, such as n_layer=12,24,48"
            raise SizeError("nothing is measured; give a measure, such as params" if self.axes else what)
        values = {name: axis.numbers[name] for axis in self.axes for name in axis.numbers}
        check_names(self.model, {name: int(each[0] or 1) for name, each in values.items() if name in table})
        if "n_seq" in values and symbol("n_seq") not in self.model.network.free_symbols:
            check_lengths(self.model, tuple(int(each or 1) for each in values["n_seq"]))

    def resolve(self, name: str, setting: Setting) -> Expr:
        """What a name of a condition stands for: a size, a figure of a device, or a measure.

        Raises `UnknownName`.
        """
        size = ALIASES.get(name, name)
        if size in self.model.table or size in RUN:
            return symbol_of(size)
        if name in MEASURES:
            return MEASURES[name].form(setting)
        raise UnknownName("name in a condition", name, {*self.model.table, *RUN.values(), *FIGURES, *MEASURES})

    def check_given(self, what: str, form: Expr, derived: Mapping[str, Expr]) -> None:
        """Raises `SizeError` for a form with a size that is neither given nor follows."""
        names = sorted({each.name for each in form.free_symbols} - self.swept - derived.keys())
        asked = [RUN.get(name, name) for name in names]
        if names:
            examples = ", ".join(f"{name}={_EXAMPLES.get(name, '1,2')}" for name in dict.fromkeys(asked))
            raise SizeError(f"{what} needs {', '.join(names)}; give {examples} or more values to sweep over")


def symbol_of(name: str) -> Symbol:
    """The symbol of a size, of the notation, of plans or of devices."""
    return MFU if name == MFU.name else FIGURES[name].symbol if name in FIGURES else symbol(name)
