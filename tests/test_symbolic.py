"""Closed forms from unmodified code: equal to those written by hand, to concrete runs, and never silently a number."""

from __future__ import annotations

import builtins
import importlib
import math
import random
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sympy import Eq, Expr, Mod, expand
from torch import Tensor, nn
from torch._subclasses import fake_impls
from torch._subclasses.fake_tensor import FakeTensorMode

from symflops.architectures import architecture
from symflops.errors import SizeError, UnknownName
from symflops.measures import flops, params
from symflops.notation import d_head, d_model, n_head, n_kv_head, symbol
from symflops.tracing.building import without_initialisers
from symflops.tracing.internals.symbolic_scope import symbolic_scope
from symflops.tracing.lift import lift, lift_merged
from symflops.tracing.merging import Unexplained, merged, merged_family
from symflops.tracing.recorder import record
from symflops.tracing.symbolic import set_fields, symbolic_forward, symbolic_run

transformers = pytest.importorskip("transformers")
Sizes = Mapping[str, Any]
Built = tuple[nn.Module, object, Callable[[Any], Tensor]]
HINTS = {"n_head": 12, "d_head": 16, "d_ff": 56, "n_vocab": 211, "n_batch": 3, "n_seq": 97}


def tokens(size: Sizes) -> dict[str, Any]:
    return {"input_ids": torch.zeros(size["n_batch"], size["n_seq"], dtype=torch.long), "use_cache": False}


def logits(output: Any) -> Tensor:
    total: Tensor = output.logits.sum()
    return total


def llama(size: Sizes, n_layer: int = 2) -> Built:
    config = transformers.LlamaConfig(num_hidden_layers=n_layer, attn_implementation="eager", pad_token_id=None)
    set_fields(
        config, hidden_size=size["n_head"] * size["d_head"], num_attention_heads=size["n_head"],
        num_key_value_heads=size["n_kv_head"], head_dim=size["d_head"], intermediate_size=size["d_ff"],
        vocab_size=size["n_vocab"],
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval(), tokens(size), logits


def gpt2(size: Sizes, n_layer: int = 2) -> Built:
    config = transformers.GPT2Config(n_layer=n_layer, attn_implementation="eager")
    set_fields(
        config, hidden_size=size["n_head"] * size["d_head"], num_attention_heads=size["n_head"], n_inner=size["d_ff"],
        vocab_size=size["n_vocab"], n_positions=size["n_ctx"],
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval(), tokens(size), logits


def gpt_neox(size: Sizes, n_layer: int = 2) -> Built:
    config = transformers.GPTNeoXConfig(num_hidden_layers=n_layer, attn_implementation="eager")
    set_fields(
        config, hidden_size=size["n_head"] * size["d_head"], num_attention_heads=size["n_head"],
        intermediate_size=size["d_ff"], vocab_size=size["n_vocab"],
    )  # fmt: skip
    return transformers.GPTNeoXForCausalLM(config).eval(), tokens(size), logits


FAMILIES: dict[str, tuple[Callable[..., Built], dict[str, int], str]] = {
    "llama": (llama, {**HINTS, "n_kv_head": 4}, "llama3-8b"),
    "gpt2": (gpt2, {**HINTS, "n_ctx": 128}, "gpt2"),
    "gpt_neox": (gpt_neox, HINTS, "pythia-70m"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_closed_form_of_the_code_is_the_one_written_by_hand(family: str) -> None:
    build, hints, name = FAMILIES[family]
    traced = {n: symbolic_run(partial(build, n_layer=n), hints) for n in (1, 2, 3, 4)}
    assert all(each.specialised == () for each in traced.values())
    found = merged_family([({"n_layer": n}, each.run) for n, each in traced.items()])
    network = lift_merged(found)
    hand = architecture(name).network.subs({d_model: n_head * d_head})
    assert expand(params(network) - params(hand)) == 0 == expand(found.params - params(hand))
    assert expand(flops(network, "torch").expr - flops(hand, "torch").expr) == 0
    assert expand(found.flops("backward") - flops(hand, "torch", "backward").expr) == 0


def test_conditions_are_the_readable_ones() -> None:
    build, hints, _ = FAMILIES["llama"]
    found = symbolic_forward(build, hints).domain
    assert set(found.conditions) == {Eq(Mod(n_head, n_kv_head), 0), Eq(Mod(d_head, 2), 0)}


@pytest.mark.parametrize("family", FAMILIES)
def test_at_random_sizes_it_is_what_the_module_does_there(family: str) -> None:
    build, hints, _ = FAMILIES[family]
    found = merged(symbolic_run(build, hints).run)
    draw = random.Random(family)
    for _ in range(3):
        size = {name: draw.randint(2, 5) for name in hints}
        # Inside the domain: heads of whole rotary quarters, whole groups of heads, sequences inside the context.
        size |= {"d_head": 8 * size["d_head"], "n_head": size.get("n_kv_head", 1) * size["n_head"], "n_ctx": 9}
        with FakeTensorMode(allow_non_fake_inputs=True), without_initialisers():
            module, inputs, loss = build(size)
            concrete = merged(record(module.eval(), inputs, loss))
        values = {symbol(name): value for name, value in size.items()}
        for form in (lambda run: run.params, lambda run: run.saved_bytes, *map(work, ("forward", "backward"))):
            assert form(found).subs(values) == form(concrete)


def work(phase: str) -> Callable[[Any], Expr]:
    return lambda run: run.flops(phase)


class Fault(nn.Module):
    """Computes with a number that it makes of a size, in one way or another."""

    def __init__(self, size: Any, number: Callable[[Any], int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number(size), 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


FAULTS: dict[str, Callable[[Any], int]] = {
    "int": lambda size: builtins.int(size),
    "index": lambda size: size.__index__(),
    "range": lambda size: len(range(size)),
    "float": lambda size: round(float(size)),
    "compared": lambda size: 7 if size == 7 else 0,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_size_that_becomes_a_number_is_reported(fault: str) -> None:
    def build(size: Sizes) -> Built:
        return Fault(size["d_ff"], FAULTS[fault]), torch.empty(size["n_batch"], 3), torch.sum

    traced = symbolic_forward(build, {"d_ff": 7, "n_batch": 5})
    assert "d_ff" in traced.lost, traced
    assert traced.specialised[0].value == 7


def test_where_a_size_was_lost_is_said() -> None:
    def build(size: Sizes) -> Built:
        return Fault(size["d_ff"], FAULTS["index"]), torch.empty(size["n_batch"], 3), torch.sum

    [lost] = symbolic_forward(build, {"d_ff": 7, "n_batch": 5}).specialised
    assert "test_symbolic.py" in lost.where and str(lost).startswith("d_ff became 7 at")


def test_nothing_stays_patched_also_after_an_exception() -> None:
    def state() -> tuple[Any, ...]:
        inits = tuple(getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_"))
        models = tuple(sorted(name for name, module in sys.modules.items() if "int" in getattr(module, "__dict__", ())))
        kernels = tuple(fake_impls.op_implementations_checks)
        return inits, math.sqrt, torch.tensor, nn.modules.normalization.numbers, models, kernels

    before = state()

    def build(size: Sizes) -> Built:
        assert state() != before
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        symbolic_run(build, {"d_ff": 7})
    assert state() == before
    with pytest.raises(KeyError, match="planted"), symbolic_scope():
        raise KeyError("planted")
    assert state() == before


def test_a_module_imported_meanwhile_keeps_no_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from math import sqrt\nfrom torch import tensor\nfrom torch.nn.init import normal_, zeros_ as fill\n"
    (tmp_path / "imported_meanwhile.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with symbolic_scope():
        module = importlib.import_module("imported_meanwhile")
    assert (module.sqrt, module.tensor) == (math.sqrt, torch.tensor)
    assert (module.normal_, module.fill) == (nn.init.normal_, nn.init.zeros_)


def test_hints_that_will_not_do() -> None:
    with pytest.raises(SizeError, match="at least 2"):
        symbolic_forward(llama, {"d_ff": 1})
    with pytest.raises(SizeError, match="differ"):
        symbolic_forward(llama, {"d_ff": 7, "n_batch": 7})
    with pytest.raises(UnknownName):
        symbolic_forward(llama, {"d_fff": 7})


def test_a_count_that_follows_no_polynomial_is_refused() -> None:
    build, hints, _ = FAMILIES["llama"]
    runs = [({"n_layer": n}, symbolic_forward(partial(build, n_layer=n), hints).run) for n in (1, 2)]
    with pytest.raises(Unexplained, match="no polynomial"):
        merged_family([*runs, ({"n_layer": 4}, runs[1][1]), ({"n_layer": 5}, runs[1][1])])
    with pytest.raises(Unexplained, match="no polynomial"):
        merged_family(runs)


def test_saved_tensors_are_distinct_and_no_parameters() -> None:
    layers = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    run = record(layers, torch.ones(4, 3))
    assert [(each.module, each.shape) for each in run.saved] == [("0", (4, 3)), ("1", (4, 5))]
    assert all(parameter.grad is None for parameter in layers.parameters())


def test_parameters_that_no_contraction_takes_are_owned_all_the_same() -> None:
    model = nn.Sequential(nn.Embedding(7, 3), nn.LayerNorm(3), nn.Linear(3, 5))
    network = lift(record(model, torch.zeros(2, dtype=torch.long)))
    assert params(network) == sum(each.numel() for each in model.parameters())
    assert flops(network, "torch").expr == 60
