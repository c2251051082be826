"""The search against a plain loop over all numbers of ways, its exact figures, its speed, and its refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from sympy import Expr, Integer

from symflops.architectures import architecture
from symflops.architectures.architecture import Architecture
from symflops.errors import SizeError, UnknownName
from symflops.notation import symbol
from symflops.training.parallelism import (
    POLICIES,
    Choices,
    Cluster,
    Layout,
    Planned,
    best_layouts,
    memory,
    messages,
    plan,
    sent_by_group,
    storage_of,
)
from symflops.training.parallelism.bound import least
from symflops.training.parallelism.layouts import SHARDINGS

SMALL = architecture("llama3.2-1b").with_sizes(n_layer=8)
MIXTURE = architecture("mixtral-8x7b").with_sizes(n_layer=4, d_model=1024, d_ff=2048, n_head=8, n_kv_head=4)
EIGHT = Cluster(8, per_node=4, peak=10**14, memory=4 * 10**9, inside=10**11, across=10**10)
BATCH, SEQ = 8, 1024


def _by_hand(model: Architecture, cluster: Cluster, choices: Choices, overlap: str) -> Iterator[Planned]:
    """Every layout, each by itself and exactly; those that do not divide are refused by `plan`."""
    experts = model.sizes.get("n_expert", 1)
    for d, t, c, p, v, m in product(range(1, 9), range(1, 9), range(1, 9), range(1, 9), (1, 2, 4, 8), (1, 2, 4, 8)):
        if d * t * c * p != cluster.devices or (p == 1 and v > 1):
            continue
        for e, sharding, sequence, checkpoint in product(
            (1, 2, 4, 8) if experts > 1 else (1,), choices.shardings, choices.sequences, choices.checkpoints
        ):
            layout = Layout(d, t, c, p, v, e, m, sharding, sequence, checkpoint)
            try:
                yield plan(model, cluster, layout, BATCH, SEQ, overlap=overlap)
            except SizeError:
                continue


@pytest.mark.parametrize(
    ("model", "choices", "overlap"),
    [
        (SMALL, Choices(("fsdp",), ("whole",), ("nothing",)), "serial"),
        (SMALL, Choices(("zero1",), ("split",), ("layers",)), "data overlapped"),
        (MIXTURE, Choices(("zero2",), ("split",), ("layers",)), "all overlapped"),
    ],
    ids=["fsdp", "zero1", "mixture"],
)
def test_the_search_finds_what_a_loop_finds(model: Architecture, choices: Choices, overlap: str) -> None:
    every = sorted(_by_hand(model, EIGHT, choices, overlap), key=lambda each: (each.bound.seconds, each.held))
    limit = int(sorted(each.held for each in every)[len(every) // 3])  # A third of them fit.
    fitting = [each for each in every if each.held <= limit]
    found = best_layouts(model, replace(EIGHT, memory=limit), BATCH, SEQ, choices=choices, overlap=overlap, limit=7)
    assert (found.candidates, found.fitting) == (len(every), len(fitting))
    assert 0 < len(fitting) < len(every)
    assert [(e.bound.seconds, e.held) for e in found.plans] == [(e.bound.seconds, e.held) for e in fitting[:7]]
    assert found.plans[0].bound.seconds != every[-1].bound.seconds, "a search that takes any would pass"


@pytest.mark.parametrize("layout", [
    Layout(data=8, sharding="fsdp", micro=1), Layout(data=2, tensor=4, sharding="zero1", sequence="split"),
    Layout(data=2, pipeline=4, micro=4, checkpoint="layers"), Layout(pipeline=4, tensor=2, interleave=2, micro=8),
    Layout(context=4, data=2, sharding="zero3"),
])  # fmt: skip
def test_a_plan_has_the_figures_of_the_layout_itself(layout: Layout) -> None:
    """Forms in symbols of all ways, at numbers, are the forms made for those numbers."""
    found = plan(SMALL, EIGHT, layout, BATCH, SEQ)
    held, sent = [], []
    for stage in layout.stages:
        held.append(_number(memory(SMALL.network, layout, stage, storage=storage_of(SMALL)).total))
        groups = sent_by_group(messages(SMALL.network, layout, stage, storage=storage_of(SMALL)))
        sent.append({group: _number(size) for group, size in groups.items()})
    assert found.held == max(held)
    assert dict(found.sent) in sent


def _number(form: Expr) -> Fraction:
    sizes = {**SMALL.sizes, "n_batch": BATCH, "n_seq": SEQ}
    value = form.xreplace({symbol(name): Integer(size) for name, size in sizes.items()})
    return Fraction(int(value.p), int(value.q))


def test_more_bandwidth_or_memory_never_slows_the_best() -> None:
    best = best_layouts(SMALL, EIGHT, BATCH, SEQ, limit=1).plans[0].bound.seconds
    for more in (replace(EIGHT, across=10**11), replace(EIGHT, memory=80 * 10**9), replace(EIGHT, peak=10**15)):
        assert best_layouts(SMALL, more, BATCH, SEQ, limit=1).plans[0].bound.seconds <= best


def test_policies_are_ordered() -> None:
    times = {"compute": Fraction(7), "tensor": Fraction(3), "data": Fraction(5)}
    serial, data, every = (least(times, Fraction(1, 7), POLICIES[name]) for name in POLICIES)
    assert serial.seconds >= data.seconds >= every.seconds >= times["compute"]
    assert (serial.binds, every.binds) == ("compute", "compute")
    assert least({**times, "data": Fraction(50)}, Fraction(0), POLICIES["data overlapped"]).binds == "data"


@pytest.mark.slow
def test_a_hundred_thousand_candidates_take_seconds() -> None:
    cluster = Cluster(4096, 8, 989 * 10**12, 80 * 10**9, 450 * 10**9, 50 * 10**9)
    choices = Choices(tuple(SHARDINGS), ("split",), ("nothing", "layers"))
    start = time.process_time()
    found = best_layouts(architecture("llama3-70b"), cluster, 2**16, 8192, choices=choices)
    assert found.candidates > 10**5
    assert time.process_time() - start < 5


def test_bad_requests_are_refused_in_one_line() -> None:
    with pytest.raises(UnknownName, match="unknown way 'tensors'; did you mean 'tensor'"):
        best_layouts(SMALL, EIGHT, BATCH, SEQ, most={"tensors": 8})
    with pytest.raises(UnknownName, match="unknown policy"):
        best_layouts(SMALL, EIGHT, BATCH, SEQ, overlap="everything")
    with pytest.raises(SizeError, match="no layout of 8 devices divides") as caught:
        best_layouts(SMALL, EIGHT, 1, SEQ, most={"tensor": 1, "context": 1, "pipeline": 1})
    assert "\n" not in str(caught.value)
    with pytest.raises(SizeError, match="the cluster has 8"):
        plan(SMALL, EIGHT, Layout(data=4), BATCH, SEQ)


def test_what_is_computed_again_is_paid_unless_said_otherwise() -> None:
    """Checkpointed layers run forward twice: a step computes for four passes instead of three, but for the logits."""
    cluster = Cluster(8, 8, 312 * 10**12, 80 * 10**9, 300 * 10**9, 25 * 10**9)
    gpt2, kinds = architecture("gpt2-xl"), ("nothing", "layers")
    found = {kept: plan(gpt2, cluster, Layout(data=8, checkpoint=kept), n_batch=64, n_seq=1024) for kept in kinds}
    work = {kept: each.bound.parts for kept, each in found.items()}
    assert 1.25 < work["layers"]["compute"] / work["nothing"]["compute"] < 4 / 3
