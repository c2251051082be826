"""Shapes of operators for which torch has none on fake tensors: kernels that want numbers, or values.

They last as long as their `with` block, also when it ends in an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import fake_impls

from symflops.errors import SymflopsError

Kernel = Callable[..., Tensor]
_aten = torch.ops.aten


class DataDependent(SymflopsError):
    """Code whose sizes or branches depend on the values of tensors, which shapes alone do not have."""


@dataclass(frozen=True)
class Routing:
    """What stands for values that decide which expert takes which token: each of ``experts`` takes ``tokens``."""

    experts: int
    tokens: Any

    @classmethod
    def of(cls, sizes: Mapping[str, Any]) -> Routing | None:
        """The routing at sizes by name, integers or symbolic ones; None for a model without experts."""
        return cls(sizes["n_expert"], sizes["n_routed"]) if {"n_expert", "n_routed"} <= set(sizes) else None


@contextmanager
def fake_kernels(routing: Routing | None = None) -> Iterator[None]:
    """A scope in which fake tensors take more operators, on integers and on symbols.

    Where code selects by values (``nonzero``), it is taken to select all experts, and of tokens as many as the
    ``routing`` says. Without it, that is a `DataDependent`.

    >>> from torch._subclasses.fake_tensor import FakeTensorMode
    >>> with fake_kernels(Routing(experts=4, tokens=3)), FakeTensorMode():
    ...     torch.nonzero(torch.ones(4)).shape, torch.nonzero(torch.ones(2, 9)).shape
    (torch.Size([4, 1]), torch.Size([3, 2]))
    """
    checks: list[Any] = fake_impls.op_implementations_checks
    kernels = {**_KERNELS, _aten.nonzero.default: partial(_nonzero, routing)}
    added = [(partial(_is, function), kernel) for function, kernel in kernels.items()]
    checks[:0] = added
    try:
        with _portable():
            yield
    finally:
        for each in added:
            checks.remove(each)


@contextmanager
def _portable() -> Iterator[None]:
    """Which library runs a convolution is asked of its sizes, and of none without these; the products are the same.

    Recurrent layers ask oneDNN for their number of elements, and without it are made of products.
    """
    before = torch._C._get_mkldnn_enabled(), torch._C._get_nnpack_enabled()
    torch._C._set_mkldnn_enabled(False)
    torch._C._set_nnpack_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before[0])
        torch._C._set_nnpack_enabled(before[1])


def _is(wanted: Any, function: Any) -> bool:
    return function is wanted


def _baddbmm(mode: Any, function: Any, added: Tensor, left: Tensor, right: Tensor, **_: Any) -> Tensor:
    with mode:
        return left.new_empty((left.shape[0], left.shape[1], right.shape[2]))


def _pad(mode: Any, function: Any, x: Tensor, pad: list[Any], *_: Any, **__: Any) -> Tensor:
    """Padding comes in pairs, for the last axis first."""
    added = [before + after for before, after in zip(pad[::2], pad[1::2], strict=True)][::-1]
    added = [0] * (x.dim() - len(added)) + added
    with mode:
        return x.new_empty([size + more for size, more in zip(x.shape, added, strict=True)])


def _complex(mode: Any, function: Any, left: Tensor, right: Tensor) -> Tensor:
    """Two tensors of one shape, real and imaginary parts or radius and angle."""
    with mode:
        return right.new_empty(right.shape, dtype=torch.promote_types(right.dtype, torch.complex64))


def _grouped_mm(mode: Any, function: Any, left: Tensor, right: Tensor, offsets: Any = None, *_: Any) -> Tensor:
    """Rows, columns or the contracted axis are shared out among the groups; torch's own kernel takes bfloat16 alone."""
    groups = [each.shape[0] for each in (left, right) if each.dim() == 3] or [offsets.shape[0]]
    shape = (left.shape[-2], right.shape[-1])
    with mode:
        return left.new_empty((groups[0], *shape) if left.dim() == right.dim() else shape)


def _nonzero(routing: Routing | None, mode: Any, function: Any, x: Tensor) -> Tensor:
    """Every expert (some code lists one more, for tokens that none takes), or as many tokens as are routed to one."""
    if routing is None:
        raise DataDependent(
            "data-dependent control flow: nonzero (an index by a condition) has as many rows as values say; a closed "
            "form needs sizes alone: give inputs, or a model, that do not go this way"
        )
    if x.dim() == 1 and x.shape[0] in (routing.experts, routing.experts + 1):
        return _constant(mode, [[expert] for expert in range(x.shape[0])])
    with mode:
        return x.new_empty((routing.tokens, x.dim()), dtype=torch.int64)


def _constant(mode: Any, rows: list[list[int]]) -> Tensor:
    """A fake tensor whose values are known, so that code may branch on them."""
    with torch.utils._python_dispatch._disable_current_modes():
        real = torch.tensor(rows)
    found: Tensor = mode.fake_tensor_converter.from_real_tensor(mode, real, make_constant=True)
    return found


_KERNELS: Mapping[Any, Kernel] = {
    _aten.baddbmm.default: _baddbmm,
    _aten.constant_pad_nd.default: _pad,
    _aten.complex.default: _complex,
    _aten.polar.default: _complex,
    _aten._grouped_mm.default: _grouped_mm,
}
