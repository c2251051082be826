"""Latent attention in both its ways: one function, one set of parameters, two costs; and multi-token prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sympy import Expr, expand

from symflops import SymflopsError, architecture
from symflops.architectures.families.deepseek import multi_token_prediction, next_token_module
from symflops.architectures.runs import ABSORBED, Run, chunk, decode_step
from symflops.conventions import CONVENTIONS
from symflops.layers.attention import attention_core
from symflops.layers.latent import HEADS, LatentHeads, absorbed_attention, absorbed_core, expanded_attention
from symflops.masks import Causal
from symflops.measures import flops, params, params_without
from symflops.networks import Block, uses
from symflops.notation import d_nope, d_rope, d_value, n_batch, n_head, n_past, n_seq, r_kv, symbol
from symflops.operations import Contraction
from symflops.serving import cache_elements

SIZES = {"n_batch": 2, "n_seq": 5, "n_head": 3, "d_nope": 4, "d_rope": 2, "d_value": 6, "r_kv": 7, "d_model": 8}
_MASK = Causal(n_seq, n_seq)
EXPANDED, ABSORBED_WAY = expanded_attention(HEADS, _MASK), absorbed_attention(HEADS, _MASK)


def test_both_ways_have_the_same_parameters() -> None:
    assert params(EXPANDED) == params(ABSORBED_WAY)
    assert params_without(EXPANDED) == params_without(ABSORBED_WAY)
    for name in ("deepseek-v2-lite", "deepseek-v2", "deepseek-v3"):
        expanded, absorbed = architecture(name), architecture(name, ABSORBED)
        for which in ("all", "non_embedding", "active"):
            assert expanded.params(which) == absorbed.params(which)


def operation(network: Expr, name: str) -> Contraction:
    found = [use.operation for use in uses(network) if use.operation.name == name]
    assert len(found) == 1 and isinstance(found[0], Contraction)
    return found[0]


class Machine:
    """Runs contractions on arrays as their sentences say, and counts their multiply-accumulates."""

    def __init__(self) -> None:
        self.macs = 0

    def run(self, op: Contraction, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        tensors = [*op.sentence.factors, op.sentence.result]
        letters = {axis: chr(97 + number) for number, axis in enumerate(sorted({a for t in tensors for a in t.axes}))}
        terms = ["".join(letters[axis] for axis in tensor.axes) for tensor in tensors]
        result: np.ndarray = np.einsum(f"{terms[0]},{terms[1]}->{terms[2]}", left, right)
        lengths = {
            axis: length
            for tensor, array in zip(tensors, (left, right, result), strict=True)
            for axis, length in zip(tensor.axes, array.shape, strict=True)
        }
        self.macs += math.prod(lengths.values())
        return result


def weights(scores: np.ndarray) -> np.ndarray:
    """A causal softmax over the last axis."""
    n = scores.shape[-1]
    masked = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
    shares = np.exp(masked - masked.max(-1, keepdims=True))
    result: np.ndarray = shares / shares.sum(-1, keepdims=True)
    return result


def by_heads(array: np.ndarray) -> np.ndarray:
    """``[batch seq head d]`` as ``[batch head 1 seq d]``: every head with keys of its own."""
    return array.transpose(0, 2, 1, 3)[:, :, None]


def given() -> dict[str, np.ndarray]:
    """Queries, latents and rotated keys of random numbers, and the matrix up to keys and values."""
    draw, s = np.random.default_rng(0), SIZES
    tokens = (s["n_batch"], s["n_seq"])
    return {
        "q_nope": draw.normal(size=(*tokens, s["n_head"], s["d_nope"])),
        "q_rope": draw.normal(size=(*tokens, s["n_head"], s["d_rope"])),
        "latent": draw.normal(size=(*tokens, s["r_kv"])),
        "k_rope": draw.normal(size=(*tokens, s["d_rope"])),
        "up": draw.normal(size=(s["r_kv"], s["n_head"] * (s["d_nope"] + s["d_value"]))),
    }


def run_expanded(machine: Machine, at: dict[str, np.ndarray]) -> np.ndarray:
    up = machine.run(operation(EXPANDED, "kv_up"), at["latent"], at["up"])
    each = up.reshape(*up.shape[:2], SIZES["n_head"], -1)
    k_nope, v = each[..., : SIZES["d_nope"]], each[..., SIZES["d_nope"] :]
    k_rope = np.broadcast_to(at["k_rope"][:, :, None], at["q_rope"].shape)
    q, k = np.concatenate([at["q_nope"], at["q_rope"]], -1), np.concatenate([k_nope, k_rope], -1)
    scores = machine.run(operation(EXPANDED, "scores"), by_heads(q), by_heads(k)[:, :, 0])
    mix = machine.run(operation(EXPANDED, "mix"), weights(scores), by_heads(v)[:, :, 0])
    return mix[:, :, 0].transpose(0, 2, 1, 3)


def run_absorbed(machine: Machine, at: dict[str, np.ndarray]) -> np.ndarray:
    up = at["up"].reshape(SIZES["r_kv"], SIZES["n_head"], -1)
    k_up = up[..., : SIZES["d_nope"]].transpose(1, 2, 0)
    v_up = up[..., SIZES["d_nope"] :].transpose(1, 0, 2)
    q = machine.run(operation(ABSORBED_WAY, "k_up"), at["q_nope"], k_up)
    both = (("scores_latent", q, "latent"), ("scores_rope", at["q_rope"], "k_rope"))
    parts = (
        machine.run(operation(ABSORBED_WAY, name), queries.transpose(0, 2, 1, 3)[:, None], at[keys])
        for name, queries, keys in both
    )
    mix = machine.run(operation(ABSORBED_WAY, "mix"), weights(sum(parts)), at["latent"])  # type: ignore[arg-type]
    return machine.run(operation(ABSORBED_WAY, "v_up"), mix[:, 0].transpose(0, 2, 1, 3), v_up)


def test_both_ways_are_one_function_by_the_sentences_that_declare_them() -> None:
    at = given()
    assert np.allclose(run_expanded(Machine(), at), run_absorbed(Machine(), at))


def test_the_function_without_the_rotated_part_is_another() -> None:
    """The planted fault: scores over the latent alone."""
    at = given()
    assert not np.allclose(run_expanded(Machine(), at), run_absorbed(Machine(), {**at, "q_rope": 0 * at["q_rope"]}))


@pytest.mark.parametrize("way", ["expanded", "absorbed"])
def test_the_work_of_a_way_is_what_its_arrays_take(way: str) -> None:
    machine = Machine()
    network, run = {"expanded": (EXPANDED, run_expanded), "absorbed": (ABSORBED_WAY, run_absorbed)}[way]
    run(machine, given())
    beside = {"q_down", "q_up", "kv_down", "project"}
    counted = sum(
        use.operation.forward_work["mac", "forward"]
        for use in uses(network)
        if isinstance(use.operation, Contraction) and use.operation.name not in beside
    )
    assert dense(counted) == machine.macs


def dense(amount: Expr) -> int:
    """An amount at the test's sizes, with all pairs of queries and keys."""
    every = CONVENTIONS["torch"].count_pairs(amount)
    return int(every.subs({symbol(name): size for name, size in SIZES.items()}))


def test_what_each_way_caches() -> None:
    mask = Causal(1, n_past + 1)
    heads, shared = attention_core(HEADS.expanded, mask), absorbed_core(HEADS, mask)
    tokens = n_batch * (n_past + 1)
    assert cache_elements(heads) == expand(tokens * n_head * (d_nope + d_rope + d_value))
    assert cache_elements(shared) == expand(tokens * (r_kv + d_rope))


def test_the_cache_of_the_absorbed_way_is_the_published_one() -> None:
    """(d_c + d_h^R) l = 9/2 d_h l elements (arXiv:2405.04434, Table 1), 70.272 KB (V3: arXiv:2505.09343, Table 1)."""
    two, three = (architecture(name, ABSORBED) for name in ("deepseek-v2", "deepseek-v3"))
    assert two.cache_bytes(1, 1, element_size=1) == 9 * two.sizes["d_nope"] * two.sizes["n_layer"] // 2
    assert three.cache_bytes(1, 1) == 70_272


@pytest.mark.parametrize("name", ["deepseek-v2-lite", "deepseek-v2", "deepseek-v3"])
def test_absorption_costs_more_for_each_key_and_the_same_for_each_token(name: str) -> None:
    """By hand: 2 r_kv + d_rope multiply-accumulates for each key, head and layer, and not d_nope + d_rope + d_value."""
    expanded, absorbed = architecture(name), architecture(name, ABSORBED)
    s = expanded.sizes
    more = s["n_layer"] * s["n_head"] * (2 * s["r_kv"] - s["d_nope"] - s["d_value"])
    for past in (1, 4095):
        apart = absorbed.step_flops(1, past) - expanded.step_flops(1, past)
        assert apart.expr == 2 * more * (past + 1)
    whole = absorbed.flops(1, 64) - expanded.flops(1, 64)
    assert whole.expr == 2 * more * 64**2


def test_absorption_is_refused_where_there_is_no_latent() -> None:
    for name in ("gpt2", "llama3-8b", "mixtral-8x7b", "gpt-oss-20b", "bloom", "falcon-7b"):
        with pytest.raises(SymflopsError, match="absorbed") as refusal:
            architecture(name, ABSORBED)
        assert "\n" not in str(refusal.value)
    with pytest.raises(SymflopsError, match="unknown attention 'absorb'; did you mean 'absorbed'"):
        Run(attention="absorb")


def test_queries_that_are_not_compressed() -> None:
    whole = LatentHeads(r_q=None)
    names = {use.operation.name for use in uses(expanded_attention(whole, _MASK))}
    assert "q" in names and not {"q_down", "q_norm", "q_up"} & names
    assert params(expanded_attention(whole, _MASK)) == params(absorbed_attention(whole, _MASK))


def test_decoding_runs_every_projection_for_one_token() -> None:
    model = architecture("deepseek-v3")
    for attention in ("eager", ABSORBED):
        one, many = model.at_run(decode_step(attention)), model.at_run(chunk(n_past, attention))
        parts = [[use.operation for use in uses(network)] for network in (one, many)]
        assert [op.name for op in parts[0]] == [op.name for op in parts[1]]
        assert flops(one, "torch").expr == expand(flops(model.at_run(chunk(attention=attention)), "torch").expr).subs(
            symbol("n_query"), 1
        )


# The tensors of layer 61 of the released DeepSeek-V3, which is its module for a second token: name, sizes, how many,
# and whether they are stored in 8 bits. Of its embed_tokens and shared_head.head the sizes are those of the model's.
_WIDTH, _VOCAB, _EXPERTS = 7168, 129280, 256
ATTENTION: tuple[tuple[str, tuple[int, ...], int, int], ...] = (
    ("q_a_proj", (1536, _WIDTH), 1, 8), ("q_a_layernorm", (1536,), 1, 16), ("q_b_proj", (128 * 192, 1536), 1, 8),
    ("kv_a_proj_with_mqa", (512 + 64, _WIDTH), 1, 8), ("kv_a_layernorm", (512,), 1, 16),
    ("kv_b_proj", (128 * 256, 512), 1, 8), ("o_proj", (_WIDTH, 128 * 128), 1, 8),
    ("input_layernorm", (_WIDTH,), 1, 16), ("post_attention_layernorm", (_WIDTH,), 1, 16),
)  # fmt: skip
MIXTURE = (
    ("gate", (_EXPERTS, _WIDTH), 1, 16), ("gate_proj and up_proj", (2048, _WIDTH), 2 * (_EXPERTS + 1), 8),
    ("down_proj", (_WIDTH, 2048), _EXPERTS + 1, 8),
)  # fmt: skip
DENSE = (("gate_proj and up_proj", (18432, _WIDTH), 2, 8), ("down_proj", (_WIDTH, 18432), 1, 8))
OWN = (
    ("eh_proj", (_WIDTH, 2 * _WIDTH), 1, 16), ("enorm, hnorm and shared_head.norm", (_WIDTH,), 3, 16),
)  # fmt: skip
TABLES = (("embed_tokens", (_VOCAB, _WIDTH), 1, 16), ("head", (_VOCAB, _WIDTH), 1, 16))


def elements(*groups: tuple[Any, ...], bits: int | None = None) -> int:
    tensors = (each for group in groups for each in group)
    return sum(count * math.prod(shape) for _, shape, count, stored in tensors if bits in (None, stored))


def test_multi_token_prediction_is_the_released_module() -> None:
    model = architecture("deepseek-v3")
    added = multi_token_prediction(model.config)
    counted = elements(ATTENTION, MIXTURE, OWN)
    assert counted == 11_610_067_968
    assert model.at(params(added)) == counted
    # The layer alone is what README_WEIGHTS.md of the release calls 11.5B unique parameters.
    assert f"{elements(ATTENTION, MIXTURE) / 1e9:.1f}" == "11.5"


def test_the_module_and_the_model_are_the_whole_release() -> None:
    """The metadata of the released files: 680,571,043,840 elements in 8 bits, 3,918,786,560 in 16, 41,555,600 in 32.

    The last are the scales of blocks of 128 x 128, and the corrections of the routers' scores, which are no parameters.
    The module has copies of the token table and the head.
    """
    layers = [*[(*ATTENTION, *DENSE)] * 3, *[(*ATTENTION, *MIXTURE)] * 58]
    release = (*layers, (*ATTENTION, *MIXTURE, *OWN), TABLES, TABLES, (("norm", (_WIDTH,), 1, 16),))
    assert elements(*release, bits=8) == 680_571_043_840
    assert elements(*release, bits=16) == 3_918_786_560
    blocks = (
        count * math.prod(-(-size // 128) for size in shape)
        for group in release
        for _, shape, count, stored in group
        if stored == 8
    )
    assert sum(blocks) + 59 * _EXPERTS == 41_555_600
    model = architecture("deepseek-v3")
    whole = model.network + multi_token_prediction(model.config)
    assert model.at(params(whole)) == elements(*release) - elements(TABLES)


def test_a_module_costs_a_layer_a_projection_and_the_logits_of_one_token_less() -> None:
    model = architecture("deepseek-v3")
    added = flops(multi_token_prediction(model.config), "torch")
    n, s = 64, model.sizes
    layer = model.with_sizes(n_layer=62).flops(1, n - 1) - model.flops(1, n - 1)
    beside = 2 * (n - 1) * (2 * s["d_model"] ** 2 + s["d_model"] * s["n_vocab"])
    assert model.at(added.expr, n_batch=1, n_seq=n) == layer.expr + beside


def test_each_further_token_has_a_module_of_its_own_and_one_token_less() -> None:
    model = architecture("deepseek-v3")
    one, three = (multi_token_prediction(model.config, depths) for depths in (1, 3))
    assert params(three) == 3 * params(one)
    each = [Block(f"Depth {k}", next_token_module(model.config, Run(n_seq - k, n_seq - k))) for k in (1, 2, 3)]
    assert sum(each) == three
    assert {use.path.split("/")[0] for use in uses(three)} == {"Depth 1", "Depth 2", "Depth 3"}


@pytest.mark.parametrize("depths", [0, -1, 1.5, True, "2"])
def test_a_number_of_modules_that_is_none_is_refused(depths: Any) -> None:
    with pytest.raises(SymflopsError, match="num_nextn_predict_layers"):
        multi_token_prediction(architecture("deepseek-v3").config, depths)


def test_a_config_that_predicts_one_token_only_is_told_so() -> None:
    with pytest.raises(SymflopsError, match="num_nextn_predict_layers is None"):
        multi_token_prediction(architecture("deepseek-v2").config)
