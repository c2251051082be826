"""``symflops trace`` as a user meets it: formats, conventions, mapped fields, proofs; what it refuses, and when."""

from __future__ import annotations

import json
import re
import shutil
from copy import copy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Eq, Expr, Integer, Mod, Ne, expand, floor
from test_render import compiled

from symflops.architectures import architecture
from symflops.architectures.corresponding import corresponding
from symflops.cli import run
from symflops.errors import SymflopsError, UnknownName
from symflops.expressions import ExpressionError, expression
from symflops.measures import flops
from symflops.notation import d_ff, d_head, d_model, n_ctx, n_head, n_layer, n_seq, symbol
from symflops.render import render_document
from symflops.render.document import readable
from symflops.tracing import trace as tracing
from symflops.tracing.costs import costs
from symflops.tracing.shown import document
from symflops.tracing.targets import resolve
from symflops.tracing.trace import Trace, trace

RECOVERED, NOTE = "n_expert: recovered from 5 runs, degree 1", "routing depends on data: 3 of 8 experts"
KEYS = {
    "target", "params", "N", "C_forward", "C_backward", "saved_bytes", "operations", "dimensions", "domain",
    "recovered", "certificate", "convention", "saved_domain", "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Trace:
    return trace("hf:gpt2", certify=1)


@pytest.fixture(scope="module")
def found(plain: Trace) -> Trace:
    """A trace in which everything that can be shown is there."""
    full = copy(plain)
    shown = {"recovered": (RECOVERED,), "notes": (NOTE,), "saved_domain": (Ne(n_head, 1), floor(d_head / 2) >= 2)}
    shown["domain"] = (Eq(Mod(d_head, 8), 0), n_seq + 2 <= n_ctx)
    for name, value in shown.items():
        object.__setattr__(full, name, value)
    return full


@pytest.fixture
def quick(found: Trace, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The command with the trace made before; what it was asked for."""
    asked: list[Any] = []
    monkeypatch.setattr(tracing, "trace", lambda *given, **named: asked.append((given, named)) or found)
    return asked


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, in which tracing at all is a failure."""
    monkeypatch.setattr(
        tracing, "trace", lambda *given, **named: pytest.fail("it was traced before the input was refused")
    )


def shown(found: Trace, form: str, against: str = "gpt2", convention: str = "torch") -> str:
    return render_document(document(found, convention, found.against(against)), form)


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_text_and_markdown_show_everything(found: Trace, form: str) -> None:
    page = shown(found, form)
    for name in ("params", "N", "C_forward", "C_backward", "saved_bytes"):
        assert f"{name} = {readable(getattr(found, name))}" in page
    modules = [page.index(path) for path, _, _ in found.operations()]
    assert modules == sorted(modules) and "transformer.h.*.attn.c_attn" in page
    for each in ("n_embd/n_head", "n_seq + 2 <= n_ctx", "n_head != 1", NOTE):
        assert each in page
    assert RECOVERED in page.replace("`", "")
    assert "8 divides d_head" in page and "at 1 random sizes" in page and "evidence: proved" in page


def test_the_multiplicity_is_in_the_closed_form_and_a_module_is_named_once(found: Trace) -> None:
    lines = [line for line in found.show().splitlines() if "aten." in line]
    assert all("n_layer" in line for line in lines[:-1]) and lines[-1].startswith("lm_head")
    assert [line.split()[0] for line in lines].count("transformer.h.*.attn") == 1


def test_html_is_well_formed_and_needs_no_network(found: Trace) -> None:
    page = shown(found, "html", "llama")
    root = ElementTree.fromstring(page[page.index("<body>") : page.index("</html>")])
    assert len(root.findall(".//table")) == 4 and len(root.findall(".//math")) > 50
    assert not re.search(r"(src|href)\s*=|<script|@import|url\(", page)
    assert all(each in page for each in ("n_embd/n_head", NOTE, "at 1 random sizes", " divides "))
    assert RECOVERED in "".join(root.itertext())


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex, and there is none")
@pytest.mark.parametrize(("convention", "against"), [("torch", "gpt2"), ("all-operations", "llama")])
def test_latex_compiles_without_overfull_boxes(found: Trace, convention: str, against: str, tmp_path: Path) -> None:
    source = tmp_path / "trace.tex"
    source.write_text(shown(found, "latex", against, convention), encoding="utf-8")
    assert compiled(source) == []


def test_latex_has_everything(found: Trace) -> None:
    page = shown(found, "latex")
    for each in (r"C_{\mathrm{backward}} =", r"\mathrm{saved\ bytes}", r"8 \mid d_{\mathrm{head}}", "5 runs", "3 of 8"):
        assert each in page
    assert page.count(r"\begin{longtable}") == 3


def test_json_keeps_its_contract(quick: list[Any], plain: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "hf:gpt2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data.keys() >= KEYS and "against" not in data
    assert (data["params"], data["N"], data["convention"]) == (str(plain.params), str(plain.N), "torch")
    assert data["certificate"] == {"points": 1, "equal": True}
    assert (data["recovered"], data["notes"]) == ([RECOVERED], [NOTE])
    assert sum(n_layer in readable_symbols(row["flops"]) for row in data["operations"]) == 6
    assert run(["trace", "hf:gpt2", "--format", "json", "--against", "gpt2"]) == 0
    proof = json.loads(capsys.readouterr().out)["against"]
    assert proof["equal"] and all(line["residual"] == "0" for line in proof["lines"])


def readable_symbols(text: str) -> set[Any]:
    """What the user's own parser reads in a form that was printed."""
    return set(expression(text).free_symbols)


def test_exit_code_1_and_the_report_where_the_proof_fails(quick: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "hf:gpt2", "--against", "gpt_neox"]) == 1
    page = capsys.readouterr().out
    assert "evidence: refuted" in page and "where they differ" in page and "residual" in page


def test_a_trace_shows_itself_in_a_notebook(found: Trace) -> None:
    assert found._repr_html_().startswith("<!DOCTYPE html>") and found._repr_markdown_().startswith("# hf:GPT2")
    assert found._repr_latex_().startswith(r"$\displaystyle \begin{aligned} \mathrm{params} &=")
    assert found.latex() == found.show("latex")


@pytest.mark.parametrize("name", ["kaplan", "palm", "megatron", "macs", "torch"])
def test_a_convention_prices_the_traced_network_as_the_one_written_by_hand(plain: Trace, name: str) -> None:
    model, priced = architecture("gpt2"), costs(plain, name)
    sizes = corresponding(model.table, plain, model.network.free_symbols)
    for phase, form in (("forward", priced.C_forward), ("backward", priced.C_backward)):
        assert expand(form - flops(model.network, name, phase).expr.xreplace(sizes)) == 0, phase
    if not priced.convention.left_out:
        assert expand(sum(form for _, _, form in priced.operations) - priced.C_forward) == 0


def test_what_a_convention_counts_and_a_trace_does_not_know_is_said(plain: Trace) -> None:
    assert not costs(plain, "palm").notes
    assert "element" in costs(plain, "chinchilla").notes[0] and "masks" in costs(plain, "exact").notes[0]
    assert '"convention": "palm"' in plain.show("json", "palm")


def test_work_done_again_backward_is_priced_where_the_convention_prices_it(plain: Trace) -> None:
    more = copy(plain)
    object.__setattr__(more, "C_backward", plain.C_backward + 2 * n_seq)
    again = {name: costs(more, name).C_backward - costs(plain, name).C_backward for name in ("macs", "exact", "palm")}
    assert again == {"macs": n_seq, "exact": 0, "palm": 0}


def test_a_mapped_field_reaches_the_code_and_the_proof(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["trace", "hf:gpt2", "--certify", "1", "--map", "n_inner=d_ff", "--map", "hidden_size=d_model"]
    assert run([*arguments, "--against", "gpt2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["dimensions"]["d_ff"], data["dimensions"]["d_model"]) == ("n_inner", "n_embd")
    assert data["against"]["equal"] and "2*d_ff*d_model*n_layer" in data["params"]


def test_overrides_are_told_to_the_target_and_to_configs_inside(tmp_path: Path) -> None:
    assert resolve("hf:gpt2", {"n_inner": 3 * d_model}).meanings["n_inner"] == 3 * d_model
    inside = resolve("hf:clip", {"vision_config.patch_size": symbol("n_side")})
    assert inside.meanings["vision_config.patch_size"] == symbol("n_side")
    path = tmp_path / "model.py"
    path.write_text("import torch\ndef make(width): return torch.nn.Linear(width, width)\n", encoding="utf-8")
    with pytest.raises(SymflopsError, match="--map width=SIZE"):
        resolve(f"{path}:make")
    target = resolve(f"{path}:make", {"width": d_head**2})
    assert target.sizes["d_head"] and "d_head" not in target.dimensions
    with pytest.raises(UnknownName, match="unknown config field 'widht'; did you mean 'width'"):
        resolve(f"{path}:make", {"widht": d_head})


BAD = {
    ("--format", "docx"): "unknown format 'docx'",
    ("--convention", "kaplen"): "did you mean 'kaplan'",
    ("--against", "lama"): "unknown network 'lama'; did you mean 'llama'",
    ("--against", ""): "unknown network ''",
    ("--against", "nowhere/config.json"): "cannot read",
    ("--map", "n_inner"): "FIELD=SIZE",
    ("--map", "=d_model"): "FIELD=SIZE",
    ("--map", "a=d_ff", "--map", "a=d_ff"): "each field once",
    ("--map", "n_inner=4*d_modle"): "did you mean 'd_model'",
    ("--map", "n_inner=__import__('os')"): "unexpected",
    ("--map", "n_inner=d_model.real"): "unknown size",
    ("--map", "n_inner=d_model*"): "ends too early",
    ("--map", "n_inner="): "it is empty",
    ("--map", "n_inner=d_model/0"): "divides by zero",
    ("--map", "n_inner=1-2"): "it is -1, and a size is positive",
    ("--map", "n_inner=d_model**99"): "from 1 to 8",
    ("--map", f"n_inner={'9' * 99}"): "at most 18 digits",
    ("--map", f"n_inner={'(' * 99}1{')' * 99}"): "longer than|nests over",
    ("--map", f"n_inner={'1+' * 200}1"): "longer than 200",
}


@pytest.mark.parametrize("arguments", BAD, ids=lambda given: " ".join(given)[:40])
@pytest.mark.usefixtures("slow")
def test_bad_input_is_one_line_before_anything_slow(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["trace", "hf:gpt2", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and re.search(BAD[arguments], error)


def test_an_unknown_field_is_one_line_with_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "hf:gpt2", "--map", "n_iner=d_ff"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "unknown config field 'n_iner'; did you mean 'n_inner'" in error


SYMBOLS = (d_model, d_ff, n_head, n_ctx)
LEAVES = st.sampled_from(SYMBOLS) | st.integers(1, 99).map(Integer)
FORMS = st.recursive(
    LEAVES,
    lambda part: (
        st.tuples(part, part).map(lambda two: two[0] + two[1])
        | st.tuples(part, part).map(lambda two: two[0] * two[1])
        | st.tuples(part, st.sampled_from(SYMBOLS)).map(lambda two: two[0] / two[1])
        | part.map(lambda one: one**2)
    ),
    max_leaves=4,
)


@given(FORMS)
def test_what_sympy_prints_is_read_back(form: Expr) -> None:
    try:
        back = expression(str(form))
    except ExpressionError as refused:
        assert re.search("longer than|exponent|digits", str(refused))
    else:
        assert expand(back - form) == 0


@given(st.text(alphabet="dn_moelhad0123456789+-*/() .,'\"\\[]{}=\n^%é²", max_size=40))
def test_any_other_text_is_a_size_or_refused_in_one_line(text: str) -> None:
    try:
        assert expression(text).free_symbols <= set(map(symbol, map(str, expression(text).free_symbols)))
    except SymflopsError as refused:
        assert isinstance(refused, ExpressionError | UnknownName) and "\n" not in str(refused)


@given(FORMS)
def test_a_readable_form_is_the_same_form(form: Expr) -> None:
    assert expand(readable(form) - form) == 0 and len(str(readable(form))) <= len(str(expand(form)))


def test_conditions_read_as_sentences() -> None:
    from symflops.documents import plain as said

    assert said(Eq(n_seq, 3)) == "n_seq = 3" and said(n_seq > 2) == "n_seq > 2" and said(n_layer) == "n_layer"
