"""``symflops compare``: its figures against ``evaluate``, its marks, formats, refusals; and what the pictures show."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symflops import architecture
from symflops.cli import run
from symflops.errors import SizeError, SymflopsError
from symflops.layers.feedforward import NO_BIAS, plain_feedforward
from symflops.measures import flops
from symflops.networks import blocks
from symflops.questions import attention_overtakes, compare
from symflops.render import FORMATS, render_document

Json = Callable[..., Any]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Json:
    """The JSON of a command that must succeed."""

    def ask(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def test_the_figures_are_those_of_evaluate(answer: Json) -> None:
    names, options = ("gpt2", "llama3-8b", "pythia-160m"), ("--seq", "512", "--batch", "4", "--convention", "exact")
    found = answer("compare", *names, *options)
    assert (found["convention"], found["batch"], found["seq"]) == ("exact", 4, 512)
    assert [each["name"] for each in found["models"]] == list(names)
    for each in found["models"]:
        alone = answer("evaluate", each["name"], *options)
        for key in ("params", "N", "C_forward", "C_forward_per_token", "C_backward", "sizes", "active", "cache_bytes"):
            assert each[key] == alone[key], key


def test_the_cache_attention_and_overtaking_by_arithmetic(answer: Json) -> None:
    gpt2, llama = answer("compare", "gpt2", "llama3-8b")["models"]
    assert (gpt2["cache_bytes_per_token"], gpt2["cache_bytes"]) == (2 * 2 * 12 * 768, 1024 * 2 * 2 * 12 * 768)
    assert llama["cache_bytes_per_token"] == 2 * 2 * 32 * 8 * 128
    assert (gpt2["attention_share"], gpt2["overtakes_at"]) == ("2/11", 3073)  # 1024/(3072 + 2*768 + 1024)
    assert llama["overtakes_at"] == 21505


def test_without_a_length_it_is_the_shortest_context(answer: Json) -> None:
    assert answer("compare", "llama3-8b", "llama2-7b")["seq"] == 4096
    beyond = answer("compare", "gpt2", "llama3-8b", "--seq", "2000")
    assert beyond["notes"] == ["n_seq = 2000 is beyond the context of gpt2, 1024."]


def test_questions_come_with_closed_form_domain_and_exact_value(answer: Json) -> None:
    found = answer("compare", "gpt2", "llama3-8b")["questions"]
    [overtakes] = [
        each for each in found if (each["model"], each["question"]) == ("gpt2", "attention_overtakes.feedforward")
    ]
    assert overtakes["cases"] == [{"closed_form": "d_ff", "domain": []}]
    assert (overtakes["value"], overtakes["first"], overtakes["note"]) == (3072, 3073, "")
    assert {each["question"].split(".")[0] for each in found} == {
        "attention_overtakes", "cache_equals_weights", "against_6n", "attention_share", "embedding_share",
    }  # fmt: skip


def test_a_model_from_a_folder_and_one_from_a_file(answer: Json, tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": 32, "vocab_size": 99}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = answer("compare", str(tmp_path), str(tmp_path / "config.json"))
    assert found["models"][0]["params"] == found["models"][1]["params"] == architecture(config).params()
    assert compare([config, config]).best("params") == (False, False)  # equal: none is marked


def test_the_best_of_each_row_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "gpt2", "llama3-8b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = {
        line.split("  ")[0]: re.findall(r"[\d,.~]+ \*|[\d,.~]+", line.split("  ", 1)[1])
        for line in lines
        if " *" in line
    }
    assert marked["parameters"] == ["124,439,808 *", "8,030,261,248"]
    assert marked["attention over feed-forward from n_seq"] == ["3,073", "21,505 *"]
    assert marked["bytes of cache for one token"] == ["36,864 *", "131,072"]


def test_never_overtaking_is_the_longest() -> None:
    windowed = {"model_type": "mistral", "num_hidden_layers": 4}
    found = compare([windowed, "llama3-8b"], 1, 1024, "exact")
    assert found.best("overtakes_at") == (True, False) and found.models[0].overtakes_at is None
    assert "never *" in found.text()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_shows_the_comparison(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "gpt2", "llama3-8b", "--format", form]) == 0
    shown = capsys.readouterr().out
    assert "llama3-8b" in shown and ("8,030,261,248" in shown or "8030261248" in shown)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_latex_compiles(tmp_path: Path) -> None:
    (tmp_path / "page.tex").write_text(render_document(compare(["gpt2", "llama3-8b"]).document(), "latex"))
    made = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout[-2000:]


BAD = {
    "one": (["gpt2"], "two models or more"),
    "none": ([], "two models or more"),
    "unknown": (["gpt2", "lama3-8b"], "did you mean 'llama3-8b'"),
    "file": (["gpt2", "nowhere/config.json"], "cannot read nowhere/config.json"),
    "seq": (["gpt2", "gpt2-xl", "--seq", "1.5"], "--seq is '1.5'"),
    "batch": (["gpt2", "gpt2-xl", "--batch", "0"], "--batch is '0'"),
    "convention": (["gpt2", "gpt2-xl", "--convention", "kaplen"], "did you mean 'kaplan'"),
    "format": (["gpt2", "gpt2-xl", "--format", "pdf"], "unknown format 'pdf'"),
    "suffix": (["gpt2", "gpt2-xl", "--plot", "work.pdf"], "a picture is a .png or .svg"),
    "folder": (["gpt2", "gpt2-xl", "--plot", "nowhere/work.png"], "there is no folder nowhere"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = BAD[case]
    assert run(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("symflops: ") and err.count("\n") == 1 and said in err


def test_without_matplotlib_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["compare", "gpt2", "gpt2-xl", "--plot", str(tmp_path / "work.png")]) == 2
    err = capsys.readouterr().err
    assert "pip install 'symflops[plot]'" in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert run(["compare", "gpt2", "gpt2-xl"]) == 0


@pytest.fixture
def figure() -> Any:
    """Two models' work, drawn."""
    pytest.importorskip("matplotlib")
    from symflops.pictures import draw_work

    return draw_work(["gpt2", "llama3-8b"], "exact", 2)


def lines(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {each.get_label(): (list(each.get_xdata()), list(each.get_ydata())) for each in axes.get_lines()}


def test_a_picture_shows_the_work_of_each_group(figure: Any) -> None:
    for row, name in enumerate(("gpt2", "llama3-8b")):
        model = architecture(name)
        parts = blocks(model.network)
        layers = {
            "scores and mix": "Attention: Mask", "feed-forward": "Feedforward", "projection": "Attention: Project",
            "queries, keys, values": "Attention: QKV", "logits": "De-embed",
        }  # fmt: skip
        for axes in figure.axes[2 * row : 2 * row + 2]:
            drawn = lines(axes)
            for group, block in layers.items():
                places, heights = drawn[group]
                for place, height in list(zip(places, heights, strict=True))[:: len(places) // 3]:
                    form = flops(parts[block], "exact").expr
                    assert height == pytest.approx(float(model.at(form, n_batch=1, n_seq=int(place)) / int(place)))
            summed = [sum(each) for each in zip(*(drawn[group][1] for group in layers), strict=True)]
            assert drawn["all together"][1] == pytest.approx(summed)


def test_a_picture_marks_where_attention_overtakes_and_says_what_it_shows(figure: Any) -> None:
    for row, name in enumerate(("gpt2", "llama3-8b")):
        at = float(attention_overtakes(name, "exact").feedforward.value)
        for axes, scale in zip(figure.axes[2 * row : 2 * row + 2], ("linear", "log"), strict=True):
            [dot] = [each for each in axes.get_lines() if each.get_marker() == "o"]
            assert list(dot.get_xdata()) == [at] and axes.get_xlim()[1] >= at
            assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)
            assert axes.get_title(loc="left") == name
            assert any("overtakes at" in text.get_text() for text in axes.texts)
    caption = figure.get_supxlabel()
    assert "convention exact" in caption and "2 sequences" in caption
    assert figure.axes[0].get_ylabel() == "FLOPs for one token" and "n_seq" in figure.axes[-1].get_xlabel()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PNG"])
def test_a_plot_is_written_whole(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    place = tmp_path / f"work{suffix}"
    assert run(["compare", "gpt2", "pythia-160m", "--plot", str(place), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["convention"] == "torch"
    start = place.read_bytes()[:200]
    assert start.startswith(PNG) if suffix.lower() == ".png" else b"<?xml" in start
    assert [each.name for each in tmp_path.iterdir()] == [place.name]


def test_a_plot_that_fails_leaves_nothing_behind(figure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from symflops.pictures import save

    def half(self: Figure, file: Any, **_: Any) -> None:
        file.write(PNG)
        raise OSError(28, "No space left on device")

    old = tmp_path / "work.png"
    old.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(SymflopsError, match="No space left on device"):
        save(figure, old)
    assert old.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["work.png"]


def test_a_picture_needs_numbers() -> None:
    pytest.importorskip("matplotlib")
    from symflops.pictures import draw_work

    with pytest.raises(SizeError, match="needs numbers for d_ff, d_model"):
        draw_work([plain_feedforward("gelu", NO_BIAS)])
