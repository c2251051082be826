"""GPT-2 and GPT-3: the tables' verdicts, and each mistake again by plain integers."""

from __future__ import annotations

import pytest

from derivations.gpt3_2020 import NETWORK, counted, derive, gpt2_rows, implied_vocabularies, sizes
from symflops.architectures import architecture
from symflops.claims.faults import plant
from symflops.claims.verifying import shipped, verify
from symflops.measures import params
from symflops.notation import d_attn, d_ff, d_model, n_ctx, n_layer, n_vocab


def plain(layers: int, width: int, context: int = 2048, vocabulary: int = 50257, attention: int = 0) -> int:
    """Parameters of a GPT-2, tensor by tensor."""
    heads = attention or width
    layer = width * 3 * heads + 3 * heads + heads * width + width + 2 * (4 * width * width) + 4 * width + width
    return (vocabulary + context) * width + layers * (layer + 4 * width) + 2 * width


@pytest.mark.parametrize(
    ("table", "reproduce", "declared", "caught"),
    [("gpt2_table2", 5, 4, 0.87), ("gpt3_table2_1", 13, 4, 0.97), ("gpt3_table_d1", 91, 6, 0.88)],
)
def test_the_tables_have_the_verdicts_that_they_declare(
    table: str, reproduce: int, declared: int, caught: float
) -> None:
    report = verify(table)
    assert report.holds and report.counts()["reproduces"] == reproduce
    assert sum(verdict.declared for verdict in report.verdicts) == declared
    faults = [fault for fault in plant(shipped()[table]) if fault.spoken]
    assert sum(fault.caught for fault in faults) / len(faults) >= caught


@pytest.mark.parametrize("name", ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_the_network_counts_as_the_released_models(name: str) -> None:
    model = architecture(name)
    at = {n_layer: model.sizes["n_layer"], d_model: model.sizes["d_model"], n_vocab: 50257, n_ctx: 1024}
    form = params(NETWORK).subs({d_attn: d_model, d_ff: 4 * d_model})
    assert form.subs(at) == model.params() == plain(at[n_layer], at[d_model], 1024)


def test_gpt2_s_printed_counts_fit_gpt_s_vocabulary_and_not_its_own() -> None:
    printed = {(12, 768): 117, (24, 1024): 345, (36, 1280): 762, (48, 1600): 1542}
    fitting = [
        words
        for words in range(40000, 51000)
        if all(abs(plain(*shape, 1024, words) - millions * 10**6) <= 5 * 10**5 for shape, millions in printed.items())
    ]
    assert (fitting[0], fitting[-1]) == implied_vocabularies(gpt2_rows()) and 40478 in fitting and 50257 not in fitting


def test_sixteen_heads_of_128_give_what_both_tables_print_for_xl() -> None:
    assert 24 * 128 != 2048 == 16 * 128
    assert 1.25e9 < plain(24, 2048) < 1.35e9 < 1.5e9 < plain(24, 2048, attention=24 * 128)
    assert 1315 * 10**6 <= plain(24, 2048) <= 1325 * 10**6


def test_the_width_5120_gives_table_d1_s_parameters_and_5140_table_2_1_s() -> None:
    assert 40 * 128 == 5120 and abs(plain(40, 5120) - 12_850_000_000) < 5 * 10**6
    assert abs(plain(40, 5140) - 12_850_000_000) > 10**8
    assert round(plain(40, 5140) / 1e9, 1) == 13.0 and round(plain(40, 5120) / 1e9, 1) == 12.9


def test_names_are_not_counts() -> None:
    assert plain(24, 1024) == 355_871_744 and plain(96, 12288) == 174_604_259_328
    xl = next(size for size in sizes("gpt3_table2_1") if size.name == "GPT-3 XL")
    assert counted(xl, 2048, xl.attention) == plain(24, 2048, attention=3072)


def test_the_row_of_bert_large_is_roberta_s() -> None:
    width, layers, bert, roberta = 1024, 24, 30522, 50265
    layer = 12 * width**2 + 13 * width
    encoder = layers * layer + 2 * width  # with the norm of the embeddings
    pooler = width**2 + width
    assert encoder + (bert + 512 + 2) * width + pooler == 335_141_888
    assert round((encoder + (roberta + 514 + 1) * width + pooler) / 10**6) == 355
    assert 6 * 355 * 10**6 * 250 * 10**9 == 5325 * 10**17


def test_t5_s_flops_of_a_forward_pass_are_two_for_each_active_parameter() -> None:
    rows = [row.cells for row in shipped()["gpt3_table_d1"].rows if row.cells["model"].startswith("T5")]
    assert len(rows) == 5
    for cells in rows:
        active, factor, whole = (float(cells[n]) for n in ("frac_active", "mult_bwd", "flops_per_param_per_token"))
        printed = float(cells["fwd_flops_per_active_param_per_token"])
        assert factor * 2 * active == whole != factor * printed * active
        work = whole * float(cells["params_M"].replace(",", "")) * 1e6 * 1e12
        assert f"{work:.2E}" == cells["flops"]


def test_the_page_is_the_same_network_s_under_any_convention() -> None:
    assert derive("kaplan").N == derive().N and derive().sections
