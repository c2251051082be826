"""State space layers and hybrids against the real modules, their real caches, loops over tokens, and planted faults."""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sympy import Expr, Integer

from symflops import Architecture, SymflopsError, architecture
from symflops.architectures.runs import Run
from symflops.certified import certified
from symflops.layers.causal_convolution import Convolution
from symflops.measures import flops
from symflops.networks import uses
from symflops.notation import d_conv, n_layer, n_query, n_seq, n_state
from symflops.proved import prove

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from symflops.tracing.check import check_model  # noqa: E402
from symflops.tracing.counter import Counter  # noqa: E402
from symflops.tracing.models import build, parameters  # noqa: E402
from symflops.tracing.trace import trace  # noqa: E402

_MAMBA = {"model_type": "mamba", "hidden_size": 48, "num_hidden_layers": 2, "state_size": 5, "conv_kernel": 3}
_MAMBA2 = {**_MAMBA, "model_type": "mamba2", "num_heads": 12, "head_dim": 8, "n_groups": 4, "chunk_size": 4}
_HYBRID = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3, "vocab_size": 31,
    "intermediate_size": 20, "mamba_n_heads": 12, "mamba_n_groups": 4, "mamba_d_state": 5, "mamba_d_conv": 3,
    "mamba_chunk_size": 4,
}  # fmt: skip
_BAMBA, _FALCON = {**_HYBRID, "model_type": "bamba"}, {**_HYBRID, "model_type": "falcon_h1"}
CONFIGS: dict[str, dict[str, Any]] = {
    "mamba": {**_MAMBA, "vocab_size": 31},
    "mamba, biases": {**_MAMBA, "vocab_size": 31, "use_bias": True, "use_conv_bias": False, "time_step_rank": 7},
    "mamba, wide": {**_MAMBA, "vocab_size": 31, "expand": 3, "tie_word_embeddings": False, "hidden_act": "relu"},
    "mamba2": {**_MAMBA2, "vocab_size": 31},
    "mamba2, biases": {**_MAMBA2, "vocab_size": 31, "use_bias": True, "use_conv_bias": False, "n_groups": 1},
    "bamba": {**_BAMBA, "attn_layer_indices": [1]},
    "bamba, biases": {
        **_BAMBA, "attn_layer_indices": [1, 2], "mamba_proj_bias": True, "mamba_conv_bias": False,
        "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
    },
    "bamba, no attention": _BAMBA,
    "falcon_h1": {**_FALCON, "mamba_d_ssm": 72},
    "falcon_h1, norms": {**_FALCON, "mamba_d_ssm": None, "mamba_rms_norm": True, "projectors_bias": True},
    "falcon_h1, heads": {**_FALCON, "mamba_d_ssm": 72, "head_dim": 10, "mamba_proj_bias": True},
}  # fmt: skip
ONE_EACH = ("mamba", "mamba2", "bamba", "falcon_h1")


def tensors(model: Architecture) -> Tally[tuple[str, tuple[int, ...]]]:
    """What tensors there are: name with * for the layer, sizes in any order, and how many."""
    found: Tally[tuple[str, tuple[int, ...]]] = Tally()
    for use in uses(model.network):
        place, copies = model.family.place(use), int(model.at(use.copies))
        for each in use.operation.parameters if copies else ():
            name = ".".join(place.tensor(each.name))
            found[name, tuple(sorted(int(model.at(size)) for size in each.shape))] += copies
    return found


def real_tensors(config: dict[str, Any]) -> Tally[tuple[str, tuple[int, ...]]]:
    shapes = parameters(build(config).module).items()
    return Tally((re.sub(r"(?<=\.)\d+(?=\.)", "*", name), tuple(sorted(shape))) for name, shape in shapes)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_tensor_is_one_of_the_real_module(name: str) -> None:
    assert tensors(architecture(CONFIGS[name])) == real_tensors(CONFIGS[name])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("n_batch", "length"), [(3, 8), (1, 7), (2, 1)])
def test_work_is_that_of_the_real_module_module_by_module(name: str, n_batch: int, length: int) -> None:
    """Also where n_chunk = 4 does not divide the sequence: the code pads its scan, and so does the count."""
    report = check_model(architecture(CONFIGS[name]), n_batch, length)
    assert report.holds, [(line.name, line.where) for line in report.lines if not line.equal]


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
def test_forms_are_proved_equal_to_the_certified_ones(family: str) -> None:
    entry = next(entry for entry in certified().entries if entry.family == family)
    proof = prove(entry)
    assert proof.equal, proof.residuals
    wrong = replace(entry, forms={**entry.forms, "C_forward": f"{entry.forms['C_forward']} + n_layer"})
    assert not prove(wrong).equal


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mamba", "mamba2"])
def test_every_line_is_equal_to_a_fresh_trace(family: str) -> None:
    comparison = trace(f"hf:{family}", certify=1).against(family)
    assert comparison.equal, [line.what for line in comparison.lines if not line.equal]


def filled(config: dict[str, Any], tokens: int, batch: int) -> tuple[Any, Any]:
    """A real module on a CPU and its cache after some tokens."""
    built = build(config, device="cpu")
    with torch.no_grad():
        output = built.module(input_ids=torch.ones((batch, tokens), dtype=torch.long), use_cache=True)
    return built.module, output["cache_params" if "cache_params" in output else "past_key_values"]


def kept(cache: Any) -> int:
    """The elements of all tensors of a cache: states, windows, keys and values."""
    found = 0
    for layer in cache.layers:
        states = [*getattr(layer, "conv_states", {}).values(), *getattr(layer, "recurrent_states", {}).values()]
        pairs = [getattr(layer, name, None) for name in ("keys", "values")]
        found += sum(each.numel() for each in (*states, *pairs) if each is not None)
    return found


@pytest.mark.parametrize("name", ONE_EACH)
@pytest.mark.parametrize("tokens", [2, 11])
def test_the_cache_holds_what_the_real_one_holds(name: str, tokens: int) -> None:
    model = architecture(CONFIGS[name])
    assert model.cache_bytes(3, tokens, element_size=1) == kept(filled(CONFIGS[name], tokens, 3)[1])


@pytest.mark.parametrize("name", ["mamba", "mamba2"])
def test_a_state_does_not_grow_with_the_tokens(name: str) -> None:
    model = architecture(CONFIGS[name])
    assert model.cache_bytes(2) == model.cache_bytes(2, 10**6)


def windows_before(model: Architecture, n_batch: int) -> int:
    """What the code also computes in a step and drops: the convolution of the window that was kept."""
    convolutions = [use for use in uses(model.step) if isinstance(use.operation, Convolution)]
    return sum(2 * int(model.at(use.runs * use.operation.sizes["d_inner"] * d_conv)) for use in convolutions) * n_batch


@pytest.mark.parametrize("name", ONE_EACH)
@pytest.mark.parametrize("past", [3, 10])
def test_a_step_is_what_the_real_module_runs_on_its_cache(name: str, past: int) -> None:
    config, model, n_batch = CONFIGS[name], architecture(CONFIGS[name]), 3
    module, cache = filled(config, past, n_batch)
    given = "cache_params" if model.family.name.startswith("mamba") else "past_key_values"
    token = torch.ones((n_batch, 1), dtype=torch.long)
    with torch.no_grad(), Counter(module) as counter, FlopCounterMode(display=False) as peer:
        module(input_ids=token, use_cache=True, **{given: cache})
    declared = int(model.step_flops(n_batch, past))
    assert counter.count.flops == peer.get_total_flops() == declared + windows_before(model, n_batch)
    assert windows_before(model, n_batch) > 0


@pytest.mark.parametrize("name", ["mamba", "mamba2"])
def test_tokens_after_others_cost_alike(name: str) -> None:
    """A step for each token, and no more for a long past."""
    model = architecture(CONFIGS[name])
    one = int(model.step_flops(1, 5))
    assert int(model.step_flops(1, 5, 7)) == 7 * one == 7 * int(model.step_flops(1, 10**6))
    assert int(model.generation_flops(1, 9, 5)) == int(model.flops(1, 9)) + 4 * one


def test_a_hybrid_grows_by_its_attention_alone() -> None:
    model = architecture(CONFIGS["bamba"])
    sizes = model.sizes
    wide = sizes["d_model"] // sizes["n_head"]
    assert int(model.step_flops(1, 9)) - int(model.step_flops(1, 8)) == 4 * sizes["n_head"] * wide
    assert model.cache_bytes(1, 9) - model.cache_bytes(1, 8) == 2 * 2 * sizes["n_kv_head"] * wide


def wrong(model: Architecture, change: Callable[[Expr], Expr]) -> Architecture:
    family = replace(model.family, compose=lambda config, run: change(model.family.compose(config, run)))
    return replace(model, family=family)


def without_convolution_bias(network: Expr) -> Expr:
    found = {use.operation for use in uses(network) if use.operation.name == "convolution"}
    plain = {
        each: each.func(each.name, str(each.args[1]).replace(" + bias[d_inner]", ""), *each.args[2:]) for each in found
    }
    return network.xreplace(plain)


def without(name: str) -> Callable[[Expr], Expr]:
    return lambda network: network.xreplace(
        {use.operation: Integer(0) for use in uses(network) if use.operation.name == name}
    )


FAULTS: dict[str, tuple[str, Callable[[Expr], Expr], str]] = {
    "convolution without bias": ("mamba", without_convolution_bias, "mixer.conv1d.bias"),
    "states and taps exchanged": (
        "mamba2", lambda net: net.subs({n_state: d_conv, d_conv: n_state}, simultaneous=True), "mixer.conv1d.weight",
    ),
    "one layer more": ("mamba", lambda net: net.subs(n_layer, n_layer + 1), "mixer.in_proj"),
    "no skip": ("mamba2", without("skip"), "mixer.D"),
    "no output": ("mamba", without("output"), "mixer"),
    "no passage between chunks": ("mamba2", without("between"), "mixer"),
    "all layers attention": (
        "bamba", lambda net: net.subs(next(s for s in net.free_symbols if s.name == "n_layer_attention"), n_layer),
        "self_attn.q_proj",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_network_is_refuted_where_it_is_wrong(name: str) -> None:
    family, change, where = FAULTS[name]
    report = check_model(wrong(architecture(CONFIGS[family]), change), 3, 8)
    differing = " ".join(f"{line.name} {line.where}" for line in report.lines if not line.equal)
    assert not report.holds and where in differing, differing


def test_exchanged_sizes_are_other_tensors() -> None:
    """The checker of tensors can fail too."""
    model = architecture(CONFIGS["mamba"])
    exchanged = wrong(model, lambda net: net.subs({n_state: d_conv, d_conv: n_state}, simultaneous=True))
    assert tensors(exchanged) != tensors(model) == real_tensors(CONFIGS["mamba"])


BAD: dict[str, dict[str, Any]] = {
    "heads that do not fill the width": {**_MAMBA2, "num_heads": 11},
    "groups that do not divide heads": {**_MAMBA2, "n_groups": 5},
    "expand is text": {**_MAMBA2, "expand": "2"},
    "expand is a fraction": {**_MAMBA, "expand": 1.5},
    "unknown activation": {**_MAMBA, "hidden_act": "sparkle"},
    "rank of nothing": {**_MAMBA, "time_step_rank": 0},
    "layers that are no numbers": {**_BAMBA, "attn_layer_indices": ["first"]},
    "layers that are no list": {**_BAMBA, "attn_layer_indices": 3},
    "channels that are no heads": {**_FALCON, "mamba_d_ssm": 71},
    "width of a head that does not fit": {**_BAMBA, "mamba_d_head": 9},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SymflopsError) as refusal:
        architecture(BAD[name]).params()
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 200


def test_a_closed_form_is_not_evaluated_where_it_does_not_hold() -> None:
    model = architecture(CONFIGS["mamba2"])
    form = flops(model.network, "torch").expr
    with pytest.raises(SymflopsError, match="n_chunk = 4 does not divide n_seq = 7"):
        model.at(form, n_batch=1, n_seq=7)
    assert int(model.at(form, n_batch=1, n_seq=8)) == int(model.flops(1, 8)) > int(model.flops(1, 7))
    with pytest.raises(SymflopsError, match="no context of a fixed length"):
        model.flops()


def test_a_run_is_whole_where_nothing_came_before() -> None:
    assert Run().whole and Run(Integer(3), Integer(3)).whole and not Run(n_query, n_seq).whole
