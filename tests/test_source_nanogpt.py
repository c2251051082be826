"""nanoGPT's notebooks: counted on a module in its manner, and by plain integers."""

from __future__ import annotations

import pytest
import torch

from derivations import nanogpt
from symflops.claims.faults import plant
from symflops.claims.verifying import shipped, verify
from symflops.measures import flops, params
from symflops.notation import d_attn, d_ff, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab
from tests.handwritten.nano import GPT, Config

SMALL = {n_layer: 3, n_head: 4, d_model: 32, d_attn: 32, d_ff: 128, n_vocab: 97, n_ctx: 16, n_seq: 16, n_batch: 2}


def small() -> GPT:
    return GPT(Config(16, 97, 3, 4, 32, 0.0, bias=False, fused=False))


def test_the_tables_reproduce_to_the_last_cell() -> None:
    report = verify("nanogpt_sizing")
    assert report.holds and report.counts()["reproduces"] == len(report.verdicts) == 22
    faults = [fault for fault in plant(shipped()["nanogpt_sizing"]) if fault.spoken]
    assert sum(fault.caught for fault in faults) / len(faults) >= 0.99


def test_parameters_are_those_of_the_module() -> None:
    module = small()
    assert params(nanogpt.NETWORK).subs(SMALL) == sum(each.numel() for each in module.parameters())
    layer = module.transformer.h[0]
    assert params(nanogpt.LAYER).subs(SMALL) == sum(each.numel() for each in layer.parameters())


def test_flops_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    module, counter = small(), FlopCounterMode(display=False)
    tokens = torch.zeros(2, 16, dtype=torch.long)
    with counter:
        module(tokens, tokens)
    forward = counter.get_total_flops()
    assert flops(nanogpt.NETWORK, "torch").expr.subs(SMALL) == forward


def test_palm_s_formula_has_six_for_each_norm_weight_and_token_more() -> None:
    total, positions, context = 124337664, 1024 * 768, 1024
    palm = (6 * (total - positions) + 12 * 12 * 12 * 64 * context) * context
    assert palm - 874944921600 == 6 * 1024 * 768 * (2 * 12 + 1)
    assert palm == 875062886400 and palm + 6 * positions * context == 879894724608


@pytest.mark.parametrize("row", nanogpt.A9_MISSES)
def test_the_rows_that_the_notebook_misses_are_those_whose_heads_are_not_the_width(row: nanogpt.Chinchilla) -> None:
    heads = row.head * row.heads
    at = {n_vocab: 32000, d_model: row.width, d_ff: row.hidden, d_attn: heads, n_layer: row.layers}
    right = int(nanogpt.chinchilla_params().subs(at))
    attention = 5 * row.width * heads + 3 * heads + 2 * heads + row.width  # u and v, and the projection's bias
    layer = attention + 2 * row.width * row.hidden + row.hidden + row.width + 4 * row.width
    assert right == 32000 * row.width + row.layers * layer + 2 * row.width
    assert heads != row.width and abs(right / (row.millions * 10**6) - 1) < 5e-4
    assert abs(int(nanogpt.chinchilla_params().subs(d_attn, d_model).subs(at)) / (row.millions * 10**6) - 1) > 0.015


def test_the_notebook_s_own_estimates_come_out() -> None:
    """scaling_laws.ipynb prints 12296.1623, 13124.4826, 14614.4279, 16037.5039 and 16184.4582 million."""
    shapes = ((4608, 18432, 44), (4608, 18432, 47), (4864, 19456, 47), (4992, 19968, 49), (5120, 20480, 47))
    form = nanogpt.chinchilla_params().subs(d_attn, d_model)
    found = [form.subs({n_vocab: 32000, d_model: d, d_ff: f, n_layer: layers}) / 10**6 for d, f, layers in shapes]
    assert [f"{float(each):.4f}" for each in found] == [
        "12296.1623", "13124.4826", "14614.4279", "16037.5039", "16184.4582",
    ]  # fmt: skip
