"""States by shape and by what is trained, formats, prices, what is refused."""

from __future__ import annotations

import pytest
from optimizer_sizes import MATRIX, SHAPE
from sympy import Add, Expr, Integer, Max

from symflops.errors import NotLinearError, UnknownName
from symflops.layers.linear import BIAS, linear
from symflops.layers.lora import frozen, with_lora
from symflops.measures import flops, trainable_params
from symflops.networks import Tied
from symflops.notation import d_model, n_layer
from symflops.training.formats_known import BF16
from symflops.training.optimizers import optimizer, states, step_flops
from symflops.training.optimizers_known import OPTIMIZERS


def elements(network: Expr, name: str) -> dict[str, Expr]:
    return {each.name: each.elements for each in states(network, name)}


def test_states_go_by_shape_and_by_what_is_trained() -> None:
    layer = linear("up", Integer(3), Integer(4), "feedforward", BIAS)
    assert elements(layer, "adafactor") == {"step": 2, "row_var": 3, "col_var": 4, "variance": 4}
    assert elements(layer, "adafactor-momentum")["exp_avg"] == 12 + 4
    assert elements(layer, "muon") == {"momentum_buffer": 12, "step": 1, "exp_avg": 4, "exp_avg_sq": 4}
    assert elements(linear("logits", Integer(3), Integer(4), "logits"), "muon")["exp_avg"] == 12
    assert elements(5 * layer + Tied(layer), "adam")["exp_avg"] == 5 * 16
    assert states(frozen(layer), "adam") == () and step_flops(frozen(layer), "adam") == 0
    assert states(Integer(0), "adam") == () and step_flops(Integer(0), "muon") == 0


def test_adapters_alone_are_updated() -> None:
    layers = n_layer * Add(*(linear(name, d_model, d_model, "qkv") for name in ("q", "k", "v")))
    adapted = with_lora(layers, 4)
    assert elements(adapted, "adam")["exp_avg"] == trainable_params(adapted) == 16 * d_model * n_layer
    assert step_flops(adapted, "adam").expr == 13 * 16 * d_model * n_layer


@pytest.mark.parametrize("sizes", [(63, 65), (64, 64), (64, 65), (1, 4095), (1, 4096), (300, 7)])
def test_eight_bit_states_are_those_of_bitsandbytes(sizes: tuple[int, int]) -> None:
    """By its rule: float32 under 4096 elements, else a byte each and four for each 256 that are begun."""
    count = sizes[0] * sizes[1]
    expected = 4 * count if count < 4096 else count + 4 * len(range(0, count, 256))
    kept = states(linear("up", *map(Integer, sizes), "feedforward"), "adam-8bit")  # type: ignore[misc]
    assert [int(each.bytes) for each in kept] == [expected, expected]


def test_moments_are_in_the_format_that_is_asked_for() -> None:
    step, first, _ = states(MATRIX, "adam", "bf16")
    assert (step.bytes, first.bytes, first.form) == (4, 2 * 35, BF16)
    assert states(MATRIX, "adam-8bit", "bf16")[0].bytes == states(MATRIX, "adam-8bit")[0].bytes


def test_closed_forms_are_those_of_every_size() -> None:
    up = linear("up", d_model, 4 * d_model, "feedforward")
    found = step_flops(up, "muon", "torch").expr
    assert not found.atoms(Max) and found.subs(d_model, 5) == step_flops(up.subs(d_model, 5), "muon", "torch").expr


def test_every_optimizer_has_a_source_and_a_price() -> None:
    for name, each in OPTIMIZERS.items():
        assert each.citation and optimizer(name.upper()) is each and optimizer(each) is each
        assert flops(each.rules[0].step(SHAPE), "all-operations").expr > 0


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="unknown optimizer 'adan'; did you mean 'adam'"):
        states(MATRIX, "adan")
    with pytest.raises(NotLinearError):
        states(MATRIX + 1, "adam")
