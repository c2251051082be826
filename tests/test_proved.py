"""The table of families: every form proved equal to its code's, and planted faults refuted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sympy import expand

from symflops.architectures import FAMILIES
from symflops.certified import Entry, certified
from symflops.cli import run
from symflops.notation import symbol
from symflops.proved import FORMS, Proof, proofs, prove, table

ENTRIES = {f"{entry.family}, {entry.kernels}": entry for entry in certified().entries if entry.family in FAMILIES}


@pytest.fixture(scope="module")
def found() -> dict[str, Proof]:
    return {f"{proof.entry.family}, {proof.entry.kernels}": proof for proof in proofs()}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_family_written_by_hand_is_proved_equal_to_its_code(found: dict[str, Proof], name: str) -> None:
    assert found[name].equal, found[name].residuals


def test_every_family_of_the_record_is_written_by_hand_and_has_every_kernel() -> None:
    recorded = {entry.family for entry in certified().entries}
    assert recorded <= set(FAMILIES)
    assert len(ENTRIES) == len(certified().entries)


def planted(entry: Entry, form: str, change: str) -> Proof:
    """A proof against a record in which one closed form is another."""
    return prove(replace(entry, forms={**entry.forms, form: f"{entry.forms[form]} + {change}"}))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", ["1", "d_ff*n_layer", "n_head"])
def test_a_form_that_the_code_does_not_have_is_refuted_with_what_is_left(form: str, change: str) -> None:
    entry = ENTRIES["llama, eager"]
    proof = planted(entry, form, change)
    expected = {"1": -1, "n_head": -symbol("n_head"), "d_ff*n_layer": -symbol("d_ff") * symbol("n_layer")}[change]
    assert not proof.equal and proof.evidence[form] == "refuted"
    assert expand(proof.residuals[form] - expected) == 0
    assert [name for name, left in proof.residuals.items() if left != 0] == [form]
    assert f"llama, eager: {form} differs by" in table([proof])


@pytest.mark.parametrize(("family", "other"), [("mistral", "qwen2"), ("olmo", "olmo2"), ("gemma", "gemma2")])
def test_the_code_of_another_family_is_refuted(family: str, other: str) -> None:
    entry = next(entry for entry in ENTRIES.values() if entry.family == other)
    assert not prove(replace(entry, family=family)).equal


def test_the_table_has_every_family_and_says_what_it_holds_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--all"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{family} " in text for family in FAMILIES if family in {e.family for e in ENTRIES.values()})
    assert certified().versions["transformers"] in text and "refuted" not in text
    assert run(["check", "--all", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["families"]) == len(ENTRIES) and all(each["equal"] for each in data["families"])
    assert data["families"][0]["evidence"].keys() == {*FORMS, "saved_bytes"}


def test_a_table_with_a_family_that_is_not_equal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = planted(ENTRIES["gpt2, eager"], "N", "1")
    monkeypatch.setattr("symflops.proved.proofs", lambda: iter([wrong]))
    assert run(["check", "--all"]) == 1
