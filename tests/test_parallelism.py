"""Layouts in closed form: shares sum to the whole, printed formulas, refusals in one line, and rings by a loop."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from sympy import Add, Expr, Integer, cancel, expand

from derivations import zero2020
from symflops.architectures import architecture
from symflops.architectures.architecture import Architecture
from symflops.errors import SizeError, SymflopsError, UnknownName
from symflops.measures import flops, params
from symflops.notation import d_model, n_batch, n_data, n_layer, n_param, n_pipeline, n_seq, n_tensor, n_vocab
from symflops.training.activations import activation_bytes
from symflops.training.parallelism import (
    MEGATRON,
    MIXED,
    SHARDINGS,
    Cluster,
    Layout,
    Message,
    Stage,
    by_collective,
    check,
    device_activations,
    device_flops,
    device_params,
    memory,
    messages,
    pieces,
    ring_share,
    sent_by_group,
    storage_of,
)
from symflops.training.parallelism.device import SeveralStacks
from symflops.training.parallelism.memory import stored_elements
from symflops.training.parallelism.splitting import NotSplit

DECODERS = ("gpt2", "llama3-8b", "qwen3-8b", "gemma2-2b", "mixtral-8x7b", "deepseek-v3", "gpt-neox-20b")


@pytest.mark.parametrize("name", DECODERS)
def test_tensor_parallel_parts_sum_to_the_whole(name: str) -> None:
    """Split tensors as often as there are devices, all others once."""
    network = architecture(name).network
    parts = pieces(network, Layout(tensor=n_tensor))
    assert expand(Add(*(each.all * (n_tensor if each.split else 1) for each in parts)) - params(network)) == 0
    whole = {each.role for each in parts if not each.split and each.name == "weight"}
    assert whole <= ({"norm", "position", "router", "qkv"} if name == "deepseek-v3" else {"norm", "position", "router"})


@pytest.mark.parametrize("name", DECODERS)
def test_stages_sum_to_the_whole_and_a_tied_table_is_kept_twice(name: str) -> None:
    model, layout = architecture(name), Layout(pipeline=n_pipeline)
    stages: dict[Stage, Expr] = {"first": Integer(1), "inner": n_pipeline - 2, "last": Integer(1)}
    held = Add(*(times * each.all for stage, times in stages.items() for each in pieces(model.network, layout, stage)))
    twice = n_vocab * d_model if name in ("gpt2", "gemma2-2b") else 0
    assert expand(held - params(model.network) - twice) == 0


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3"])
def test_experts_sum_to_the_whole(name: str) -> None:
    network = architecture(name).network
    parts = pieces(network, Layout(data=8, expert=8))
    assert expand(Add(*(each.all * (8 if each.routed else 1) for each in parts)) - params(network)) == 0
    stacked = pieces(network, Layout(data=8, expert=8), "only", storage_of(architecture(name)))
    assert expand(Add(*(each.all for each in stacked)) - Add(*(each.all for each in parts))) == 0


@pytest.mark.parametrize("name", DECODERS)
def test_devices_do_the_work_of_one(name: str) -> None:
    """All matmuls, forward and backward, over data, tokens and heads, in stages."""
    network = architecture(name).network
    layout = Layout(data=n_data, tensor=n_tensor, context=3, pipeline=n_pipeline, micro=4, sequence="split")
    stages: dict[Stage, Expr] = {"first": Integer(1), "inner": n_pipeline - 2, "last": Integer(1)}
    some = Add(*(times * device_flops(network, layout, "torch", stage=each).expr for each, times in stages.items()))
    whole = flops(network, "torch", "training").expr
    assert expand(some * layout.devices / n_pipeline - whole) == 0


def test_data_parallel_devices_keep_the_activations_of_one() -> None:
    network = architecture("gpt2").network
    layout = Layout(data=n_data, micro=2)
    assert expand(2 * n_data * device_activations(network, layout) - activation_bytes(network)) == 0


@pytest.mark.parametrize(
    ("sharding", "shared"),
    [
        ("ddp", []),
        ("zero1", ["optimiser"]),
        ("zero2", ["optimiser", "gradients"]),
        ("zero3", ["optimiser", "gradients", "parameters"]),
    ],
)
def test_states_are_those_of_the_zero_paper(sharding: str, shared: list[str]) -> None:
    """Table 1's formulas, which `derivations.zero2020` derives of bytes for each parameter alone."""
    network = architecture("llama3-8b").network
    held = memory(network, Layout(data=n_data, sharding=sharding))
    states = held.parameters + held.gradients + held.optimizer
    assert expand(states - zero2020.stage(frozenset(shared)).subs(n_param, params(network))) == 0
    volume = Add(*(each.sent for each in messages(network, Layout(data=n_data, sharding=sharding))))
    paper = 2 * zero2020.sent(frozenset(shared)).subs(n_param, params(network))
    assert expand(volume * n_data - paper * (n_data - 1)) == 0


def test_a_layer_of_megatron_reduces_four_times() -> None:
    """Shoeybi et al. 2019, section 3: two all-reduces forward and two backward, each of batch, length and width."""
    network = architecture("gpt2").network
    found = by_collective(messages(network, Layout(tensor=n_tensor), code=MEGATRON))
    layers = {key: (times.coeff(n_layer), size.coeff(n_layer)) for key, (times, size) in found.items()}
    each = 2 * 2 * n_batch * n_seq * d_model
    assert layers["all_reduce", "tensor", "forward"] == layers["all_reduce", "tensor", "backward"] == (2, each)


def test_sequence_parallelism_sends_as_much() -> None:
    """Korthikanti et al. 2022, section 4.2.2: an all-reduce is a reduce-scatter and an all-gather; inputs come on top,
    because they are gathered again for the backward pass, and so do the gradients of norms, once a step."""
    network, layer = architecture("gpt2").network, 2 * n_batch * n_seq * d_model
    sent = {
        name: sent_by_group(
            each
            for each in messages(network, Layout(tensor=n_tensor, sequence=name), code=MEGATRON)
            if each.when != "step"
        )["tensor"]
        for name in ("whole", "split")
    }
    more = cancel((sent["split"] - sent["whole"]) * n_tensor / (n_tensor - 1))
    # Of two inputs in each layer and of the logits'. A table's all-reduce becomes a reduce-scatter and a gather too.
    assert expand(more - layer * (2 * n_layer + 1)) == 0


@pytest.mark.parametrize("ways", [2, 3, 8])
def test_a_ring_by_a_loop(ways: int) -> None:
    """Pieces go around: each step every device sends one; reducing takes all steps but one, and gathering as many."""
    sums = [[{rank} for _ in range(ways)] for rank in range(ways)]
    sent = 0
    for step in range(ways - 1):
        moved = [(rank, (rank - step) % ways) for rank in range(ways)]
        arriving = {((rank + 1) % ways, piece): sums[rank][piece] for rank, piece in moved}
        for (rank, piece), part in arriving.items():
            sums[rank][piece] = sums[rank][piece] | part
        sent += 1
    assert all(sums[rank][(rank + 1) % ways] == set(range(ways)) for rank in range(ways))
    assert ring_share("reduce_scatter", Integer(ways)) == Fraction(sent, ways)
    assert ring_share("all_reduce", Integer(ways)) == Fraction(2 * sent, ways)


def test_a_message_of_one_device_is_none() -> None:
    assert messages(architecture("llama3-8b").network, Layout(sharding="fsdp")) == ()


def _refused(call: Callable[[], Any], kind: type[SymflopsError], *words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout(tensor=16), ("n_kv_head = 8", "16 ways of tensor", "1, 2, 4 or 8")),
        (Layout(pipeline=5), ("n_layer = 32", "5 ways of pipeline", "n_layer = 35")),
        (Layout(pipeline=4, interleave=16), ("n_layer = 32", "64 ways of pipeline*interleave")),
        (Layout(data=3), ("n_batch = 8", "3 ways of data")),
        (Layout(data=4, micro=4), ("n_batch = 8", "16 ways of data*micro")),
        (Layout(context=3), ("n_seq = 8192", "3 ways of context")),
        (Layout(data=2, expert=2), ("2 ways of expert",)),
        (Layout(pipeline=4, interleave=2, micro=2), ("4 ways of pipeline",)),
    ],
)
def test_what_does_not_divide_is_refused_in_one_line(layout: Layout, words: tuple[str, ...]) -> None:
    _refused(lambda: check(architecture("llama3-8b"), layout, n_batch=8, n_seq=8192), SizeError, *words)


def test_what_is_not_declared_is_refused() -> None:
    _refused(
        lambda: device_params(architecture("mamba-130m").network, Layout(tensor=2)),
        NotSplit,
        "convolution",
        "attention",
    )
    _refused(lambda: device_params(architecture("whisper-tiny").network, Layout(data=2)), SeveralStacks, "_decoder")
    _refused(lambda: Layout(tensor=0), SizeError, "tensor", "0")
    _refused(lambda: Layout(sequence="sliced"), UnknownName, "sequence", "split")
    _refused(lambda: Cluster(12, 8, 1, 1, 1, 1), SizeError, "12", "8")


def test_planted_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A projection split by its result, and a table that is not split, break what the tests above hold."""
    from symflops.training.parallelism import device, splitting

    network = architecture("gpt2").network
    right = by_collective(messages(network, Layout(tensor=n_tensor)))
    rules = tuple(each for each in splitting.RULES if each.role != "project")
    monkeypatch.setattr(splitting, "RULES", (splitting.Rule("project", "d_out"), *rules))
    device.shares.cache_clear()
    pieces.cache_clear()
    wrong = by_collective(messages(network, Layout(tensor=n_tensor)))
    device.shares.cache_clear()
    pieces.cache_clear()
    assert right["all_reduce", "tensor", "forward"] != wrong["all_reduce", "tensor", "forward"]


def test_a_padded_chunk_is_no_less_than_an_even_part() -> None:
    model: Architecture = architecture("gpt2")
    for ways in (2, 7, 64, 1000):
        layout = Layout(data=ways, sharding="fsdp")
        found = pieces(model.network, layout, "only", storage_of(model))
        held = int(model.at(stored_elements(found, layout, "parameters")))
        rows = {each.shape[0] for each in found}
        assert (
            model.params()
            <= held * ways
            < model.params() + ways * sum(int(model.at(each.all / each.shape[0])) for each in found)
        ), rows


def test_messages_are_values() -> None:
    one = Message("x", "send", "context", Integer(2), "forward", Integer(1), Integer(8))
    assert one.repeated(Integer(3)).bytes == 24 and one.sent == 8
    assert MIXED.optimizer == 12 and set(SHARDINGS) == {"ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp kept"}
