"""Encoders, encoder-decoders, vision and audio: against their code, real modules, loops and published counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sympy import Expr, Integer

from symflops import architecture
from symflops.architectures import presets
from symflops.layers.linear import BIAS, linear
from symflops.layers.stream import Stream
from symflops.measures import params
from symflops.networks import Block, uses
from symflops.notation import (
    d_model,
    n_seq,
    n_source,
)  # fmt: skip
from symflops.operations import Operation

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from encoder_families import FAMILIES  # noqa: E402

from symflops.tracing.against import Comparison, against, opposite  # noqa: E402
from symflops.tracing.trace import Trace, trace  # noqa: E402

_T5 = {"model_type": "t5", "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# T5 1.1 and FLAN-T5, with a head of their own: elements of the released tensors.
UNTIED = {
    76961152: {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    247577856: {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    783150080: {"d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
    2849757184: {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
    11135332352: {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
}
# As the papers print them, in millions (Devlin et al. 2018, section 3; Raffel et al. 2020, section 3.7; Dosovitskiy et
# al. 2021, Table 1; Radford et al. 2022, Table 1), and how far rounding and what else a paper counts may take them.
PRINTED = {
    "bert-base-uncased": 110, "bert-large-uncased": 340, "t5-small": 60, "t5-base": 220, "t5-large": 770,
    "t5-3b": 2800, "t5-11b": 11000, "vit-b-16": 86, "vit-l-16": 307, "vit-h-14": 632, "whisper-tiny": 39,
    "whisper-base": 74, "whisper-small": 244, "whisper-medium": 769, "whisper-large-v2": 1550,
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_models_are_as_large_as_their_papers_say(name: str) -> None:
    assert architecture(name).params() == presets()[name]["params"]
    assert abs(architecture(name).params() / (PRINTED[name] * 10**6) - 1) < 0.05


@pytest.mark.parametrize("count", UNTIED)
def test_a_t5_with_a_head_of_its_own_is_the_released_one(count: int) -> None:
    assert architecture({**_T5, **UNTIED[count]}).params() == count


def test_bert_with_a_pooler_for_its_head_is_the_released_encoder() -> None:
    model = architecture("bert-base-uncased")
    head = int(model.at(params(sum(_below(model.network, "Head")))))
    assert model.params() - head + 768 * 769 == 109482240


def _below(network: Expr, name: str) -> list[Expr]:
    return [each for each in network.atoms(Block) if each.name == name]


# Against the code.


@pytest.fixture(scope="module")
def traced() -> Callable[[str], Trace]:
    found: dict[str, Trace] = {}

    def of(family: str) -> Trace:
        if family not in found:
            found[family] = trace(f"hf:{family}", certify=0)
        return found[family]

    return of


@pytest.mark.parametrize("family", ["vit", *(pytest.param(each, marks=pytest.mark.slow) for each in FAMILIES)])
def test_a_family_is_proved_equal_to_its_code(traced: Callable[[str], Trace], family: str) -> None:
    found = traced(family).against(family)
    assert found.equal and found.evidence == "proved", [line for line in found.lines if not line.equal]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_with_fused_attention_is_proved_equal_to_its_code(family: str) -> None:
    found = trace(f"hf:{family}", attention="sdpa", certify=1).against(family)
    assert found.equal, [line for line in found.lines if not line.equal]


def planted(found: Trace, family: str, change: Callable[[Expr], Expr]) -> Comparison:
    """A trace against its family with a fault planted in the network."""
    model = opposite(found, family)
    wrong = replace(model.family, compose=lambda config, run: change(model.family.compose(config, run)))
    return against(found, replace(model, family=wrong))


def at(network: Expr, path: str) -> list[Operation]:
    """The operations whose path ends so."""
    found = [use.operation for use in uses(network) if use.path.endswith(path)]
    assert found, path
    return found


def apart(comparison: Comparison) -> set[str]:
    """The modules at which anything differs."""
    return {line.module for line in comparison.lines[4:] if not line.equal}


def with_keys(network: Expr, change: Callable[[Operation], Operation]) -> Expr:
    """Other keys in cross attention; those of the encoder are an equal operation, which stays."""
    path = "Cross-attention: Attention: QKV"
    [block] = [each for each in network.atoms(Block) if each.name.endswith(path)]
    [keys] = at(network, f"{path}/k")
    return network.xreplace({block: block.xreplace({keys: change(keys)})})


def keys_of_the_decoder(network: Expr) -> Expr:
    return with_keys(network, lambda keys: keys.xreplace({n_source: n_seq}))


def bias_of_keys(network: Expr) -> Expr:
    return with_keys(network, lambda keys: linear("k", d_model, d_model, "qkv", BIAS, Stream(d_model, n_source)))


def without_class_token(network: Expr) -> Expr:
    [token] = at(network, "Embed/class_token")
    return network.xreplace({token: Integer(0)})


def without_cross_attention(network: Expr) -> Expr:
    return network.replace(lambda each: isinstance(each, Block) and "Cross" in each.name, lambda each: Integer(0))


_CROSS = "model.decoder.layers.*.encoder_attn"
_T5_CROSS = "decoder.block.*.layer.*.EncDecAttention"
FAULTS: dict[str, tuple[str, Callable[[Expr], Expr], set[str], set[str]]] = {
    "keys of cross attention made of the decoder's tokens": (
        "whisper", keys_of_the_decoder, {f"{_CROSS}.k_proj"}, {"C_forward", "C_backward"},
    ),
    "a bias of the keys": ("whisper", bias_of_keys, {f"{_CROSS}.k_proj"}, {"params", "N"}),
    "no class token": ("vit", without_class_token, {"embeddings"}, {"params", "N"}),
    "a decoder without cross attention": (
        "whisper", without_cross_attention, {_CROSS, *(f"{_CROSS}.{each}_proj" for each in ("q", "k", "v", "out"))},
        {"params", "N", "C_forward", "C_backward"},
    ),
    "T5's decoder without cross attention": (
        "t5", without_cross_attention, {_T5_CROSS, *(f"{_T5_CROSS}.{each}" for each in "qkvo")},
        {"params", "N", "C_forward", "C_backward"},
    ),
}  # fmt: skip


_SLOW = "T5's decoder without cross attention"


@pytest.mark.parametrize(
    "name", [*(each for each in FAULTS if each != _SLOW), pytest.param(_SLOW, marks=pytest.mark.slow)]
)
def test_a_fault_is_refuted_where_it_is(traced: Callable[[str], Trace], name: str) -> None:
    family, change, modules, totals = FAULTS[name]
    found = planted(traced(family), family, change)
    assert planted(traced(family), family, lambda network: network).equal
    assert found.evidence == "refuted" and apart(found) == modules
    assert {line.what for line in found.lines[:4] if not line.equal} == totals
