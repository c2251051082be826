"""CS336's lecture 2: against torch's formats, its counter, its autograd, and plain integers."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn

from derivations.cs336_lecture2 import NETWORKS, assignment_xl, memory, training_days
from symflops.claims.faults import plant
from symflops.claims.verifying import shipped, verify
from symflops.measures import flops, params, saved_elements
from symflops.notation import d_ff, d_model, n_batch, n_layer


class Deep(nn.Module):
    """Linear layers of one width, without biases, and a head of one output."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.final = nn.Linear(width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.final(x)


def test_the_figures_have_the_verdicts_that_the_file_declares() -> None:
    report = verify("cs336_lecture2")
    assert report.holds and report.counts()["reproduces"] == 25 and report.counts()["differs"] == 3
    faults = [fault for fault in plant(shipped()["cs336_lecture2"]) if fault.spoken]
    assert sum(fault.caught for fault in faults) / len(faults) >= 0.96


def test_backward_of_the_layers_is_what_autograd_runs() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    batch, width, layers = 8, 16, 3
    module, counter = Deep(width, layers), FlopCounterMode(display=False)
    with counter:
        module(torch.ones(batch, width)).sum().backward()
    at = {n_batch: batch, d_model: width, n_layer: layers}
    total = sum(each.numel() for each in module.parameters())
    assert params(NETWORKS["cruncher"]).subs(at) == total
    assert flops(NETWORKS["cruncher"], "torch", "training").expr.subs(at) == counter.get_total_flops()
    assert 6 * batch * total - counter.get_total_flops() == 2 * batch * width**2


def test_the_two_layers_backward_pass_is_a_matmul_short_of_four() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    batch, width, outputs = 8, 16, 4
    x, counter = torch.ones(batch, width), FlopCounterMode(display=False)
    first = torch.randn(width, width, requires_grad=True)
    second = torch.randn(width, outputs, requires_grad=True)
    loss = (x @ first @ second).pow(2).mean()
    with counter:
        loss.backward()
    at = {n_batch: batch, d_model: width, d_ff: outputs}
    assert flops(NETWORKS["two_layers"], "torch", "backward").expr.subs(at) == counter.get_total_flops()
    lecture = 2 * 2 * batch * width * outputs + (2 + 2) * batch * width * width
    assert lecture - counter.get_total_flops() == 2 * batch * width * width


def test_what_is_saved_is_the_data_and_the_lecture_s_activations() -> None:
    batch, width, layers = 2, 4, 2
    kept: dict[int, int] = {}
    module, data = Deep(width, layers), torch.ones(batch, width)
    owned = {each.data_ptr() for each in module.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in owned:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(data)
    assert result.shape == (batch, 1) and data.data_ptr() in kept
    at = {n_batch: batch, d_model: width, n_layer: layers}
    assert sum(kept.values()) == saved_elements(NETWORKS["cruncher"]).subs(at) == batch * width * (layers + 1)
    assert sum(kept.values()) - data.numel() == batch * width * layers


def test_the_4_has_to_reach_all_terms() -> None:
    parameters, activations = 4 * 4 * 2 + 4, 2 * 4 * 2
    at = {n_batch: 2, d_model: 4, n_layer: 2}
    assert memory(4).subs(at) == 4 * (parameters + activations + parameters + parameters) == 496
    assert memory().subs(at) == 4 * parameters + activations + parameters + parameters == 232


def test_seven_days_are_one_week() -> None:
    assert 8 * (60 * 60 * 24 * 7) * 1979 * 10**12 // 2 == 4_787_596_800 * 10**12


def test_gpt3_s_matrix_is_2304_mebibytes() -> None:
    assert 12288 * 4 * 12288 * 4 == 2304 * 1024 * 1024 == 2_415_919_104


def test_the_estimates() -> None:
    days = training_days(70 * 10**9, 15 * 10**12, 1024, Fraction(1979 * 10**12, 2), Fraction(1, 2))
    assert round(days) == 144 and 80 * 10**9 * 8 == 40 * 10**9 * (4 + 4 + 4 + 4)


def test_assignment_s_model_is_the_sum_of_its_tensors() -> None:
    width, hidden, layers, vocabulary = 1600, 6400, 48, 50257
    layer = 4 * width**2 + 3 * width * hidden + 2 * width
    assert assignment_xl().params() == 2 * vocabulary * width + layers * layer + width == 2_127_057_600
