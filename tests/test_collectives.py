"""The counter of collectives: every operator of torch's process groups, none of them silently left out."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from symflops.errors import SizeError
from symflops.tracing import collectives
from symflops.tracing.collectives import AlreadyInGroup, Collectives, UnknownCollective, fake_group, local_bytes


def _run(name: str, x: torch.Tensor, ways: int) -> None:
    """A collective of each kind, by torch's public functions."""
    parts = [torch.empty_like(x) for _ in range(ways)]
    whole = torch.empty(ways * x.numel())
    {
        "all_reduce": lambda: distributed.all_reduce(x),
        "all_gather": lambda: distributed.all_gather_into_tensor(whole, x),
        "all_gather of a list": lambda: distributed.all_gather(parts, x),
        "reduce_scatter": lambda: distributed.reduce_scatter_tensor(x, whole),
        "reduce_scatter of a list": lambda: distributed.reduce_scatter(x, parts),
        "all_to_all": lambda: distributed.all_to_all_single(whole, torch.empty_like(whole)),
        "send": lambda: distributed.send(x, 1),
        "receive": lambda: distributed.recv(x, 1),
        "broadcast": lambda: distributed.broadcast(x, 0),
    }[name]()


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("all_reduce", 1),
        ("all_gather", 4),
        ("all_gather of a list", 4),
        ("reduce_scatter", 4),
        ("reduce_scatter of a list", 4),
        ("all_to_all", 4),
        ("send", 1),
        ("receive", 1),
        ("broadcast", 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32])
def test_every_collective_is_counted_with_its_payload(name: str, times: int, dtype: torch.dtype) -> None:
    with fake_group(4), Collectives() as seen:
        _run(name, torch.ones(6, dtype=dtype), 4)
    assert seen.total == {(name.partition(" ")[0], 4, "forward"): (1, times * 6 * 4)}


def test_a_group_is_that_of_the_call() -> None:
    with fake_group(8):
        mesh = init_device_mesh("cpu", (4, 2), mesh_dim_names=("data", "tensor"))
        with Collectives() as seen:
            distributed.all_reduce(torch.ones(3), group=mesh.get_group("tensor"))
            distributed.all_reduce(torch.ones(5), group=mesh.get_group("data"))
    assert [(each.ways, each.bytes) for each in seen.sent] == [(2, 12), (4, 20)]


def test_what_a_distributed_tensor_sends_by_itself_is_seen() -> None:
    with fake_group(4):
        mesh = init_device_mesh("cpu", (4,))
        rows = distribute_tensor(torch.ones(8, 6), mesh, [Shard(0)])
        with Collectives() as seen:
            whole = rows.redistribute(mesh, [Replicate()])
        assert isinstance(whole, DTensor) and (local_bytes(rows), local_bytes(whole)) == (2 * 6 * 4, 8 * 6 * 4)
    assert seen.total == {("all_gather", 4, "forward"): (1, 8 * 6 * 4)}


def test_the_backward_pass_is_told_apart() -> None:
    class Reduced(torch.autograd.Function):
        @staticmethod
        def forward(_: object, x: torch.Tensor) -> torch.Tensor:
            return x * 1

        @staticmethod
        def backward(_: object, *gradients: torch.Tensor) -> torch.Tensor:
            distributed.all_reduce(gradients[0].contiguous())
            return gradients[0]

    x = torch.ones(3, requires_grad=True)
    with fake_group(2), Collectives() as seen:
        (Reduced.apply(x) * torch.arange(3.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert seen.total == {("all_reduce", 2, "backward"): (1, 12)}


def test_an_operator_that_is_not_declared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a table without all-reduces must not count them as nothing."""
    fewer = {name: kind for name, kind in collectives.COLLECTIVES.items() if kind != "all_reduce"}
    monkeypatch.setattr(collectives, "COLLECTIVES", fewer)
    with fake_group(2), pytest.raises(UnknownCollective, match="allreduce_"), Collectives():
        distributed.all_reduce(torch.ones(3))


def test_entering_again_starts_at_zero() -> None:
    counter = Collectives()
    with fake_group(2):
        for _ in range(2):
            with counter:
                distributed.all_reduce(torch.ones(3))
            assert len(counter.sent) == 1


def test_a_process_is_in_one_group() -> None:
    with fake_group(2), pytest.raises(AlreadyInGroup), fake_group(4):
        pass
    with pytest.raises(SizeError), fake_group(0):
        pass
    assert not distributed.is_initialized()
