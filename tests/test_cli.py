"""The command line as a user meets it: what it prints, its exit codes, its one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sympy

from symflops.cli import run
from symflops.notation import d_attn, d_ff, d_model, n_ctx, n_layer, n_vocab

Json = Callable[..., Any]


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Json:
    """The JSON of a command that must succeed."""

    def ask(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def read(text: str) -> sympy.Expr:
    """An expression that a trusted test printed, read back by sympy into the notation's symbols."""
    names = {str(each): each for each in (d_attn, d_ff, d_model, n_ctx, n_layer, n_vocab)}
    return sympy.parse_expr(text, local_dict=names)


# Kaplan et al. 2020, arXiv:2001.08361, Table 1, as printed; d_embd of the Project row taken as d_model.
TABLE_1 = {
    "Embed": ((n_vocab + n_ctx) * d_model, 4 * d_model),
    "Attention: QKV": (n_layer * d_model * 3 * d_attn, 2 * n_layer * d_model * 3 * d_attn),
    "Attention: Mask": (0, 2 * n_layer * n_ctx * d_attn),
    "Attention: Project": (n_layer * d_attn * d_model, 2 * n_layer * d_attn * d_model),
    "Feedforward": (n_layer * 2 * d_model * d_ff, 2 * n_layer * 2 * d_model * d_ff),
    "De-embed": (0, 2 * d_model * n_vocab),
}


def test_kaplan_is_the_printed_table_row_by_row(answer: Json) -> None:
    result = answer("derive", "kaplan2020")
    assert [row["name"] for row in result["operations"]] == list(TABLE_1)
    for row in result["operations"]:
        params, flops = TABLE_1[row["name"]]
        assert sympy.expand(read(row["params"]) - params) == 0
        assert sympy.expand(read(row["flops"]) - flops) == 0
    n = 2 * d_model * n_layer * (2 * d_attn + d_ff)
    assert sympy.expand(read(result["N"]) - n) == 0
    assert sympy.expand(read(result["C_forward"]) - (2 * n + 2 * n_layer * n_ctx * d_attn)) == 0
    assert (result["name"], result["convention"], result["unit"]) == ("kaplan2020", "kaplan", "FLOP")
    assert len(result["notes"]) == 4 and all(isinstance(note, str) for note in result["notes"])


def test_kaplan_shown_in_text_ends_in_six_n(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "kaplan2020"]) == 0
    shown = capsys.readouterr().out
    assert "N = 12*d_model**2*n_layer" in shown
    assert "C ~ 6*N = 72*d_model**2*n_layer" in shown
    assert "n_ctx/(12*d_model) of 2*N" in shown


@pytest.mark.parametrize("convention", ["chinchilla", "palm", "megatron", "torch", "macs", "exact", "all-operations"])
@pytest.mark.parametrize("name", ["kaplan2020", "gpt3-xl", "llama3-8b", "pythia-1b"])
def test_every_convention_derives(answer: Json, name: str, convention: str) -> None:
    result = answer("derive", name, "--convention", convention)
    assert result["convention"] == convention and result["operations"]


def test_evaluate_gives_exact_integers(answer: Json) -> None:
    result = answer("evaluate", "gpt2", "--batch", "1", "--seq", "1024")
    # nanoGPT's transformer_sizing.ipynb prints 291648307200 for the matmuls of a forward pass.
    assert (result["params"], result["C_forward"], result["convention"]) == (124439808, 291648307200, "torch")
    assert result["N"] == 12 * (12 * 768**2 + 13 * 768) + 2 * 768
    assert result["C_forward_per_token"] * 1024 == result["C_forward"]


def test_absurd_sizes_are_answered_exactly(answer: Json) -> None:
    result = answer("evaluate", "gpt2", "--set", f"n_layer={10**30}")
    assert result["params"] == 10**30 * (12 * 768**2 + 13 * 768) + (50257 + 1024) * 768 + 2 * 768


def test_a_fraction_stays_exact(answer: Json) -> None:
    result = answer("evaluate", "gpt2", "--batch", "1", "--seq", "7", "--convention", "all-operations")
    numerator, _, denominator = str(result["C_forward_per_token"]).partition("/")
    assert int(numerator) * 7 == result["C_forward"] * int(denominator or 1)


def test_evaluate_of_a_paper_takes_its_sizes(answer: Json) -> None:
    sizes = {"n_layer": 48, "d_model": 1600, "d_attn": 1600, "d_ff": 6400, "n_ctx": 1024, "n_vocab": 50257}
    result = answer(
        "evaluate", "kaplan2020", *(part for name, size in sizes.items() for part in ("--set", f"{name}={size}"))
    )
    # Kaplan et al. 2020, section 1.2: the largest model, (n_layer, d_model) = (48, 1600), has 1.5 billion.
    assert result["N"] == 12 * 48 * 1600**2 == 1474560000


def test_check_holds_for_gpt2(answer: Json) -> None:
    result = answer("check", "gpt2", "--seq", "64")
    assert result["params"] == {"formula": 124439808, "model": 124439808, "equal": True}
    assert result["flops"]["equal"] and result["flops"]["seq"] == 64 and result["uncounted"] == {}
    assert result["evidence"] == "counted" and len(result["operations"]) == 12


def test_check_says_what_torch_leaves_out(answer: Json) -> None:
    result = answer("check", "pythia-70m", "--seq", "64", "--attention", "sdpa")
    assert set(result["uncounted"]) == {
        "aten._scaled_dot_product_flash_attention_for_cpu",
        "aten._scaled_dot_product_flash_attention_for_cpu_backward",
    }
    assert result["evidence"] == "counted"


def test_check_fails_where_the_module_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planted fault: a module with a feed-forward one wider than the formula's."""
    from symflops.tracing import check

    real = check.build
    monkeypatch.setattr(check, "build", lambda config, *more: real({**config, "n_inner": 3073}, *more))
    assert run(["check", "gpt2", "--seq", "16"]) == 1
    shown = capsys.readouterr().out
    assert "DIFFERS at transformer.h.*.mlp.c_fc" in shown and "refuted" in shown


BAD = {
    ("derive", "kaplan"): "did you mean 'kaplan2020'?",
    ("derive", "gpt2", "--format", "pdf"): "unknown format 'pdf'",
    ("derive", "gpt2", "--convention", "kaplen"): "did you mean 'kaplan'?",
    ("check", "gtp2"): "did you mean 'gpt2'",
    ("check", ""): "unknown model ''",
    ("derive", ""): "unknown name ''",
    ("check", "gpt2", "--seq", "1025"): "1024 learned positions",
    ("check", "gpt2", "--attention", "flash"): "unknown attention",
    ("evaluate", "gpt2", "--set", "n_head=5"): "768/5",
    ("evaluate", "llama3-8b", "--set", "n_kv_head=5"): "does not divide",
    ("evaluate", "gpt2", "--set", "n_layer=-3"): "positive integer",
    ("evaluate", "gpt2", "--set", "n_layer=1.5"): "positive integer",
    ("evaluate", "gpt2", "--set", "n_layer=nan"): "positive integer",
    ("evaluate", "gpt2", "--set", "n_layer=__import__('os')"): "positive integer",
    ("evaluate", "gpt2", "--set", f"n_layer={'9' * 5000}"): "positive integer",
    ("evaluate", "gpt2", "--set", "n_layer"): "name=integer",
    ("evaluate", "gpt2", "--set", "n_layer=1", "--set", "n_layer=2"): "each size once",
    ("evaluate", "gpt2", "--set", "n_lyer=1"): "did you mean 'n_layer'",
    ("evaluate", "gpt2", "--batch", "0"): "--batch",
    ("evaluate", "kaplan2020", "--set", "n_layer=2"): "needs more sizes",
    ("evaluate", "kaplan2020", "--set", "d_rope=2"): "needs more sizes",
    ("evaluate",): "Missing argument",
    ("evaluate", "gpt2", "--nonsense"): "No such option",
    ("plot",): "unknown verb",
    ("trace", "llama"): "unknown target",
    ("trace", "hf:lama"): "did you mean",
    ("trace", "hf:llama", "--attention", "flash"): "unknown attention",
    ("trace", "hf:llama", "--certify", "0"): "positive integer",
    ("trace", "nothing.py:make"): "no such file",
    ("trace", "hf:bert", "--phase", "decode"): "no cache of the usual kind",
    ("trace", "hf:llama", "--phase", "decoding"): "did you mean 'decode'",
    ("trace", "hf:mixtral", "--experts", "looped"): "unknown experts 'looped'",
    ("trace", "hf:llama", "--experts", "eager"): "has no 'eager' experts",
}


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and BAD[arguments] in error


FILES = {
    "nothing.json": (None, "cannot read"),
    "broken.json": ("[1,", "no JSON"),
    "list.json": ("[1]", "not the fields"),
    "latin.json": ("\xff\xfe", "no JSON"),
    "empty.json": ("{}", "no model_type"),
    "swin.json": ('{"model_type": "swin"}', "unknown model_type 'swin'"),
    "number.json": ('{"model_type": 3}', "no model_type"),
    "float.json": ('{"model_type": "gpt2", "n_embd": 1.5}', "positive integer"),
    "text.json": ('{"model_type": "gpt2", "n_embd": "768"}', "positive integer"),
    "true.json": ('{"model_type": "gpt2", "n_layer": true}', "positive integer"),
    "act.json": ('{"model_type": "gpt2", "activation_function": "gloo"}', "unknown activation"),
}


@pytest.mark.parametrize("verb", ["derive", "check", "evaluate"])
@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_refused(verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = FILES[name]
    if content is not None:
        (tmp_path / name).write_text(content, encoding="latin-1")
    assert run([verb, str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_a_module_beyond_building_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for field in ("n_layer", "n_embd"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", field: 12 * 10**30}))
        assert run(["check", str(tmp_path)]) == 2
        assert "use evaluate" in capsys.readouterr().err


def test_as_a_process() -> None:
    command = [sys.executable, "-c", "from symflops.cli import main; main()", "evaluate", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("symflops: unknown model")
