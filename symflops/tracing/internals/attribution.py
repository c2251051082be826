"""Whose work an operator is: which module runs it, in which pass; backward, the module whose forward made the node."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from symflops.tracing import internals


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
        number = internals.next_number() if start is None else start
        if self._starts and self._starts[-1] >= number:
            self._paths[-1] = path
        else:
            self._starts.append(number)
            self._paths.append(path)

    def of(self, number: int) -> str:
        place = bisect.bisect_right(self._starts, number) - 1
        return self._paths[place] if place >= 0 else internals.OUTSIDE


class Attribution:
    """Whose work the current operator is: module path and pass, exact in forward, backward and recomputation.

    Work belongs to the innermost module being run. While a backward pass runs, it belongs to the module whose forward
    made the node that runs, unless a module or a checkpointed function was entered since: then it is recomputation.
    """

    def __init__(self, root: torch.nn.Module) -> None:
        self._paths: dict[torch.nn.Module, str] = {}
        self._leaves: dict[int, str] = {}
        self.follow(root)
        self._stack: list[tuple[object, str, int]] = [(None, internals.OUTSIDE, internals.backward_pass())]
        self._owners = Owners()
        self._owners.mark(internals.OUTSIDE)
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
            stack.enter_context(internals.checkpoint_regions(self._region, self._rebuilding))
            yield

    def current(self) -> tuple[str, str]:
        """Module path and pass ("forward", "backward" or "recompute") of the operator being dispatched."""
        _, path, entered_in = self._stack[-1]
        task = internals.backward_pass()
        if task == entered_in:
            if self._seen is not None:
                self._owners_here().mark(path, self._seen)
                self._seen = None
            return path, "forward" if task == internals.NO_BACKWARD else "recompute"
        node = internals.running_node()
        path = internals.OUTSIDE if node is None else self._owner(node)
        if torch.is_grad_enabled():
            self._differentiated_twice(path)
        return path, "backward"

    def _owner(self, node: Any) -> str:
        number = internals.number_of(node)
        if number is None:
            return self._leaves.get(id(node.variable), internals.OUTSIDE)
        rebuilt = self._rebuilt.get(node) if self._rebuilt else None
        return self._owners.of(number) if rebuilt is None else rebuilt

    def _owners_here(self) -> Owners:
        """Autograd numbers nodes anew in each thread."""
        thread = threading.get_ident()
        return self._owners if thread == self._home else self._elsewhere.setdefault(thread, Owners())

    def _differentiated_twice(self, path: str) -> None:
        """Nodes that a node makes while it runs (create_graph) belong where it does."""
        self._owners_here().mark(path, self._seen)
        self._seen = internals.next_number()

    def _push(self, key: object, path: str) -> None:
        self._stack.append((key, path, internals.backward_pass()))
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
        pending = [leaf.grad_fn for leaf in torch.utils._pytree.tree_leaves(outputs) if internals.is_tensor(leaf)]
        while pending:
            node = pending.pop()
            number = None if node is None else internals.number_of(node)
            if number is not None and node not in self._rebuilt:
                self._rebuilt[node] = owners.of(number)
                pending.extend(parent for parent, _ in node.next_functions)
