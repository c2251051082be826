"""Ways to train transformers' Llama: what each module recomputes and runs backward, product by product.

The expected work of a pass is written as how often each forward product comes again: once for each gradient that is
wanted of it, once where it is recomputed.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import nullcontext
from math import prod
from typing import Any

import pytest
import torch
import transformers
from test_training_variants import saved_by_hand, saved_bytes
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from variants import LoRALinear, frozen

from symflops.tracing.merging import merged
from symflops.tracing.recorder import record
from symflops.tracing.records import Run
from symflops.tracing.symbolic import set_fields, symbolic_run

LAYERS = 3
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Change = Callable[[Any], object]


def llama() -> Any:
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=32, pad_token_id=None, attn_implementation="eager",
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).train()


def inputs(batch: Any = 2, seq: Any = 6) -> dict[str, Any]:
    return {"input_ids": torch.zeros(batch, seq, dtype=torch.long), "use_cache": False}


def logits(output: Any) -> torch.Tensor:
    return output.logits.sum()  # type: ignore[no-any-return]


def run_of(change: Change = lambda model: None) -> Run:
    model = llama()
    change(model)
    return record(model, inputs(), logits)


def work(run: Run, phase: str) -> Tally[str]:
    """Multiply-accumulates in a pass by module; an attention's own are its scores and its mix."""
    found: Tally[str] = Tally()
    for each in run.records:
        if each.phase == phase:
            found[each.module] += int(prod(each.sizes)) * each.times
    return found


ONCE = work(run_of(), "forward")


def checkpointing(reentrant: bool) -> Change:
    return lambda model: model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})


# --- checkpointing ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("scope", [nullcontext, FakeTensorMode])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_runs_the_layers_once_more(reentrant: bool, scope: Callable[[], Any]) -> None:
    """Early stop leaves out the last product of a layer: its input is the last tensor that backward waits for."""
    with scope():
        run = run_of(checkpointing(reentrant))
    inside = {path: macs for path, macs in ONCE.items() if path.startswith("model.layers.")}
    left_out = set() if reentrant else {f"model.layers.{layer}.mlp.down_proj" for layer in range(LAYERS)}
    assert len(inside) == LAYERS * (len(PROJECTIONS) + 1)
    assert work(run, "recompute") == {path: macs for path, macs in inside.items() if path not in left_out}
    assert work(run, "forward") == ONCE
    assert work(run, "backward") == {path: 2 * macs for path, macs in ONCE.items()}


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_on_symbolic_sizes_recomputes_the_same_closed_forms(reentrant: bool) -> None:
    def build(size: Any) -> Any:
        config = transformers.LlamaConfig(num_hidden_layers=2, attn_implementation="eager", pad_token_id=None)
        heads = {"num_attention_heads": size["n_head"], "num_key_value_heads": size["n_kv_head"]}
        set_fields(config, hidden_size=size["n_head"] * 16, head_dim=16, intermediate_size=size["d_ff"], **heads)
        model = transformers.LlamaForCausalLM(config)
        checkpointing(reentrant)(model)
        return model, inputs(size["n_batch"], size["n_seq"]), logits

    found = merged(symbolic_run(build, {"n_head": 12, "n_kv_head": 4, "d_ff": 56, "n_batch": 3, "n_seq": 97}).run)
    forms = {phase: {} for phase in ("forward", "recompute")}  # type: dict[str, dict[Any, Any]]
    for each, times in found.records.items():
        if each.phase in forms:
            forms[each.phase][each.module, each.spec, each.sizes] = times
    left_out = ("lm_head",) if reentrant else ("lm_head", "down_proj")
    assert forms["recompute"] == {key: n for key, n in forms["forward"].items() if not key[0].endswith(left_out)}
    assert len(forms["recompute"]) >= 6


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("variant", [None, True, False])
def test_checkpointing_keeps_the_layers_inputs(variant: bool | None) -> None:
    model = llama()
    if variant is not None:
        checkpointing(variant)(model)
    seen = saved_by_hand(lambda: logits(model(**inputs())), model.parameters())
    assert saved_bytes(record(model, inputs(), logits)) == seen


# --- frozen parameters ------------------------------------------------------------------------------------------------


def backward(weights: Callable[[str], int], attention: Callable[[int], int], head: int) -> dict[str, int]:
    """The work of a backward pass: gradients of each projection, of each attention's products, and of the head."""
    found = {"lm_head": head * ONCE["lm_head"]}
    for path, macs in ONCE.items():
        layer = re.match(r"model\.layers\.(\d+)\.", path)
        if layer:
            found[path] = macs * (weights(path) if path.endswith("_proj") else attention(int(layer[1])))
    return {path: macs for path, macs in found.items() if macs}


def layer_of(path: str) -> int:
    return int(path.split(".")[2])


FROZEN: dict[str, tuple[Change, dict[str, int]]] = {
    # The first norm's gain wants the gradient of what it gives, so that not one product is saved.
    "embedding": (lambda model: frozen([model.model.embed_tokens]), backward(lambda path: 2, lambda layer: 2, 2)),
    # No weight of theirs has a gradient, but the embedding below wants theirs; both factors of a score want one.
    "first two layers": (
        lambda model: frozen(model.model.layers[:2]),
        backward(lambda path: 1 if layer_of(path) < 2 else 2, lambda layer: 2, 2),
    ),
    # Nothing below the third layer runs backward; its own norm wants the gradient of its projections' input.
    "embedding and first two layers": (
        lambda model: frozen([model.model.embed_tokens, *model.model.layers[:2]]),
        backward(lambda path: 0 if layer_of(path) < 2 else 2, lambda layer: 0 if layer < 2 else 2, 2),
    ),
    # The weight's gradient, and nothing below.
    "all but the head": (lambda model: frozen([model.model]), backward(lambda path: 0, lambda layer: 0, 1)),
    # The weight's gradient, and the one of its input, which the norm below wants.
    "all but the head and the last norm": (
        lambda model: frozen([model.model.embed_tokens, *model.model.layers]),
        backward(lambda path: 0, lambda layer: 0, 2),
    ),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parameters_leave_out_just_their_gradients(name: str) -> None:
    freeze, expected = FROZEN[name]
    run = run_of(freeze)
    assert work(run, "backward") == expected and work(run, "forward") == ONCE
    model = llama()
    freeze(model)
    with FlopCounterMode(display=False) as counter:
        logits(model(**inputs())).backward()
    assert counter.get_total_flops() == 2 * (sum(ONCE.values()) + sum(expected.values()))
    assert saved_bytes(run) == saved_by_hand(lambda: logits(model(**inputs())), model.parameters())


# --- adapters ---------------------------------------------------------------------------------------------------------

RANK, ROWS = 3, 2 * 6


def adapt(model: Any) -> None:
    """Adapters on queries and values, all else frozen."""
    frozen([model])
    for layer in model.model.layers:
        for name in ("q_proj", "v_proj"):
            setattr(layer.self_attn, name, LoRALinear(getattr(layer.self_attn, name), RANK))


def adapters_backward(path: str) -> int:
    """How many gradients a frozen projection passes on. In the first layer nothing below the adapters wants one."""
    first = layer_of(path) == 0
    return 0 if first and path.endswith(("q_proj", "k_proj", "v_proj")) else 1


def test_adapters_on_queries_and_values() -> None:
    run = run_of(adapt)
    once = work(run, "forward")
    plain = {path.replace(".base", ""): macs for path, macs in once.items() if not path.endswith((".a", ".b"))}
    assert plain == ONCE
    # Keys of the first layer want no gradient: one product for the scores instead of two, of half the attention's own.
    own = {f"model.layers.{layer}.self_attn": ONCE[f"model.layers.{layer}.self_attn"] for layer in range(LAYERS)}
    frozen_part = backward(adapters_backward, lambda layer: 2, 1)
    frozen_part["model.layers.0.self_attn"] -= own["model.layers.0.self_attn"] // 2
    seen = work(run, "backward")
    thin = {path: macs for path, macs in seen.items() if path.endswith((".a", ".b"))}
    assert {path.replace(".base", ""): macs for path, macs in seen.items() if path not in thin} == frozen_part
    for layer in range(LAYERS):
        for name, width in (("q_proj", 16), ("v_proj", 8)):
            at = f"model.layers.{layer}.self_attn.{name}"
            assert (once[f"{at}.a"], once[f"{at}.b"]) == (ROWS * RANK * 16, ROWS * RANK * width)
            assert thin[f"{at}.b"] == 2 * once[f"{at}.b"]
            assert thin[f"{at}.a"] == (1 if layer == 0 else 2) * once[f"{at}.a"]


def test_adapters_keep_what_hooks_see() -> None:
    model = llama()
    adapt(model)
    seen = saved_by_hand(lambda: logits(model(**inputs())), model.parameters())
    assert saved_bytes(record(model, inputs(), logits)) == seen


# --- a planted fault --------------------------------------------------------------------------------------------------


def test_a_layer_that_is_not_frozen_is_seen() -> None:
    _, expected = FROZEN["embedding and first two layers"]
    less: Change = lambda model: frozen([model.model.embed_tokens, *model.model.layers[:1]])  # noqa: E731
    assert work(run_of(less), "backward") != expected
