"""Released models: one formula against families' operations, published slips in plain numbers, planted faults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derivations import released_models
from derivations.released_models import SHAPES, Shape, derive, general, left
from symflops.architectures import architecture, presets
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.claims.verifying import tables
from symflops.derivation import WrongStep


@pytest.mark.parametrize("name", SHAPES)
def test_the_formula_is_that_of_the_family(name: str) -> None:
    assert left(name) == 0


def test_a_wrong_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    what, shape = SHAPES["gemma2-9b"]
    monkeypatch.setattr(released_models, "SHAPES", {"gemma2-9b": (what, replace(shape, per_layer=2))})
    assert str(left("gemma2-9b")) == "-2*d_model*n_layer"
    with pytest.raises(WrongStep, match="gemma2-9b"):
        derive()


def test_the_formula_in_plain_numbers() -> None:
    layer = 2 * 2048 * 32 * 64 + 2 * 2048 * 4 * 64 + 3 * 2048 * 5632 + 2 * 2048
    assert architecture("tinyllama-1.1b").at(general(Shape())) == 2 * 32_000 * 2048 + 22 * layer + 2048 == 1_100_048_384


def test_the_copied_count_of_qwen_lacks_its_biases() -> None:
    assert presets()["qwen2.5-3b"]["params"] - 3_085_846_528 == 36 * (16 + 2 * 2) * 128


@pytest.mark.parametrize(
    ("name", "printed"), [("gpt2", 117), ("gpt2-medium", 345), ("gpt2-large", 762), ("gpt2-xl", 1542)]
)
def test_gpt2s_printed_counts_are_those_of_a_smaller_vocabulary(name: str, printed: int) -> None:
    width = presets()[name]["config"]["n_embd"]
    assert round((presets()[name]["params"] - (50_257 - 40_478) * width) / 10**6) == printed
    assert round(presets()[name]["params"] / 10**6) != printed


def test_qwens_count_without_embeddings() -> None:
    assert f"{(72_706_203_648 - 2 * 152_064 * 8192) / 10**9:.2f}" == "70.21"


def test_names_round_or_are_cut_off() -> None:
    exact = {name: presets()[name]["params"] for name in ("llama2-70b", "llama3-70b", "olmo2-13b", "gpt-neox-20b")}
    assert [round(each / 10**10) * 10 for each in exact.values()] == [70, 70, 10, 20]
    assert exact["olmo2-13b"] // 10**9 == 13 and presets()["gpt2-xl"]["params"] // 10**8 == 15


def test_the_table_holds() -> None:
    report = verify("released_models")
    assert report.holds and sum(report.counts().values()) - report.counts()["unchecked"] >= 81
    assert sum(verdict.declared for verdict in report.verdicts) == 6


def test_planted_faults_are_caught() -> None:
    faults = plant(tables("exact_param_counts_dense")[0])
    assert sum(fault.caught for fault in faults) >= 0.97 * len(faults)
