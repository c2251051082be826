"""All that is private to torch, in one place: dispatch modes, autograd's running node, checkpoint regions, op traits.

Everything that changes torch's state does so inside a `with` block that restores it, also after an exception.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
import torch.utils.checkpoint as checkpointing
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

OUTSIDE: Final = "<outside>"
_autograd: Final[Any] = torch.autograd  # torch types few of its private functions
_dispatcher: Final[Any] = torch._C
_checkpointing: Final[Any] = checkpointing
_NO_BACKWARD: Final = -1  # autograd's graph task id while no backward runs
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
    if not isinstance(function, OpOverload):
        return frozenset()
    found = set()
    if _dispatcher._dispatch_has_kernel_for_dispatch_key(function._name, "CompositeImplicitAutograd"):
        found.add("composite")
    if function.is_view or torch.Tag.inplace_view in function.tags:
        found.add("view")
    tags = {tag for overload in _relatives(function) for tag in overload.tags}
    found |= {tag.name for tag in tags} & {"view_copy", "pointwise", "reduction"}
    return frozenset(found)


def _relatives(function: OpOverload) -> Iterator[OpOverload]:
    """The overloads of an operator and, of an in-place one, of its functional form: torch tags only some of them."""
    namespace, _, name = function._schema.name.partition("::")
    for relative in dict.fromkeys((name, functional(name))):
        packet = getattr(getattr(torch.ops, namespace), relative, None)
        for overload in packet._overload_names if isinstance(packet, OpOverloadPacket) else ():
            yield getattr(packet, overload or "default")


class Owners:
    """Which path was current when each autograd node was made, by the number that autograd gives to nodes in order.

    A node's number lies between those at the entry and the exit of the module that made it, so no walk over the graph
    is needed and nodes that the module's outputs cannot reach have an owner too.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._paths: list[str] = []

    def mark(self, path: str, start: int | None = None) -> None:
        """From now on (or from number `start` on) nodes belong to `path`."""
        number = _autograd._get_sequence_nr() if start is None else start
        if self._starts and self._starts[-1] >= number:
            self._paths[-1] = path
        else:
            self._starts.append(number)
            self._paths.append(path)

    def of(self, number: int) -> str:
        place = bisect.bisect_right(self._starts, number) - 1
        return self._paths[place] if place >= 0 else OUTSIDE


class Attribution:
    """Whose work the current operator is: module path and pass, exact in forward, backward and recomputation.

    Work belongs to the innermost module being run. While a backward pass runs, it belongs to the module whose forward
    made the node that runs, unless a module or a checkpointed function was entered since: then it is recomputation.
    """

    def __init__(self, root: torch.nn.Module) -> None:
        self._paths: dict[torch.nn.Module, str] = {}
        self._leaves: dict[int, str] = {}
        self.follow(root)
        self._stack: list[tuple[object, str, int]] = [(None, OUTSIDE, _dispatcher._current_graph_task_id())]
        self._owners = Owners()
        self._owners.mark(OUTSIDE)
        self._home = threading.get_ident()
        self._elsewhere: dict[int, Owners] = {}
        self._rebuilt: dict[Any, str] = {}
        self._seen: int | None = None
        self.entered = False

    def follow(self, root: torch.nn.Module, name: str = "") -> None:
        """Know a module and all inside it by their paths, below ``name``; what is known already keeps its path."""
        for path, module in root.named_modules():
            self._paths.setdefault(module, ".".join(part for part in (name, path) if part))
        for path, leaf in root.named_parameters():
            owner = path.rpartition(".")[0]
            self._leaves.setdefault(id(leaf), ".".join(part for part in (name, owner) if part))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Follow modules and checkpoint regions inside this block."""
        with ExitStack() as stack:
            for handle in (
                register_module_forward_pre_hook(self._enter_module),
                register_module_forward_hook(self._leave_module, always_call=True),
            ):
                stack.callback(handle.remove)
            stack.enter_context(_checkpoint_regions(self._region, self._rebuilding))
            yield

    def current(self) -> tuple[str, str]:
        """Module path and pass ("forward", "backward" or "recompute") of the operator being dispatched."""
        _, path, entered_in = self._stack[-1]
        task = _dispatcher._current_graph_task_id()
        if task == entered_in:
            if self._seen is not None:
                self._owners_here().mark(path, self._seen)
                self._seen = None
            return path, "forward" if task == _NO_BACKWARD else "recompute"
        node = _dispatcher._current_autograd_node()
        path = OUTSIDE if node is None else self._owner(node)
        if torch.is_grad_enabled():
            self._differentiated_twice(path)
        return path, "backward"

    def _owner(self, node: Any) -> str:
        number = node._sequence_nr()
        if number >= _LEAF:
            return self._leaves.get(id(node.variable), OUTSIDE)
        rebuilt = self._rebuilt.get(node) if self._rebuilt else None
        return self._owners.of(number) if rebuilt is None else rebuilt

    def _owners_here(self) -> Owners:
        """Autograd numbers nodes anew in each thread."""
        thread = threading.get_ident()
        return self._owners if thread == self._home else self._elsewhere.setdefault(thread, Owners())

    def _differentiated_twice(self, path: str) -> None:
        """Nodes that a node makes while it runs (create_graph) belong where it does."""
        self._owners_here().mark(path, self._seen)
        self._seen = _autograd._get_sequence_nr()

    def _push(self, key: object, path: str) -> None:
        self._stack.append((key, path, _dispatcher._current_graph_task_id()))
        self._owners_here().mark(path)

    def _pop(self, key: object) -> None:
        """Leave `key`, and with it whatever inside it was left by an exception that skipped its hook."""
        while len(self._stack) > 1 and self._stack.pop()[0] is not key:
            pass
        self._owners_here().mark(self._stack[-1][1])

    def _enter_module(self, module: torch.nn.Module, inputs: Any) -> None:
        path = self._paths.get(module)
        if path is not None:
            self.entered = True
            self._push(module, path)

    def _leave_module(self, module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
        if any(key is module for key, _, _ in reversed(self._stack)):
            self._pop(module)

    def _region(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A checkpointed function that, whenever it is run, runs on account of the module that checkpointed it."""
        path = self._stack[-1][1]

        def region(*args: Any, **kwargs: Any) -> Any:
            key = object()
            self._push(key, path)
            try:
                return function(*args, **kwargs)
            finally:
                self._pop(key)

        return region

    def _rebuilding(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A region whose graph is built again, and differentiated, inside the outer backward pass.

        A device's backward runs in a thread of its own, which numbers the nodes it makes from zero, so that numbers do
        not tell them from those of the forward pass: they are remembered one by one. The walk from the outputs ends
        where the checkpoint detached its inputs.
        """

        def rebuilt(*args: Any) -> Any:
            outputs = function(*args)
            if threading.get_ident() != self._home:
                self._remember(outputs)
            return outputs

        return self._region(rebuilt)

    def _remember(self, outputs: Any) -> None:
        owners = self._owners_here()
        pending = [leaf.grad_fn for leaf in torch.utils._pytree.tree_leaves(outputs) if is_tensor(leaf)]
        while pending:
            node = pending.pop()
            if node is not None and node not in self._rebuilt:
                self._rebuilt[node] = owners.of(node._sequence_nr())
                pending.extend(parent for parent, _ in node.next_functions)


Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextmanager
def _checkpoint_regions(wrap: Wrapper, wrap_reentrant: Wrapper) -> Iterator[None]:
    """Pass each function given to `torch.utils.checkpoint.checkpoint` through a wrapper inside this block."""
    generator = _checkpointing._checkpoint_without_reentrant_generator
    reentrant: Any = _checkpointing.CheckpointFunction
    apply = reentrant.apply

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
        del reentrant.apply
