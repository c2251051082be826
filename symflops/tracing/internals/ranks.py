"""Process groups of torch: many ranks of which one process plays one, what a collective's group is, and what it sends.

`torch.distributed` is one for the whole process. What is set up here is taken down again, also after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.distributed as distributed
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

_collectives: Final[Any] = distributed
_NAMESPACES: Final = ("c10d::", "_c10d_functional::")


class CollectiveCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator of torch's process groups, once it ran, to a function: its name, arguments and result.

    A distributed tensor is taken apart first, so that what its own operators send is seen too.
    """

    def __init__(self, seen: Callable[[str, tuple[Any, ...], Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        name = str(func._schema.name)
        if name.startswith(_NAMESPACES):
            self._seen(name, (*args, *(kwargs or {}).values()), result)
        return result


def group_size(args: tuple[Any, ...]) -> int:
    """The ranks of the group that a collective's arguments name, by object or by name."""
    for each in args:
        if isinstance(each, torch.ScriptObject):
            group = _unboxed(each)
            if group is not None:
                return int(group.size())
    names = [each for each in args if isinstance(each, str)]
    return int(_collectives.distributed_c10d._resolve_process_group(names[-1]).size())


def _unboxed(given: Any) -> Any:
    try:
        return _collectives.ProcessGroup.unbox(given)
    except RuntimeError:  # The operation of a reduction is such an object too.
        return None


@contextmanager
def fake_ranks(world: int, rank: int = 0) -> Iterator[None]:
    """Be one of so many ranks inside this block: collectives run, and nobody answers, so that values mean nothing."""
    distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def in_group() -> bool:
    """Whether this process has a process group already."""
    return bool(distributed.is_available() and distributed.is_initialized())
