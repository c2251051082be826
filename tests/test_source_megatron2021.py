"""Narayanan et al. 2021 against a real GPT-2, checkpointed and counted by torch, and against plain arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel

from derivations.megatron2021 import EQUATION_2, EQUATION_3, NETWORK, derive, left_out
from symflops.claims import shipped, verify
from symflops.claims.faults import plant
from symflops.derivation import WrongStep, rewrite, start
from symflops.measures import flops, params
from symflops.notation import d_model, n_batch, n_layer, n_seq, n_vocab

SIZES = {n_layer: 3, d_model: 16, n_vocab: 50, n_seq: 6, n_batch: 2}


def gpt2() -> GPT2LMHeadModel:
    config = GPT2Config(vocab_size=50, n_positions=6, n_embd=16, n_layer=3, n_head=2, attn_implementation="eager",
                        use_cache=False)  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    return model.train()


def test_equation_3_is_what_torch_counts_of_a_checkpointed_step() -> None:
    model = gpt2()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 6, dtype=torch.long)).logits.sum().backward()
    assert (
        counter.get_total_flops() == EQUATION_3.subs(SIZES) == flops(NETWORK, "megatron", "training").expr.subs(SIZES)
    )


def test_equation_2_lacks_the_last_norm_of_a_real_model() -> None:
    real = sum(parameter.numel() for parameter in gpt2().parameters())
    assert params(NETWORK).subs(SIZES) == real == EQUATION_2.subs(SIZES) + 2 * 16


def test_every_size_of_table_1_is_the_same_with_and_without_the_last_norm() -> None:
    for row in shipped()["narayanan2021_table1"].rows:
        h, layers = int(row.cells["h"]), int(row.cells["l"])
        stated = 12 * layers * h * h + 13 * layers * h + (51200 + 2048) * h
        assert f"{stated / 1e9:.1f}" == f"{(stated + 2 * h) / 1e9:.1f}" == row.cells["params"]


def test_a_wrong_coefficient_is_no_step() -> None:
    with pytest.raises(WrongStep, match="differ by"):
        rewrite(start("F", flops(NETWORK, "megatron", "training").expr, "counted"), EQUATION_3 * 95 / 96, "a slip")


def test_what_equation_4_drops_in_plain_integers() -> None:
    layers, h, s, vocab = 128, 25600, 2048, 51200
    whole = 8 * (12 * layers * h * h + 13 * layers * h + (vocab + s) * h + 2 * h)
    iteration = 96 * layers * h * h + 16 * layers * s * h + 6 * vocab * h
    *_, (label, _, _, together) = left_out(shipped()["narayanan2021_table1"])
    assert label == "1008.0" and Fraction(iteration - whole, whole) == Fraction(int(together.p), int(together.q))


def test_84_days_are_those_of_1008_billion_parameters() -> None:
    rate = 3072 * 163 * 10**12 * 86400
    days = [Fraction(8 * 450 * 10**9 * size, rate) for size in (10**12, 1_008_038_758_400)]
    assert list(map(round, days)) == [83, 84]
    # not even the most that 163 TFLOP/s can be rounded from makes 84 of a round trillion
    assert Fraction(8 * 450 * 10**9 * 10**12, 3072 * 1625 * 10**11 * 86400) < Fraction(167, 2)


def test_slips_of_the_notes_in_plain_arithmetic() -> None:
    seconds = Fraction(8 * 300 * 10**9 * 200_000_000, 350 * 150 * 10**12)
    assert f"{float(seconds / 86400):.3f}" == "0.106" and f"{float(1000 * seconds / 86400):.2f}" == "105.82"
    for steps, printed, hours in ((4805, "19.69", "20.02"), (2402, "9.84", "10.01"), (18146, "74.37", "75.61")):
        assert f"{steps * 15 / 3660:.2f}" == printed and f"{steps * 15 / 3600:.2f}" == hours
    for size, printed in ((2, "327.82"), (14, "2294.77")):
        exact = 176 * 10**9 * size * 100 / 2**30
        assert f"{int(exact) / 100}" == printed != f"{round(exact) / 100}"


def test_the_tables_hold_and_their_claims_hold_the_digits() -> None:
    report = verify("megatron2021")
    assert report.holds and sum(verdict.verdict != "unchecked" for verdict in report.verdicts) >= 117
    for name, share in (
        ("bigscience_math", 0.95),
        ("narayanan2021_table1", 0.95),
        ("narayanan2021_training_time", 0.55),
    ):
        faults = plant(shipped()[name])
        assert sum(fault.caught for fault in faults) >= share * len(faults)


def test_under_another_convention_the_papers_own_steps_are_left_out() -> None:
    assert {step.quantity for step in derive("palm").steps} == {"N", "C_forward"}
