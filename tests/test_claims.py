"""Verdicts: each kind on a small table whose arithmetic is plain, and that a planted fault turns it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from symflops import architecture
from symflops.claims import Table, Verdict, read_text, verify
from symflops.claims.faults import plant
from symflops.claims.verdict import ANOTHER, DIFFERS, INCONSISTENT, REPRODUCES, UNCHECKED
from symflops.cli import run

HEAD = "id: toy\ntitle: A toy\ncitation: {authors: A. Author, year: 2020}\n"


def verdicts(text: str) -> dict[str, Verdict]:
    """The verdicts of a table by cell."""
    return {verdict.cell: verdict for verdict in verify(read_text(HEAD + text)).verdicts}


def test_a_figure_reproduces_to_its_printed_precision_and_no_further() -> None:
    found = verdicts("""
columns: {params: {equals: 12*n*d**2}}
rows:
- {model: a, n: 2, d: 8, params: 1.54K}
- {model: b, n: 2, d: 8, params: 1.5K}
- {model: c, n: 2, d: 8, params: 1.536K}
- {model: d, n: 2, d: 8, params: 1.53K}
- {model: e, n: 2, d: 8, params: "1,537"}
""")
    assert [each.verdict for each in found.values()] == [REPRODUCES] * 3 + [DIFFERS] * 2
    assert found["d/params"].residual == "-0.006K" and "cut off" in found["d/params"].why
    assert found["e/params"].computed == "1536" and "+0.0651 %" in found["e/params"].why


def test_rounded_inputs_allow_what_their_digits_allow() -> None:
    text = """
columns: {flops: {equals: 6*params*tokens}}
rows: [{params: 67B, tokens: 1.5T, flops: FLOPS}]
"""
    for flops, verdict in (("6.0e23", REPRODUCES), ("5.8e23", REPRODUCES), ("5.76e23", INCONSISTENT)):
        (found,) = verdicts(text.replace("FLOPS", flops)).values()
        assert found.verdict == verdict
    # by hand: 6 * 66.5e9 * 1.45e12 = 5.7855e23 is the least that is printed so
    assert "params, tokens as printed allow 5.7855e+23 to 6.2775e+23" in found.why


def test_integers_are_exact_unless_the_file_says_that_they_are_rounded() -> None:
    text = "columns: {x: {equals: n*2}}\nrows: [{n: 10, x: 20.4}]\n"
    assert verdicts(text)["10/x"].verdict == DIFFERS
    assert verdicts(text + "rounded: [n]\n")["10/x"].verdict == REPRODUCES
    assert verdicts("columns: {x: {equals: n*2}}\nrows: [{n: 10.2, x: 20.45}]\n")["10.2/x"].verdict == REPRODUCES
    exact = "columns: {x: {equals: n*2}}\nexact: [n]\nrows: [{n: 10.2, x: 20.45}]\n"
    assert verdicts(exact)["10.2/x"].verdict == DIFFERS


def test_zeros_that_fill_up_are_digits_unless_the_column_says_how_many_count() -> None:
    text = "columns: {days: {equals: 29630*n}}\nrows: [{n: 1, days: 29600}]\n"
    assert verdicts(text)["1/days"].verdict == DIFFERS
    assert verdicts(text.replace("29630*n", '29630*n, digits: "3"'))["1/days"].verdict == REPRODUCES


def test_another_reading_another_unit_and_another_convention_are_named() -> None:
    named = verdicts("columns: {x: {equals: 3*n, under: {two of them: 2*n}}}\nrows: [{n: 5, x: 10}, {n: 6, x: 19}]\n")
    assert (named["5/x"].verdict, named["5/x"].convention) == (ANOTHER, "two of them")
    assert named["6/x"].verdict == DIFFERS
    unit = verdicts("columns: {size: {equals: 2*n}}\nrows: [{n: 1073741824, size: 2.00GB}]\n")
    assert unit["1073741824/size"].convention == "GB = 2**30 bytes"
    macs = verdicts("""
convention: torch
models: {model: {named_by: name}}
sizes: {n_seq: 197}
columns: {gflops: {equals: model.forward, unit: G}}
rows: [{name: vit-b-16, gflops: 17.56}, {name: vit-b-16, gflops: 35.13}]
""")
    first, second = macs.values()
    assert (first.verdict, first.convention) == (ANOTHER, "macs") and second.verdict == REPRODUCES


def test_an_unknown_convention_is_found_from_all_rows() -> None:
    counted = [architecture(name).flops(1, 1024, "chinchilla", "training").expr / 1024 for name in ("gpt2", "gpt2-xl")]
    rows = "\n".join(f"- {{name: {name}, C: {int(c)}}}" for name, c in zip(("gpt2", "gpt2-xl"), counted, strict=True))
    text = (
        "models: {model: {named_by: name}}\nsizes: {n_seq: 1024}\ncolumns: {C: {equals: model.C_training}}\n"
        f"rows:\n{rows}\n"
    )
    found = verdicts(text)
    assert {(each.verdict, each.convention) for each in found.values()} == {(REPRODUCES, "chinchilla")}
    assert all("states none" in each.why for each in found.values())


def test_what_is_missing_is_named() -> None:
    found = verdicts("""
missing: {vocab: the model card says 32000}
columns: {params: {equals: vocab*d}, tokens: {equals: steps*batch}}
rows: [{d: 8, params: 256K, tokens: 1M, steps: 10}, {d: 9, params: many, tokens: 1M, steps: 10, batch: 100000}]
""")
    first = found["8/params"]
    assert first.verdict == UNCHECKED and "vocab" in first.why and "model card" in first.why
    assert found["8/tokens"].verdict == UNCHECKED and "batch" in found["8/tokens"].why
    assert "no single figure" in found["9/params"].why and found["9/tokens"].verdict == REPRODUCES


def test_figures_that_nothing_speaks_of_are_unchecked() -> None:
    found = verdicts("columns: {x: {equals: 2*n}}\nrows: [{model: a, n: 5, x: 10, lr: 3e-4}]\n")
    assert found["a/lr"].verdict == UNCHECKED and "a/n" not in found


def test_relations_hold_rows_together() -> None:
    text = """
relations: ['n_head*d_head = d_model']
rows: [{n_head: 24, d_head: 128, d_model: 3072}, {n_head: 24, d_head: 128, d_model: 2048}]
"""
    assert [each.verdict for each in verdicts(text).values()] == [REPRODUCES, INCONSISTENT]


def test_sums_over_the_other_rows() -> None:
    text = "rows: [{m: a, h: 1.46}, {m: b, h: 7.0}, {m: c, h: 30.84}, {m: total, h: HOURS, equals: {h: others.h}}]\n"
    assert verdicts(text.replace("HOURS", "39.3"))["total/h"].verdict == REPRODUCES
    assert verdicts(text.replace("HOURS", "39.5"))["total/h"].verdict == INCONSISTENT


FORMULA = """
convention: kaplan
models: {model: {network: kaplan2020, sizes: {n_seq: n_ctx}}}
notation: {L: n_layer, d: d_model}
formulas:
  N: {states: FORMULA, equals: model.N, where: {d_attn: d, d_ff: 4*d}}
rows: [{x: 1}]
"""


def test_formulas_are_proved_and_their_residual_is_factored() -> None:
    proved = verdicts(FORMULA.replace("FORMULA", "12*L*d**2"))["N"]
    assert proved.verdict == REPRODUCES and "proved" in proved.why and not proved.residual
    wrong = verdicts(FORMULA.replace("FORMULA", "12*L*d**2 + 13*L*d"))["N"]
    assert (wrong.verdict, wrong.residual) == (DIFFERS, "13*d_model*n_layer")
    assert verdicts(FORMULA.replace("FORMULA", "12*L*d**2*x"))["N"].verdict == UNCHECKED


def test_a_formula_of_another_convention_is_named() -> None:
    text = FORMULA.replace("FORMULA", "2*N_ + 4*L*n_ctx*d + 4*d*n_vocab*0").replace(
        "equals: model.N", "equals: model.C_forward"
    )
    found = verdicts(text.replace("formulas:", "sizes: {N_: 12*L*d**2}\nformulas:"))["N"]
    assert found.verdict == DIFFERS and "n_vocab" not in found.residual
    dense = text.replace("4*d*n_vocab*0", "2*d*n_vocab").replace("formulas:", "sizes: {N_: 12*L*d**2}\nformulas:")
    named = verdicts(dense)["N"]
    assert (named.verdict, named.convention) == (ANOTHER, "megatron")


ERRATUM = """
columns: {x: {equals: 2*n}}
rows: [{n: 5, x: PRINTED}]
errata: [{cell: 5/x, printed: "12", should_read: "SHOULD", why: a slip of the pen}]
"""


@pytest.mark.parametrize(
    ("printed", "should", "fails", "said"),
    [
        ("12", "10", False, "a slip of the pen"),
        ("10", "10", True, "take it out"),
        ("13", "10", True, "not of this"),
        ("12", "11", True, "does not either"),
    ],
)
def test_errata_hold_for_what_was_printed_and_what_should_be(printed: str, should: str, fails: bool, said: str) -> None:
    report = verify(read_text(HEAD + ERRATUM.replace("PRINTED", printed).replace("SHOULD", should)))
    (found,) = report.verdicts
    assert found.fails == fails == (not report.holds) and said in found.why


def test_a_declared_erratum_that_reproduces_fails() -> None:
    text = ERRATUM.replace("PRINTED", "12").replace("SHOULD", "12").replace("2*n", "2*n + 2")
    (found,) = verify(read_text(HEAD + text)).verdicts
    assert found.verdict == REPRODUCES and found.fails and "take it out" in found.why


def test_an_erratum_of_no_cell_is_bad_input() -> None:
    with pytest.raises(ValueError, match="no cell with a verdict"):
        verify(read_text(HEAD + ERRATUM.replace("PRINTED", "12").replace("SHOULD", "10").replace("5/x", "6/x")))


def test_all_failing_cells_are_reported_at_once_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(HEAD + "columns: {x: {equals: 2*n}}\nrows: [{n: 5, x: 11}, {n: 6, x: 12}, {n: 7, x: 15}]\n")
    assert run(["verify", str(file), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    keys = ["source", "table", "cell", "printed", "computed", "verdict", "convention", "residual", "why"]
    assert all(list(each) == keys for each in printed)
    assert [each["verdict"] for each in printed] == [DIFFERS, REPRODUCES, DIFFERS]
    file.write_text(file.read_text().replace("x: 11", "x: 10").replace("x: 15", "x: 14"))
    assert run(["verify", str(file)]) == 0
    for form in ("markdown", "latex", "html", "json"):
        assert run(["verify", str(file), "--format", form]) == 0


def test_a_formula_that_defines_itself_has_no_value() -> None:
    found = verdicts("sizes: {a: b + 1, b: a + 1}\ncolumns: {x: {equals: a*n}}\nrows: [{n: 5, x: 11}]\n")
    assert found["5/x"].verdict == UNCHECKED and "itself" in found["5/x"].why


def test_faults_are_caught_where_a_claim_speaks() -> None:
    table: Table = read_text(HEAD + "columns: {x: {equals: 2*n}}\nrows: [{m: a, n: 5, x: 10, lr: 3e-4}]\n")
    found = plant(table)
    assert [(fault.cell, fault.caught) for fault in found if fault.spoken] == [
        ("a/n", True),
        ("a/x", True),
        ("a/x", True),
    ]
    assert not any(fault.caught for fault in found if not fault.spoken)
    declared = replace(table, rows=(replace(table.rows[0], cells={**table.rows[0].cells, "x": "11"}),))
    assert not any(fault.caught for fault in plant(declared) if fault.cell == "a/lr")


def test_errata_of_formulas_and_of_other_readings() -> None:
    text = FORMULA.replace("FORMULA", "11*L*d**2") + (
        "errata: [{cell: N, printed: 11*L*d**2, should_read: SHOULD, why: a slip}]\n"
    )
    assert not verdicts(text.replace("SHOULD", "12*L*d**2"))["N"].fails
    assert verdicts(text.replace("SHOULD", "13*L*d**2"))["N"].fails
    another = """
columns: {x: {equals: 3*n, under: {two of them: 2*n}}}
rows: [{n: 5, x: 10}]
errata: [{cell: 5/x, printed: "10", why: two are meant}]
"""
    found = verdicts(another)["5/x"]
    assert found.verdict == ANOTHER and found.declared and not found.fails
