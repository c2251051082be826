"""``identify`` against figures of papers: what reproduces them is known from elsewhere, or counted by a loop here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from symflops import architecture
from symflops.cli import run
from symflops.errors import SymflopsError
from symflops.identify import Row, identify, row
from symflops.identify.fits import Fit, Identified

# Radford et al. 2019, Table 2: parameters, layers, d_model.
GPT2 = (("117M", 12, 768), ("345M", 24, 1024), ("762M", 36, 1280), ("1542M", 48, 1600))
# Hoffmann et al. 2022, arXiv:2203.15556, Table A4: d_model, ffw_size, heads, kv_size, layers, FLOPs / 6ND.
A4 = (
    (640, 2560, 10, 64, 10, "1.03"), (1024, 4096, 16, 64, 20, "1.10"), (1280, 5120, 10, 128, 24, "1.08"),
    (1792, 7168, 14, 128, 26, "1.04"), (2048, 8192, 16, 128, 28, "1.03"), (3584, 14336, 28, 128, 40, "0.99"),
)  # fmt: skip
# Hoffmann et al. 2022, Table A9, all 50 rows: millions of parameters, d_model, ffw_size, kv_size, heads, layers.
A9 = """
44 512 2048 64 8 8; 57 576 2304 64 9 9; 74 640 2560 64 10 10; 90 640 2560 64 10 13;
106 640 2560 64 10 16; 117 768 3072 64 12 12; 140 768 3072 64 12 15; 163 768 3072 64 12 18;
175 896 3584 64 14 14; 196 896 3584 64 14 16; 217 896 3584 64 14 18; 251 1024 4096 64 16 16;
278 1024 4096 64 16 18; 306 1024 4096 64 16 20; 425 1280 5120 128 10 18; 489 1280 5120 128 10 21;
509 1408 5632 128 11 18; 552 1280 5120 128 10 24; 587 1408 5632 128 11 21; 632 1536 6144 128 12 19;
664 1408 5632 128 11 24; 724 1536 6144 128 12 22; 816 1536 6144 128 12 25; 893 1792 7168 128 14 20;
1018 1792 7168 128 14 23; 1143 1792 7168 128 14 26; 1266 2048 8192 128 16 22; 1424 2176 8704 128 17 22;
1429 2048 8192 128 16 25; 1593 2048 8192 128 16 28; 1609 2176 8704 128 17 25; 1731 2304 9216 128 18 24;
1794 2176 8704 128 17 28; 2007 2304 9216 128 18 28; 2283 2304 9216 128 18 32; 2298 2560 10240 128 20 26;
2639 2560 10240 128 20 30; 2980 2560 10240 128 20 34; 3530 2688 10752 128 22 36; 3802 2816 11264 128 22 36;
4084 2944 11776 128 22 36; 4516 3072 12288 128 24 36; 6796 3584 14336 128 28 40; 9293 4096 16384 128 32 42;
11452 4352 17408 128 32 47; 12295 4608 18432 128 36 44; 12569 4608 18432 128 32 47; 13735 4864 19456 128 32 47;
14940 4992 19968 128 32 49; 16183 5120 20480 128 40 47
"""
# Biderman et al. 2023, arXiv:2304.01373, Table 1: non-embedding parameters, layers, d_model.
PYTHIA = (
    (18915328, 6, 512), (85056000, 12, 768), (302311424, 24, 1024), (805736448, 16, 2048),
    (1208602624, 24, 2048), (2517652480, 32, 2560), (6444163072, 32, 4096), (11327027200, 36, 5120),
)  # fmt: skip
# Chowdhery et al. 2022, arXiv:2204.02311, Table 1: billions of parameters, layers, heads, d_model.
PALM = (("8.63", 32, 16, 4096), ("62.50", 64, 32, 8192), ("540.35", 118, 48, 18432))
# timm's results for ViTs of 224 or 384 pixels: GMACs, d_model, layers, heads, patch, pixels.
TIMM = (
    ("17.58", 768, 12, 12, 16, 224), ("55.54", 768, 12, 12, 16, 384), ("78.22", 768, 12, 12, 8, 224),
    ("4.41", 768, 12, 12, 32, 224), ("61.6", 1024, 24, 16, 16, 224), ("191.21", 1024, 24, 16, 16, 384),
    ("167.4", 1280, 32, 16, 14, 224),
)  # fmt: skip

Answer = Callable[..., tuple[int, Any]]


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    """Exit code and JSON of a command."""

    def ask(*arguments: str) -> tuple[int, Any]:
        code = run(["identify", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return ask


def taken(fit: Fit, *names: str) -> tuple[str, ...]:
    """What a fit says of some choices."""
    return tuple(fit.choices[name].name for name in names)


def gpt2_rows(n_ctx: int = 1024) -> list[Row]:
    return [row(printed, n_layers=layers, d_model=width, n_ctx=n_ctx) for printed, layers, width in GPT2]


def test_the_vocabulary_that_gpt2s_table_implies_is_gpts() -> None:
    found = identify(gpt2_rows(), "params", ["n_vocab"])
    best = found.fits[0]
    assert found.everything and best.departure == 0
    assert taken(best, "tables", "positions", "biases", "norms", "d_ff") == (
        "tied", "learned", "all", "layer", "4*d_model",
    )  # fmt: skip
    # By hand: N = V*d + 1024*d + L*(12*d^2 + 13*d) + 2*d of each row, within half a million of what is printed.
    rest = [1024 * d + n * (12 * d * d + 13 * d) + 2 * d for _, n, d in GPT2]
    millions = [int(printed[:-1]) * 10**6 for printed, _, _ in GPT2]
    held = [
        vocabulary
        for vocabulary in range(30_000, 60_000)
        if all(abs(vocabulary * d + n - m) <= 500_000 for (_, _, d), n, m in zip(GPT2, rest, millions, strict=True))
    ]
    assert best.ranges == ((held[0], held[-1]),) and 40478 in held and 50257 not in held
    assert [value for value, _ in best.known] == [40478]
    assert "feedforward" in found.decided and found.decided["feedforward"].name == "plain"


def test_a_digit_changed_in_gpt2s_table_leaves_nothing_and_says_which_row() -> None:
    rows = [*gpt2_rows()[:3], row("1642M", n_layer=48, d_model=1600, n_ctx=1024)]
    found = identify(rows, "params", ["n_vocab"])
    assert not found.everything and found.exit_code == 1
    assert all(len(fit.missed) == 1 for fit in found.fits)
    assert [cell.figure.text for cell in found.fits[0].missed] == ["1642M"]


def chinchilla_rows(**more: int) -> list[Row]:
    return [
        row(printed, d_model=d, ffw_size=f, n_heads=h, kv_size=k, n_layers=n, n_vocab=32000, n_seq=2048, **more)
        for d, f, h, k, n, printed in A4
    ]


def test_chinchillas_table_a4_leaves_embedding_and_logits_out() -> None:
    found = identify(chinchilla_rows(), "ratio")
    assert found.everything
    assert "logits" in found.never and {"qkv", "scores", "mix", "softmax", "feedforward"} <= found.always
    best = found.fits[0]
    assert taken(best, "convention", "embedding", "logits") == ("chinchilla", "out", "out")
    # Gradients of a lookup are additions, which only the rarest price list counts: no other fit counts the embedding.
    counting = [fit for fit in found.fits if "embedding" in fit.counts]
    assert {fit.choices["convention"].name for fit in counting} <= {"all-operations"}
    for (d, f, h, k, n, _), cell in zip(A4, best.cells, strict=True):
        inner = h * k
        params = 32000 * d + n * (4 * d * inner + 2 * d * f + d * inner + 2 * inner) + (2 * n + 1) * 2 * d
        forward = n * (8 * d * inner + 4 * d * f + 4 * 2048 * inner + 3 * h * 2048)
        assert cell.value == Fraction(3 * forward, 6 * params)


def a9_rows() -> list[Row]:
    cells = [[int(number) for number in one.split()] for one in A9.replace("\n", "").split(";")]
    return [
        row(str(m), "M", d_model=d, ffw_size=f, kv_size=k, n_heads=h, n_layers=n, n_vocab=32000)
        for m, d, f, k, h, n in cells
    ]


def test_chinchillas_table_a9_has_heads_times_kv_size_and_relative_positions() -> None:
    rows = a9_rows()
    assert len(rows) == 50
    assert sum(each.sizes["n_head"] * each.sizes["d_head"] != each.sizes["d_model"] for each in rows) == 6
    found = identify(rows, "params")
    assert found.everything and found.decided["d_attn"].name == "n_head*d_head"
    assert found.decided["positions"].name == "relative"
    assert taken(found.fits[0], "biases", "norms", "tables") == ("all", "uncounted", "tied")


def test_without_the_six_rows_the_width_is_not_told() -> None:
    rows = [each for each in a9_rows() if each.sizes["n_head"] * each.sizes["d_head"] == each.sizes["d_model"]]
    found = identify(rows, "params")
    assert found.everything and {each.name for each in found.undecided["d_attn"]} == {"d_model", "n_head*d_head"}


def test_one_row_of_table_a9_misprinted_is_named() -> None:
    rows = a9_rows()
    rows[7] = Row(rows[7].label, row("169", "M").figure, rows[7].sizes)
    found = identify(rows, "params")
    assert not found.everything and [cell.figure.text for cell in found.fits[0].missed] == ["169"]


@pytest.mark.parametrize("printed", ["17.6 GFLOPs", "17.56 GFLOPs"])
def test_the_flops_of_a_vit_are_multiply_accumulates(printed: str, answer: Answer) -> None:
    code, found = answer("--printed", printed, "--on", "vit-b-16", "--limit", "1")
    assert code == 0 and found["reproduces_all"]
    assert (found["in_every_fit"]["convention"], found["in_every_fit"]["phase"]) == ("macs", "forward")
    patches, tokens, d = 196, 197, 768
    by_hand = patches * 3 * 16 * 16 * d + 12 * (12 * tokens * d * d + 2 * tokens * tokens * d) + d * d
    assert found["fits"][0]["values"] == [by_hand]


def test_timms_gmacs_are_products_and_five_for_each_element_of_a_norm() -> None:
    rows = [
        row(gmacs, "G", d_model=d, n_layer=n, n_head=h, d_patch=p, n_side=pixels // p, d_ff=4 * d)
        for gmacs, d, n, h, p, pixels in TIMM
    ]
    found = identify(rows, "forward", on=architecture("vit-b-16"), per="image")
    assert found.everything
    assert (found.decided["convention"].name, found.decided["norm"].name) == ("macs", "5")
    alone = identify(rows[3:4], "forward", on=architecture("vit-b-16"), per="image")
    assert {each.name for each in alone.undecided["norm"]} >= {"usual", "5", "7"}


def test_pythias_counts_without_embeddings() -> None:
    found = identify([row(str(n), n_layer=layers, d_model=d) for n, layers, d in PYTHIA], "params")
    assert found.everything and found.number == 1
    best = found.fits[0]
    assert taken(best, "biases", "norms", "parameters") == ("all", "layer", "no-embedding")
    assert not best.counts & {"embedding", "logits", "position"}
    assert any("n_vocab" in note for note in found.notes)


def test_palms_sizes_leave_the_norms_out() -> None:
    rows = [row(p, "B", n_layer=n, n_heads=h, d_model=d, d_head=256, kv_heads=1, vocab=256000) for p, n, h, d in PALM]
    found = identify(rows, "params")
    assert found.everything and found.number == 1
    assert taken(found.fits[0], "norms", "biases", "feedforward", "d_attn", "heads") == (
        "uncounted", "none", "gated", "n_head*d_head", "given",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("params", "layers", "width", "multiple", "padded"),
    [
        (70426624, 6, 512, "128", 50304),  # Pythia 70M: safetensors of the released model
        (20554567680, 44, 6144, "256", 50432),  # GPT-NeoX-20B, Black et al. 2022, arXiv:2204.06745
        (11846072320, 36, 5120, "512", 50688),  # Pythia 12B
    ],
)
def test_a_vocabulary_padded_for_tensor_parallel_training(
    params: int, layers: int, width: int, multiple: str, padded: int
) -> None:
    printed = [row(str(params), n_layer=layers, d_model=width, n_vocab=50257)]
    found = identify(printed, "params")
    fits = [fit for fit in found.fits if taken(fit, "tables", "biases", "norms") == ("untied", "all", "layer")]
    assert multiple in {each.name for each in (fits[0].choices["vocabulary"], *fits[0].others.get("vocabulary", ()))}
    solved = identify([row(str(params), n_layer=layers, d_model=width)], "params", ["n_vocab"])
    ranges = [
        fit.ranges for fit in solved.fits if taken(fit, "tables", "biases", "norms") == ("untied", "all", "layer")
    ]
    assert ((padded, padded),) in ranges


def test_llamas_hidden_layer_is_rounded_to_a_multiple_of_256() -> None:
    # Touvron et al. 2023, arXiv:2302.13971, Table 2; 65.2B is printed for what comes to 65.29B, and is left out.
    rows = [
        row(p, n_layer=n, d_model=d, n_vocab=32000)
        for p, n, d in (("6.7B", 32, 4096), ("13.0B", 40, 5120), ("32.5B", 60, 6656))
    ]
    found = identify(rows, "params")
    gated = [fit for fit in found.fits if taken(fit, "feedforward", "tables") == ("gated", "untied")]
    assert "256" in {each.name for fit in gated for each in (fit.choices["d_ff"], *fit.others.get("d_ff", ()))}
    exact = identify([row("6738415616", n_layer=32, d_model=4096, n_vocab=32000)], "params", ["d_ff"])
    assert ((11008, 11008),) in [
        fit.ranges for fit in exact.fits if taken(fit, "feedforward", "norms") == ("gated", "gain")
    ]
    assert 11008 % 256 == 0


def test_llamas_65b_is_printed_too_small(answer: Answer, tmp_path: Path) -> None:
    table = tmp_path / "llama.yaml"
    table.write_text(
        "hyper: {vocab: 32000}\nrows:\n"
        + "".join(
            f"- {{params_printed: {p}, d_model: {d}, n_layers: {n}, ffn: {f}}}\n"
            for p, d, n, f in (
                ("6.7B", 4096, 32, 11008), ("13.0B", 5120, 40, 13824),
                ("32.5B", 6656, 60, 17920), ("65.2B", 8192, 80, 22016),
            )
        ),
        encoding="utf-8",
    )  # fmt: skip
    code, found = answer(str(table), "--column", "params_printed")
    assert code == 1 and not found["reproduces_all"]
    assert [each["printed"] for each in found["fits"][0]["misses"]] == ["65.2B"]
    assert found["fits"][0]["misses"][0]["value"] == 65285660672  # the count of the released tensors


def test_several_fits_are_listed_as_several() -> None:
    found: Identified = identify([row("6.7B", n_layer=32, d_model=4096, d_ff=11008, n_vocab=32000)], "params")
    assert found.number > 10 and {each.name for each in found.undecided["biases"]} >= {"none", "all"}
    values = [fit.cells[0].value for fit in found.fits]
    assert len(set(values)) == len(values)


def test_bad_input_is_refused_in_one_line() -> None:
    known: Mapping[str, int] = {"n_layer": 12, "d_model": 768}
    for rows, quantity, unknown in (
        ([row("117M", **known)], "parms", []),
        ([row("117M", n_layer=12)], "params", []),
        ([row("117M", **known)], "params", ["n_layer"]),
        ([row("117M", **known)], "params", ["n_vocab", "n_vocab"]),
        ([row("117M", **known)], "params", ["n_vocap"]),
        ([], "params", []),
    ):
        with pytest.raises(SymflopsError) as refused:
            identify(rows, quantity, unknown)
        assert "\n" not in str(refused.value) and len(str(refused.value)) > 20
