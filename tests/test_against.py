"""The code's closed forms proved equal to networks written by hand, and every planted difference caught and located."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sympy import Add, Expr

from symflops.architectures import FAMILIES, Architecture, architecture
from symflops.architectures.corresponding import corresponding
from symflops.architectures.family import lines
from symflops.errors import UnknownName
from symflops.notation import d_ff, d_head, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab
from symflops.tracing.against import Comparison, Line, against, opposite
from symflops.tracing.trace import Trace, trace


@pytest.fixture(scope="module")
def gpt2() -> Trace:
    return trace("hf:gpt2", certify=1)


@pytest.fixture(scope="module")
def llama() -> Trace:
    return trace("hf:llama", certify=1)


def changed(model: Architecture, change: Callable[[Expr], Expr], places: str = "") -> Architecture:
    """The same architecture with a fault planted in its network or its module paths."""
    family = model.family
    planted = replace(
        family,
        compose=lambda config, core: change(family.compose(config, core)),
        places=places + family.places,
    )
    return replace(model, family=planted)


def apart(found: Comparison) -> dict[str, Line]:
    return {f"{line.what} at {line.module}": line for line in found.lines if not line.equal}


@pytest.mark.parametrize("name", ["gpt2", "gpt3-175b"])
def test_gpt2_is_proved_equal_to_its_family_and_presets(gpt2: Trace, name: str) -> None:
    found = gpt2.against(name)
    assert found.equal and found.evidence == "proved" and not apart(found)
    assert [line.what for line in found.lines[:4]] == ["params", "N", "C_forward", "C_backward"]
    assert {line.module for line in found.lines[4:]} == {
        place.format(name) for name, place in lines(FAMILIES["gpt2"].places)
    }


def test_llama_is_proved_equal_to_its_family_and_presets(llama: Trace, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(dict(architecture("llama2-7b").config)), encoding="utf-8")
    for name in ("llama", "llama3-8b", str(path)):
        assert llama.against(name).equal, name


def test_gpt_neox_is_proved_equal_to_its_family() -> None:
    assert trace("hf:gpt_neox", certify=1).against("gpt_neox").equal


def test_fused_attention_is_compared_with_flash() -> None:
    found = trace("hf:gpt2", attention="sdpa", certify=1)
    assert opposite(found, "gpt2").attention == "flash" and found.against("gpt2").equal


def test_a_coefficient_off_by_one_is_located(gpt2: Trace) -> None:
    """The planted fault: queries, keys and values as four matrices instead of three."""
    planted = changed(opposite(gpt2, "gpt2"), lambda network: network.xreplace({3 * d_model: 4 * d_model}))
    found = apart(against(gpt2, planted))
    path, width = "transformer.h.*.attn.c_attn", n_head * d_head
    assert {what: line.residual for what, line in found.items()} == {
        f"params at {path}": -n_layer * width * (width + 1),
        f"N at {path}": -n_layer * width * (width + 1),
        f"C_forward at {path}": -2 * n_layer * n_batch * n_seq * width**2,
        f"C_backward at {path}": -4 * n_layer * n_batch * n_seq * width**2,
        f"tensor weight at {path}": -n_layer * width**2,
        f"tensor bias at {path}": -n_layer * width,
        f"Attention: QKV/qkv, forward at {path}": -2 * n_layer * n_batch * n_seq * width**2,
        f"Attention: QKV/qkv, backward at {path}": -4 * n_layer * n_batch * n_seq * width**2,
    }


def test_a_dropped_term_is_located(gpt2: Trace) -> None:
    """The planted fault: no norm behind the last layer."""
    without = changed(
        opposite(gpt2, "gpt2"), lambda network: Add(*(term for term in network.args if str(term) != "norm_final"))
    )
    found = apart(against(gpt2, without))
    assert set(found) == {f"{what} at transformer.ln_f" for what in ("params", "N", "tensor weight", "tensor bias")}
    assert found["params at transformer.ln_f"].residual == 2 * d_head * n_head


def test_a_wrong_module_path_is_located_although_all_totals_are_equal(gpt2: Trace) -> None:
    """The planted fault: the first product of the feed-forward at a path where the code has none."""
    wrong = changed(opposite(gpt2, "gpt2"), lambda network: network, "up transformer.h.*.mlp.fc\n")
    comparison = against(gpt2, wrong)
    found = apart(comparison)
    assert all(line.equal for line in comparison.lines[:4])
    assert {line.module for line in found.values()} == {"transformer.h.*.mlp.fc", "transformer.h.*.mlp.c_fc"}
    assert found["Feedforward/up, forward at transformer.h.*.mlp.fc"].code == 0
    assert found["nothing in the formula, forward at transformer.h.*.mlp.c_fc"].hand == 0


def test_recomputed_scores_are_located(llama: Trace) -> None:
    """The planted fault: attention by hand as FlashAttention runs it, in the code product by product."""
    found = apart(against(llama, replace(opposite(llama, "llama"), attention="flash")))
    assert set(found) == {
        "C_backward at model.layers.*.self_attn",
        "Attention: Mask, backward at model.layers.*.self_attn",
    }
    assert found["C_backward at model.layers.*.self_attn"].residual == (
        -2 * n_batch * n_seq**2 * n_layer * n_head * d_head
    )


def test_tensors_of_as_many_elements_and_other_sizes_differ(llama: Trace) -> None:
    """The planted fault: a down projection of the same count, its axes' sizes multiplied together."""
    tensors = {
        replace(each, shape=(d_ff * d_model, 1)) if each.module.endswith("down_proj") else each: copies
        for each, copies in llama.merged.parameters.items()
    }
    found = apart(against(replace(llama, merged=replace(llama.merged, parameters=tensors)), opposite(llama, "llama")))
    assert list(found) == ["tensor weight at model.layers.*.mlp.down_proj"]
    assert [line.residual for line in found.values()] == [0]


def test_a_wrong_total_of_the_trace_is_noticed(llama: Trace) -> None:
    """The planted fault: the trace claims one FLOP more than its records have."""
    found = apart(against(replace(llama, C_forward=llama.C_forward + 1), opposite(llama, "llama")))
    assert [line.residual for line in found.values()] == [1]


def test_another_family_is_refuted_with_every_difference(llama: Trace) -> None:
    comparison = llama.against("gpt_neox")
    assert not comparison.equal and comparison.evidence == "refuted"
    assert {line.module for line in comparison.lines if line.equal} == {"lm_head"}
    data = comparison.as_json()
    assert (data["name"], data["equal"]) == ("gpt_neox", False)
    assert all(set(line) == {"what", "module", "code", "hand", "residual", "equal"} for line in data["lines"])


def traced(meanings: dict[str, Any], config: dict[str, Any]) -> Any:
    """What `corresponding` asks of a trace."""
    return type("Found", (), {"meanings": meanings, "config": config})


def test_sizes_correspond_by_field_as_the_tables_read_it_and_by_name() -> None:
    sizes = architecture("gpt2").table
    known = {"n_layer": n_layer, "dim": n_head * d_head, "n_heads": n_head, "hidden": d_ff, "vocab_size": 2 * d_ff}
    config = dict.fromkeys(known, 8)
    found = corresponding(sizes, traced(known, config), {d_model, n_head, d_head, d_ff, n_vocab})
    assert found == {d_model: n_head * d_head, n_head: n_head, d_head: d_head, d_ff: d_ff, n_vocab: 2 * d_ff}
    mapped = traced({"width": d_model, "n_head": n_head}, {"width": 8, "n_head": 2})
    assert corresponding(sizes, mapped, {d_model, d_head}) == {d_model: d_model, d_head: d_model / n_head}


def test_a_size_that_the_code_does_not_have_is_named_and_no_default_number_stands_in(gpt2: Trace) -> None:
    sizes, code = architecture("gpt2").table, traced({"n_layer": n_layer}, {"n_layer": 2})
    assert corresponding(sizes, code, {n_layer, n_ctx}) == {n_layer: n_layer, n_ctx: n_ctx}
    comparison = gpt2.against("llama")
    assert not comparison.equal and comparison.foreign == {"d_ff": "intermediate_size"}
    assert any("d_ff (read from 'intermediate_size')" in str(block) for block in comparison.blocks())


def test_a_network_that_is_none_is_refused(llama: Trace) -> None:
    with pytest.raises(UnknownName, match="llama3-8b"):
        llama.against("lama3-8b")
    fused = copy(llama)
    records = {replace(each, operator="aten._flash_attention"): times for each, times in llama.merged.records.items()}
    object.__setattr__(fused, "merged", replace(llama.merged, records=records))
    assert opposite(fused, "llama3-8b").attention == opposite(fused, "llama").attention == "flash"
