"""DeepSeek: caches of declared operations against printed ones that no table here holds; planted faults."""

from __future__ import annotations

import pytest

from derivations.deepseek import V2, cached, derive
from symflops.architectures import architecture
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.claims.verifying import tables
from symflops.notation import d_head, n_kv_head, n_layer


def test_caches_of_three_models_as_another_paper_prints_them() -> None:
    """Bytes for a token in bfloat16: Zhao et al. 2025, arXiv:2505.09343, Table 1."""
    latent = 2 * cached("latents").subs({**V2, n_layer: 61})
    qwen = 2 * cached("heads").subs({n_kv_head: 8, d_head: 128, n_layer: 80})
    llama = 2 * cached("heads").subs({n_kv_head: 8, d_head: 128, n_layer: 126})
    assert (latent, qwen, llama) == (70_272, 327_680, 516_096)


def test_what_the_93_percent_hold_in_plain_numbers() -> None:
    latent, dense = 60 * (512 + 64), 95 * 8 * 2 * 128
    assert f"{1 - latent / dense:.1%}" == "82.2%" and f"{1 - latent * 6 / (dense * 16):.1%}" == "93.3%"


def test_heads_of_the_large_model_are_a_whole_number() -> None:
    assert [heads for heads in range(1, 200) if f"{2 * heads * 128 * 60 / 1000:.1f}" == "860.2"] == [56]
    assert f"{2 * 16 * 128 * 27 / 1000:.1f}" == "110.6" and f"{576 * 27 / 1000:.1f}" == "15.6"


@pytest.mark.parametrize(
    ("name", "vocab", "width", "printed"),
    [("deepseek-v2", 102_400, 5120, 21), ("deepseek-v3", 129_280, 7168, 37)],
)
def test_active_parameters_are_without_the_token_table(name: str, vocab: int, width: int, printed: int) -> None:
    assert round((architecture(name).params("active") - vocab * width) / 10**9) == printed


def test_no_count_of_the_lite_model_rounds_to_what_is_printed() -> None:
    attention = 2048 * 16 * 192 + 2048 * 576 + 512 + 512 * 16 * 256 + 16 * 128 * 2048 + 2 * 2048
    sparse = 3 * 2048 * 1408 * (6 + 2) + 64 * 2048
    serving = 27 * attention + 26 * sparse + 3 * 2048 * 10944 + 2048
    table = 102_400 * 2048
    assert architecture("deepseek-v2-lite").params("active") == serving + 2 * table
    assert [f"{(serving + tables * table) / 10**9:.1f}" for tables in (0, 1, 2)] == ["2.2", "2.5", "2.7"]


def test_the_table_holds_and_the_page_derives() -> None:
    report = verify("deepseek")
    assert report.holds and sum(report.counts().values()) - report.counts()["unchecked"] >= 43
    assert [verdict.cell for verdict in report.verdicts if verdict.declared] == ["DeepSeek-V2-Lite/activated"]
    assert "9*d_head*n_layer/2" in derive().show()


def test_planted_faults_are_caught() -> None:
    faults = plant(tables("deepseek_mla_kv")[0])
    assert sum(fault.caught for fault in faults) >= 0.96 * len(faults)
