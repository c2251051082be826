"""The catalogue of laws: each holds where it is shown, and each fails on a subject that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from planted_laws import (
    GPT2,
    LLAMA,
    MIXTRAL,
    VIT,
    Flat,
    Inward,
    OneGradient,
    Outward,
    Shifted,
    Twice,
    all_run,
    as_model,
    every,
    only_forward,
    operation,
    split_masks,
    squared,
    stray,
)
from sympy import Integer

from symflops.architectures.runs import chunk
from symflops.conventions import CONVENTIONS, EXACT, Price
from symflops.laws.catalogue import (
    LAWS,
    THEMES,
    adapters,
    algebra,
    attention,
    caches,
    closed_forms,
    experts,
    lengths,
    linearity,
    masks,
    matmuls,
    parallel,
    parameters,
    prices,
    serving,
    training,
)
from symflops.laws.catalogue.subjects import model, network
from symflops.laws.law import HOW, Instance
from symflops.layers.attention import BIAS, NO_BIAS, Heads, fused_qkv, separate_qkv
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.latent import HEADS, absorbed_attention, expanded_attention
from symflops.layers.lora import frozen, merging, with_lora
from symflops.masks import AttendedPairs, Causal, CausalTopLeft
from symflops.measures import flops, params
from symflops.networks import Block, Routed
from symflops.notation import (
    d_expert,
    d_ff,
    d_head,
    d_model,
    n_active,
    n_batch,
    n_ctx,
    n_expert,
    n_head,
    n_kv_head,
    n_layer,
    n_seq,
    n_vocab,
    r_lora,
    symbol,
)  # fmt: skip

NEEDED = 60


def test_there_are_enough_laws_each_said_in_full_and_once() -> None:
    assert len(LAWS) >= NEEDED and len(LAWS) == sum(map(len, THEMES.values()))
    assert len({law.statement for law in LAWS.values()}) == len({law.prose for law in LAWS.values()}) == len(LAWS)
    for name, law in LAWS.items():
        assert name == law.name and all((law.statement, law.prose, law.source, law.domain, law.scope)), name
        assert law.prose.endswith(".") and (law.show or law.ask) and bool(law.ask) == bool(law.asks), name


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if law.show])
def test_a_law_holds_where_it_is_shown(name: str) -> None:
    show = LAWS[name].show
    assert show is not None
    found = list(show())
    assert found and not [each for each in found if not each.holds]
    ways = {each.how for each in found}
    assert max(ways, key=list(HOW).index) == LAWS[name].by and "tested" not in ways and all(e.subject for e in found)


HALF_HEADS = LLAMA.subs(d_head, d_model / n_head)
SLIDING = symbol("n_layer_sliding")
MASK = Causal(n_seq, n_seq)
EXPANDED, ABSORBED = expanded_attention(HEADS, MASK), absorbed_attention(HEADS, MASK)
BASE = network("llama")
ONE_TARGET = with_lora(BASE, r_lora, ("q",))
EXPERT, WIDE = (gated_feedforward("silu", NO_BIAS, width) for width in (d_expert, n_expert * d_expert))
ONLY_HEADS = {n_head: n_head / parallel.WAYS}
Faults = Callable[[], Iterable[Instance]]
FAULTS: dict[str, Faults] = {
    "additivity": lambda: linearity.additive("squared", lambda whole: params(whole) ** 2, "llama", LLAMA),
    "homogeneity": lambda: linearity.scales("and one", lambda whole: params(whole) + 1, "llama", LLAMA),
    "names-cost-nothing": lambda: linearity.nameless("x", LLAMA, every(lambda net: Integer(len(net.atoms(Block))))),
    "layer-linearity": lambda: linearity.straight_in_layers("x", LLAMA, every(lambda net: n_layer**2 * d_model)),
    "batch-linearity": lambda: linearity.straight_in_batch("clip", network("clip")),
    "parameters-know-no-tokens": lambda: linearity.without_tokens("x", LLAMA, lambda net: params(net) * n_seq),
    "flops-are-two-macs": lambda: matmuls.twice_macs("x", LLAMA, "exact", "macs"),
    "weight-two-flops-forward": lambda: [matmuls.met_once("x", operation(Twice))],
    "backward-one-forward-each-gradient": lambda: [matmuls.gradients("x", operation(OneGradient))],
    "feedforward-slope": lambda: matmuls.slope(d_ff, "feedforward")("x", LLAMA + stray(d_ff, d_model)),
    "vocabulary-slope": lambda: matmuls.slope(n_vocab, "logits")("x", LLAMA + stray(d_model, n_vocab)),
    "key-value-slope": lambda: matmuls.slope(n_kv_head, "qkv")("x", LLAMA + stray(n_kv_head * d_head, d_model)),
    "mask-counts-are-loops": lambda: masks.looped(Outward),
    "masked-at-most-dense": lambda: masks.within(Outward),
    "causal-is-half-and-the-diagonal": lambda: masks.diagonal(Shifted),
    "wide-window-is-causal": lambda: masks.wide(Inward),
    "narrow-window-is-a-band": lambda: masks.narrow(Inward),
    "window-grows-to-causal": lambda: masks.growing(Inward),
    "prefix-between-causal-and-dense": lambda: masks.between(Outward),
    "alignments-agree-on-squares": lambda: masks.aligned(Causal),
    "pairs-add-over-chunks": lambda: masks.chunked(CausalTopLeft),
    "one-mask-for-scores-and-mix": lambda: masks.shared("x", split_masks()),
    "length-degree": lambda: lengths.degrees("x", LLAMA + stray(d_model, d_model, seq=n_seq**2)),
    "length-curvature": lambda: lengths.squares("x", LLAMA + stray(d_model, d_model, seq=n_seq**2)),
    "length-ignores-width": lambda: lengths.stays(d_model)("x", HALF_HEADS),
    "length-ignores-key-value-heads": lambda: lengths.stays(n_kv_head)("x", LLAMA.subs(n_head, n_kv_head)),
    "length-by-width-of-heads": lambda: lengths.by_width("x", HALF_HEADS),
    "groups-of-one-are-multi-head": lambda: attention.all_heads("x", LLAMA + stray(d_model, d_head, "qkv")),
    "one-group-is-multi-query": lambda: attention.one_head("x", LLAMA + stray(d_model, d_head, "qkv")),
    "heads-count-by-their-width": lambda: attention.by_total_width("x", LLAMA + stray(n_head, d_model)),
    "fused-is-separate": lambda: attention.fused(attention.Pair(
        "x", fused_qkv(Heads(n_head, n_head, d_head), BIAS), separate_qkv(Heads(n_head, n_kv_head, d_head), BIAS))),
    "rotary-has-no-matmul": lambda: attention.turning("x", LLAMA + stray(d_model, d_model, "rotary")),
    "absorption-keeps-the-function": lambda: attention.same_function(
        lambda q, c, k, v: attention.absorbed_numbers(q, c, k, attention.matrix(len(v), 2, 5))),
    "absorption-keeps-parameters-not-cost": lambda: attention.other_cost(EXPANDED, EXPANDED),
    "cache-by-key-value-heads": lambda: caches.by_groups("x", caches.cache("llama") + n_seq),
    "cache-by-length": lambda: caches.by_length("x", caches.cache("llama") + 1),
    "window-bounds-the-cache": lambda: caches.bounded("x", caches.cache("mistral") + SLIDING * n_seq),
    "states-do-not-grow": lambda: caches.constant("x", caches.cache("llama")),
    "latent-cache-has-no-heads": lambda: caches.latent_cache(ABSORBED, EXPANDED),
    "steps-sum-to-prefill": lambda: serving.steps_are_prefill("x", as_model("llama", more=stray(d_model, d_ff))),
    "dense-steps-sum-to-exact-prefill": lambda: serving.dense_steps("mistral", model("mistral")),
    "chunks-sum-to-prefill": lambda: serving.chunks_are_prefill("x", as_model("llama", more=stray(d_model, d_ff))),
    "generation-is-a-longer-prefill": lambda: serving.generated("x", as_model("llama", more=stray(d_model, d_ff))),
    "encoders-run-once": lambda: serving.once("x", as_model("t5", step=stray(d_model, d_ff))),
    "matmul-intensity-at-most-vectors": lambda: serving.compute_bound("x", operation(Twice)),
    "decoding-intensity-at-most-group": lambda: serving.memory_bound(
        "x", SimpleNamespace(step=model("llama").at_run(chunk(Integer(8))))),  # type: ignore[arg-type]
    "experts-cost-their-router": lambda: matmuls.slope(n_expert, "router")("x", all_run(MIXTRAL)),
    "active-experts-slope": lambda: matmuls.slope(n_active, "feedforward")("x", MIXTRAL + stray(n_active, d_model)),
    "experts-store-a-straight-line": lambda: experts.stored("x", MIXTRAL.subs(n_expert, n_expert**2)),
    "active-experts-store-nothing": lambda: experts.without_active("x", MIXTRAL.subs(n_expert, n_active)),
    "active-at-most-stored": lambda: experts.at_most_stored("x", all_run(MIXTRAL, n_expert, n_active)),
    "without-experts-all-is-active": lambda: experts.served_by_all("mixtral", MIXTRAL),
    "one-expert-is-dense": lambda: experts.one_is_dense("x", MIXTRAL, GPT2),
    "finer-experts-cost-the-same": lambda: experts.finer("x", MIXTRAL.subs(d_ff, d_ff + 1)),
    "expert-weight-share": lambda: experts.shares("x", all_run(MIXTRAL, n_active + 1)),
    "experts-that-all-run-are-one-layer": lambda: experts.wide(Routed(n_expert, n_active, EXPERT), WIDE),
    "tying-stores-one-table": lambda: parameters.tying_stores("x", GPT2, GPT2),
    "tying-costs-no-work": lambda: parameters.tying_works("x", GPT2, GPT2 + stray(d_model, n_vocab)),
    "positions-store-rows": lambda: parameters.rows("x", GPT2 + stray(d_model, n_ctx)),
    "contexts-cost-no-work": lambda: parameters.context_is_free("x", GPT2 + stray(d_model, n_ctx)),
    "twelve-squares-a-layer": lambda: parameters.twelve("llama", LLAMA),
    "gated-at-two-thirds": lambda: parameters.two_thirds(EXPERT, plain_feedforward("silu", NO_BIAS, d_expert)),
    "parameters-as-published": lambda: closed_forms.published(["gpt2"], lambda name: 124439808 + 1),
    "parameters-of-what-is-counted": lambda: closed_forms.by_roles("x", LLAMA, lambda net: params(net) + 1),
    "work-of-what-is-counted": lambda: closed_forms.as_torch("frozen", frozen(LLAMA)),
    "cache-layer-by-layer": lambda: closed_forms.layer_by_layer(
        ["mistral-7b"], lambda sizes, batch, seq: closed_forms.looped({**sizes, "n_layer_sliding": 0}, batch, seq)),
    "cost-is-a-polynomial": lambda: algebra.polynomial("x", LLAMA, every(lambda net: params(net) - d_model * n_seq)),
    "cost-is-not-negative": lambda: algebra.not_negative("x", -LLAMA),
    "cost-is-whole": lambda: algebra.whole_number(
        "x", LLAMA, replace(EXACT, prices=(Price("mac", Fraction(1, 3)),))),  # type: ignore[arg-type]
    "cost-never-falls": lambda: algebra.rising("x", -LLAMA),
    "substitution-commutes": lambda: algebra.renamed("x", LLAMA, lambda net: params(net) + d_model),
    "phases-add-to-training": lambda: training.phases_add("x", LLAMA, only_forward),
    "training-is-three-forwards": lambda: training.thrice("vit", VIT),
    "six-n-and-attention": lambda: training.six_n("vit", VIT),
    "six-n-in-the-limit": lambda: training.six_n_alone("x", LLAMA, times=8),
    "full-recompute-is-one-forward-more": lambda: training.one_forward_more("x", LLAMA, lambda net: net),
    "selective-recompute-is-one-core-more": lambda: training.core_once_more("x", LLAMA, lambda net: net),
    "flash-recomputes-its-scores": lambda: training.scores_once_more("x", LLAMA, LLAMA),
    "recompute-is-no-model-work": lambda: training.no_model_work("x", LLAMA, lambda net: 2 * net),
    "model-at-most-hardware": lambda: training.model_at_most_hardware("x", LLAMA, "kaplan"),
    "accumulation-saves-memory-not-work": lambda: training.accumulated("clip", network("clip")),
    "adapters-train-rank-times-widths": lambda: adapters.trains("x", BASE, ONE_TARGET),
    "adapters-run-two-flops-a-weight": lambda: adapters.runs("x", BASE, ONE_TARGET),
    "adapters-learn-without-weight-gradients": lambda: adapters.learns("x", BASE, ONE_TARGET),
    "adapters-merge-once": lambda: adapters.merges("x", BASE, merging(BASE, r_lora + 1)),
    "frozen-trains-nothing": lambda: adapters.still("x", BASE, BASE),
    "frozen-computes-no-weight-gradient": lambda: adapters.passes_on("x", BASE, BASE),
    "frozen-keeps-no-more": lambda: adapters.keeps_less("x", frozen(BASE), BASE),
    "tensor-parallel-work-sums": lambda: parallel.work_is_shared("x", LLAMA, ONLY_HEADS),
    "tensor-parallel-weights-sum": lambda: parallel.weights_are_shared("x", LLAMA, ONLY_HEADS),
    "expert-parallel-sums": lambda: parallel.experts_are_shared("x", MIXTRAL.subs(n_expert, n_expert + 1)),
    "shards-sum-to-the-whole": lambda: parallel.shards_sum({"a prime": 7919}, lambda count, ways, rank: count // ways),
    "token-parallel-work-sums": lambda: parallel.tokens_are_shared("llama", LLAMA + stray(d_model, d_ff)),
    "prices-are-linear": lambda: prices.linear_prices(
        "x", LLAMA, Flat(**{**vars(CONVENTIONS["torch"]), "name": "flat"})),
    "roles-sum-to-the-total": lambda: prices.split_prices("x", LLAMA, EXACT, squared),
    "matmuls-at-most-all-operations": lambda: prices.exact_at_most_all("x", LLAMA, "all-operations", "exact"),
    "kaplan-leaves-out-mix-and-logits": lambda: prices.kaplan_leaves_out("x", LLAMA, "torch"),
    "chinchilla-adds-embedding-and-softmax": lambda: prices.chinchilla_adds("x", LLAMA, "torch"),
    "palm-is-six-n-and-attention": lambda: prices.palm_is_six_n("x", LLAMA, "torch"),
    "megatron-equation-three": lambda: prices.megatron_equation(GPT2.subs({d_ff: 4 * d_model})),
}  # fmt: skip
"""A subject that breaks each law that is shown."""


def test_every_law_that_is_shown_has_a_planted_fault() -> None:
    assert set(FAULTS) == {name for name, law in LAWS.items() if law.show}


@pytest.mark.parametrize("name", FAULTS)
def test_a_law_fails_on_what_breaks_it(name: str) -> None:
    found = list(FAULTS[name]())
    assert [each for each in found if not each.holds], [each.left for each in found]


def test_a_mask_with_one_key_more_is_an_attended_pair_too_many() -> None:
    assert issubclass(Shifted, AttendedPairs) and Shifted(2, 2).doit() - Causal(2, 2).doit() == 1
    assert n_batch in flops(LLAMA, "torch").free_symbols
