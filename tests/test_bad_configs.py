"""Configs, files and questions that are refused, each in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from family_configs import SMALL

from symflops import Architecture, SymflopsError, architecture

_LLAMA: Mapping[str, Any] = SMALL["llama"]
_WINDOWED: Mapping[str, Any] = {**_LLAMA, "model_type": "gemma2", "head_dim": 6}
BAD: dict[str, Any] = {
    "name": "gpt-5-enormous",
    "no model_type": {"n_layer": 2},
    "foreign family": {"model_type": "swin"},
    "one field, two values": {"model_type": "gpt2", "n_embd": 48, "hidden_size": 60},
    "model_type is a list": {"model_type": ["gpt2"]},
    "no such file": "nowhere/config.json",
    "zero": {**_LLAMA, "num_hidden_layers": 0},
    "negative": {**_LLAMA, "hidden_size": -36},
    "fraction": {**_LLAMA, "intermediate_size": 3.5},
    "text": {**_LLAMA, "vocab_size": "41"},
    "true": {**_LLAMA, "num_hidden_layers": True},
    "list": {**_LLAMA, "num_hidden_layers": [2]},
    "heads do not divide": {**_LLAMA, "num_key_value_heads": 4},
    "width does not divide": {"model_type": "gpt_neox", "hidden_size": 100, "num_attention_heads": 3},
    "head size not whole": {"model_type": "gpt2", "n_embd": 100, "n_head": 3},
    "unknown activation": {**_LLAMA, "hidden_act": "sparkle"},
    "share of two heads": {"model_type": "gpt_neox", "rotary_pct": 2},
    "share is no number": {"model_type": "gpt_neox", "rotary_pct": float("nan")},
    "activation is a list": {**_LLAMA, "hidden_act": ["silu"]},
    "share is text": {"model_type": "gpt_neox", "rotary_pct": "much"},
    "rope_parameters is text": {"model_type": "gpt_neox", "rope_parameters": "much"},
    "activation is a number": {**_LLAMA, "hidden_act": 3},
    "cross attention without an encoder": {"model_type": "gpt2", "add_cross_attention": True},
    "unknown kind of layer": {**_WINDOWED, "layer_types": ["full_attention", "spiral_attention"]},
    "kinds of other layers": {**_WINDOWED, "layer_types": ["full_attention"]},
    "pattern of other layers": {"model_type": "gpt_neo", "num_layers": 3, "attention_types": [[["local"], 2]]},
    "nothing": None,
    "number": 3,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SymflopsError) as refusal:
        architecture(BAD[name]).params()
    assert "\n" not in str(refusal.value)


def test_a_config_of_another_class_is_said_to_be_one() -> None:
    named = architecture({**_LLAMA, "architectures": ["LlamaForSequenceClassification"]})
    assert "LlamaForSequenceClassification" in named.notes[0] and "LlamaForCausalLM" in named.notes[0]
    assert architecture({**_LLAMA, "architectures": ["LlamaForCausalLM"]}).notes == architecture(_LLAMA).notes == ()


def test_unknown_families_are_sent_to_the_trace() -> None:
    with pytest.raises(SymflopsError, match=r"'gemma3_text'.*symflops trace hf:gemma3"):
        architecture({"model_type": "gemma3"})


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"model_type": 3}', "\x00", "[" * 100_000])
def test_a_bad_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SymflopsError) as refusal:
        architecture(tmp_path)
    assert "\n" not in str(refusal.value)


ASKED: dict[str, Callable[[Architecture], Any]] = {
    "batch of none": lambda model: model.flops(0, 5), "half a token": lambda model: model.flops(1, 2.5),  # type: ignore
    "kind": lambda model: model.params("most"), "size": lambda model: model.with_sizes(d_nothing=3),  # type: ignore
    "heads": lambda model: model.with_sizes(n_kv_head=4), "attention": lambda model: architecture("gpt2", "fast"),  # type: ignore
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
def test_a_bad_question_is_refused_in_one_line(what: str) -> None:
    with pytest.raises(SymflopsError) as refusal:
        ASKED[what](architecture(SMALL["llama"]))
    assert "\n" not in str(refusal.value)
