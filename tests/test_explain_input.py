"""Explanations as a user asks for them: files of one's own, the command line, formats, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sympy import Rational

from symflops import CONVENTIONS, SymflopsError
from symflops.cli import run
from symflops.errors import UnknownName
from symflops.explain import explain
from symflops.explain.published import ExplainError, formula, published

GOOD: dict[str, Any] = {
    "id": "mine", "title": "mine", "citation": {"year": "2026"}, "phases": {"training": "1"},
    "notation": {"h": "d_model"}, "terms": [{"of": "logits", "formula": "6*h*n_vocab"}],
}  # fmt: skip
BAD_FILES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"terms": [{"of": "logit", "formula": "6*h"}]}, "unknown role 'logit'; did you mean 'logits'"),
    ({"terms": [{"of": "logits", "formula": "6*hh"}]}, "did you mean 'h' of the formula's own names: h"),
    ({"terms": [{"of": "logits", "formula": "6*params"}]}, "unknown size 'params'"),
    ({"terms": [{"of": "logits", "each": "6*param"}]}, "did you mean 'params' of the formula's own names: h, params"),
    ({"terms": [{"of": "logits", "formula": "6*h)"}]}, "unexpected ')'"),
    ({"terms": [{"of": "logits", "formula": "__import__('os')"}]}, "is no formula"),
    (
        {"terms": [{"of": "logits", "formula": "1", "each": "1"}]},
        "a term has a formula of all its operations together, or",
    ),
    ({"terms": [{"of": "logits"}]}, "a term has a formula of all its operations together, or"),
    ({"terms": [{"of": "", "formula": "1"}]}, "of names roles"),
    ({"terms": []}, "terms is a list of at least one term"),
    ({"phases": {"backward": "1"}}, "unknown key of phases 'backward'"),
    ({"phases": {"training": "three"}}, "phases holds numbers such as 3, not 'three'"),
    ({"phases": {}}, "phases names at least one of forward, training"),
    ({"per": "sequence"}, "unknown per 'sequence'"),
    ({"notation": {"params": "d_model"}}, "the letter 'params' is a quantity of an operation"),
    ({"notation": {"h": "d_modle"}}, "unknown size 'd_modle'; did you mean 'd_model'"),
    ({"citation": {"arXiv": "1"}}, "unknown key of citation 'arXiv'; did you mean 'arxiv'"),
    ({"citation": "a paper"}, "citation is a mapping"),
    ({"title": ["a"]}, "title is text"),
    ({"titel": "a"}, "unknown key of a formula 'titel'; did you mean 'title'"),
)


@pytest.mark.parametrize(("change", "said"), BAD_FILES)
def test_a_formula_that_does_not_fit_is_refused_in_a_line(change: dict[str, Any], said: str) -> None:
    assert formula(GOOD).name == "mine"
    with pytest.raises(SymflopsError) as refused:
        formula({**GOOD, **change})
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_formula_from_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(GOOD))
    found = explain(file, "megatron-lm")
    assert found["logits"].equal and found.a.name == "mine"
    file.write_text("a: [")
    with pytest.raises(ExplainError, match="is no YAML file"):
        explain(file, "megatron-lm")
    file.write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(ExplainError):
        explain(file, "megatron-lm")
    with pytest.raises(ExplainError, match="cannot read"):
        explain(tmp_path / "none.yaml", "megatron-lm")


REFUSED = (
    (("megatron", "verll"), "unknown convention or formula 'verll'; did you mean 'verl'"),
    (("palm",), "explain takes two conventions or formulas, such as verl megatron-lm"),
    (("palm", "verl", "--phase", "forward"), "verl states training FLOPs and not forward"),
    (("palm", "torch", "--phase", "decode"), "unknown phase 'decode'"),
    (("palm", "torch", "--on", "llama3-8"), "unknown model 'llama3-8'; did you mean 'llama3-8b'"),
    (("palm", "torch", "--seq", "no"), "--seq is 'no'"),
    (("palm", "torch", "--set", "n_layers=2"), "n_layers"),
    (("palm", "torch", "--format", "pdf"), "unknown format 'pdf'"),
    (("palm-appendix-b", "torch", "--on", "mamba-130m", "--seq", "64"), "has no operation of the role scores, mix"),
    (("palm", "torch", "--on", "mamba-130m"), "has no context of a fixed length"),
)


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_bad_input_is_one_line_and_2(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *arguments]) == 2
    written = capsys.readouterr()
    assert said in written.err and written.err.count("\n") == 1 and written.out == ""


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html"])
def test_every_format_says_where_the_difference_is_from(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "verl", "megatron-lm", "--format", form, "--seq", "1000", "--set", "n_layer=2"]) == 0
    printed = capsys.readouterr().out
    assert "the table as a matmul with one-hot rows" in printed and "3,152,019,456" in printed


def test_json_holds_everything_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "verl", "megatron-lm", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["total"]["difference"] == "6*d_model*n_vocab" and data["total"]["values"]["difference"] == 3152019456
    assert Rational(data["ratio"]) == explain("verl", "megatron-lm").ratio
    first = data["terms"][0]
    assert first["roles"] == ["embedding"] and first["operations"] == ["Embed/token"] and not first["equal"]


def test_the_list_names_every_source_with_its_citation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--list", "--json"]) == 0
    rows = {row["name"]: row["citation"] for row in json.loads(capsys.readouterr().out)["sources"]}
    assert rows.keys() == {*CONVENTIONS, *published()} and all(rows.values())
    assert run(["explain", "--list"]) == 0
    assert "arXiv:2204.02311" in capsys.readouterr().out


def test_a_role_of_no_term_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown role of a term 'softmax'"):
        explain("verl", "torch")["softmax"]
