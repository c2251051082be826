"""What decoding keeps and costs: sums against single steps, and against real modules with their real caches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, expand

from symflops import CONVENTIONS, Architecture, Block, Contraction, Once, SymflopsError, architecture, flops
from symflops.architectures import generation
from symflops.architectures.runs import chunk
from symflops.errors import SizeError
from symflops.masks import Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.notation import n_past, n_query, n_seq
from symflops.serving import cache_elements, sum_over_steps

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from symflops.tracing.counter import Counter  # noqa: E402
from symflops.tracing.models import build  # noqa: E402

SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_head": 3, "n_embd": 24, "vocab_size": 41, "n_positions": 64},
    "llama": {
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 24, "head_dim": 8,
        "intermediate_size": 20, "vocab_size": 41,
    },
    "gemma2": {
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 16, "head_dim": 8,
        "intermediate_size": 20, "vocab_size": 41, "sliding_window": 7, "pad_token_id": 0,
    },
    "falcon": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "vocab_size": 41},
}  # fmt: skip


def small(family: str) -> Architecture:
    return architecture({"model_type": family, **SMALL[family]})


def steps_one_by_one(model: Architecture, n_batch: int, prompt: int, new: int, convention: str) -> int:
    """The prompt's pass, and one step after the other."""
    steps = (int(model.step_flops(n_batch, past, 1, convention)) for past in range(prompt, prompt + new - 1))
    return int(model.flops(n_batch, prompt, convention)) + sum(steps)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(SMALL)), st.sampled_from(["torch", "exact", "all-operations", "macs"]), st.integers(1, 3),
    st.integers(1, 20), st.integers(1, 20),
)  # fmt: skip
def test_a_generation_is_its_prompt_and_its_steps(
    family: str, convention: str, n_batch: int, prompt: int, new: int
) -> None:
    model = small(family)
    whole = int(model.generation_flops(n_batch, prompt, new, convention))
    assert whole == steps_one_by_one(model, n_batch, prompt, new, convention)


def test_one_step_more_or_less_is_another_sum() -> None:
    """The planted fault: a sum that takes one step too many."""
    model = small("gemma2")
    right = generation(model, "exact").expr
    wrong = (flops(model.network, "exact") + sum_over_steps(model.step.subs(n_query, 1), "exact", n_seq, 5)).expr
    at = {"n_batch": 1, "n_seq": 9, "n_new": 5}
    assert model.at(right, **at) == steps_one_by_one(model, 1, 9, 5, "exact") != model.at(wrong, **at)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(SMALL)), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_prefill_in_chunks_is_the_prefill(family: str, chunks: list[int]) -> None:
    """Under exact pairs, in any cut: the first chunk after nothing, each other after those before."""
    model = small(family)
    done, work = chunks[0], int(model.flops(1, chunks[0], "exact"))
    for tokens in chunks[1:]:
        work += int(model.step_flops(1, done, tokens, "exact"))
        done += tokens
    assert work == int(model.flops(1, done, "exact"))


def test_steps_whose_pairs_grow_otherwise_are_refused() -> None:
    sentence = "q[query d] k[key d] -> scores[query key]"
    masks = (
        CausalTopLeft(1, n_past + 1),
        Prefix(1, n_past + 1, 3),
        Causal(2, n_past + 2),
        Full(1, n_past),
        Causal(1, 2 * n_past),
    )
    for mask in masks:
        with pytest.raises(SizeError, match="one by one"):
            sum_over_steps(Contraction("scores", sentence, {"d": 4}, "scores", mask), "exact", 0, 5)


def filled(family: str, tokens: int, batch: int = 2) -> Any:
    """The cache of a real module after a prefill."""
    built = build({"model_type": family, **SMALL[family]}, device="cpu")
    ids = torch.ones((batch, tokens), dtype=torch.long)
    with torch.no_grad():
        return built.module, built.module(input_ids=ids, use_cache=True).past_key_values


def elements(cache: Any) -> int:
    return sum(part.numel() for layer in cache.layers for part in (layer.keys, layer.values))


@pytest.mark.parametrize("family", ["gpt2", "llama", "falcon"])
@pytest.mark.parametrize("tokens", [1, 5, 13])
def test_the_cache_holds_what_the_real_one_holds(family: str, tokens: int) -> None:
    _, cache = filled(family, tokens)
    assert small(family).cache_bytes(2, tokens, element_size=1) == elements(cache)


@pytest.mark.parametrize("tokens", [1, 6, 7, 30])
def test_a_window_keeps_no_more_than_it_is_long(tokens: int) -> None:
    """transformers drops the oldest key of a full window already before the next step: one less than the window."""
    _, cache = filled("gemma2", tokens)
    model = small("gemma2")
    sizes = model.sizes
    each = 2 * 2 * sizes["n_kv_head"] * sizes["d_head"]
    full = (sizes["n_layer"] - sizes["n_layer_sliding"]) * tokens
    assert model.cache_bytes(2, tokens, 1) == each * (full + sizes["n_layer_sliding"] * min(tokens, 7))
    assert elements(cache) == each * (full + sizes["n_layer_sliding"] * min(tokens, 7 - 1))


@pytest.mark.parametrize("family", ["gpt2", "llama", "falcon"])
@pytest.mark.parametrize(("past", "new"), [(9, 1), (9, 4)])
def test_a_step_is_what_the_real_module_runs_after_a_real_cache(family: str, past: int, new: int) -> None:
    module, cache = filled(family, past)
    with torch.no_grad(), Counter(module) as counter:
        module(input_ids=torch.ones((2, new), dtype=torch.long), past_key_values=cache, use_cache=True)
    assert counter.count.flops == int(small(family).step_flops(2, past, new, "torch"))
    assert counter.count.flops != int(small(family).step_flops(2, past + 1, new, "torch"))


def test_an_encoder_keeps_nothing_and_what_runs_once_is_in_no_step() -> None:
    sizes = {"head": 2, "d": 4}
    scores = Contraction(
        "scores", "q[head query d] k[head key d] -> s[head query key]", sizes, "scores", Full(n_seq, n_seq)
    )
    across = Block("Cross", scores)
    assert cache_elements(scores) == 0
    assert cache_elements(across + Once(Block("Encoder", scores))) == 8 * n_seq


def test_a_latent_that_two_operations_read_is_kept_once() -> None:
    mask, sizes = Causal(1, n_past + 1), {"batch": 1, "head": 3, "latent": 5}
    scores = Contraction(
        "scores", "q[batch head query latent] c[batch key latent] -> s[batch head query key]", sizes, "scores", mask
    )
    mix = Contraction(
        "mix", "w[batch head query key] c[batch key latent] -> y[batch head query latent]", sizes, "mix", mask
    )
    assert expand(cache_elements(Block("Core", scores + mix)) - 5 * (n_past + 1)) == 0


def test_a_windows_pairs_are_summed_exactly() -> None:
    mask = SlidingWindow(1, n_past + 1, 3)
    scores: Expr = Contraction("scores", "q[query d] k[key d] -> s[query key]", {"d": 1}, "scores", mask)
    assert sum_over_steps(scores, "macs", 0, 6).expr == 21
    assert sum_over_steps(scores, "exact", 0, 6).expr == 2 * (1 + 2 + 3 + 3 + 3 + 3)


def test_runs_of_other_kinds_are_refused() -> None:
    with pytest.raises(SymflopsError, match="eager"):
        chunk(attention="fast")
    assert "exact" in CONVENTIONS
