"""The record of certified families: whole, and what a trace finds today."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from symflops.certified import Entry, certified
from symflops.cli import run
from symflops.tracing.trace import trace

NAMED = (
    "gpt2 gpt_neo gpt_neox gptj opt bloom falcon mpt llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi phi3 "
    "cohere olmo olmo2 stablelm granite mixtral qwen2_moe qwen3_moe olmoe deepseek_v2 deepseek_v3 gpt_oss bert roberta "
    "t5 bart vit clip whisper mamba mamba2"
)
ENTRIES = certified().entries
QUICK = [("gpt2", "sdpa"), ("bert", "eager"), ("bloom", "eager")]


def differing(entry: Entry) -> list[str]:
    """The forms of an entry that a trace does not find again."""
    found = trace(f"hf:{entry.family}", attention=entry.attention, experts=entry.experts or None, certify=1)
    return [name for name, form in entry.forms.items() if form != _text(getattr(found, name))]


def _text(form: Any) -> str | None:
    return None if form is None else str(form)


def test_every_family_is_in_it_at_eight_random_sizes_or_more() -> None:
    assert {entry.family for entry in ENTRIES} >= set(NAMED.split())
    assert all(entry.points >= 8 for entry in ENTRIES)
    assert certified().refused == {}
    assert {"torch", "transformers", "symflops"} <= set(certified().versions)


@pytest.mark.skipif(not torch.__version__.startswith("2.13"), reason="the record is of torch 2.13")
@pytest.mark.parametrize("family, attention", QUICK)
def test_a_trace_finds_what_the_record_says(family: str, attention: str) -> None:
    [entry] = [each for each in ENTRIES if (each.family, each.attention) == (family, attention)]
    assert differing(entry) == []


def test_a_record_that_is_off_is_noticed() -> None:
    """The planted fault: one coefficient of one form."""
    [entry] = [each for each in ENTRIES if (each.family, each.attention) == ("gpt2", "sdpa")]
    off = {**entry.forms, "C_backward": str(entry.forms["C_backward"]).replace("48*", "47*", 1)}
    assert differing(Entry(**{**vars(entry), "forms": off})) == ["C_backward"]


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.family}-{entry.kernels}")
def test_all_of_the_record_is_found_again(entry: Entry) -> None:
    assert differing(entry) == []


def test_the_list_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "--list"]) == 0
    text = capsys.readouterr().out
    assert "torch 2.13" in text and "hf:DeepseekV3ForCausalLM" in text
    assert run(["trace", "--list", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["entries"]) == len(ENTRIES) and data["entries"][0]["family"] == "gpt2"
    assert run(["trace"]) == 2
    assert "trace needs a TARGET" in capsys.readouterr().err
