"""What devices hold and send, in closed form, against PyTorch's own engine: FSDP2, DTensor and DDP on played ranks."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch
import torch.distributed
from parallel_models import GPT2, LLAMA, MIXTRAL, built, expected, formula, mesh_of, sharded, step, tensor_parallel
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.parallel import DistributedDataParallel

from symflops.tracing.collectives import Collectives, fake_group, local_bytes
from symflops.training.parallelism.layouts import Layout
from symflops.training.parallelism.memory import SINGLE, memory
from symflops.training.parallelism.pieces import chunk_length, pieces, storage_of

SLOW = pytest.mark.slow
WORLDS = (8, 13, *(pytest.param(world, marks=SLOW) for world in (2, 64, 1024)))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("config", [LLAMA, GPT2, MIXTRAL], ids=lambda config: str(config.model_type))
def test_fsdp_sends_and_holds_what_the_closed_form_says(config: Any, world: int) -> None:
    layout, model = Layout(data=world, sharding="fsdp"), built(config)
    with fake_group(world):
        sharded(model, mesh_of(data=world))
        with Collectives() as seen:
            step(model, config.vocab_size)
        held, gradients = local_bytes_of(model), sum(local_bytes(each.grad) for each in model.parameters())
    assert seen.total == expected(config, layout)
    assert held == gradients == stored(config, layout)


def local_bytes_of(model: nn.Module) -> int:
    return sum(map(local_bytes, model.parameters()))


def stored(config: Any, layout: Layout) -> int:
    """The closed form of what the fullest rank, rank 0, holds of parameters."""
    model = formula(config)
    return int(model.at(memory(model.network, layout, "only", SINGLE, storage_of(model)).parameters))


@pytest.mark.parametrize("world", [4])
def test_fsdp_that_keeps_layers_gathers_them_once(world: int) -> None:
    model = built(LLAMA)
    with fake_group(world):
        sharded(model, mesh_of(data=world), reshard_after_forward=False)
        with Collectives() as seen:
            step(model, LLAMA.vocab_size)
    assert seen.total == expected(LLAMA, Layout(data=world, sharding="fsdp kept"))


@pytest.mark.parametrize("world", [3, pytest.param(8, marks=SLOW)])
def test_chunks_of_all_ranks_are_those_of_the_engine(world: int) -> None:
    """Each rank holds its rows; together they hold all, whatever fills up the last chunks."""
    rows: dict[str, list[int]] = {}
    for rank in range(world):
        model = built(GPT2)
        with fake_group(world, rank):
            for name, parameter in sharded(model, mesh_of(data=world)).named_parameters():
                rows.setdefault(name, []).append(parameter.to_local().shape[0])
                assert parameter.to_local().shape[0] == chunk_length(parameter.shape[0], world, rank)
    assert {name: sum(each) for name, each in rows.items()} == {
        name: parameter.shape[0] for name, parameter in built(GPT2).named_parameters()
    }


@pytest.mark.parametrize("ways", [4, pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize(
    ("inputs", "code", "sequence"),
    [("once", "dtensor", "whole"), ("once", "dtensor", "split"), ("each", "dtensor each", "whole")],
)
def test_tensor_parallel_layers_send_what_the_closed_form_says(
    ways: int, inputs: str, code: str, sequence: str
) -> None:
    layout, model = Layout(tensor=ways, sequence=sequence), built(LLAMA)
    with fake_group(ways):
        tensor_parallel(model, mesh_of(tensor=ways), inputs, sequence)
        with CommDebugMode() as second, Collectives() as seen:
            step(model, LLAMA.vocab_size)
        held = local_bytes_of(model)
    assert seen.total == expected(LLAMA, layout, code)
    assert held == stored(LLAMA, layout)
    assert second.get_total_counts() == sum(times for times, _ in seen.total.values())


@pytest.mark.parametrize(
    ("data", "ways"), [(3, 2), *(pytest.param(data, ways, marks=SLOW) for data, ways in ((4, 2), (2, 4), (64, 4)))]
)
@pytest.mark.parametrize("sequence", ["whole", "split"])
def test_a_mesh_of_two_dimensions(data: int, ways: int, sequence: str) -> None:
    layout, model = Layout(data=data, tensor=ways, sharding="fsdp", sequence=sequence), built(LLAMA)
    with fake_group(data * ways):
        mesh = mesh_of(data=data, tensor=ways)
        tensor_parallel(model, mesh["tensor"], "once", sequence)
        sharded(model, mesh["data"])
        with Collectives() as seen:
            step(model, LLAMA.vocab_size)
        held = local_bytes_of(model)
    assert seen.total == expected(LLAMA, layout)
    assert held == stored(LLAMA, layout)


def test_mixed_precision_and_two_micro_batches() -> None:
    """Parameters are gathered in half precision, gradients summed up in single, for each micro-batch anew."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    layout, model = Layout(data=8, sharding="fsdp", micro=2), built(GPT2)
    with fake_group(8):
        sharded(model, mesh_of(data=8), mp_policy=policy)
        with Collectives() as seen:
            step(model, GPT2.vocab_size)
            step(model, GPT2.vocab_size)
    assert seen.total == expected(GPT2, layout, widths=replace(SINGLE, gathered=2))


def test_a_split_table_has_a_whole_gradient_in_dtensor() -> None:
    """A fact of the engine, not of the layout: the gradient of a table split by rows is kept whole on each rank.

    Every other gradient is as large as its parameter on the rank. The closed form takes all gradients to be so.
    """
    model = built(LLAMA)
    with fake_group(4):
        tensor_parallel(model, mesh_of(tensor=4), "once", "whole")
        step(model, LLAMA.vocab_size)
        larger = {name: Fraction(local_bytes(each.grad), local_bytes(each)) for name, each in model.named_parameters()}
    assert {name: ratio for name, ratio in larger.items() if ratio != 1} == {"model.embed_tokens.weight": 4}


def _reduced(_: object, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """What DDP does by itself; played ranks return no future of their own."""
    torch.distributed.all_reduce(bucket.buffer())
    future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


@pytest.mark.parametrize("world", [64])
def test_ddp_reduces_every_gradient_once(world: int) -> None:
    model = built(GPT2)
    with fake_group(world):
        parallel = DistributedDataParallel(model)
        parallel.register_comm_hook(None, _reduced)
        with Collectives() as seen:
            step(parallel, GPT2.vocab_size)
    [(key, (_, size))] = seen.total.items()
    [total] = {sum(each for _, each in expected(GPT2, Layout(data=world)).values())}
    assert key == ("all_reduce", world, "backward") and size == total


def test_planted_faults_are_found() -> None:
    """The comparison fails for another axis first, for for flat chunks, and for another number of ranks."""
    world, model = 8, built(GPT2)
    with fake_group(world):
        sharded(model, mesh_of(data=world))
        with Collectives() as seen:
            step(model, GPT2.vocab_size)
    layout, right = Layout(data=world, sharding="fsdp"), formula(GPT2)
    assert seen.total == expected(GPT2, layout)
    assert seen.total != expected(GPT2, replace(layout, sharding="zero3"))
    assert seen.total != expected(GPT2, replace(layout, data=7))
    first = [piece.shape for piece in pieces(right.network, layout) if piece.path.endswith("up")]
    assert first != [p.shape for p in pieces(right.network, layout, "only", storage_of(right)) if p.path.endswith("up")]


def test_a_wrong_plan_is_found() -> None:
    """A plan whose readers of one input each reduce its gradient sends more than the closed form says."""
    model = built(LLAMA)
    with fake_group(4):
        tensor_parallel(model, mesh_of(tensor=4), "each", "whole")
        with Collectives() as seen:
            step(model, LLAMA.vocab_size)
    assert seen.total != expected(LLAMA, Layout(tensor=4), "dtensor")


def test_the_process_is_in_no_group_afterwards() -> None:
    with pytest.raises(RuntimeError, match="planted"), fake_group(4):
        raise RuntimeError("planted")
    assert not torch.distributed.is_initialized()
