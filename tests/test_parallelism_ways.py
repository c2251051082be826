"""Rings, pipelines, experts and a split vocabulary's loss, in closed form, against PyTorch's code on played ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch
import torch.distributed as distributed
import torch.nn.functional as F
from parallel_models import LLAMA, MIXTRAL, formula, mesh_of
from sympy import Expr
from torch import nn
from torch.distributed._functional_collectives import all_to_all_single_autograd
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.pipelining.stage import InferenceMode
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.experimental._context_parallel import _attention as ring
from torch.distributed.tensor.parallel import loss_parallel

from symflops.tracing.collectives import Collectives, fake_group
from symflops.training.parallelism.layouts import Layout, Stage
from symflops.training.parallelism.memory import SINGLE, in_flight
from symflops.training.parallelism.messages import Message
from symflops.training.parallelism.others import bubble, context_messages, expert_messages, pipeline_messages
from symflops.training.parallelism.tensor import implementation, tensor_messages

_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
BATCH, SEQ = 2, 16


def _backward(**given: Any) -> Any:
    names = ("grad_out", "query", "key", "value", "out", "logsumexp")
    return _CPU_BACKWARD(*(given[name] for name in names), 0.0, given["is_causal"])


@contextmanager
def _hops() -> Iterator[None]:
    """Keys and values go around the ring hop by hop, as in the paper, and not by an all-gather."""
    before = ring._cp_options.rotate_method
    ring.set_rotate_method("alltoall")
    try:
        yield
    finally:
        ring._cp_options.rotate_method = before


@pytest.mark.parametrize("ways", [2, 4, 8])
def test_ring_attention_sends_keys_values_and_their_gradients(ways: int) -> None:
    """PyTorch's ring, on its own operator for CPUs: one layer of as many heads for keys as for queries."""
    heads, width = 4, 8
    q, k, v = (torch.randn(BATCH, heads, SEQ // ways, width) for _ in range(3))
    with fake_group(ways), _hops():
        with Collectives() as forward:
            out, sums = ring._templated_ring_attention(distributed.group.WORLD, 2, _CPU, q, k, v, is_causal=True)
        with Collectives() as backward:
            ring._templated_ring_attention_backward(
                distributed.group.WORLD, 2, _backward, out, "grad_out", q, k, v, out, sums, True
            )
    model = formula(LLAMA)
    found = context_messages(model.network, Layout(context=ways), SINGLE)
    sizes = {"n_layer": 1, "n_kv_head": heads, "n_head": heads, "d_head": width}
    assert _by_pass(found, sizes, ways) == {
        "forward": (len(forward.sent), sum(each.bytes for each in forward.sent)),
        "backward": (len(backward.sent), sum(each.bytes for each in backward.sent)),
    }


def _by_pass(found: tuple[Message, ...], sizes: Mapping[str, int], ways: int) -> dict[str, tuple[int, int]]:
    given = {"n_batch": BATCH, "n_seq": SEQ, **sizes}
    assert {each.ways for each in found} == {ways}
    return {
        when: (sum(_int(each.times, given) for each in some), sum(_int(each.bytes, given) for each in some))
        for when in ("forward", "backward")
        for some in [[each for each in found if each.when == when]]
    }


def _int(form: Expr, sizes: Mapping[str, int]) -> int:
    return int(form.subs({each: sizes[str(each)] for each in form.free_symbols}))


def _stages(rank: int, ranks: int, parts: int) -> list[PipelineStage]:
    def shown() -> tuple[torch.Tensor]:
        return (torch.zeros(BATCH, SEQ, 32, requires_grad=True),)

    places = [rank + ranks * part for part in range(parts)]
    cpu = torch.device("cpu")
    return [PipelineStage(nn.Linear(32, 32), each, ranks * parts, cpu, shown(), shown()) for each in places]


def _schedule(rank: int, ranks: int, parts: int, micro: int) -> Any:
    """PyTorch's schedule; shapes are given, so that ranks need not tell one another, which played ranks cannot."""
    stages = _stages(rank, ranks, parts)
    kind: Any = Schedule1F1B if parts == 1 else ScheduleInterleaved1F1B
    schedule = kind(stages[0] if parts == 1 else stages, n_microbatches=micro, loss_fn=lambda out, _: out.sum())

    def known(*_: Any, **__: Any) -> None:
        for stage in stages:
            stage._inference_mode = InferenceMode.STATIC

    schedule._warmup_p2p = known
    return schedule


@pytest.mark.parametrize(("ranks", "parts", "micro"), [(4, 1, 6), (4, 2, 8), (3, 3, 6), (2, 1, 2)])
def test_pipelines_send_the_stream_between_stages(ranks: int, parts: int, micro: int) -> None:
    layout = Layout(pipeline=ranks, interleave=parts, micro=micro)
    places: dict[int, Stage] = {0: "first", ranks - 1: "last"}
    for rank in range(ranks):
        batch = torch.zeros(BATCH * micro, SEQ, 32)
        with fake_group(ranks, rank):
            schedule = _schedule(rank, ranks, parts, micro)
            with Collectives() as seen:
                schedule.step(*([batch] if rank == 0 else []), **({"target": batch} if rank == ranks - 1 else {}))
        found = [each.repeated(layout.micro) for each in pipeline_messages(layout, SINGLE, places.get(rank, "inner"))]
        sizes = {"n_batch": BATCH * micro, "n_seq": SEQ, "d_model": 32}
        sent = [each for each in seen.sent if each.collective == "send"]
        assert len(sent) == sum(_int(each.times, sizes) for each in found)
        assert sum(each.bytes for each in sent) == sum(_int(each.bytes, sizes) for each in found)


Order = dict[int, list[tuple[int, str, int]]]


def _order(ranks: int, parts: int, micro: int) -> Order:
    """What each rank runs, in order: (stage, F or B, micro-batch), by PyTorch's interleaved schedule."""
    with fake_group(ranks):
        schedule = ScheduleInterleaved1F1B(_stages(0, ranks, parts), micro, loss_fn=lambda out, _: out.sum())
    return {
        rank: [
            (each.stage_index, "F" if each.computation_type.name == "FORWARD" else "B", each.microbatch_index)
            for each in actions
            if each is not None
        ]
        for rank, actions in schedule.pipeline_order.items()
    }


def _ends(order: Order, last: int, time: Mapping[str, int]) -> dict[int, int]:
    """When each rank is done, if it does its list in order and waits for what it needs: a loop over the clock."""
    done: dict[tuple[int, str, int], int] = {}
    clock, left = dict.fromkeys(order, 0), {rank: list(actions) for rank, actions in order.items()}
    while any(left.values()):
        before = len(done)
        for rank, actions in left.items():
            while actions and (need := _need(actions[0], last)) <= done.keys():
                action = actions.pop(0)
                clock[rank] = done[action] = max(clock[rank], *(done[each] for each in need), 0) + time[action[1]]
        assert len(done) > before, "the lists wait for one another"
    return clock


def _need(action: tuple[int, str, int], last: int) -> set[tuple[int, str, int]]:
    stage, kind, batch = action
    if kind == "F":
        return {(stage - 1, "F", batch)} if stage else set()
    return {(stage, "F", batch)} | ({(stage + 1, "B", batch)} if stage < last else set())


@pytest.mark.parametrize(("ranks", "parts", "micro"), [(4, 1, 8), (4, 2, 8), (8, 2, 16), (4, 4, 8), (2, 3, 4)])
@pytest.mark.parametrize("backward", [1, 2])
def test_the_bubble_is_that_of_the_schedule(ranks: int, parts: int, micro: int, backward: int) -> None:
    order = _order(ranks, parts, micro)
    busy = parts * micro * (1 + backward)
    whole = max(_ends(order, ranks * parts - 1, {"F": 1, "B": backward}).values())
    assert bubble(Layout(pipeline=ranks, interleave=parts, micro=micro)) * busy == whole - busy


@pytest.mark.parametrize(("ranks", "parts", "micro"), [(4, 2, 8), (8, 2, 16), (4, 4, 16), (3, 2, 6)])
def test_micro_batches_in_flight_are_those_of_the_schedule(ranks: int, parts: int, micro: int) -> None:
    layout, order = Layout(pipeline=ranks, interleave=parts, micro=micro), _order(ranks, parts, micro)
    for rank, stage in ((0, "first"), (1, "inner"), (ranks - 1, "last")):
        open_, most = 0, 0
        for _, kind, _ in order[rank]:
            open_ += 1 if kind == "F" else -1
            most = max(most, open_)
        assert in_flight(layout, stage) * parts == most  # type: ignore[arg-type]


@pytest.mark.parametrize("ways", [2, 4])
def test_the_loss_over_a_split_vocabulary(ways: int) -> None:
    vocab = LLAMA.vocab_size
    with fake_group(ways):
        local = torch.randn(BATCH * SEQ, vocab // ways, requires_grad=True)
        logits = DTensor.from_local(local, mesh_of(tensor=ways), [Shard(1)])
        with Collectives() as seen, loss_parallel():
            F.cross_entropy(logits, torch.zeros(BATCH * SEQ, dtype=torch.long)).backward()
    network = formula(LLAMA).network
    found = tensor_messages(network, Layout(tensor=ways), SINGLE, implementation("dtensor loss"))
    [loss] = [each for each in found if each.what == "cross entropy"]
    times, size = seen.total["all_reduce", ways, "forward"]
    assert (loss.times, _int(loss.bytes, {"n_batch": BATCH, "n_seq": SEQ})) == (times, size)


class _Experts(nn.Module):
    """Experts of which each rank has some: tokens go to them and come back, equally many to each."""

    def __init__(self, width: int, ways: int) -> None:
        super().__init__()
        self.expert, self.ways = nn.Linear(width, width), ways

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        equal = [rows.shape[0] // self.ways] * self.ways
        there = all_to_all_single_autograd(rows, equal, equal, distributed.group.WORLD)
        return all_to_all_single_autograd(self.expert(there), equal, equal, distributed.group.WORLD)


@pytest.mark.parametrize("ways", [2, 4])
def test_tokens_go_to_their_experts_and_back(ways: int) -> None:
    rows = torch.randn(BATCH * SEQ * MIXTRAL.num_experts_per_tok, MIXTRAL.hidden_size, requires_grad=True)
    with fake_group(ways), Collectives() as seen:
        layer = _Experts(MIXTRAL.hidden_size, ways)
        layer(rows).sum().backward()
    model = formula(MIXTRAL)
    found = expert_messages(model.network, Layout(data=ways, expert=ways), SINGLE)
    sizes = {**model.sizes, "n_layer": 1}
    expected = {
        (each.collective, ways, each.when): (
            _int(each.times, sizes), _int(each.bytes, {**sizes, "n_batch": BATCH * ways, "n_seq": SEQ})
        )
        for each in found
    }  # fmt: skip
    assert {key: value for key, value in seen.total.items() if key[0] == "all_to_all"} == expected


def test_planted_faults_are_found() -> None:
    """A schedule of another number of parts has another bubble, and a ring of one more device another last hop."""
    order = _order(4, 2, 8)
    whole = max(_ends(order, 7, {"F": 1, "B": 2}).values())
    assert bubble(Layout(pipeline=4, interleave=1, micro=8)) * 48 != whole - 48
    network = formula(LLAMA).network
    four, five = (context_messages(network, Layout(context=each), SINGLE) for each in (4, 5))
    assert [each.times for each in four] != [each.times for each in five]
