"""Counts what a module does while it runs: per module, per operator and per pass, forward, backward and recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch

from symflops.errors import SymflopsError
from symflops.tracing import internals
from symflops.tracing.counts import Count, Entry
from symflops.tracing.internals.attribution import Attribution
from symflops.tracing.rules import Einsum, resolve
from symflops.tracing.rules.registry import Pricing


class NothingCounted(SymflopsError):
    """A module with parameters ran and no operator was seen, which is no count of zero.

    >>> raise NothingCounted()
    Traceback (most recent call last):
    symflops.tracing.counter.NothingCounted: the module ran but no operator reached the counter: something inside its
    block takes them, such as compiled code or a mode that disables dispatch; run the module without it
    """

    def __init__(self) -> None:
        super().__init__(
            "the module ran but no operator reached the counter: something inside its block takes them, such as "
            "compiled code or a mode that disables dispatch; run the module without it"
        )


class AlreadyCounting(SymflopsError):
    """A counter entered inside its own block; another counter may be.

    >>> raise AlreadyCounting()
    Traceback (most recent call last):
    symflops.tracing.counter.AlreadyCounting: this counter is counting already: leave its block first, or use another
    counter inside it
    """

    def __init__(self) -> None:
        super().__init__("this counter is counting already: leave its block first, or use another counter inside it")


class _Cell:
    """The running sums of one entry."""

    __slots__ = ("calls", "einsums", "elements", "kind", "read", "written")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.calls = self.elements = self.read = self.written = 0
        self.einsums: dict[str, int] = {}

    def frozen(self, module: str, operator: str, phase: str) -> Entry:
        einsums = tuple(self.einsums.items())
        return Entry(module, operator, phase, self.kind, self.calls, einsums, self.elements, self.read, self.written)


class Counter:
    """Counts all that runs inside its `with` block, forward and backward, on account of `module`'s submodules.

    Tensors may be real, meta or fake. Entering again starts at zero; inside its own block it raises `AlreadyCounting`.
    Raises `UnpricedOperator` at the call of an operator without a rule, `NothingCounted` after a block that hid all
    operators; errors of the model pass through.

    >>> from torch import nn
    >>> layer = nn.Linear(3, 5)
    >>> with Counter(layer) as counter:
    ...     layer(torch.ones(2, 3)).sum().backward()
    >>> {phase: part.macs for phase, part in counter.count.by_phase().items()}
    {'forward': 30, 'backward': 30}
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._cells: dict[tuple[str, Any, str], _Cell] = {}
        self._exit = ExitStack()
        self._counting = False

    def __enter__(self) -> Counter:
        if self._counting:
            raise AlreadyCounting
        self._cells = {}
        self._attribution = self._follow()
        self._mode = internals.Dispatch(self._dispatched)
        with ExitStack() as stack:
            stack.enter_context(self._attribution.running())
            stack.enter_context(self._mode)
            self._exit = stack.pop_all()
        self._counting = True
        return self

    def _follow(self) -> Attribution:
        return Attribution(self._module)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._counting = False
        self._exit.__exit__(kind, error, trace)
        if error is None and self._attribution.entered and self._has_parameters() and not self._cells:
            raise NothingCounted

    def _has_parameters(self) -> bool:
        return next(self._module.parameters(), None) is not None

    @property
    def count(self) -> Count:
        """What has been counted so far."""
        return Count(
            tuple(cell.frozen(path, str(operator), phase) for (path, operator, phase), cell in self._cells.items())
        )

    def _dispatched(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path, phase = self._attribution.current()
        pricing = resolve(function, path)
        if pricing.kind == "decomposed":
            return self._mode.decompose(function, args, kwargs)
        result = function(*args, **kwargs)
        self._ran((path, internals.packet(function), phase), pricing, result, args, kwargs)
        return result

    def _ran(
        self, key: tuple[str, Any, str], pricing: Pricing, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Take down one call: module path, operator and phase, how it is priced, and what went in and out."""
        cell = self._touch(key, pricing)
        read, written = pricing.traffic(result, args, kwargs)
        cell.read += read
        cell.written += written
        if pricing.works is not None:
            _add(cell, pricing.works(result, *args, **kwargs))

    def _touch(self, key: tuple[str, Any, str], pricing: Pricing) -> _Cell:
        """One more call in the running sums."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(pricing.kind)
        cell.calls += 1
        return cell


def _add(cell: _Cell, works: Any) -> None:
    for work in works if isinstance(works, tuple) else (works,):
        if isinstance(work, Einsum):
            cell.einsums[work.spec] = cell.einsums.get(work.spec, 0) + work.macs
        else:
            cell.elements += work.count


def call(module: torch.nn.Module, inputs: object) -> Any:
    """Call a module with one argument, a tuple or list of them, or a mapping of keywords."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, (tuple, list)) else module(inputs)


def forward(module: torch.nn.Module, inputs: object) -> Count:
    """Count one forward pass. `inputs` is one argument, a tuple or list of them, or a mapping of keywords.

    Raises what `Counter` raises.

    >>> forward(torch.nn.Linear(3, 5, bias=False), torch.empty(2, 3)).macs
    30
    """
    with Counter(module) as counter:
        call(module, inputs)
    return counter.count


def forward_backward(module: torch.nn.Module, inputs: object, loss: Callable[[Any], torch.Tensor]) -> Count:
    """Count a forward pass, the scalar `loss` of its output, and the backward pass from there.

    >>> layer = torch.nn.Linear(3, 5, bias=False)
    >>> count = forward_backward(layer, torch.ones(2, 3), torch.Tensor.sum)
    >>> count.macs, set(count.by_module())
    (60, {'', '<outside>'})
    """
    with Counter(module) as counter:
        torch.autograd.backward(loss(call(module, inputs)))
    return counter.count


def against_flop_counter(count: Count, peer: Any) -> dict[str, int]:
    """FLOPs per operator of `count` for which torch's counter has no formula, and which it silently takes to be 0.

    `peer` is a `torch.utils.flop_counter.FlopCounterMode`, or a registry such as its `flop_registry`.

    >>> from torch.utils.flop_counter import flop_registry
    >>> q = torch.ones(1, 2, 4, 8)
    >>> attention = torch.nn.functional.scaled_dot_product_attention
    >>> with Counter(torch.nn.Identity()) as counter:
    ...     _ = attention(q, q, q)
    >>> against_flop_counter(counter.count, flop_registry)
    {'aten._scaled_dot_product_flash_attention_for_cpu': 1024}
    """
    registry: Iterable[Any] = getattr(peer, "flop_registry", peer)
    known = {str(operator) for operator in registry}
    return {
        operator: part.flops for operator, part in count.by_operator().items() if part.flops and operator not in known
    }
