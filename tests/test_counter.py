"""The counter on real modules: who owns which operator in which pass, bytes, errors, and whole transformers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch._dynamo.source import LocalSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import CheckpointFunction, checkpoint
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import (
    Count,
    Counter,
    Einsum,
    NothingCounted,
    UnpricedOperator,
    against_flop_counter,
    forget,
    forward,
    forward_backward,
    rule,
)


def table(count: Count) -> dict[tuple[str, str], int]:
    """Multiply-accumulates per (module, pass)."""
    found: dict[tuple[str, str], int] = {}
    for entry in count:
        if entry.macs:
            found[entry.module, entry.phase] = found.get((entry.module, entry.phase), 0) + entry.macs
    return found


class Block(nn.Module):
    """Two linears, with a product applied by the parent between them and one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(3, 5, bias=False)
        self.down = nn.Linear(5, 3, bias=False)
        self.register_buffer("mixer", torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x) @ self.mixer))  # type: ignore[no-any-return]


class Stack(nn.Module):
    def __init__(self, run: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.first, self.second = Block(), Block()
        self.run = run or (lambda module, x: module(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.second, self.run(self.first, x)) * x.sum()  # type: ignore[no-any-return]


TOKENS = 2
BLOCK = {"up": TOKENS * 15, "": TOKENS * 25, "down": TOKENS * 15}


def expected(phase: str, factor: dict[str, int]) -> dict[tuple[str, str], int]:
    return {
        (f"{block}.{part}".rstrip("."), phase): factor[part] * macs
        for block in ("first", "second")
        for part, macs in BLOCK.items()
        if factor[part]
    }


def inputs() -> Tensor:
    return torch.randn(TOKENS, 3, requires_grad=True)


FORWARD = expected("forward", {"up": 1, "": 1, "down": 1})
BACKWARD = expected("backward", {"up": 2, "": 1, "down": 2})  # the mixer is a buffer: one gradient


def test_forward_and_backward_of_nested_modules_belong_to_their_owners() -> None:
    count = forward_backward(Stack(), inputs(), torch.sum)
    assert table(count) == FORWARD | BACKWARD
    owners = {entry.module for entry in count.where(operator="aten.tanh*")}
    assert owners == {"first", "second"}
    root = count.where(module="")
    assert {entry.operator for entry in root.where(phase="forward")} >= {"aten.mul", "aten.sum"}
    assert "aten.mul" in root.where(phase="backward").by_operator()
    assert count.under("first").macs == count.under("second").macs == count.macs // 2


def test_a_shared_module_and_a_tied_weight_are_owned_by_their_first_name() -> None:
    shared = Block()
    count = forward_backward(nn.Sequential(shared, shared), inputs(), torch.sum)
    assert {path for path, _ in table(count)} == {"0", "0.up", "0.down"}
    assert table(count)["0.up", "backward"] == 2 * 2 * BLOCK["up"]
    tied = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    tied[1].weight = tied[0].weight
    count = forward_backward(tied, inputs(), torch.sum)
    assert table(count) == {(p, s): n for p in "01" for s, n in (("forward", 18), ("backward", 36))}


def test_accumulating_into_a_gradient_belongs_to_the_parameters_owner() -> None:
    stack = Stack()
    stack(inputs()).sum().backward()
    with Counter(stack) as counter:
        loss = stack(inputs()).sum()
    assert not counter.count.where(phase="backward").entries
    with Counter(stack) as counter:  # the graph was made in an earlier block: only leaves know their owner
        loss.backward()
    added = {entry.module for entry in counter.count.where(operator="aten.add_")}
    assert added == {f"{block}.{part}" for block in ("first", "second") for part in ("up", "down")}
    assert set(path for path, _ in table(counter.count)) == {"<outside>"}


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_modules_recompute_where_they_first_ran(reentrant: bool) -> None:
    stack = Stack(lambda module, x: checkpoint(module, x, use_reentrant=reentrant))
    # A non-reentrant region stops at the last tensor that backward needs, before the last product.
    again = expected("recompute", {"up": 1, "": 1, "down": 1 if reentrant else 0})
    assert table(forward_backward(stack, inputs(), torch.sum)) == FORWARD | BACKWARD | again


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_function_recomputes_on_account_of_its_caller(reentrant: bool) -> None:
    class Caller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3, bias=False)
            self.other = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            run = lambda y: self.inner((y @ y.T) @ y).exp()  # noqa: E731
            return self.other(checkpoint(run, x, use_reentrant=reentrant))  # type: ignore[no-any-return]

    count = forward_backward(Caller(), inputs(), torch.sum)
    again = {path: macs for (path, phase), macs in table(count).items() if phase == "recompute"}
    assert again == {"": 2 * TOKENS * TOKENS * 3, "inner": TOKENS * 9}
    assert table(count)["inner", "backward"] == 2 * TOKENS * 9
    assert table(count)["", "backward"] == 4 * TOKENS * TOKENS * 3


def test_a_graph_rebuilt_in_another_thread_is_owned_too() -> None:
    """A device's backward runs in its own thread, where nodes are numbered from zero again."""
    stack = Stack(lambda module, x: checkpoint(module, x, use_reentrant=True))
    counter = Counter(stack)
    x = inputs()
    with counter:
        loss = stack(x).sum()
        counter._attribution._home = threading.get_ident() + 1  # from here on this thread is the foreign one
        loss.backward()
    assert table(counter.count) == FORWARD | BACKWARD | expected("recompute", {"up": 1, "": 1, "down": 1})


def test_the_gradient_of_a_gradient_belongs_to_the_module_too() -> None:
    block = Block()
    x = inputs()
    with Counter(block) as counter:
        (grad,) = torch.autograd.grad(block(x).sum(), x, create_graph=True)
        torch.autograd.backward((grad**2).sum())
    assert {path for path, _ in table(counter.count)} == {"", "up", "down"}
    assert not counter.count.where(phase="recompute").entries
    assert {entry.module for entry in counter.count.where(operator="aten.pow")} == {"<outside>"}


def test_a_gradient_taken_inside_forward_is_backward_work() -> None:
    class Force(Block):
        def forward(self, x: Tensor) -> Tensor:
            return torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)[0]

    assert {phase for _, phase in table(forward(Force(), inputs()))} == {"forward", "backward"}


# --- what is left behind, and errors ----------------------------------------------------------------------------------


def state() -> tuple[Any, ...]:
    checkpointing = torch.utils.checkpoint
    return (
        dict(hooks._global_forward_hooks),
        dict(hooks._global_forward_pre_hooks),
        checkpointing._checkpoint_without_reentrant_generator,
        "apply" in vars(CheckpointFunction),
        torch._C._len_torch_dispatch_stack(),
    )


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("the model's own")


def test_everything_is_restored_also_after_an_exception_which_passes_through() -> None:
    before = state()
    with pytest.raises(KeyError, match="the model's own"):
        forward(nn.Sequential(nn.Linear(3, 3), Broken()), inputs())
    assert state() == before
    forward(Block(), inputs())
    assert state() == before


def test_a_caught_error_inside_the_model_does_not_mislead_what_follows() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.broken, self.block = nn.Sequential(nn.Linear(3, 3), Broken()), Block()

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.broken(x)  # type: ignore[no-any-return]
            except KeyError:
                return self.block(x @ torch.eye(3))  # type: ignore[no-any-return]

    owners = {path for path, _ in table(forward(Careful(), inputs()))}
    assert owners == {"broken.0", "", "block", "block.up", "block.down"}


@pytest.fixture
def custom() -> Iterator[Any]:
    with torch.library._scoped_library("symflopstest", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        yield torch.ops.symflopstest.twice


def test_an_unpriced_operator_names_itself_its_module_and_the_remedy_and_counts_once_registered(custom: Any) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return custom(x)  # type: ignore[no-any-return]

    model = nn.Sequential(nn.Identity(), Odd())
    said = r"'symflopstest::twice'.*module '1'.*@symflops.tracing.rule\(\"symflopstest::twice\"\)"
    before = state()
    with torch.no_grad(), pytest.raises(UnpricedOperator, match=said):
        forward(model, inputs())
    assert state() == before
    rule(custom)(lambda result, x: Einsum("n", {"n": x.numel()}))
    try:
        with torch.no_grad():
            assert table(forward(model, inputs())) == {("1", "forward"): 6}
    finally:
        forget(custom)


def test_hidden_operators_are_an_error_not_a_zero_while_doing_nothing_is_none() -> None:
    block = Block()
    with pytest.raises(NothingCounted, match="no operator reached the counter"), Counter(block):  # noqa: SIM117
        with _disable_current_modes():
            block(inputs())
    assert forward(nn.Identity(), inputs()).entries == ()


# --- bytes and views --------------------------------------------------------------------------------------------------


def traffic(run: Callable[[], Any]) -> tuple[int, int]:
    with Counter(nn.Identity()) as counter:
        run()
    return counter.count.bytes_read, counter.count.bytes_written


def test_views_move_nothing_copies_move_bytes_and_a_tensor_given_twice_is_read_once() -> None:
    x, y = torch.ones(4, 6), torch.ones(6, dtype=torch.bfloat16)
    table_, rows = torch.ones(100, 8), torch.tensor([1, 2])
    assert traffic(lambda: x.t().reshape(2, 12)[0].unsqueeze(0).expand(3, 12).detach()) == (96, 96)  # t() must copy
    assert traffic(lambda: x.view(2, 12)[0].unsqueeze(0).expand(3, 12).permute(1, 0).detach()) == (0, 0)
    assert traffic(lambda: x.clone()) == (96, 96)
    assert traffic(lambda: x.to(torch.bfloat16)) == (96, 48)
    assert traffic(lambda: x * x) == (96, 96)
    assert traffic(lambda: x + y) == (96 + 12, 96)
    assert traffic(lambda: x.copy_(x.detach())) == (96, 96)
    assert traffic(lambda: torch.zeros(4, 6)) == (0, 96)
    assert traffic(lambda: torch.empty(4, 6)) == (0, 0)
    assert traffic(lambda: nn.functional.embedding(rows, table_)) == (16 + 64, 64)
    assert traffic(lambda: table_.index_copy_(0, rows, torch.empty(2, 8))) == (16 + 64, 64)
    assert traffic(lambda: torch.mm(x, x.t(), out=torch.empty(4, 4))) == (192, 64)


# --- whole models -----------------------------------------------------------------------------------------------------

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


def test_the_benchmark_reports_its_ratio() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "bench_counter.py"
    run = [sys.executable, str(script), "--json", "--n-layer", "1", "--repeats", "1"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    (figures,) = json.loads(done.stdout).values()
    assert figures["ok"] == (figures["ratio"] <= figures["limit"]) and done.returncode == (not figures["ok"])
