"""Each published formula against its source stated a second time, figures that sources print, and real modules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
import yaml
from explain_sources import SOURCES, sizes_of
from sympy import Integer, Rational, expand
from transformers import AutoConfig, AutoModelForCausalLM

from symflops import Architecture, architecture
from symflops.claims.figures import figure
from symflops.explain import explain
from symflops.explain.published import FOLDER, Formula, formula, published
from symflops.explain.sides import place, side
from symflops.measures import Phase

MODELS = (
    architecture("gpt2"),
    architecture("llama3-8b"),
    architecture("gpt2").with_sizes(n_layer=3, d_model=120, n_head=5, d_ff=77, n_vocab=1001, n_ctx=64),
    architecture("qwen3-0.6b"),
    architecture("llama3-8b").with_sizes(n_layer=7, d_model=96, n_head=12, n_kv_head=4, d_head=11, d_ff=50, n_vocab=99),
)
LENGTHS = (17, 1024)


def total(source: str | Formula, model: Architecture, seq: int, phase: Phase = "training") -> Rational:
    found = explain(source, "torch", on=model, n_seq=seq, phase=phase).values
    assert found is not None
    return found[0]


def agrees(name: str, given: Formula | None = None) -> bool:
    """Whether a formula, or a changed one in its place, is its source's everywhere."""
    chosen = published()[name] if given is None else given
    return all(
        total(chosen, model, seq) == SOURCES[name](sizes_of(model, seq)) for model in MODELS for seq in LENGTHS
    )  # fmt: skip


def test_every_shipped_formula_is_stated_a_second_time() -> None:
    assert published().keys() == SOURCES.keys()
    assert {path.stem for path in FOLDER.iterdir()} == published().keys()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_formula_is_what_its_source_computes(name: str) -> None:
    assert agrees(name)


def read(name: str) -> dict[str, Any]:
    held = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(held, dict)
    return held


def changed(held: dict[str, Any], number: int, term: dict[str, str] | None) -> Formula:
    """A formula with another term in one place, or none."""
    terms = held["terms"]
    other = [*terms[:number], *([] if term is None else [{**terms[number], **term}]), *terms[number + 1 :]]
    return formula({**held, "terms": other})


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_planted_faults_in_each_term_are_found(name: str) -> None:
    held = read(name)
    for number, term in enumerate(held["terms"]):
        key = "each" if "each" in term else "formula"
        assert not agrees(name, changed(held, number, {key: f"2*({term[key]})"}))
        assert len(held["terms"]) == 1 or not agrees(name, changed(held, number, None))


def test_a_role_misnamed_and_a_quantity_mistaken_are_found() -> None:
    assert not agrees("maxtext", changed(read("maxtext"), 0, {"of": "qkv, project, feedforward, router, embedding"}))
    assert not agrees("hf-trainer", changed(read("hf-trainer"), 0, {"of": "every but embedding"}))
    assert not agrees("llm-foundry", changed(read("llm-foundry"), 0, {"each": "2*params"}))
    assert not agrees("kaplan-6n", changed(read("kaplan-6n"), 0, {"each": "6*weights"}))


TINY = {"num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 40, "vocab_size": 51, "num_attention_heads": 4}
EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 9, "num_key_value_heads": 2}
MODULES = (
    {"model_type": "gpt2", "n_layer": 2, "n_embd": 24, "n_head": 4, "vocab_size": 51, "n_positions": 32},
    {"model_type": "llama", **TINY, "num_key_value_heads": 2, "tie_word_embeddings": False},
    {"model_type": "qwen3", **TINY, "num_key_value_heads": 2, "head_dim": 6, "tie_word_embeddings": True},
    {"model_type": "qwen3_moe", **TINY, **EXPERTS, "head_dim": 6},
    {"model_type": "mixtral", **TINY, "num_key_value_heads": 2, "num_local_experts": 3},
)


@pytest.mark.parametrize("config", MODULES, ids=lambda config: config["model_type"])
def test_trainer_and_litgpt_count_the_parameters_of_real_modules(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    model, every = architecture(module.config), sum(each.numel() for each in module.parameters())
    assert total("hf-trainer", model, 8) == 6 * module.num_parameters(exclude_embeddings=True)
    core = 12 * model.sizes["n_layer"] * model.sizes["d_model"] * 8
    assert total("litgpt", model, 8) == 6 * every + core
    assert total("chinchilla-6nd", model, 8) == 6 * every


# MaxText prints TFLOPs of a step: pull request 1988 (after it halved the core, and before), 1304 with every digit for
# 4 sequences of 256, and 2979 with every digit of DeepSeek-V2-Lite for 4 sequences of 8192.
V2_LITE = {
    "model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2,
    "moe_intermediate_size": 1408, "intermediate_size": 10944, "first_k_dense_replace": 1, "vocab_size": 102400,
    "max_position_embeddings": 163840,
}  # fmt: skip
MAXTEXT = (
    ("llama2-7b", 8192, "1299.00", "211.11", "1510.11"),
    ("llama2-7b", 129024, "20459.32", "52367.54", "72826.86"),
    (V2_LITE, 8192, "481.95", "111.33", "593.27"),
    (V2_LITE, 8192, None, None, "593.272422531072"),
    (V2_LITE, 129024, None, None, "35206.36"),
    ("llama2-7b", 256, "40.593883398144", None, None),
    (V2_LITE, 256, "15.060839694336", None, None),
)


@pytest.mark.parametrize(("model", "seq", "weights", "core", "whole"), MAXTEXT)
def test_maxtext_prints_these_figures(
    model: Any, seq: int, weights: str | None, core: str | None, whole: str | None
) -> None:
    found = explain("maxtext", "exact", on=model, n_seq=seq)
    assert found.values is not None
    tera = Fraction(4 * seq, 10**12)
    inside = sum(term.values[0] for term in found.terms if term.name in ("scores", "mix") and term.values)
    for printed, value in ((core, inside), (weights, found.values[0] - inside), (whole, found.values[0])):
        number = Fraction(int(value)) * tera
        assert printed is None or figure(printed).holds(number)
        assert printed is None or not figure(printed).holds(number * Fraction(1001, 1000))


def test_maxtext_printed_twice_the_core_before() -> None:
    """Pull request 1988, column before: 422.21 and 222.65; 1304: 0.412316860416 and 0.21743271936."""
    for model, seq, printed in (
        ("llama2-7b", 8192, "422.21"), (V2_LITE, 8192, "222.65"),
        ("llama2-7b", 256, "0.412316860416"), (V2_LITE, 256, "0.21743271936"),
    ):  # fmt: skip
        found = explain("torchtitan", "exact", on=model, n_seq=seq)
        core = sum(int(term.values[0]) for term in found.terms if term.name in ("scores", "mix") and term.values)
        assert figure(printed).holds(Fraction(core * 4 * seq, 10**12))


# Hoffmann et al. 2022, Table A4: layers, d_model, ffw_size, heads, kv_size, and FLOPs over 6 N D as printed.
A4 = (
    (10, 640, 2560, 10, 64, "1.03"), (20, 1024, 4096, 16, 64, "1.10"), (24, 1280, 5120, 10, 128, "1.08"),
    (26, 1792, 7168, 14, 128, "1.04"), (28, 2048, 8192, 16, 128, "1.03"), (40, 3584, 14336, 28, 128, "0.99"),
)  # fmt: skip


def ratio_a4(name: str, row: tuple[int, int, int, int, int, str]) -> Fraction:
    """The table's ratio; N as its Table A9 has it: the token table, biases, and relative positions."""
    layers, d, f, heads, key, _ = row
    i = key * heads
    n = 32000 * d + layers * (3 * d * i + 3 * i + d * i + 2 * i + i * d + d + 2 * d * f + f + d)
    model = architecture("gpt2").with_sizes(n_layer=layers, d_model=d, n_head=heads, d_ff=f, n_vocab=32000, n_ctx=2048)
    assert d // heads == key
    return Fraction(int(total(name, model, 2048)), 6 * n)


def test_table_a4_comes_out_without_embedding_and_logits_and_not_with_them() -> None:
    held = [figure(row[-1]).holds(ratio_a4("chinchilla-table-a4", row)) for row in A4]
    with_ends = [figure(row[-1]).holds(ratio_a4("chinchilla-appendix-f", row)) for row in A4]
    assert (sum(held), sum(with_ends)) == (6, 0)


@pytest.mark.parametrize("phase", ["forward", "training"])
def test_phases_that_a_formula_states(phase: Phase) -> None:
    for found in published().values():
        if phase in found.phases and len(found.phases) == 2:
            assert found.phases["training"] == 3 * found.phases["forward"]
            assert total(found, MODELS[0], 17, phase) * (3 if phase == "forward" else 1) == total(found, MODELS[0], 17)


def test_a_formula_of_a_batch_is_divided_by_its_tokens() -> None:
    found = published()["narayanan2021"]
    whole, token = (side(each) for each in (found, replace(found, per="token")))
    where = place("gpt2")
    for first, second in zip(whole.cells(where, "training"), token.cells(where, "training"), strict=True):
        assert expand(second.form - first.form) != 0 and first.roles == second.roles
    assert Integer(8) * total(found, MODELS[0], 8) != 0


def test_verl_of_experts_and_of_latent_attention() -> None:
    """Its functions for mixtures and for DeepSeek-V3, stated a second time."""
    mixture, latent, seq = architecture({"model_type": "qwen3_moe"}), architecture("deepseek-v3"), 96
    its = mixture.sizes
    wide, narrow = its["n_head"] * its["d_head"], its["n_kv_head"] * its["d_head"]
    mlp = its["d_model"] * its["n_active"] * its["d_expert"] * 3 + its["d_model"] * its["n_expert"]
    linear, table = its["d_model"] * (2 * wide + 2 * narrow), 2 * its["n_vocab"] * its["d_model"]
    core = 6 * seq * wide * its["n_layer"]
    assert total("verl", mixture, seq) == 6 * ((mlp + linear) * its["n_layer"] + table) + core

    its = latent.sizes
    h, heads, query = its["d_model"], its["n_head"], its["d_nope"] + its["d_rope"]
    linear = h * its["r_q"] + heads * query * its["r_q"] + h * (its["r_kv"] + its["d_rope"])
    linear += heads * (its["d_nope"] + its["d_value"]) * its["r_kv"] + heads * its["d_value"] * h
    experts = h * its["n_expert"] + 3 * h * its["d_expert"] * (its["n_active"] + its["n_shared"])
    dense, layers = its["n_layer_dense"], its["n_layer"]
    matrices = (experts + linear) * (layers - dense) + (3 * h * its["d_ff"] + linear) * dense + 2 * its["n_vocab"] * h
    core = 3 * seq * layers * (query + its["d_value"]) * heads
    assert total("verl", latent, seq) == 6 * matrices + core
