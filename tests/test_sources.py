"""Sources: found among the modules of `derivations`, under a convention where they take one; studies."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import derivations
from symflops import catalogue
from symflops.cli import run
from symflops.derivation import Derivation, Study, derive_network
from symflops.documents import Code, Facts, Forms, Heading, Prose, Remarks, Section, Steps, Table, as_json, prose
from symflops.notation import d_model, n_layer
from symflops.render import FORMATS
from symflops.steps import rewrite, start

CHAIN = rewrite(start("M", 2 * n_layer * d_model + n_layer * d_model, "the table"), 3 * n_layer * d_model, "collected")
SECTIONS = (
    Section("", (prose("Memory is ", 3 * n_layer * d_model, " bytes."),)),
    Section("Steps", (Steps(CHAIN), Heading("Inside", 2), Facts("all", (Code("a.b"), d_model)))),
    Section("Mistakes", (Remarks((("Table 1", "the last digit"),)), Table("", ("a",), ((d_model,),), (n_layer,)))),
)
STUDY = Study("planted", "A planted study", "Nobody 2020", SECTIONS)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A source without a network, which takes no convention."""
    module = ModuleType("derivations.planted")
    module.derive = lambda: STUDY  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "derivations.planted", module)
    monkeypatch.setattr(derivations, "SOURCES", (*derivations.SOURCES, "planted"))
    yield


def test_every_module_is_a_source_and_derives() -> None:
    files = {path.stem for path in Path(derivations.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    assert set(derivations.SOURCES) == files and "kaplan2020" in files
    for name in derivations.SOURCES:
        found = derivations.derived(name)
        assert isinstance(found, Derivation | Study) and found.name == name and found.citation


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.usefixtures("planted")
def test_a_study_shows_its_sections_in_order_in_every_format(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "planted", "--format", form]) == 0
    page = capsys.readouterr().out
    said = ["A planted study", "Nobody 2020", "Memory", "Steps", "collected", "Inside", "Mistakes", "Table 1"]
    places = [page.index(each) for each in said]
    assert places == sorted(places)


@pytest.mark.usefixtures("planted")
def test_a_study_as_json_is_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "planted", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {"name", "title", "citation", "sections"}
    assert data["sections"][0] == {
        "title": "", "blocks": [{"kind": "prose", "text": "Memory is 3*d_model*n_layer bytes."}],
    }  # fmt: skip
    steps, heading, facts = data["sections"][1]["blocks"]
    assert steps["steps"][1] == {"quantity": "M", "expression": "3*d_model*n_layer", "why": "collected"}
    assert (heading["text"], facts["items"]) == ("Inside", ["a.b", "d_model"])
    assert data["sections"][2]["blocks"][1]["total"] == ["n_layer"]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("derive", "planted", "--convention", "kaplan"), "planted is not priced by a convention.*leave out 'kaplan'"),
        (("evaluate", "planted", "--seq", "8"), "planted is about no single network"),
        (("derive", "plantet"), "did you mean 'planted'"),
        (("derive", "kaplan2020", "--convention", "kaplen"), "did you mean 'kaplan'"),
        (("derive", "planted", "--format", "pdf"), "unknown format 'pdf'"),
    ],
)
def test_what_a_source_does_not_take_is_refused_in_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and re.search(said, error)


def test_sections_of_a_derivation_stand_between_steps_and_remarks() -> None:
    base = catalogue.derive("kaplan2020")
    assert isinstance(base, Derivation)
    full = Derivation(**{**vars(base), "sections": SECTIONS, "opening": (Prose("What the paper counts."),)})
    first, *titles, last = (block.text for block in full.document().blocks if isinstance(block, Heading))
    assert (first, last) == ("Operations", "On the printed table")
    assert titles == ["Steps, each checked by machine", "Steps", "Inside", "Mistakes"]
    assert full.document().blocks[1] == Prose("What the paper counts.")
    assert full.as_json()["sections"] == STUDY.as_json()["sections"] and full.as_json()["opening"]


def test_the_json_of_a_derivation_keeps_its_keys() -> None:
    found = catalogue.derive("kaplan2020").document().data
    keys = ["name", "title", "citation", "convention", "unit", "per", "operations", "N", "C_forward", "steps", "notes"]
    assert list(found)[: len(keys)] == keys
    dropped = [step for step in found["steps"] if "dropped" in step]
    assert [step["share"] for step in dropped] == ["n_ctx/(12*d_model)"] * 2
    assert all({"quantity", "expression", "why"} <= set(step) for step in found["steps"])


def test_what_is_dropped_is_shown_with_its_size() -> None:
    shown = " ".join(catalogue.derive("kaplan2020").show().split())
    assert "dropped: 2*d_model*n_ctx*n_layer, which is n_ctx/(12*d_model) of 2*N" in shown


def test_a_page_shows_itself_in_a_notebook() -> None:
    assert STUDY._repr_html_().startswith("<!DOCTYPE html>") and STUDY.latex().startswith(r"\documentclass")
    assert derive_network("none", "Nothing", "none", 0 * d_model, "torch").show("html")


def test_every_kind_of_block_is_plain_values() -> None:
    blocks = [block for section in SECTIONS for block in section.blocks]
    kinds = [as_json(block)["kind"] for block in [*blocks, Forms((("N", d_model),))]]
    assert kinds == ["prose", "steps", "heading", "facts", "remarks", "table", "forms"]
    json.dumps([as_json(block) for block in blocks])
