"""The counter on whole models: transformers of many kinds, fused operators, optimizers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_counter import BLOCK, TOKENS, Block, Stack, inputs, table
from torch import Tensor, nn
from torch._dynamo.source import LocalSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import (
    Count,
    Counter,
    against_flop_counter,
    forward,
    forward_backward,
)

TINY: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    "gpt_neox": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "mixtral": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "t5": {"decoder_start_token_id": 0, "d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 32},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "deepseek_v3": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8,
        "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
        "first_k_dense_replace": 1,
    },
}  # fmt: skip


ROUTED = ("mixtral", "deepseek_v3")  # routing needs values, which meta tensors do not have
EAGER = ("mamba",)  # no fused attention


def tiny(name: str, attention: str = "sdpa") -> nn.Module:
    common = {"vocab_size": 32, "intermediate_size": 32, "attn_implementation": attention}
    config = transformers.AutoConfig.for_model(name, **(common | TINY[name]))
    config._attn_implementation = attention
    kind = transformers.AutoModelForSeq2SeqLM if name == "t5" else transformers.AutoModelForCausalLM
    kind = transformers.AutoModelForMaskedLM if name == "bert" else kind
    dtype = torch.bfloat16 if name in ROUTED else torch.float32  # shape-only grouped products take no other
    model: nn.Module = kind.from_config(config, dtype=dtype)
    return model.train()


def run(model: nn.Module, n_seq: int = 8) -> Count:
    device = next(model.parameters()).device
    ids = torch.zeros(2, n_seq, dtype=torch.long, device=device)
    return forward_backward(model, {"input_ids": ids, "labels": ids}, lambda output: output.loss)


@pytest.mark.parametrize("name", sorted(TINY))
def test_no_operator_of_a_transformer_is_unpriced_and_real_fake_and_meta_tensors_count_the_same(name: str) -> None:
    attention = "eager" if name in EAGER else "sdpa"
    real = run(tiny(name, attention))
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = run(tiny(name, attention))
    assert table(fake) == table(real)
    if name not in ROUTED:
        with torch.device("meta"):
            meta = run(tiny(name, "eager"))
        assert meta.where(phase="forward").macs == real.where(phase="forward").macs
    assert set(real.by_phase()) == {"forward", "backward"}
    owned = real.where(phase="backward", kind="contraction")
    assert set(owned.by_module()) == set(real.where(phase="forward", kind="contraction").by_module())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_attention_implementations_agree_forward_and_differ_backward_by_the_recomputed_scores(name: str) -> None:
    backends = torch.nn.attention.SDPBackend
    phases: dict[str, dict[str, int]] = {}
    for label, kernel in (("eager", backends.MATH), ("math", backends.MATH), ("flash", backends.FLASH_ATTENTION)):
        with torch.nn.attention.sdpa_kernel(kernel):
            count = run(tiny(name, "eager" if label == "eager" else "sdpa").eval())  # flash takes no dropout
        phases[label] = {phase: part.macs for phase, part in count.by_phase().items()}
    pairs = 2 * 2 * 8 * 8 * 16  # layers, batch, queries, keys, features of all heads
    assert phases["eager"] == phases["math"]
    assert phases["flash"]["forward"] == phases["math"]["forward"]
    assert phases["flash"]["backward"] - phases["math"]["backward"] == pairs  # 5 products for 4
    flash = run(tiny(name).eval()).where(operator="*flash*").by_phase()
    assert (flash["forward"].macs, 2 * flash["backward"].macs) == (2 * pairs, 5 * flash["forward"].macs)


def test_torchs_counter_agrees_on_eager_models_and_its_holes_are_named() -> None:
    model = tiny("gpt2", "eager")
    with FlopCounterMode(display=False) as peer:
        count = run(model)
    assert peer.get_total_flops() == count.flops
    assert against_flop_counter(count, peer) == {}
    holes = against_flop_counter(run(tiny("mixtral")), peer)
    assert set(holes) == {
        "aten._grouped_mm",
        "aten._scaled_dot_product_flash_attention_for_cpu",
        "aten._scaled_dot_product_flash_attention_for_cpu_backward",
    }
    assert holes["aten._grouped_mm"] == 3 * 2 * 2 * (2 * 2 * 8) * 3 * 16 * 32  # passes, FLOPs, layers, choices, weights


def test_the_encoders_fast_path_counts_what_its_slow_path_does() -> None:
    encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    slow = forward(encoder, torch.randn(2, 5, 16))
    with torch.no_grad():
        fast = forward(encoder.eval(), torch.randn(2, 5, 16))
    assert set(fast.by_operator()) == {"aten._transformer_encoder_layer_fwd"}
    assert fast.macs == slow.macs


def test_symbolic_sizes_stay_symbolic_and_no_rule_guards_on_them() -> None:
    class Both(Block):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x.flatten(0, 1)).view_as(x)
            mixed = nn.functional.scaled_dot_product_attention(y[:, None], y[:, None], y[:, None])
            return torch.conv1d(mixed[:, 0].transpose(1, 2), torch.ones(3, 1, 2), groups=3)

    def guards(run: Callable[[nn.Module, Tensor], Any]) -> tuple[list[str], Any]:
        environment, example = ShapeEnv(), torch.randn(4, 7, 3)
        with FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True) as mode:
            lengths: Any = StatelessSymbolicContext([DimDynamic.DYNAMIC, DimDynamic.DYNAMIC, DimDynamic.STATIC])
            x = mode.from_tensor(example, symbolic_context=lengths, source=LocalSource("x"))
            found = run(Both().eval(), x)
            sizes: Any = x.shape[:2]
            batch, seq = (size.node.expr for size in sizes)
        return [str(guard.expr) for guard in environment.guards], (found, batch, seq)

    plain, _ = guards(lambda module, x: module(x))
    counted, (count, batch, seq) = guards(forward)
    assert counted == plain
    block, scores, taps = 15 + 25 + 15, 2 * 3, 3 * 2
    expected = batch * seq * block + batch * seq**2 * scores + batch * (seq - 1) * taps
    assert (count.macs.node.expr - expected).expand() == 0
    assert count.bytes_read.node.expr.free_symbols == {batch, seq}


def test_an_lstm_in_one_operator_counts_what_step_by_step_does() -> None:
    lstm, x = nn.LSTM(3, 5), torch.randn(7, 2, 3, requires_grad=True)
    count = forward_backward(lstm, x, lambda outputs: outputs[0].sum())
    with torch.backends.mkldnn.flags(enabled=False):
        steps = forward_backward(lstm, x, lambda outputs: outputs[0].sum())
    assert count.where(phase="forward").macs == steps.where(phase="forward").macs == 7 * 2 * 20 * (3 + 5)
    assert count.where(phase="backward").macs >= steps.where(phase="backward").macs  # the first state needs none


@pytest.mark.parametrize("form", [{}, {"foreach": True}, {"fused": True}])
def test_an_optimizer_step_is_priced_outside_the_modules(form: dict[str, Any]) -> None:
    layer = nn.Linear(3, 5)
    layer(torch.randn(2, 3)).sum().backward()
    optimizer = torch.optim.AdamW(layer.parameters(), **form)
    with Counter(layer) as counter:
        optimizer.step()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.zero_grad()
    assert counter.count.macs == 0 and counter.count.elements >= 20
    assert set(counter.count.by_module()) == {"<outside>"}


def test_inference_mode_hides_nothing() -> None:
    block = Block()
    with torch.inference_mode():
        assert table(forward(block, torch.randn(TOKENS, 3))) == {
            (path, "forward"): macs for path, macs in BLOCK.items()
        }


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recomputation_on_a_device_is_owned_as_on_the_cpu(reentrant: bool) -> None:
    stack = Stack(lambda module, x: checkpoint(module, x, use_reentrant=reentrant))
    cpu = table(forward_backward(stack, inputs(), torch.sum))
    x = inputs().detach().cuda().requires_grad_()
    assert table(forward_backward(stack.cuda(), x, torch.sum)) == cpu


def test_the_benchmark_reports_its_ratios() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "bench_counter.py"
    run = [sys.executable, str(script), "--json", "--n-layer", "1", "--repeats", "1"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    figures = json.loads(done.stdout).values()
    assert len(figures) == 2 and all(each["ok"] == (each["ratio"] <= each["limit"]) for each in figures)
    assert done.returncode == (not all(each["ok"] for each in figures))
