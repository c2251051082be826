"""Runs a module and takes down each contraction with its axes' sizes, each call's bytes, parameters, saved tensors.

The same on concrete sizes and on symbolic ones; what stands in a record for a size is the caller's to say.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from sympy import expand
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from symflops.tracing.counter import Counter, call
from symflops.tracing.records import Call, Record, Run, Size, Stored
from symflops.tracing.rules import Einsum, axes
from symflops.tracing.rules.registry import Pricing

Convert = Callable[[Any], Size]
"""How a size as torch has it stands in a record: `operator.index` for numbers."""


@dataclass(frozen=True)
class _Done:
    """The contractions of one call with their sizes; elements worked on, bytes read and bytes written."""

    einsums: tuple[tuple[str, tuple[Size, ...]], ...]
    amounts: tuple[Size, Size, Size]


class Recorder(Counter):
    """A `Counter` that keeps each contraction's sizes, and which tensors autograd saves, instead of sums.

    Raises what `Counter` raises.

    >>> layer = nn.Linear(3, 5, bias=False)
    >>> with Recorder(layer) as recorder:
    ...     layer(torch.ones(2, 3)).sum().backward()
    >>> [(each.phase, each.spec, each.sizes) for each in recorder.run.records]
    [('forward', 'm k, k n -> m n', (2, 3, 5)), ('backward', 'm k, k n -> m n', (5, 2, 3))]
    >>> recorder.run.saved
    (Stored(module='', name='saved', shape=(2, 3), element_size=4, times=1),)
    """

    def __init__(self, module: nn.Module, convert: Convert = index) -> None:
        super().__init__(module)
        self._convert = convert
        self._parameters = {_storage(each): each for each in module.parameters()}
        self._records: Tally[tuple[str, str, str, str, tuple[Size, ...]]] = Tally()
        self._calls: Tally[tuple[str, str, str, str, Size, Size, Size]] = Tally()
        self._saved: dict[int, tuple[str, Tensor]] = {}

    def __enter__(self) -> Recorder:
        self._records.clear()
        self._calls.clear()
        self._saved.clear()
        super().__enter__()
        self._exit.enter_context(saved_tensors_hooks(self._keep, lambda tensor: tensor))
        return self

    @property
    def run(self) -> Run:
        """What has been recorded so far."""
        saved = Tally(self._stored(path, "saved", tensor) for path, tensor in self._saved.values())
        return Run(
            records=tuple(Record(*key, times=times) for key, times in self._records.items()),
            parameters=tuple(self._named(name, each) for name, each in self._module.named_parameters()),
            saved=tuple(_times(stored, times) for stored, times in saved.items()),
            calls=tuple(Call(*key, times=times) for key, times in self._calls.items()),
        )

    def _ran(
        self, key: tuple[str, Any, str], pricing: Pricing, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._touch(key, pricing)
        if pricing.kind == "free":
            return
        path, operator, phase = key
        done = self._done(pricing, result, args, kwargs)
        for spec, sizes in done.einsums:
            self._records[path, str(operator), phase, spec, sizes] += 1
        self._calls[path, str(operator), phase, pricing.kind, *done.amounts] += 1

    def _done(self, pricing: Pricing, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Done:
        """What a call did, in converted sizes."""
        works = () if pricing.works is None else pricing.works(result, *args, **kwargs)
        every = works if isinstance(works, tuple) else (works,)
        elements = sum(work.count for work in every if not isinstance(work, Einsum))
        read, written = pricing.traffic(result, args, kwargs)
        return _Done(
            einsums=tuple((each.spec, self._axes(each)) for each in every if isinstance(each, Einsum)),
            amounts=(self._convert(elements), self._convert(read), self._convert(written)),
        )

    def _axes(self, work: Einsum) -> tuple[Size, ...]:
        return tuple(self._convert(work.sizes[axis]) for axis in axes(work.spec))

    def _keep(self, tensor: Tensor) -> Tensor:
        """Called by autograd with each tensor that it saves; views of one storage are one saved tensor.

        What a recomputed region saves while the backward pass runs was not kept between the passes.
        """
        path, phase = self._attribution.current()
        storage = _storage(tensor)
        if phase == "forward" and storage not in self._parameters and storage not in self._saved:
            # Held on to, because the number of a storage that is freed is given to another one.
            self._saved[storage] = (path, tensor.detach())
        return tensor

    def _named(self, name: str, parameter: Tensor) -> Stored:
        path, _, last = name.rpartition(".")
        return self._stored(path, last, parameter)

    def _stored(self, path: str, name: str, tensor: Tensor) -> Stored:
        """A tensor by its shape, or by the length of its storage where it shows more or less than that."""
        item = tensor.element_size()
        shape = tuple(self._convert(size) for size in tensor.shape)
        whole = self._convert(tensor.untyped_storage().nbytes())
        shown = self._convert(tensor.numel()) * item
        return Stored(path, name, shape if expand(shown - whole) == 0 else (whole // item,), item)


def record(
    module: nn.Module, inputs: object, loss: Callable[[Any], Tensor] = lambda output: output.sum(), *,
    convert: Convert = index,
) -> Run:  # fmt: skip
    """One forward pass, the scalar ``loss`` of its output, and the backward pass from there.

    ``inputs`` is one argument, a tuple or list of them, or a mapping of keywords. Gradients are dropped afterwards.
    Raises what `Counter` raises; errors of the model pass through.

    >>> run = record(nn.Linear(3, 5, bias=False), torch.ones(2, 3))
    >>> [each.phase for each in run.records], run.parameters[0].shape
    (['forward', 'backward'], (5, 3))
    """
    with Recorder(module, convert) as recorder, _gradients_dropped(module):
        torch.autograd.backward(loss(call(module, inputs)))
    return recorder.run


def record_forward(module: nn.Module, inputs: object, *, convert: Convert = index) -> Run:
    """One forward pass, with what it would save for a backward pass where gradients are switched on.

    >>> [each.sizes for each in record_forward(nn.Linear(3, 5), torch.ones(2, 3)).records]
    [(2, 3, 5)]
    """
    with Recorder(module, convert) as recorder:
        call(module, inputs)
    return recorder.run


@contextmanager
def _gradients_dropped(module: nn.Module) -> Iterator[None]:
    """Each run is then like the first: none adds to the gradients of the one before."""
    before: Mapping[nn.Parameter, Tensor | None] = {each: each.grad for each in module.parameters()}
    try:
        for parameter in before:
            parameter.grad = None
        yield
    finally:
        for parameter, gradient in before.items():
            parameter.grad = gradient


def _storage(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place


def _times(stored: Stored, times: int) -> Stored:
    return Stored(stored.module, stored.name, stored.shape, stored.element_size, times)
