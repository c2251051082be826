"""All that is private to torch, in one folder: dispatch modes, autograd's running node, checkpoint regions, op traits.

Beside this file: whose work an operator is (`attribution`), symbolic sizes (`shape_env`, `symbolic_scope`,
`symbolic_text`), shapes that torch does not know (`fake_kernels`) and copies of layers (`copies`).

Everything that changes torch's state does so inside a `with` block that restores it, also after an exception.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.utils.checkpoint as checkpointing
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.fake_tensor import FakeTensorMode as FakeTensorMode
from torch.nested._internal.nested_tensor import NestedTensor
from torch.utils._python_dispatch import TorchDispatchMode

OUTSIDE: Final = "<outside>"
_autograd: Final[Any] = torch.autograd  # torch types few of its private functions
_dispatcher: Final[Any] = torch._C
_checkpointing: Final[Any] = checkpointing
NO_BACKWARD: Final = -1
"""Autograd's number of the running backward pass while none runs."""
_LEAF: Final = 2**63  # leaves carry the largest sequence number there is

Handler = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every dispatched operator to a function, which runs it and returns its result."""

    supports_higher_order_operators = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handler = handler

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if NestedTensor in types:
            return NotImplemented
        return self._handler(func, args, kwargs or {})

    def decompose(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a composite operator so that the operators it is made of are dispatched here."""
        with self:
            return func.decompose(*args, **kwargs)


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def has_values(tensor: torch.Tensor) -> bool:
    """Whether elements can be read: meta and fake tensors have a shape alone."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor))


def qualified_name(operator: Any) -> str:
    """`torch.ops.aten.mm`, `torch.ops.aten.mm.default` and "aten::mm" are all "aten::mm"; other overloads keep theirs.

    >>> qualified_name(torch.ops.aten.mm), qualified_name(torch.ops.aten.mm.out)
    ('aten::mm', 'aten::mm.out')
    """
    if isinstance(operator, str):
        return operator
    if isinstance(operator, HigherOrderOperator):
        return f"higher_order::{operator.name()}"  # type: ignore[no-untyped-call]
    if isinstance(operator, OpOverload):
        return str(operator._name).removesuffix(".default")
    if isinstance(operator, OpOverloadPacket):
        return str(operator._qualified_op_name)
    raise TypeError(f"not an operator: {operator!r}; give torch.ops.ns.op, one of its overloads, or 'ns::op'")


def names(function: Any) -> tuple[str, ...]:
    """Under which names a dispatched operator may be declared, the most exact first."""
    exact = qualified_name(function)
    return (exact, str(function._schema.name)) if isinstance(function, OpOverload) else (exact,)


def functional(operator: str) -> str:
    """The out-of-place, single-tensor form of an operator's name, which does the same to each element.

    >>> functional("mul_"), functional("_foreach_mul_"), functional("__ior__")
    ('mul', 'mul', '__ior__')
    """
    base = operator.removeprefix("_foreach_")
    return base[:-1] if base.endswith("_") and not base.endswith("__") else base


def packet(function: Any) -> Any:
    """The operator that an overload belongs to."""
    return function._overloadpacket if isinstance(function, OpOverload) else function


def traits(function: Any) -> frozenset[str]:
    """What torch declares of an operator: composite, view, view_copy, pointwise, reduction."""
    if not isinstance(function, OpOverload) or not _dispatcher._dispatch_has_kernel(function._name):
        return frozenset()
    found = set()
    if _dispatcher._dispatch_has_kernel_for_dispatch_key(function._name, "CompositeImplicitAutograd"):
        found.add("composite")
    if function.is_view or torch.Tag.inplace_view in function.tags:
        found.add("view")
    tags = {tag for overload in _relatives(function) for tag in overload.tags}
    found |= {tag.name for tag in tags} & {"view_copy", "pointwise", "reduction"}
    return frozenset(found)


@functools.lru_cache(maxsize=2**12)
def is_composite(function: Any) -> bool:
    """Whether autograd takes an operator apart before a dispatch mode sees it."""
    return "composite" in traits(function)


def _relatives(function: OpOverload) -> Iterator[OpOverload]:
    """The overloads of an operator and, of an in-place one, of its functional form: torch tags only some of them."""
    namespace, _, name = function._schema.name.partition("::")
    for relative in dict.fromkeys((name, functional(name))):
        packet = getattr(getattr(torch.ops, namespace), relative, None)
        for overload in packet._overload_names if isinstance(packet, OpOverloadPacket) else ():
            yield getattr(packet, overload or "default")


def backward_pass() -> int:
    """The number of the backward pass that runs, or `NO_BACKWARD`."""
    return int(_dispatcher._current_graph_task_id())


def running_node() -> Any:
    """The node of autograd's graph that a backward pass runs now, or None."""
    return _dispatcher._current_autograd_node()


def next_number() -> int:
    """The number that the next node made in this thread will carry."""
    return int(_autograd._get_sequence_nr())


def number_of(node: Any) -> int | None:
    """The number that a node carries, in the order of their making in its thread; None for a leaf's."""
    number: int = node._sequence_nr()
    return None if number >= _LEAF else number


Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextmanager
def checkpoint_regions(wrap: Wrapper, wrap_reentrant: Wrapper) -> Iterator[None]:
    """Pass each function given to `torch.utils.checkpoint.checkpoint` through a wrapper inside this block."""
    generator = _checkpointing._checkpoint_without_reentrant_generator
    reentrant: Any = _checkpointing.CheckpointFunction
    apply, before = reentrant.apply, vars(reentrant).get("apply")

    def wrapped_generator(function: Any, *args: Any, **kwargs: Any) -> Any:
        return generator(wrap(function), *args, **kwargs)

    def wrapped_apply(function: Any, *args: Any) -> Any:
        return apply(wrap_reentrant(function), *args)

    _checkpointing._checkpoint_without_reentrant_generator = wrapped_generator
    reentrant.apply = staticmethod(wrapped_apply)
    try:
        yield
    finally:
        _checkpointing._checkpoint_without_reentrant_generator = generator
        if before is None:
            del reentrant.apply
        else:  # Another counter's, around this one.
            reentrant.apply = before
