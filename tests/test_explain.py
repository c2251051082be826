"""Explanations: identities between papers and tools, measured ratios, what is said of each term, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from explain_sources import SOURCES
from sympy import Rational, Symbol, expand

import symflops
from symflops import CONVENTIONS, Recomputed, architecture, params
from symflops.architectures import FAMILIES, presets
from symflops.claims.figures import figure
from symflops.explain import explain
from symflops.explain.published import ROLES, ExplainError, published
from symflops.explain.readings import multiple, reading
from symflops.explain.sides import place
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, ROTARY, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.layers.norm import rms_norm
from symflops.masks import Causal
from symflops.networks import Tied, uses
from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head, n_layer, n_seq, n_vocab
from symflops.proof import equal

HEADS = Heads(n_head, n_head, d_head)
LAYER = (
    fused_qkv(HEADS, NO_BIAS)
    + attention_core(HEADS, Causal(n_seq, n_seq))
    + project(HEADS, NO_BIAS)
    + plain_feedforward("gelu", NO_BIAS)
)
"""The layer that papers write of: plain heads and a plain feed-forward layer, no biases."""
PLAIN = embedding(LEARNED) + n_layer * LAYER + Tied(de_embedding())
NANOGPT = (
    embedding(ROTARY)
    + n_layer * (LAYER + rms_norm("ln_1") + rms_norm("ln_2"))
    + rms_norm("ln_f")
    + Tied(de_embedding())
)
"""nanoGPT without biases; a LayerNorm without a bias has the parameters of an RMSNorm."""
PAPER = {d_ff: 4 * d_model, d_head: d_model / n_head}
QWEN3_4B = {
    "model_type": "qwen3", "vocab_size": 151936, "max_position_embeddings": 40960, "head_dim": 128,
    "use_sliding_window": False, "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 9728, "tie_word_embeddings": True,
}  # fmt: skip
COLUMNS: tuple[tuple[Any, int], ...] = (("gpt2", 1024), ("llama3-8b", 8192), ("llama3-8b", 131072), (QWEN3_4B, 32768))

# Training FLOPs of a token over the exact matmuls with dense attention, measured apart from this project's code.
MEASURED = {
    "megatron-lm": ".934 .889 .590 .647",
    "maxtext": ".934 .889 .590 .647",
    "chinchilla-6nd": ".874 .832 .192 .294",
    "hf-trainer": ".597 .778 .179 .265",
    "kaplan-2n": ".664 .834 .577 .619",
    "litgpt": "1.006 1.054 1.013 .735",
    "verl": "1.205 .943 .602 .675",
    "chinchilla": "1.273 1.056 1.017 1.033",
}


def ratio(name: str, on: Any, seq: int) -> Rational:
    found = explain(name, "torch", on=on, n_seq=seq).ratio
    assert found is not None
    return found


@pytest.mark.parametrize("name", MEASURED)
def test_measured_ratios_to_every_printed_digit(name: str) -> None:
    for printed, (on, seq) in zip(MEASURED[name].split(), COLUMNS, strict=True):
        found = ratio(name, on, seq)
        assert figure(printed).holds(found) and not figure(printed).holds(found * Rational(102, 100))


def test_the_measured_cookbook_priced_the_logits_once() -> None:
    """The commits that were read price them three times; the measured figures are those with a forward pass alone."""
    for printed, (on, seq) in zip(["1.062", "1.279", "1.321", ".917"], COLUMNS, strict=True):
        found = explain("cookbook", "torch", on=on, n_seq=seq)
        assert found.values is not None and found["logits"].values is not None
        ours, logits = found.values[0], found["logits"].values[0]
        assert figure(printed).holds((ours - logits * Rational(2, 3)) / found.values[1])
        assert not figure(printed).holds(ours / found.values[1])


def test_llm_foundry_left_the_untied_table_out_since_it_was_measured() -> None:
    for printed, (on, seq) in zip(["1.006", "1.054", "1.013", ".735"], COLUMNS, strict=True):
        found = explain("llm-foundry", "torch", on=on, n_seq=seq)
        assert found.values is not None
        model = architecture(on)
        untied = 0 if model.config["tie_word_embeddings"] else 6 * model.sizes["n_vocab"] * model.sizes["d_model"]
        assert figure(printed).holds((found.values[0] + untied) / found.values[1])
        assert figure(printed).holds(found.values[0] / found.values[1]) == (untied == 0)


@pytest.mark.parametrize("on", ["gpt2", "llama3-8b", "mixtral-8x7b", "deepseek-v3"])
def test_verl_less_megatron_is_the_table_once_more(on: str) -> None:
    found = explain("verl", "megatron-lm", on=on)
    router = 0 if "router" not in place(on).roles else found["router"].difference
    assert equal(found.difference - router, 6 * n_vocab * d_model)
    assert found["embedding"].readings == ("the table as a matmul with one-hot rows", "nothing")
    assert all(term.equal for term in found.terms if term.name not in ("embedding", "router"))


@pytest.mark.parametrize("palm", ["palm", "palm-appendix-b"])
@pytest.mark.parametrize("matmuls", ["torch", "nanogpt-sizing"])
def test_palm_less_nanogpt_is_the_norm_weights(palm: str, matmuls: str) -> None:
    found = explain(palm, matmuls, on=NANOGPT.subs(PAPER))
    assert expand(found.difference - 6 * d_model * (2 * n_layer + 1)) == 0
    assert [(term.name, term.readings) for term in found.terms if not term.equal] == [
        ("norm", ("every parameter they own, for every token", "nothing"))
    ]
    printed = 875062886400 - 874944921600  # nanoGPT, transformer_sizing.ipynb, of 1024 tokens
    assert 1024 * found.difference.subs({d_model: 768, n_layer: 12}) == printed


SAME: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("chinchilla-appendix-f", "chinchilla", lambda network: network),
    ("kaplan-2n", "torch", lambda network: network),
    ("korthikanti2022-model", "torch", lambda network: network.subs(PAPER)),
    ("nanogpt-sizing", "torch", lambda network: network.subs(PAPER)),
    ("megatron-lm-2024", "torch", lambda network: network),
    ("palm-appendix-b", "palm", lambda network: network),
)


@pytest.mark.parametrize(("first", "second", "change"), SAME)
def test_papers_on_the_network_they_write_of(first: str, second: str, change: Callable[[Any], Any]) -> None:
    found = explain(first, second, on=change(PLAIN))
    if first == "kaplan-2n":
        assert [term.name for term in found.terms if not term.equal] == ["scores, mix", "logits"]
        assert equal(found["mix"].difference, -6 * n_layer * n_seq * n_head * d_head)
    else:
        assert found.difference == 0 and all(term.equal for term in found.terms) and found.reasons == ()
    assert found.values is None and found.ratio is None


def test_kaplan_is_half_of_the_pairs_or_the_scores_alone() -> None:
    found = explain("kaplan-2n", "torch", on=PLAIN)
    assert found["mix"].readings[0] == "the matmuls over half of all pairs, or QK^T alone over all pairs"


def test_equation_3_is_megatron_with_every_layer_recomputed() -> None:
    again = embedding(LEARNED) + n_layer * Recomputed(LAYER) + Tied(de_embedding())
    assert explain("narayanan2021", "megatron", on=again.subs(PAPER)).difference == 0
    found = explain("narayanan2021", "megatron", on=PLAIN.subs(PAPER))
    assert found.difference != 0
    assert found["qkv"].readings[0] == "the matmuls, and the forward pass once more (recomputation)"
    assert found["logits"].equal


def test_equation_8_prices_the_recomputed_core_as_a_whole_pass_of_training() -> None:
    found = explain("korthikanti2022-hardware", "korthikanti2022-model", on=PLAIN.subs(PAPER))
    assert found["mix"].readings == ("the matmuls over all pairs, twice", "the matmuls over all pairs")
    assert expand(found.difference - 12 * n_layer * n_seq * d_model) == 0


def test_appendix_f_less_table_a4_is_embedding_and_logits() -> None:
    found = explain("chinchilla-appendix-f", "chinchilla-table-a4", on=PLAIN)
    assert found.difference == 12 * d_model * n_vocab
    assert [term.name for term in found.terms if not term.equal] == ["embedding", "logits"]


def test_exact_halves_the_pairs_but_for_the_diagonal() -> None:
    found = explain("megatron-lm", "exact", on="llama3-8b")
    assert expand(found.difference + 6 * n_layer * n_head * d_head) == 0
    assert found["mix"].readings[1] == "the matmuls over the pairs that the mask lets through"


def test_a_width_written_for_the_heads_is_that_terms_residual() -> None:
    found = explain("litgpt", "torch", on=QWEN3_4B, n_seq=32768)
    core = found["mix"]
    assert core.roles == ("scores", "mix") and "d_model written for n_head*d_head" in str(core.readings[0])
    assert expand(core.difference - 12 * n_layer * n_seq * (d_model - n_head * d_head)) == 0
    assert core.values is not None and core.values[0] != core.values[1]
    same = explain("litgpt", "torch", on="llama3-8b")["mix"]
    assert not same.equal and same.values is not None and same.values[0] == same.values[1]


@pytest.mark.parametrize("name", sorted(SOURCES))
@pytest.mark.parametrize("on", ["gpt2", "llama3-8b"])
def test_every_term_of_every_formula_is_proved_to_be_something(name: str, on: str) -> None:
    found = explain(name, "torch", on=on)
    for term in found.terms:
        assert None not in term.readings, term
        assert term.equal == equal(term.a, term.b) and equal(term.a - term.b, term.difference)
    first, second = found.totals
    assert equal(first - second, found.difference)


def test_conventions_are_read_as_what_they_say() -> None:
    for name in CONVENTIONS:
        found = explain(name, "exact", on="mixtral-8x7b")
        assert all(None not in term.readings for term in found.terms), name
    assert explain("macs", "torch")["qkv"].readings[0] == "the matmuls, one for each multiply-accumulate"
    assert explain("chinchilla", "torch")["softmax"].readings[0] == "3 for each element of the result"


def test_a_reading_that_does_not_hold_is_not_told() -> None:
    gpt2 = place("gpt2")
    core = gpt2.by_role["scores"] + gpt2.by_role["mix"]
    assert reading(12 * n_layer * n_seq * d_model, core, "training") == "the matmuls over all pairs"
    for wrong in (13 * n_layer * n_seq * d_model, 12 * n_layer * n_seq * d_model + 1, 12 * n_layer * d_model**2):
        assert reading(wrong, core, "training") is None
    assert reading(12 * n_layer * n_seq * d_model, core, "forward") is None
    assert multiple(n_layer * 13, n_layer * 11 + (n_layer - 11) * (n_layer - 13)) is None


def test_experts_that_a_token_does_not_pass() -> None:
    found = explain("hf-trainer", "torchtitan", on="mixtral-8x7b")
    assert found["feedforward"].readings == (
        "every parameter they own, those of experts that a token does not pass among them",
        "the matmuls",
    )


def test_a_tied_table_pays_for_the_logits() -> None:
    assert explain("palm", "torch", on="gpt2")["logits"].name == "embedding, logits"
    assert explain("palm", "torch", on="gpt2")["logits"].equal
    assert explain("verl", "torch", on="gpt2")["logits"].name == "logits"


def test_the_roles_that_files_may_name_are_those_that_operations_have() -> None:
    models = [architecture(name) for name in presets()]
    assert {use.operation.role for model in models for use in uses(model.network)} <= set(ROLES)
    assert {model.family.name for model in models} <= FAMILIES.keys()


def test_the_default_is_the_context_of_llama3_8b_in_training() -> None:
    found = symflops.explain("palm", "exact")
    assert (found.on, found.n_seq, found.phase) == ("llama3-8b", 8192, "training")
    assert "<table>" in found._repr_html_() and "n_vocab" in repr(found)
    forward = explain("chinchilla", "litgpt", phase="forward")
    assert equal(3 * forward.difference, explain("chinchilla", "litgpt").difference)


def test_sizes_that_a_network_does_not_have_follow_from_those_it_has() -> None:
    where = place("gpt2")
    assert where.resolve(n_head * d_head + n_kv_head, "x") == d_model + n_head
    assert place("deepseek-v3").resolve(d_head, "x") == d_head
    with pytest.raises(ExplainError, match=r"x is a formula in n_expert, which gpt2 has not; its sizes are d_ff, d_m"):
        where.resolve(d_head + Symbol("n_expert"), "x")
    assert params(where.network).free_symbols


def test_a_paper_is_named_by_its_source() -> None:
    from derivations import SOURCES as DERIVED

    by_source = {each.source: each.name for each in published().values() if each.source}
    assert set(by_source) <= set(DERIVED) and len(by_source) == len([e for e in published().values() if e.source])
    for source, name in by_source.items():
        assert explain(source, name, on="gpt2").difference == 0
