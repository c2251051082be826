"""Ways to run a model: experts, decoding with a cache, checkpointing, a user's function; against the real module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sympy import Expr, expand
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import symflops
from symflops.errors import ConfigError, UnknownName
from symflops.notation import (
    d_ff,
    d_head,
    d_model,
    n_active,
    n_batch,
    n_expert,
    n_head,
    n_key,
    n_layer,
    n_query,
    n_seq,
    n_vocab,
    symbol,
)  # fmt: skip
from symflops.tracing import UnpricedOperator, forward
from symflops.tracing.internals.fake_kernels import DataDependent
from symflops.tracing.trace import Trace, trace

transformers = pytest.importorskip("transformers")


def value(form: Expr, sizes: Mapping[str, int]) -> int:
    return int(form.subs({symbol(name): size for name, size in sizes.items()}))


# --- experts ----------------------------------------------------------------------------------------------------------

MIXTRAL = {
    "n_head": 6, "n_kv_head": 2, "d_head": 8, "d_ff": 24, "n_vocab": 37, "n_layer": 3, "n_expert": 5, "n_active": 2,
    "n_batch": 3, "n_seq": 7, "n_ctx": 64,
}  # fmt: skip


def mixtral(experts: str) -> nn.Module:
    at = MIXTRAL
    config = transformers.MixtralConfig(
        hidden_size=at["n_head"] * at["d_head"], num_attention_heads=at["n_head"], num_key_value_heads=at["n_kv_head"],
        intermediate_size=at["d_ff"], vocab_size=at["n_vocab"], num_hidden_layers=at["n_layer"],
        num_local_experts=at["n_expert"], num_experts_per_tok=at["n_active"], attn_implementation="eager",
        experts_implementation=experts,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(config).eval()


@pytest.fixture(scope="module")
def grouped() -> Trace:
    return trace("hf:mixtral", certify=2)


@pytest.fixture(scope="module")
def looped() -> Trace:
    return trace("hf:mixtral", experts="eager", certify=2)


def test_experts_count_for_those_that_are_active_however_they_run(grouped: Trace, looped: Trace) -> None:
    wide = d_head * n_head
    active = 6 * n_active * n_batch * n_seq * n_layer * wide * d_ff
    router = 2 * n_batch * n_seq * n_layer * wide * n_expert
    for found in (grouped, looped):
        assert expand(found.C_forward.coeff(d_ff) * d_ff - active) == 0
        assert expand(found.C_forward.coeff(n_expert) * n_expert - router) == 0
    assert expand(grouped.C_forward - looped.C_forward) == 0 == expand(grouped.C_backward - looped.C_backward)
    assert grouped.params == looped.params and grouped.notes == ()
    assert any("routing depends on data" in note for note in looped.notes)


@pytest.mark.parametrize("experts", ["eager", "batched_mm", "grouped_mm"])
def test_real_routing_of_real_tokens_costs_what_the_formula_says(grouped: Trace, experts: str) -> None:
    """Random weights send tokens where they like, and some experts may get none: the sum is the same."""
    torch.manual_seed(0)
    ids = torch.randint(0, MIXTRAL["n_vocab"], (MIXTRAL["n_batch"], MIXTRAL["n_seq"]))
    with torch.no_grad():
        seen = forward(mixtral(experts), {"input_ids": ids, "use_cache": False})
    assert seen.flops == value(grouped.C_forward, MIXTRAL)


def test_experts_that_the_class_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hf:LlamaForCausalLM has no 'eager' experts; it has default"):
        trace("hf:llama", experts="eager")


# --- phases -----------------------------------------------------------------------------------------------------------

LLAMA = {"n_head": 4, "n_kv_head": 2, "d_head": 8, "d_model": 24, "d_ff": 40, "n_vocab": 31, "n_layer": 2, "n_batch": 3}


def llama() -> nn.Module:
    at = LLAMA
    config = transformers.LlamaConfig(
        hidden_size=at["d_model"], num_attention_heads=at["n_head"], num_key_value_heads=at["n_kv_head"],
        head_dim=at["d_head"], intermediate_size=at["d_ff"], vocab_size=at["n_vocab"], num_hidden_layers=at["n_layer"],
        attn_implementation="eager", pad_token_id=None,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def decoding() -> Trace:
    return trace("hf:llama", phase="decode", certify=3)


def test_decoding_tells_queries_and_keys_apart(decoding: Trace) -> None:
    whole = trace("hf:llama", certify=0)
    assert expand(decoding.C_forward.subs({n_query: n_seq, n_key: n_seq}) - whole.C_forward) == 0
    attention = 4 * d_head * n_batch * n_head * n_layer * n_query * n_key
    assert expand(decoding.C_forward.coeff(n_key) * n_key - attention) == 0
    assert (decoding.C_backward, decoding.saved_bytes) == (0, 0)
    assert decoding.params == whole.params


@pytest.mark.parametrize("new, past", [(1, 9), (4, 5)])
def test_a_real_step_after_a_real_cache_costs_what_the_formula_says(decoding: Trace, new: int, past: int) -> None:
    model, batch = llama(), LLAMA["n_batch"]
    ids = torch.randint(0, LLAMA["n_vocab"], (batch, past + new))
    with torch.no_grad():
        cache = model(ids[:, :past], use_cache=True).past_key_values
        with FlopCounterMode(display=False) as counter:
            model(ids[:, past:], past_key_values=cache, use_cache=True)
    sizes = {**LLAMA, "n_query": new, "n_key": past + new}
    assert counter.get_total_flops() == value(decoding.C_forward, sizes)


def test_checkpointed_layers_are_computed_once_more_but_for_their_last_product() -> None:
    plain, again = trace("hf:llama", certify=0), trace("hf:llama", phase="checkpointed", certify=2)
    logits = 2 * n_batch * n_seq * d_model * n_vocab
    down = 2 * n_batch * n_seq * d_ff * d_model * n_layer
    assert expand(again.C_backward - plain.C_backward - (plain.C_forward - logits - down)) == 0
    assert expand(again.C_forward - plain.C_forward) == 0
    assert again.saved_bytes.coeff(n_layer) == 4 * d_model * n_batch * n_seq


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown phase 'decoding'; did you mean 'decode'"):
        trace("hf:llama", phase="decoding")


# --- a user's own -----------------------------------------------------------------------------------------------------


def two_layers(width: int, hidden: int, depth: int = 2) -> nn.Module:
    inner = [nn.Linear(hidden, hidden) for _ in range(depth)]
    return nn.Sequential(nn.Linear(width, hidden, bias=False), *inner, nn.Linear(hidden, width))


def vectors(module: nn.Module, sizes: Mapping[str, Any]) -> Tensor:
    return torch.empty(sizes["n_batch"], sizes["d_model"])


def test_a_function_its_sizes_and_its_inputs() -> None:
    sizes = {"width": "d_model", "hidden": 4 * d_model, "depth": "n_layer"}
    found = symflops.trace(two_layers, sizes, vectors, certify=3)
    tokens = 2 * n_batch
    assert expand(found.C_forward - tokens * (8 * d_model**2 + n_layer * 16 * d_model**2)) == 0
    # The first product needs no gradient towards its input.
    assert expand(found.C_backward - 2 * found.C_forward + tokens * 4 * d_model**2) == 0
    assert found.dimensions["d_model"] == "width"


def test_parameters_that_are_not_chosen_keep_their_defaults() -> None:
    found = symflops.trace(two_layers, {"width": "d_model", "hidden": "d_ff"}, vectors, certify=2)
    assert expand(found.C_forward - 4 * n_batch * d_ff * (d_model + d_ff)) == 0
    with pytest.raises(ConfigError, match="no meaning is known for parameter 'width'"):
        symflops.trace(two_layers, ["width"], vectors)
    with pytest.raises(UnknownName, match="unknown config field 'wide'"):
        symflops.trace(two_layers, {"wide": "d_model"}, vectors)


SOURCE = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, vocab_size, n_embd):
        super().__init__()
        self.table, self.out = nn.Embedding(vocab_size, n_embd), nn.Linear(n_embd, n_embd)

    def forward(self, idx):
        x = self.table(idx)
        FORWARD

def make(vocab_size, n_embd):
    return Model(vocab_size, n_embd)
"""
REFUSED = {
    "return self.out(x) if x.sum() > 0 else x": (DataDependent, r"data-dependent control flow: .*model.py:12"),
    "return self.out(x[x.sum(-1) > 0])": (DataDependent, r"data-dependent control flow: nonzero .*model.py:12"),
    "return torch.linalg.svdvals(self.out(x))": (UnpricedOperator, r"no rule prices .*linalg.*svd.*model.py:12"),
    "return self.out(x).reshape(-1, 7)": (ValueError, r"does not run|another way|no formula"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_traced_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "model.py").write_text(SOURCE.replace("FORWARD", line))
    kind, said = REFUSED[line]
    with pytest.raises(kind, match=said) as refused:
        trace(f"{tmp_path / 'model.py'}:make", certify=1)
    assert "\n" not in str(refused.value)


def attention_of_torch(n_embd: int, n_head: int = 2) -> nn.Module:
    return nn.TransformerEncoderLayer(n_embd, n_head, 4 * n_embd, dropout=0.0, batch_first=True)


def test_a_weight_that_another_module_uses_is_no_table_and_stays_in_N() -> None:
    """`nn.MultiheadAttention` multiplies by `out_proj.weight` itself: nothing runs in the module that owns it."""

    def sequences(module: nn.Module, sizes: Mapping[str, Any]) -> Tensor:
        return torch.empty(sizes["n_batch"], sizes["n_seq"], sizes["d_model"])

    found = symflops.trace(attention_of_torch, {"n_embd": "d_model"}, sequences, certify=2)
    real = attention_of_torch(24)
    assert value(found.N, {"d_model": 24}) == sum(each.numel() for each in real.parameters())
    assert found.params == found.N


def test_learned_positions_are_no_part_of_N_however_they_are_kept() -> None:
    """ViT keeps them in a parameter of three axes and adds them; nothing is looked up."""
    found = trace("hf:vit", certify=1)
    n_side = symbol("n_side")
    assert expand(found.params - found.N - d_head * n_head * (n_side**2 + 1)) == 0
