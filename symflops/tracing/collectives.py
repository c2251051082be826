"""Counts what devices send: every collective that torch's own engine runs, its group, its bytes and its pass.

>>> import torch.distributed
>>> with fake_group(8), Collectives() as seen:
...     torch.distributed.all_reduce(torch.ones(10))
>>> seen.total
{('all_reduce', 8, 'forward'): (1, 40)}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from symflops.errors import SymflopsError
from symflops.sizes import positive_integer
from symflops.tracing import internals
from symflops.tracing.internals import ranks

COLLECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "all_reduce": "all_reduce", "all_reduce_": "all_reduce", "allreduce_": "all_reduce",
        "all_reduce_coalesced": "all_reduce", "allreduce_coalesced_": "all_reduce",
        "all_gather_into_tensor": "all_gather", "all_gather_into_tensor_out": "all_gather",
        "all_gather_into_tensor_coalesced": "all_gather", "_allgather_base_": "all_gather", "allgather_": "all_gather",
        "allgather_into_tensor_coalesced_": "all_gather",
        "reduce_scatter_tensor": "reduce_scatter", "reduce_scatter_tensor_coalesced": "reduce_scatter",
        "_reduce_scatter_base_": "reduce_scatter", "reduce_scatter_": "reduce_scatter",
        "reduce_scatter_tensor_coalesced_": "reduce_scatter",
        "all_to_all_single": "all_to_all", "alltoall_base_": "all_to_all", "alltoall_": "all_to_all",
        "send": "send", "recv_": "receive", "broadcast": "broadcast", "broadcast_": "broadcast",
    }
)  # fmt: skip
"""What each operator of torch's process groups is, in the words of `symflops.training.parallelism`."""
NOTHING_SENT = frozenset({"wait_tensor", "_wrap_tensor_autograd", "barrier", "monitored_barrier_"})
"""Operators that wait, or send no tensor."""


class UnknownCollective(SymflopsError):
    """An operator that sends something and has no name here: it is not taken to be nothing."""


class AlreadyInGroup(SymflopsError):
    """A process group is there already, and torch has one for a process."""


@dataclass(frozen=True)
class Sent:
    """One collective: what it is, the ranks of its group, the pass, and the bytes of the whole tensor."""

    collective: str
    ways: int
    when: str
    bytes: int


class Collectives:
    """Counts every collective inside its `with` block, forward and backward; entering again starts at zero.

    Raises `UnknownCollective` for an operator of a process group that is not declared here.
    """

    def __init__(self) -> None:
        self._sent: list[Sent] = []
        self._exit = ExitStack()

    def __enter__(self) -> Collectives:
        self._sent = []
        with ExitStack() as stack:
            stack.enter_context(ranks.CollectiveCalls(self._seen))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._exit.__exit__(*error)

    @property
    def sent(self) -> tuple[Sent, ...]:
        """Every collective in the order in which they ran."""
        return tuple(self._sent)

    @property
    def total(self) -> dict[tuple[str, int, str], tuple[int, int]]:
        """Times and bytes of each collective: (collective, ranks of the group, pass) to (times, bytes)."""
        found: dict[tuple[str, int, str], tuple[int, int]] = {}
        for each in self._sent:
            key = (each.collective, each.ways, each.when)
            times, size = found.get(key, (0, 0))
            found[key] = (times + 1, size + each.bytes)
        return found

    def _seen(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        last = name.rpartition("::")[2]
        if last in NOTHING_SENT:
            return
        if last not in COLLECTIVES:
            raise UnknownCollective(f"operator {name} of a process group is not declared in tracing/collectives.py")
        when = "forward" if internals.backward_pass() == internals.NO_BACKWARD else "backward"
        size = max(map(_bytes, (*args, result)))
        self._sent.append(Sent(COLLECTIVES[last], ranks.group_size(args), when, size))


def _bytes(value: Any) -> int:
    """The bytes of a tensor, or of all tensors of a list."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


@contextmanager
def fake_group(world: int, rank: int = 0) -> Iterator[None]:
    """Be one of ``world`` ranks inside this block; nobody answers, so that counts mean something and values do not.

    Raises `AlreadyInGroup` inside a process group, `SizeError` for a number of ranks that is none.
    """
    positive_integer("of the world", world)
    if ranks.in_group():
        raise AlreadyInGroup("this process is in a process group already; leave it before ranks are played")
    with ranks.fake_ranks(world, rank):
        yield


def local_bytes(tensor: torch.Tensor) -> int:
    """The bytes of a tensor that this rank itself holds: of a distributed tensor, of its local part."""
    part = getattr(tensor, "to_local", lambda: tensor)()
    return int(part.numel() * part.element_size())
