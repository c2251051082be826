"""Mutation: faults planted by rule in families, masks and conventions are found, or change no cost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sympy import Integer

from symflops.architectures import FAMILIES
from symflops.cli import run
from symflops.conventions import CONVENTIONS
from symflops.errors import UnknownName
from symflops.laws.catalogue.masks import MASKS
from symflops.laws.catalogue.subjects import model, network
from symflops.laws.mutation import killing
from symflops.laws.mutation.computing import computed
from symflops.laws.mutation.counts import by_loops, of_masks
from symflops.laws.mutation.equal import changed
from symflops.laws.mutation.flow import SAME, _about, flows
from symflops.laws.mutation.killing import OF_MEASURES, Outcome, in_order, killed
from symflops.laws.mutation.mutant import KINDS, At, Fault, Mutant, planted
from symflops.laws.mutation.oracles import by_code
from symflops.laws.mutation.planting import faults, of_family
from symflops.laws.mutation.prices import of_conventions
from symflops.laws.mutation.pricing import printed
from symflops.laws.mutation.record import told
from symflops.laws.mutation.running import OF, mutants, mutate
from symflops.laws.mutation.standing import stands
from symflops.measures import params

RECORD_FILE = Path(__file__).parent.parent / "benchmarks" / "records" / "mutation.json"
NEEDED = 300
SAMPLE: tuple[Mutant, ...] = (
    *list(of_family("llama"))[::4],
    *list(of_family("mixtral"))[1::5],
    *list(of_masks())[3::31],
    *[mutant for mutant in of_conventions() if mutant.of in ("kaplan", "chinchilla", "palm", "megatron", "macs")][::23],
)
"""Some twenty mutants, the same ones each time."""


@pytest.mark.parametrize("mutant", SAMPLE, ids=str)
def test_a_fault_is_found_or_changes_no_cost(mutant: Mutant) -> None:
    outcome = killed(mutant)
    assert outcome.status in ("killed", "equivalent"), (outcome.by_law, outcome.changed)


def test_the_sample_is_small_and_of_everything() -> None:
    assert 15 <= len(SAMPLE) <= 40
    assert {type(each.subject).__name__ for each in SAMPLE} >= {"Architecture", "Convention"}


def test_no_oracle_and_no_relation_speaks_against_what_is_declared() -> None:
    for family in FAMILIES:
        whole = network(family)
        found = [*by_code(family, model(family)), *flows(family, whole), *computed(family, whole)]
        found += stands(family, model(family))
        assert not [each for each in found if not each.holds], family
    for name, given in CONVENTIONS.items():
        assert not [each for each in printed(name, given) if not each.holds]
    for mask in MASKS:
        assert not [each for each in by_loops(mask.__name__, mask) if not each.holds]


def test_every_relation_is_about_some_family() -> None:
    about = {relation: [family for family in FAMILIES if _about(family, relation)] for relation in SAME}
    assert all(about.values()), [relation for relation, families in about.items() if not families]
    assert sum(len(families) > 20 for families in about.values()) >= 10


def test_what_was_not_changed_is_equivalent() -> None:
    same = planted(model("gpt2"), Fault("role", "everywhere", "nothing", lambda whole: whole))
    outcome = killed(Mutant("role", "gpt2", "everywhere", "nothing", same))
    assert outcome.status == "equivalent" and not outcome.by_law and not outcome.by_oracle


def test_a_fault_that_nobody_looks_for_survives_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "laws", lambda mutant: iter(()))
    monkeypatch.setattr(killing, "oracles", lambda mutant: iter(()))
    wrong = planted(
        model("gpt2"), Fault("operation", "Feedforward/up", "missing", At("Feedforward/up", lambda each: Integer(0)))
    )
    outcome = killed(Mutant("operation", "gpt2", "Feedforward/up", "missing", wrong))
    assert outcome.status == "survives" and "parameters" in outcome.changed
    report = mutate(["Full"])
    assert not report.holds and report.told["mutants"]["surviving"] == len(report.told["surviving"]) > 0
    assert report.told["surviving"][0]["what"] in report.show("text")


def test_a_change_is_seen_in_every_measure_that_it_is_in() -> None:
    other = replace(model("llama"), attention="flash")
    assert any(each.startswith("work: mac, recompute") for each in changed(model("llama"), other))
    assert changed(model("llama"), model("llama")) == ()


def test_a_fault_stands_where_it_is_said_to() -> None:
    up = At("Feedforward/up", lambda operation: 3 * operation)
    found = params(up(network("llama"))) - params(network("llama"))
    assert str(found) == "2*d_ff*d_model*n_layer"
    assert At("Feedforward/none", lambda operation: Integer(0))(network("llama")) == network("llama")


def test_kinds_have_words_and_every_family_has_faults_of_most() -> None:
    some = ("llama", "mixtral", "t5", "mamba2")
    every = {kind for family in some for kind, found in faults(family).items() if found}
    assert every | {"mask's count", "price"} == set(KINDS)
    assert all(sum(map(len, faults(family).values())) > 100 for family in some)


def test_the_same_faults_are_planted_each_time() -> None:
    again = [str(mutant) for mutant in of_family("bert")]
    assert again == [str(mutant) for mutant in mutants("bert")] and len(set(again)) == len(again)


def test_laws_of_measures_are_laws_that_no_network_breaks() -> None:
    """They are not asked: a mutant of a family that they would find would be missed."""
    shows = {law.name: law for law in killing.LAWS.values() if law.name in OF_MEASURES}
    assert len(shows) == len(OF_MEASURES) and not {law.name for law in in_order()} & OF_MEASURES
    wrong = list(of_family("gpt2"))[::15]
    for name, law in shows.items():
        for mutant in wrong:
            show = law.show
            assert all(each.holds for each in show.of("gpt2", mutant.subject)), name  # type: ignore[union-attr, attr-defined]


def test_the_record_is_of_these_mutants_and_none_survives() -> None:
    record = told(**json.loads(RECORD_FILE.read_text(encoding="utf-8")))
    names = Counter({kind: each["planted"] for kind, each in record["kinds"].items()})
    assert record["mutants"]["planted"] == names.total() >= NEEDED and set(names) == set(KINDS)
    assert record["mutants"]["surviving"] == 0 == len(record["surviving"])
    assert len(record["equivalent"]) == record["mutants"]["equivalent"]
    assert record["kinds"]["price"]["planted"] == len(list(of_conventions()))
    assert record["kinds"]["mask's count"]["planted"] == len(list(of_masks()))


def test_the_command_prints_a_page_or_json_and_fails_on_survivors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["laws", "--mutate", "Full"]) == 0
    assert "faults planted" in capsys.readouterr().out
    assert run(["laws", "--mutate", "Full", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mutants"]["surviving"] == 0
    assert run(["laws", "--mutate", "gpt5"]) == 2
    assert "unknown mask, convention or family 'gpt5'" in capsys.readouterr().err
    assert run(["laws", "--mutate", "--run"]) == 2
    survivor = Outcome(next(of_conventions()), "", "", ("forward, gpt2",))
    monkeypatch.setattr("symflops.laws.mutation.running.killed", lambda mutant: survivor)
    assert run(["laws", "--mutate", "Full"]) == 1


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(UnknownName):
        mutants("gpt5")


@pytest.mark.slow
@pytest.mark.parametrize("name", OF)
def test_all_faults_are_found_or_change_no_cost(name: str) -> None:
    found = mutate([name])
    assert found.holds, found.told["surviving"]
