"""A sweep that is prepared: a grid, and the compiled forms of its points; its parts are computed when asked for.

>>> from symflops.sweeping.preparing import prepared
>>> found = prepared("gpt2", {"n_layer": [12, 24], "d_model": [768, 770], "n_head": 12}, ["params"])
>>> [(part.columns["params"].tolist(), part.dropped) for part in found.parts()]
[([124439808, 209494272], {'d_head = d_model/n_head is whole': 2})]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from symflops.errors import SizeError
from symflops.sweeping.axes import Axis
from symflops.sweeping.conditions import Condition
from symflops.sweeping.grid import Chunk, Grid
from symflops.sweeping.running import Form, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Column:
    """A column of the result: what its values are, ``text`` for names, and a bound on their magnitude."""

    name: str
    unit: str
    meaning: str
    kind: Kind | str
    bound: int = 0


@dataclass(frozen=True)
class Forms:
    """The compiled forms of a part of the grid: derived sizes, conditions (``own``, of the family), measures."""

    derived: Mapping[str, Form]
    own: tuple[Condition, ...]
    where: tuple[Condition, ...]
    measures: Mapping[str, Form]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What points meet."""
        return (*self.own, *self.where)


@dataclass(frozen=True)
class Part:
    """What was computed of a chunk of so many points, and how many of them each condition dropped.

    ``blocks`` are its columns, in the shape of the chunk where no point was dropped.
    """

    points: int
    blocks: Mapping[str, NDArray[Any]]
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Points that are left."""
        return self.points - sum(self.dropped.values())

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The values of its points in order."""
        return {name: values.reshape(-1) for name, values in self.blocks.items()}


@dataclass(frozen=True)
class Sweep:
    """A grid and what is computed of each point; ``forms`` for each combination of its leading axes' values.

    Where that is no model, text says why. ``chosen`` is what was given by name.
    """

    grid: Grid
    forms: tuple[Forms | str, ...]
    columns: tuple[Column, ...]
    chosen: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @cached_property
    def _numbers(self) -> tuple[Mapping[str, NDArray[Any]], ...]:
        """The sizes of each axis as integers, by name; of a device, the figures that a form asks for."""
        wanted = frozenset().union(*(_arguments(each) for each in self.forms))
        return tuple(
            {name: whole_numbers(axis, name) for name in axis.numbers if name in wanted} for axis in self.grid.axes
        )

    @cached_property
    def _shown(self) -> tuple[Mapping[str, NDArray[Any]], ...]:
        kinds = {column.name: column.kind for column in self.columns}
        return tuple(
            {name: _array(values, kinds[name]) for name, values in axis.columns.items()} for axis in self.grid.axes
        )

    def parts(self) -> Iterator[Part]:
        """Every part, in the order of the grid."""
        return map(self.part, self.grid.chunks())

    def part(self, chunk: Chunk) -> Part:
        """What a chunk comes to. Raises `SizeError` where a form divides by zero or float64 does not hold a value."""
        import numpy as np

        shape, forms = self.grid.shape_of(chunk), self.forms[self.grid.variant(chunk)]
        columns = self._axes(chunk, self._shown)
        if isinstance(forms, str):
            points = self.grid.points_of(chunk)
            return Part(
                points, {name: np.empty(0, values.dtype) for name, values in self._empty().items()}, {forms: points}
            )
        sizes = self._axes(chunk, self._numbers)
        sizes |= {name: form.values(sizes, "integer") for name, form in forms.derived.items()}
        keep, dropped = _kept(forms.conditions, sizes, shape)
        kinds = {column.name: column.kind for column in self.columns}
        columns |= {name: form.values(sizes, kinds[name]) for name, form in forms.measures.items()}  # type: ignore[arg-type]
        whole = {column.name: np.broadcast_to(columns[column.name], shape) for column in self.columns}
        blocks = whole if keep is None else {name: values[keep] for name, values in whole.items()}
        return Part(self.grid.points_of(chunk), blocks, dropped)

    def over(self, names: frozenset[str]) -> dict[str, Any]:
        """All values of some sizes, each along the dimension of its axis."""
        chunk = tuple(slice(0, length) for length in self.grid.shape)
        every = self._axes(chunk, self._numbers)
        return {name: values for name, values in every.items() if name in names}

    def refuse_unfit(self) -> None:
        """Raises `SizeError` for the first condition of the family that some point does not meet."""
        for forms in self.forms:
            if isinstance(forms, Forms):
                for each in forms.own:
                    _refuse(each, self._with_derived(forms, each.form.arguments))

    def _with_derived(self, forms: Forms, names: frozenset[str]) -> dict[str, Any]:
        """All values of some sizes, derived ones too."""
        inside = {name: form for name, form in forms.derived.items() if name in names}
        sizes = self.over(names.union(*(form.arguments for form in inside.values())))
        return sizes | {name: form.values(sizes, "integer") for name, form in inside.items()}

    def _axes(self, chunk: Chunk, arrays: tuple[Mapping[str, NDArray[Any]], ...]) -> dict[str, Any]:
        """The values of a chunk, each along the dimension of its axis."""
        found = {}
        for place, (part, each) in enumerate(zip(chunk, arrays, strict=True)):
            for name, values in each.items():
                found[name] = values[part].reshape([-1 if at == place else 1 for at in range(len(chunk))])
        return found

    def _empty(self) -> dict[str, NDArray[Any]]:
        return {column.name: _array((), column.kind) for column in self.columns}


def _refuse(each: Condition, sizes: Mapping[str, Any]) -> None:
    import numpy as np

    holds = each.holds(sizes)
    if not holds.all():
        place = np.unravel_index(int(np.argmin(holds)), holds.shape)
        shown = ((name, np.broadcast_to(sizes[name], holds.shape)[place]) for name in sorted(each.form.arguments))
        said = ", ".join(f"{name} = {value}" for name, value in shown)
        raise SizeError(f"{each.text} does not hold at {said}; leave such points out, or drop what is unfit")


def _arguments(forms: Forms | str) -> frozenset[str]:
    if isinstance(forms, str):
        return frozenset()
    every = [*forms.derived.values(), *(each.form for each in forms.conditions), *forms.measures.values()]
    return frozenset().union(*(each.arguments for each in every))


def whole_numbers(axis: Axis, name: str) -> NDArray[Any]:
    """The numbers of a size times their scale: int64, or integers where that does not hold them."""
    import numpy as np

    scale = axis.scale(name)
    values = [int(each * scale) for each in axis.known(name)]
    return np.array(values, dtype=np.int64 if max(values) < 2**63 else object)


def _array(values: tuple[Any, ...], kind: str) -> NDArray[Any]:
    import numpy as np

    if kind in ("int64", "float64"):
        return np.array([float(each) for each in values] if kind == "float64" else values, dtype=kind)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _kept(
    conditions: tuple[Condition, ...], sizes: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[Any, dict[str, int]]:
    """Where all conditions hold, None for everywhere, and how many points each is the first to drop."""
    import numpy as np

    keep: Any = None
    dropped: dict[str, int] = {}
    for each in conditions:
        holds = each.holds(sizes)
        if holds.all():
            continue
        before = int(np.prod(shape)) if keep is None else int(np.count_nonzero(keep))
        keep = np.broadcast_to(holds, shape) if keep is None else keep & holds
        if lost := before - int(np.count_nonzero(keep)):
            dropped[each.text] = lost
    return keep, dropped
