"""Laws on the command line and as a pytest plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from symflops.cli import run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of cost functions, right and wrong, in which commands run."""
    (tmp_path / "my_costs.py").write_text(
        "def right(n_layer, d_model, d_ff, n_vocab, seq_len):\n"
        "    layer = 4 * d_model**2 + 2 * d_model * d_ff + 2 * d_model * seq_len\n"
        "    return 6 * (n_layer * layer + d_model * n_vocab)\n"
        "def wrong(n_layer, d_model, d_ff, n_vocab, seq_len):\n"
        "    return right(n_layer, d_model, d_ff, n_vocab, seq_len) - 4 * d_model * n_vocab\n"
        "def foreign(foo):\n    return foo\nnumber = 3\n"
    )
    (tmp_path / "broken_costs.py").write_text("1/0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_costs", "broken_costs"):
        sys.modules.pop(name, None)
    return tmp_path


CLAIMS = ["--claims", "training per=token families=gpt2", "--examples", "10"]


def test_laws_of_a_target_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["laws", "--target", "my_costs:right", *CLAIMS]) == 0
    assert "0 laws broken" in capsys.readouterr().out
    assert run(["laws", "vocabulary-slope", "--target", "my_costs:wrong", *CLAIMS, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["laws"][0]["smallest"]["sizes"]["n_vocab"] == 1 and found["laws"][0]["found"]["right"] == "12"
    assert run(["laws", "--target", "my_costs:right", "--identify", "--claims", "families=gpt2"]) == 0
    assert "flops training per=token pairs=dense FLOP" in capsys.readouterr().out
    assert run(["laws", "--target", "my_costs:foreign", "--with", "foo=d_ff", "--identify"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "my_costs"], "give module:function"),
        (["--target", "nowhere_at_all:flops"], "cannot import nowhere_at_all"),
        (["--target", "broken_costs:flops"], "ZeroDivisionError"),
        (["--target", "my_costs:flop"], "has no 'flop'; it has foreign, number, right, wrong"),
        (["--target", "my_costs:number"], "not a function"),
        (["--target", "my_costs:foreign"], "takes 'foo'"),
        (["--target", "my_costs:right", "--with", "foo"], "--with takes ARGUMENT=SIZE"),
        (["--target", "my_costs:right", "--examples", "many"], "--examples is 'many'"),
        (["--claims", "training"], "name it with --target"),
        (["nothing-like-it"], "unknown law"),
    ],
)
def test_bad_targets_are_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["laws", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_laws_are_listed_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["laws"]) == 0 and "layer-linearity" in capsys.readouterr().out
    assert run(["laws", "layer-linearity"]) == 0 and "Kaplan" in capsys.readouterr().out
    assert run(["laws", "flops-are-two-macs", "--run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["laws"][0]["how"] == "proved"


def in_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "pytest_symflops", "-p", "no:cacheprovider", "-q", *arguments]
    where = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=where)


def test_the_plugin_has_a_test_for_each_law(folder: Path) -> None:
    ran = in_pytest(
        folder, "--cost-function", "my_costs:right", "--cost-claims", CLAIMS[1],
        "--cost-function", "my_costs:wrong", "--cost-claims", CLAIMS[1], "--cost-examples", "5",
        "-k", "vocabulary-slope or batch-linearity",
    )  # fmt: skip
    assert ran.returncode == 1 and "1 failed, 3 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "my_costs:wrong[vocabulary-slope]" in ran.stdout and "4 against 12" in ran.stdout
    assert "smallest case: gpt2(n_layer=1, d_model=2" in ran.stdout and "source: dFLOPs/dparams" in ran.stdout


def test_the_plugin_refuses_in_one_line_and_loads_nothing_unasked(folder: Path) -> None:
    refused = in_pytest(folder, "--cost-function", "my_costs:flop")
    assert refused.returncode == 4 and "has no 'flop'" in refused.stderr
    (folder / "test_nothing.py").write_text(
        "import sys\ndef test_it():\n    assert not {'sympy', 'symflops', 'hypothesis'} & set(sys.modules)\n"
    )
    idle = in_pytest(folder, "-p", "no:hypothesispytest")
    assert idle.returncode == 0, idle.stdout
