"""FlashAttention's counts against kernels that torch prices, loops over blocks, and Figure 2 a second time."""

from __future__ import annotations

import pytest

from derivations.flashattention2022 import CAUSAL, FLASH, STANDARD, for_each_score, moved, traffic_of_figure_2
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.measures import flops
from symflops.notation import d_head, n_batch, n_head, n_seq

SMALL = {n_batch: 2, n_head: 3, n_seq: 8, d_head: 4}


def test_torch_prices_both_cores_alike() -> None:
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter")
    shape = (2, 3, 8, 4)
    forward = counter.sdpa_flop_count(shape, shape, shape)
    backward = counter.sdpa_backward_flop_count(shape, shape, shape, shape)
    assert flops(FLASH, "torch").expr.subs(SMALL) == forward
    assert flops(FLASH, "torch", "backward").expr.subs(SMALL) == backward
    q, k, v = (torch.zeros(shape, requires_grad=True, device="meta") for _ in range(3))
    with counter.FlopCounterMode(display=False) as counted:
        ((q @ k.transpose(-1, -2)).softmax(-1) @ v).sum().backward()
    assert flops(STANDARD, "torch", "training").expr.subs(SMALL) == counted.get_total_flops()


def test_causal_work_is_that_of_a_loop_over_pairs() -> None:
    pairs = sum(1 for query in range(8) for key in range(8) if key <= query)
    assert flops(CAUSAL, "exact").expr.subs(SMALL) == 2 * 2 * 2 * 3 * 4 * pairs
    half = flops(STANDARD, "torch").expr.subs(SMALL) / 2
    assert flops(CAUSAL, "exact").expr.subs(SMALL) - half == 2 * 2 * 3 * 4 * 8


def test_blocks_move_what_a_loop_over_blocks_moves() -> None:
    seq, width, chip = 1024, 64, 98_304
    keys = -(-chip // (4 * width))
    traffic = 0
    for start in range(0, seq, keys):
        traffic += 2 * (min(start + keys, seq) - start) * width
        traffic += 3 * seq * width + 4 * seq
    stated = 12 * seq**2 * width**2 / chip
    assert 1 < traffic / stated < 2
    assert moved().subs({n_batch: 1, n_head: 1, n_seq: seq, d_head: width}) == 4 * seq**2 + 4 * seq * width


def test_figure_2_a_second_time() -> None:
    scores = 64 * 16 * 1024**2
    assert 6 * 2 * scores * 64 == 824_633_720_832 and 7 * 2 * scores * 64 == 962_072_674_304
    fits = [
        (matmul, rest)
        for matmul in range(200)
        for rest in range(200)
        if round((6 * matmul + rest) * scores / 1e9, 1) == 66.6 and round((7 * matmul + rest) * scores / 1e9, 1) == 75.2
    ]
    assert fits == [(8, 14)]
    assert [for_each_score(count).subs({d_head: 64, n_head: 16}) for count in (6, 7)] == [62, 70]
    copies, tensors = traffic_of_figure_2()
    assert round((copies * 2 * scores + tensors * 2 * 64 * 16 * 1024 * 64) / 1e9, 1) == 40.3


def test_traffic_is_claimed_of_nothing() -> None:
    printed = [each for each in verify("flashattention").verdicts if each.cell.endswith("hbm_GB_printed")]
    assert [each.verdict for each in printed] == ["unchecked"] * 4
    assert 40.3 <= 1.555 * 41.7 and 35.3 <= 1.555 * 35.1 and 4.4 <= 1.555 * 7.3


def test_the_table_holds_and_its_digits_are_held() -> None:
    report = verify("flashattention")
    assert report.holds and report.counts()["reproduces"] >= 10 and report.counts()["differs"] == 4
    faults = plant(report.tables[0])
    assert sum(fault.caught for fault in faults) / len(faults) > 0.7
