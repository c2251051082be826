"""Adapters against hand-made ones in real modules, published counts, merged weights, and planted faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sympy import Add, Expr

from symflops import Architecture, SymflopsError, architecture
from symflops.layers.lora import below_adapters, frozen, merging, with_lora
from symflops.measures import active_params, flops, params, saved_elements, trainable_params, work
from symflops.networks import uses
from symflops.notation import d_model, n_batch, n_layer, n_seq, r_lora
from symflops.operations import Lookup

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from symflops.tracing.counter import Counter  # noqa: E402
from symflops.tracing.counts import Count  # noqa: E402
from symflops.tracing.models import Built, build  # noqa: E402

_LLAMA = {
    "model_type": "llama", "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3,
    "hidden_size": 36, "intermediate_size": 33, "vocab_size": 41,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "llama, biases": {**_LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "opt": {
        "model_type": "opt", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 24, "ffn_dim": 20,
        "vocab_size": 41, "word_embed_proj_dim": 24, "max_position_embeddings": 16,
    },
}  # fmt: skip
NAMES = {
    "llama": {"q": "q_proj", "k": "k_proj", "v": "v_proj", "project": "o_proj", "gate": "gate_proj", "up": "up_proj",
              "down": "down_proj"},
    "opt": {"q": "q_proj", "k": "k_proj", "v": "v_proj", "project": "out_proj", "up": "fc1", "down": "fc2"},
}  # fmt: skip
TARGETS = [
    ("q", "v"), ("q",), ("k",), ("v",), ("q", "k", "v"), ("project",), ("up",), ("down",), ("k", "down"),
    ("q", "k", "v", "project", "up", "down"),
]  # fmt: skip
RANK, BATCH, LENGTH = 5, 2, 7


class Adapted(nn.Module):
    """A linear layer with an adapter beside it."""

    def __init__(self, base: Any, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False, device="meta")
        self.up = nn.Linear(rank, base.out_features, bias=False, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + self.up(self.down(x)) * 0.5
        return result


def adapted(config: dict[str, Any], targets: tuple[str, ...], kept: tuple[str, ...] = ()) -> Built:
    """The real module with adapters on some layers and all else frozen, but for parameters whose names end so."""
    built, names = build(config), NAMES[config["model_type"]]
    for name, parameter in built.module.named_parameters():
        parameter.requires_grad_(name.endswith(kept) if kept else False)
    places = [
        path for path, _ in built.module.named_modules() if path.rpartition(".")[2] in {names[t] for t in targets}
    ]
    for path in places:
        parent, _, name = path.rpartition(".")
        setattr(built.module.get_submodule(parent), name, Adapted(built.module.get_submodule(path), RANK))
    return built


def counted(built: Built) -> Count:
    with built.scope(), Counter(built.module) as counter:
        ids = torch.zeros((BATCH, LENGTH), dtype=torch.long, device=built.device)
        built.module(input_ids=ids, use_cache=False).logits.sum().backward()
    return counter.count


def at(model: Architecture, form: Expr) -> int:
    return int(model.at(form, n_batch=BATCH, n_seq=LENGTH))


def both(model: Architecture, network: Expr) -> tuple[int, int]:
    """Forward and backward FLOPs."""
    return at(model, flops(network, "torch").expr), at(model, flops(network, "torch", "backward").expr)


def seen(count: Count) -> tuple[int, int]:
    forward = count.where(phase="forward").flops
    return forward, count.flops - forward


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("targets", TARGETS, ids="-".join)
def test_adapters_are_those_of_a_real_module(name: str, targets: tuple[str, ...]) -> None:
    """Parameters, trained and all; the forward pass; the backward pass but for what lies below the first adapter."""
    model, built = architecture(CONFIGS[name]), adapted(CONFIGS[name], targets)
    network = with_lora(model.network, RANK, targets)
    every = list(built.module.parameters())
    assert at(model, params(network)) == sum(each.numel() for each in every)
    assert at(model, trainable_params(network)) == sum(each.numel() for each in every if each.requires_grad)
    forward, backward = seen(counted(built))
    assert both(model, network + below_adapters(network, targets)) == (forward, backward)
    below = -both(model, below_adapters(network, targets))[1]
    assert both(model, network) == (forward, backward + below) and below > 0


def test_what_lies_below_the_first_adapter_of_queries_and_values() -> None:
    """Gradients of the first layer's input through W_q, W_k, W_v and both A, and of its keys, which nothing trained."""
    model = architecture(_LLAMA)
    network = with_lora(model.network, r_lora)
    below = flops(below_adapters(network), "macs", "backward").expr
    projections = [use.operation for use in uses(network) if use.operation.role == "qkv"]
    tokens = n_batch * n_seq
    weights = Add(*(parameter.count for each in projections for parameter in each.parameters))
    scores_of_keys = n_batch * n_seq**2 * d_model
    expected = tokens * weights + 2 * tokens * d_model * r_lora + scores_of_keys
    assert model.at(below + expected, n_batch=2, n_seq=7, r_lora=3) == 0


def test_a_frozen_network_has_no_weight_gradient_and_the_same_forward_pass() -> None:
    model = architecture(_LLAMA)
    still = frozen(model.network)
    assert trainable_params(still) == 0 and params(still) == params(model.network)
    assert flops(still, "all-operations") == flops(model.network, "all-operations")
    assert not [key for key in work(still) if key[1] == "weight_gradient"]
    kinds = {kind for kind, pass_, role in work(model.network) if (pass_, role) == ("weight_gradient", "embedding")}
    assert kinds == {"add"}
    assert saved_elements(still).subs(n_layer, 1) != saved_elements(model.network).subs(n_layer, 1)
    assert frozen(still) == still and active_params(still) == active_params(model.network)


def test_a_frozen_table_keeps_no_index() -> None:
    table = Lookup("token", "weight[row d] -> x[seq d]", {"row": 9, "d": 4, "seq": 3})
    assert saved_elements(table) == 3 and saved_elements(frozen(table)) == 0
    assert table.gradient_work and not dict(frozen(table).gradient_work)


# Hu et al. 2021, Tables 2 to 4: layers, width, rank and the trainable parameters printed, in millions.
PRINTED = {
    "RoBERTa base": (12, 768, 8, "0.3"), "RoBERTa large": (24, 1024, 8, "0.8"), "DeBERTa XXL": (48, 1536, 16, "4.7"),
    "GPT-3 175B, rank 1": (96, 12288, 1, "4.7"), "GPT-3 175B, rank 8": (96, 12288, 8, "37.7"),
}  # fmt: skip
# The formula of section 5.1 gives 0.39 and 0.74 for these two rows, whatever it was that the table counted.
APART = {"GPT-2 M": (24, 1024, 4, "0.35"), "GPT-2 L": (36, 1280, 4, "0.77")}


def trained(n_layers: int, width: int, rank: int) -> int:
    config = {**CONFIGS["opt"], "num_hidden_layers": n_layers, "hidden_size": width, "word_embed_proj_dim": width}
    model = architecture(config)
    return int(model.at(trainable_params(with_lora(model.network, rank))))


@pytest.mark.parametrize("row", PRINTED)
def test_trainable_parameters_are_those_of_the_paper(row: str) -> None:
    n_layers, width, rank, printed = PRINTED[row]
    found = trained(n_layers, width, rank)
    assert found == 2 * (2 * n_layers) * width * rank  # section 5.1: 2 * L_lora * d_model * r
    assert f"{found / 1e6:.{len(printed.split('.')[1])}f}" == printed


@pytest.mark.parametrize("row", APART)
def test_two_rows_of_the_paper_are_not_what_its_formula_gives(row: str) -> None:
    n_layers, width, rank, printed = APART[row]
    assert f"{trained(n_layers, width, rank) / 1e6:.2f}" == {"GPT-2 M": "0.39", "GPT-2 L": "0.74"}[row] != printed


def test_gpt_3_is_trained_in_less_than_a_ten_thousandth() -> None:
    """The paper's abstract: 10,000 times fewer trainable parameters, here with rank 4 and 18.9M."""
    model = architecture("gpt3-175b")
    assert trained(96, 12288, 4) == 18_874_368 and model.params() // trained(96, 12288, 4) > 9_000


def test_a_merged_adapter_is_paid_once_and_nothing_after() -> None:
    """The product is rank multiplications for each element of a weight, whatever the batch; then the plain network."""
    model = architecture(_LLAMA)
    merge = merging(model.network, r_lora)
    weights = [use.operation.parameters[0].count * use.runs for use in uses(model.network) if _is_target(use)]
    assert flops(merge, "torch") == 2 * r_lora * Add(*weights) and not flops(merge).free_symbols & {n_batch, n_seq}
    assert flops(merge, "all-operations") == (2 * r_lora + 1) * Add(*weights)
    assert params(merge) == 0 and flops(frozen(model.network)) == flops(model.network)


def _is_target(use: Any) -> bool:
    return use.operation.name in ("q", "v") and bool(use.operation.parameters)


def test_any_linear_operation_takes_an_adapter() -> None:
    """Here those of state space layers, each layer its own."""
    mamba = architecture({"model_type": "mamba", "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 31})
    network = with_lora(mamba.network, 2, ("project_in", "project_out"))
    assert int(mamba.at(trainable_params(network))) == 2 * 2 * ((48 + 2 * 96) + (96 + 48))


def faults() -> Iterator[tuple[str, Expr]]:
    network = with_lora(architecture(_LLAMA).network, RANK)
    exact = network + below_adapters(network)
    base = next(use.operation for use in uses(network) if use.operation.name == "q" and use.operation.parameters)
    yield "a base weight left trainable", exact.xreplace({base: base.func(*base.args[:5], (), *base.args[6:])})
    adapter = next(use.operation for use in uses(network) if use.operation.name == "q_lora_A")
    yield "an adapter frozen", exact.xreplace({adapter: frozen(adapter)})
    yield "one rank more", with_lora(architecture(_LLAMA).network, RANK + 1)
    yield "the first layer's gradients computed", network
    yield "an adapter on the keys", with_lora(architecture(_LLAMA).network, RANK, ("q", "k"))


@pytest.mark.parametrize(("name", "network"), list(faults()), ids=[name for name, _ in faults()])
def test_a_wrong_network_is_told_from_the_real_module(name: str, network: Expr) -> None:
    model, built = architecture(_LLAMA), adapted(_LLAMA, ("q", "v"))
    trained_there = sum(each.numel() for each in built.module.parameters() if each.requires_grad)
    here = (at(model, trainable_params(network)), *both(model, network))
    assert here != (trained_there, *seen(counted(built)))


def test_a_real_base_weight_left_trainable_is_another_count() -> None:
    model = architecture(_LLAMA)
    right, left = (counted(adapted(_LLAMA, ("q", "v"), kept)) for kept in ((), ("q_proj.weight",)))
    weight = next(use for use in uses(model.network) if use.operation.name == "q" and use.operation.parameters)
    more = 2 * at(model, weight.runs * weight.operation.work["mac", "forward"])
    assert seen(left)[1] - seen(right)[1] == more


@pytest.mark.parametrize(
    ("rank", "targets", "said"),
    [
        (4, ("query",), "unknown linear operation 'query'"),
        (4, ("scores",), "unknown linear operation"),
        (0, ("q",), "positive integer"),
        (2.5, ("q",), "positive integer"),
        (True, ("q",), "positive integer"),
    ],
)
def test_a_bad_adapter_is_refused_in_one_line(rank: Any, targets: tuple[str, ...], said: str) -> None:
    with pytest.raises(SymflopsError, match=said) as refusal:
        with_lora(architecture(_LLAMA).network, rank, targets)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("family", ["phi", "gemma2", "mamba"])
def test_layers_whose_first_gradients_are_not_known_are_refused(family: str) -> None:
    network = architecture({"model_type": family}).network
    target = "project_in" if family == "mamba" else "q"
    with pytest.raises(SymflopsError, match="below_adapters knows layers of attention"):
        below_adapters(with_lora(network, 2, (target,)), (target,))
    with pytest.raises(SymflopsError):
        below_adapters(architecture(_LLAMA).network)


def test_an_adapter_on_tied_logits_is_refused() -> None:
    network = architecture({**_LLAMA, "tie_word_embeddings": True}).network
    with pytest.raises(SymflopsError, match="unknown linear operation 'logits'"):
        with_lora(network, 2, ("logits",))
