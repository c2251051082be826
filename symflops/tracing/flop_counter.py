"""Stands in for `torch.utils.flop_counter.FlopCounterMode`: same constructor, methods and display, nothing left out.

Code written for that one runs with this one by changing an import, and an operator without a price is an error.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from symflops.tracing import internals
from symflops.tracing.counter import Counter

GLOBAL = "Global"
_EVERY_DEPTH = 999_999


class _Discovering(internals.Attribution):
    """Attribution without a root named before: the outermost module that is called is one, by its class's name."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Module())

    def _enter_module(self, module: torch.nn.Module, inputs: Any) -> None:
        if module not in self._paths:
            self.follow(module, type(module).__name__)
        super()._enter_module(module, inputs)


class FlopCounter:
    """Counts FLOPs (2 for each multiply-accumulate) inside its block, by module and by operator.

    ``depth`` is how deep the table of ``get_table`` goes; ``display`` prints it when the block ends. ``custom_mapping``
    gives formulas for further operators as torch's counter takes them: called with the arguments' shapes and
    ``out_shape``. Raises `UnpricedOperator` where torch's counter would count nothing in silence.

    >>> layer = torch.nn.Linear(3, 5, bias=False)
    >>> with FlopCounter(display=False) as counter:
    ...     layer(torch.ones(2, 3)).sum().backward()
    >>> counter.get_total_flops(), sorted(counter.get_flop_counts())
    (120, ['Global', 'Linear'])
    """

    def __init__(
        self,
        mods: torch.nn.Module | list[torch.nn.Module] | None = None,
        depth: int | None = 2,
        display: bool = True,
        custom_mapping: Mapping[Any, Callable[..., int]] | None = None,
    ) -> None:
        if mods is not None:
            warnings.warn("mods is not needed: modules are found as they are called", stacklevel=2)
        self.depth = depth
        self.display = display
        self._custom = dict(custom_mapping or {})
        self._extra: dict[tuple[str, Any], int] = defaultdict(int)
        self._counter = _Custom(self._custom, self._extra)

    def __enter__(self) -> FlopCounter:
        self._extra.clear()
        self._counter.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._counter.__exit__(*error)
        if self.display:
            print(self.get_table(self.depth))

    @property
    def flop_counts(self) -> dict[str, dict[Any, int]]:
        """FLOPs by module and operator; a module's hold those of its children, ``Global`` holds all."""
        counts: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
        for path, operator, flops in self._found():
            for owner in (GLOBAL, *_and_parents(path)):
                counts[owner][operator] += flops
        return counts

    def get_total_flops(self) -> int:
        """FLOPs of everything inside the block."""
        return sum(flops for _, _, flops in self._found())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """FLOPs by module name, then by operator (``torch.ops.aten.mm`` and such)."""
        return {path: dict(counts) for path, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """FLOPs and shares by module and operator, down to ``depth``."""
        from symflops.render.plain import columns

        deepest = _EVERY_DEPTH if depth is None and self.depth is None else (depth or self.depth or 0)
        counts, total = self.flop_counts, self.get_total_flops()
        shown = sorted((path for path in counts if path == GLOBAL or path.count(".") < deepest), key=_global_first)
        rows = [row for path in shown for row in _rows(path, counts[path], total)]
        return columns(["Module", "FLOP", "% Total"], rows or [[GLOBAL, "0", "0%"]])

    def _found(self) -> Iterable[tuple[str, Any, int]]:
        for (path, operator, _), macs in self._counter.macs().items():
            if macs:
                yield path, operator, 2 * macs
        for (path, operator), flops in self._extra.items():
            yield path, operator, flops


class _Custom(Counter):
    """A counter that finds its modules as they are called, and asks the user's formulas first."""

    def __init__(self, custom: Mapping[Any, Callable[..., int]], extra: dict[tuple[str, Any], int]) -> None:
        super().__init__(torch.nn.Module())
        self._custom = custom
        self._extra = extra

    def _follow(self) -> internals.Attribution:
        return _Discovering()

    def macs(self) -> dict[tuple[str, Any, str], int]:
        """Multiply-accumulates by module path, operator and pass."""
        return {key: sum(cell.einsums.values()) for key, cell in self._cells.items()}

    def _dispatched(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operator = internals.packet(function)
        formula = self._custom.get(operator)
        if formula is None:
            return super()._dispatched(function, args, kwargs)
        result = function(*args, **kwargs)
        path, _ = self._attribution.current()
        self._extra[path, operator] += _asked(formula, args, kwargs, result)
        return result


def _asked(formula: Callable[..., int], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """A user's formula, called as torch's counter does: with shapes, or with the tensors where it asks for them."""
    if getattr(formula, "_get_raw", False):
        return formula(*args, **kwargs, out_val=result)
    given, named, out = torch.utils._pytree.tree_map(_shape, (args, kwargs, result))
    return formula(*given, **named, out_shape=out)


def _shape(value: Any) -> Any:
    return value.shape if isinstance(value, torch.Tensor) else value


def _and_parents(path: str) -> list[str]:
    if path in ("", internals.OUTSIDE):
        return []
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _global_first(path: str) -> tuple[bool, str]:
    return path != GLOBAL, path


def _rows(path: str, counts: Mapping[Any, int], total: int) -> list[list[str]]:
    indent = "" if path == GLOBAL else " " * (path.count(".") + 1)
    lines = [(path, sum(counts.values())), *((f" - {operator}", flops) for operator, flops in counts.items())]
    return [[indent + name, f"{flops:,}", f"{100 * flops / total:.2f}%"] for name, flops in lines if total]
