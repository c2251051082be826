"""Stands in for `torch.utils.flop_counter.FlopCounterMode`: same constructor, methods and display, nothing left out.

Code written for that one runs with this one by changing an import. Formulas that users register with torch's counter
hold here too. An operator without a price is an error, where torch's counter takes it for nothing.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import torch
from torch.utils import flop_counter as torchs

from symflops.tracing import internals
from symflops.tracing.chains import Chains, Names, innermost, links
from symflops.tracing.counter import Counter
from symflops.tracing.flop_table import GLOBAL, Counts, table
from symflops.tracing.internals.attribution import Attribution
from symflops.tracing.rules import Einsum, resolve, traffic
from symflops.tracing.rules.registry import Pricing, UnpricedOperator

Formula: TypeAlias = Callable[..., Any]
_COND: Final = torch.ops.higher_order.cond
_ASKED: Final = Pricing("contraction", "a formula written for torch's counter", None, traffic.nothing)
_WARNING: Final = "mods argument is not needed anymore, you can stop passing it"
"""In torch's words, so that a program's filter of warnings finds it."""


class FlopCounter:
    """Counts FLOPs (2 for each multiply-accumulate) inside its block, by module and by operator.

    ``depth`` is how deep the table of `get_table` goes; ``display`` prints it when the block ends. ``custom_mapping``
    gives formulas for further operators as torch's counter takes them: called with the arguments' shapes and
    ``out_shape``, or with the tensors and ``out_val`` where a formula says ``_get_raw``. ``flop_counts`` and
    ``flop_registry`` are as there. Entering again starts at zero.

    Raises `UnpricedOperator` where torch's counter would count nothing in silence, `AlreadyCounting` when it is entered
    inside its own block, `NothingCounted` after a block that hid all operators.

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
        custom_mapping: Mapping[Any, Formula] | None = None,
    ) -> None:
        if mods is not None:
            warnings.warn(_WARNING, stacklevel=2)
        self.flop_counts: Counts = _nothing()
        self.depth = depth
        self.display = display
        own = {operator: _raw(formula) for operator, formula in (custom_mapping or {}).items()}
        self.flop_registry: dict[Any, Formula] = {**torchs.flop_registry, **own}
        self._counter = _Counting(self)

    def __enter__(self) -> FlopCounter:
        self._counter.__enter__()
        self.flop_counts.clear()
        return self

    def __exit__(self, *error: Any) -> None:
        self._counter.__exit__(*error)
        if self.display:
            print(self.get_table(self.depth))

    def get_total_flops(self) -> int:
        """FLOPs of everything inside the block."""
        return sum(self.flop_counts[GLOBAL].values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """FLOPs by module name, then by operator (``torch.ops.aten.mm`` and such).

        A module's hold those of what it called; ``Global`` holds all. Modules are named from the class of the
        outermost one called, as in ``GPT2Model.h.0.mlp``.
        """
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """FLOPs and shares by module and operator, down to ``depth``, in the layout of torch's counter.

        >>> with FlopCounter(display=False) as counter:
        ...     _ = torch.nn.Linear(300, 500)(torch.ones(200, 300))
        >>> print(counter.get_table())
        Module            FLOP    % Total
        -------------  -------  ---------
        Linear         60.000M    100.00%
         - aten.addmm  60.000M    100.00%
        """
        return table(self.flop_counts, self.depth if depth is None else depth)


class _Counting(Counter):
    """Keeps what each operator costs on account of every module that runs it; a user's formula is asked first."""

    def __init__(self, shown: FlopCounter) -> None:
        super().__init__(torch.nn.Module())
        self._shown = shown
        self._names = Names()

    def _follow(self) -> Attribution:
        return Chains(self._names)

    def _has_parameters(self) -> bool:
        return self._names.have_parameters()

    def _dispatched(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function is _COND:
            return self._either(*args)
        chain, phase = self._attribution.current()
        operator = internals.packet(function)
        pricing = self._pricing(function, operator, chain)
        if pricing.kind == "decomposed" or (pricing.kind == "contraction" and internals.is_composite(function)):
            # Autograd shows what it is made of and inference mode shows it whole: one count for both.
            return self._mode.decompose(function, args, kwargs)
        result = function(*args, **kwargs)
        self._ran((chain, operator, phase), pricing, result, args, kwargs)
        if pricing is _ASKED:
            self._add(chain, operator, self._shown.flop_registry[operator](*args, **kwargs, out_val=result))
        return result

    def _pricing(self, function: Any, operator: Any, chain: str) -> Pricing:
        """Our price of an operator, or that a formula of the user's is to be asked, or one that torch alone has."""
        formula = self._shown.flop_registry.get(operator)
        if formula is None:
            return resolve(function, innermost(chain))
        try:
            ours = resolve(function)
        except UnpricedOperator:
            return _ASKED
        return ours if getattr(formula, "__module__", None) == torchs.__name__ else _ASKED

    def _ran(
        self, key: tuple[str, Any, str], pricing: Pricing, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        chain, operator, _ = key
        self._touch(key, pricing)
        if pricing.works is None:
            return
        works = pricing.works(result, *args, **kwargs)
        macs = [work.macs for work in (works if isinstance(works, tuple) else (works,)) if isinstance(work, Einsum)]
        if macs:
            self._add(chain, operator, 2 * sum(macs))

    def _add(self, chain: str, operator: Any, flops: int) -> None:
        for name in (*links(chain), GLOBAL):
            self._shown.flop_counts[name][operator] += flops

    def _either(self, predicate: Any, when_true: Formula, when_false: Formula, operands: Any = ()) -> Any:
        """`torch.cond`: the dearer branch of the two, for each module and operator, as which one runs is data."""
        branches = []
        for branch in (when_true, when_false):
            with self._apart() as counts, self._mode:
                branches.append((branch(*operands), counts))
        for name in dict.fromkeys(name for _, counts in branches for name in counts):
            for operator in dict.fromkeys(operator for _, counts in branches for operator in counts[name]):
                dearest = max(counts[name][operator] for _, counts in branches)
                self._shown.flop_counts[name][operator] += dearest
        return branches[_is_false(predicate)][0]

    @contextmanager
    def _apart(self) -> Iterator[Counts]:
        """Counts of this block alone, not added to the others."""
        before, counts = self._shown.flop_counts, _nothing()
        self._shown.flop_counts = counts
        try:
            yield counts
        finally:
            self._shown.flop_counts = before


def _is_false(predicate: Any) -> bool:
    """Whether a condition is known not to hold: a shape alone does not tell."""
    return predicate is False or bool(
        internals.is_tensor(predicate) and internals.has_values(predicate) and not predicate
    )


def _nothing() -> Counts:
    return defaultdict(lambda: defaultdict(int))


def _raw(formula: Formula) -> Formula:
    """A user's formula, called with tensors: it gets shapes, as torch's counter has it, unless it asks for tensors."""
    if getattr(formula, "_get_raw", False):
        return formula

    def of_shapes(*args: Any, out_val: Any = None, **kwargs: Any) -> Any:
        given, named, out = torch.utils._pytree.tree_map(_shape, (args, kwargs, out_val))
        return formula(*given, **named, out_shape=out)

    return of_shapes


def _shape(value: Any) -> Any:
    return value.shape if isinstance(value, torch.Tensor) else value
