"""Mixtures of experts against real modules, published counts and loops, and every planted fault located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sympy import Expr, S

from symflops import Architecture, architecture
from symflops.architectures import presets
from symflops.networks import uses
from symflops.notation import d_nope, d_rope, n_active, n_expert
from symflops.operations import Operation

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from small_mixtures import SMALL  # noqa: E402

from symflops.evidence import Report  # noqa: E402
from symflops.tracing.against import Line, against, opposite  # noqa: E402
from symflops.tracing.check import check_model  # noqa: E402
from symflops.tracing.models import build  # noqa: E402
from symflops.tracing.trace import trace  # noqa: E402

# Parameters that serve one token, as printed, and whether the token table is among them.
# arXiv:2401.04088, section 2; arXiv:2409.02060, abstract; Qwen1.5-MoE, 2024; arXiv:2407.10671, Table 1;
# arXiv:2505.09388, Table 2; arXiv:2508.10925, Table 1; arXiv:2405.04434, abstract; README_WEIGHTS.md of DeepSeek-V3.
PRINTED = {
    "mixtral-8x7b": ("12.9", 1, "with"), "mixtral-8x22b": ("39", 0, "with"), "olmoe-1b-7b": ("1.3", 1, "with"),
    "qwen1.5-moe-a2.7b": ("2.7", 1, "with"), "qwen2-57b-a14b": ("14", 0, "with"), "qwen3-235b-a22b": ("22", 0, "with"),
    "gpt-oss-20b": ("3.61", 2, "without"), "gpt-oss-120b": ("5.13", 2, "without"), "deepseek-v2": ("21", 0, "with"),
    "deepseek-v3": ("36.6", 1, "without"),
}  # fmt: skip
# Non-embedding parameters as printed: arXiv:2407.10671, Table 1 and the model cards of Qwen3.
NON_EMBEDDING = {"qwen2-57b-a14b": "56.3", "qwen3-30b-a3b": "29.9", "qwen3-235b-a22b": "233.8"}


@pytest.mark.parametrize("name", PRINTED)
def test_the_parameters_that_serve_a_token_are_those_that_are_published(name: str) -> None:
    model, (printed, digits, table) = architecture(name), PRINTED[name]
    without = 0 if table == "with" else model.sizes["n_vocab"] * model.sizes["d_model"]
    assert f"{(model.params('active') - without) / 1e9:.{digits}f}" == printed


@pytest.mark.parametrize("name", NON_EMBEDDING)
def test_the_parameters_without_embeddings_are_those_that_are_published(name: str) -> None:
    assert f"{architecture(name).params('non_embedding') / 1e9:.1f}" == NON_EMBEDDING[name]


MIXTURES = [name for name in presets() if "n_expert" in architecture(name).sizes]


@pytest.mark.parametrize("name", MIXTURES)
def test_active_parameters_are_all_but_those_of_the_experts_that_are_not_chosen(name: str) -> None:
    """Counted in the real module: the share n_active/n_expert of what the tensors of experts hold, and all the rest."""
    model = architecture(name)
    module = build(dict(model.config)).module
    owned = {path: parameter.numel() for path, parameter in module.named_parameters()}
    routed = sum(count for path, count in owned.items() if ".mlp.experts." in path)
    chosen = routed * model.sizes["n_active"] // model.sizes["n_expert"]
    assert model.params() == sum(owned.values())
    assert model.params("active") == sum(owned.values()) - routed + chosen


def test_the_corrections_of_deepseeks_routers_are_buffers_and_no_parameters() -> None:
    model = architecture("deepseek-v3")
    buffers = {path: tensor.numel() for path, tensor in build(dict(model.config)).module.named_buffers()}
    corrections = [count for path, count in buffers.items() if path.endswith("e_score_correction_bias")]
    assert corrections == [model.sizes["n_expert"]] * (model.sizes["n_layer"] - model.sizes["n_layer_dense"])


@pytest.mark.parametrize("name", SMALL)
def test_a_config_is_its_real_module_operation_by_operation(name: str) -> None:
    report = check_model(architecture(SMALL[name]), 2, 5)
    assert report.holds, report.text()
    assert "transformers" in report.module


def without(name: str) -> Callable[[Expr], Expr]:
    """A network without the operations of a name."""

    def dropped(network: Expr) -> Expr:
        found: Expr = network.replace(
            lambda each: isinstance(each, Operation) and each.name == name, lambda each: S.Zero
        )
        return found

    return dropped


def without_bias(name: str) -> Callable[[Expr], Expr]:
    """A network whose operations of a name add no bias."""

    def plain(network: Expr) -> Expr:
        found = [use.operation for use in uses(network) if use.operation.name == name]
        made = {op: op.func(op.name, str(op.args[1]).replace(" + bias[d_out]", ""), *op.args[2:]) for op in found}
        return network.xreplace(made)

    return plain


def exchanged(one: Expr, other: Expr) -> Callable[[Expr], Expr]:
    return lambda network: network.subs({one: other, other: one}, simultaneous=True)


_LAYER = "model.layers.*"
FAULTS: dict[str, tuple[str, Callable[[Expr], Expr], set[str]]] = {
    "n_active and n_expert exchanged": (
        "mixtral", exchanged(n_active, n_expert), {f"{_LAYER}.mlp.gate", f"{_LAYER}.mlp.experts"},
    ),
    "the shared expert's gate dropped": ("qwen2_moe", without("shared_gate"), {f"{_LAYER}.mlp.shared_expert_gate"}),
    "the router's bias missing": ("gpt_oss", without_bias("router"), {f"{_LAYER}.mlp.router"}),
    "an expert's bias missing": ("gpt_oss", without_bias("gate_up"), {f"{_LAYER}.mlp.experts"}),
    "d_nope and d_rope exchanged": (
        "deepseek_v3", exchanged(d_nope, d_rope),
        {f"{_LAYER}.self_attn.kv_a_proj_with_mqa", f"{_LAYER}.self_attn.kv_b_proj"},
    ),
}  # fmt: skip


def wrong(model: Architecture, change: Callable[[Expr], Expr]) -> Architecture:
    family = replace(model.family, compose=lambda config, run: change(model.family.compose(config, run)))
    return replace(model, family=family)


def modules_apart(report: Report) -> set[str]:
    """The modules whose tensors or work differ; a tensor's line is named by its path."""
    lines = [line for line in (*report.tensors, *report.operations) if not line.equal]
    return {line.where or line.name.rpartition(".")[0] for line in lines}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_mixture_is_refuted_where_it_is_wrong(fault: str) -> None:
    name, change, where = FAULTS[fault]
    report = check_model(wrong(architecture(SMALL[name]), change), 2, 5)
    assert not report.holds and report.evidence == "refuted"
    assert modules_apart(report) == where


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({SMALL[name]["model_type"] for name in SMALL}))
def test_a_family_is_equal_to_its_code_and_its_faults_are_located_for_all_sizes(family: str) -> None:
    found = trace(f"hf:{family}", certify=1)
    assert found.against(family).equal
    for name, change, where in FAULTS.values():
        if name == family:
            comparison = against(found, wrong(opposite(found, family), change))
            apart: list[Line] = [line for line in comparison.lines[4:] if not line.equal]
            assert {line.module for line in apart} == where
