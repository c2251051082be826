"""Model state in closed form: bytes for each parameter, pages, what is refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from sympy import Expr, Integer, Piecewise, ceiling

from symflops import Architecture, architecture
from symflops.errors import SizeError, UnknownName
from symflops.layers.lora import frozen, with_lora
from symflops.measures import params
from symflops.notation import n_layer
from symflops.render import FORMATS
from symflops.training.formats_known import number_format
from symflops.training.optimizers_known import OPTIMIZERS
from symflops.training.precision import PRECISIONS, Held, precision
from symflops.training.state import model_state

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from trained_models import CONFIGS, real  # noqa: E402

from symflops.tracing.models import build  # noqa: E402

ADAM = {
    "fp32": 4 + 4 + 4 + 4, "tf32": 16, "mixed-fp16": 2 + 2 + 4 + 4 + 4, "mixed-bf16": 16,
    "mixed-bf16-fp32-gradients": 2 + 4 + 4 + 4 + 4, "mixed-fp16-both-gradients": 2 + 2 + 4 + 4 + 4 + 4, "bf16": 8,
}  # fmt: skip


@pytest.mark.parametrize(("scheme", "expected"), ADAM.items())
def test_bytes_for_each_parameter(scheme: str, expected: int) -> None:
    assert model_state("gpt2", "adam", scheme).per_parameter == expected
    assert model_state("llama3-8b", "lion", scheme).per_parameter == expected - (2 if scheme == "bf16" else 4)


def test_bytes_for_each_parameter_are_zero_s_and_megatron_s() -> None:
    from derivations.zero2020 import HELD

    assert model_state("gpt2-xl", "adam", "mixed-fp16").per_parameter == sum(each.bytes for each in HELD)
    megatron = {"mixed-fp16-both-gradients": 20, "mixed-bf16-fp32-gradients": 18, "fp32": 16}
    assert {name: model_state("gpt2", "adam", name).per_parameter for name in megatron} == megatron


def test_float8_keeps_two_copies_and_histories() -> None:
    model = architecture(CONFIGS["llama"])
    found = model_state(model, "adam", "fp8")
    kept = {each.name: int(model.at(each.bytes)) for each in found.kept}
    linear = [each for name, each in real("llama").named_parameters() if "proj" in name]
    assert kept["weight in 8 bits"] == kept["its transpose in 8 bits"] == sum(each.numel() for each in linear)
    assert kept["history of largest values"] == len(linear) * 5 * 1024 * 4
    assert kept["scales"] == len(linear) * 5 * 2 * 4
    assert found.precision.moments is number_format("fp32")


def test_frozen_parameters_cost_what_they_are_stored_in() -> None:
    network = architecture("gpt2").network
    for name, scheme in itertools.product(OPTIMIZERS, ["fp32", "amp-bf16", "mixed-bf16"]):
        found = model_state(frozen(network), name, scheme)
        stored = next(each.form.bytes for each in precision(scheme).held if each.name == "parameter")
        assert found.bytes == int(stored) * params(network).expand() and found.counters == 0


def by_hand(model: Architecture) -> int:
    """8-bit Adam's states of GPT-2, tensor by tensor."""
    total = 0
    shapes = [each.shape for each in build(dict(model.config), device="meta").module.parameters()]
    for shape in shapes:
        number = shape.numel()
        total += 2 * (4 * number if number < 4096 else number + 4 * -(-number // 256))
    return total


def test_eight_bit_states_of_a_released_model() -> None:
    model = architecture("gpt2")
    found = model_state(model, "adam-8bit", "fp32")
    assert int(model.at(found.bytes_of("optimizer"))) == by_hand(model)
    assert found.bytes.has(Piecewise) and found.bytes.has(ceiling)


@pytest.mark.parametrize(("name", "scheme"), [("muon", "amp-fp16"), ("adafactor", "fp8"), ("adam-8bit", "bf16")])
def test_pages_in_every_format(name: str, scheme: str) -> None:
    for form in FORMATS:
        assert model_state("gpt2", name, scheme).show(form)


@pytest.mark.parametrize(("name", "scheme"), [*itertools.product(["adam", "adafactor"], PRECISIONS)])
def test_pages_and_steps(name: str, scheme: str) -> None:
    found = model_state("gpt2", name, scheme)
    given = json.loads(found.show("json"))
    assert given["bytes_at_sizes"] == found.at_sizes == sum(each["bytes_at_sizes"] for each in given["kept"])
    assert sum((each.bytes for each in found.kept), Integer(0)).expand() == found.bytes
    assert all(step.expression == found.bytes for step in found.steps())


def test_a_network_has_a_state_without_sizes() -> None:
    network: Expr = n_layer * architecture("gpt2").network
    found = model_state(network, "adam")
    assert found.per_parameter == 16 and found.model is None and "N" in found.show()
    assert model_state(Integer(0), "adam").bytes == 0
    assert model_state(with_lora(architecture("llama3-8b").network, 8), "adam", "bf16").show()


def test_a_value_that_is_kept_is_a_line() -> None:
    """An average of the weights: one more value in the data, and nothing else."""
    average = Held("average", "optimizer", number_format("fp32"), "trained")
    scheme = replace(precision("fp32"), held=(*precision("fp32").held, average))
    assert model_state("gpt2", "adam", scheme).per_parameter == 20


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mixed-bf16'"):
        model_state("gpt2", "adam", "mixed-bf61")
    with pytest.raises(UnknownName, match="unknown optimizer"):
        model_state("gpt2", "adams-family")
    with pytest.raises(UnknownName):
        model_state("gpt-2000")
    with pytest.raises(SizeError, match="no sizes"):
        _ = model_state(architecture("gpt2").network, "adam").at_sizes
