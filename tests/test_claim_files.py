"""Claim files: what the schema lets through, and that anything else is one line that says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import derivations
from symflops.claims import ClaimFileError, Table, read, read_text, schema, shipped
from symflops.cli import run
from symflops.errors import SymflopsError

HEAD = "{id: toy, title: A toy, citation: {authors: A. Author, year: 2020}"
GOOD = HEAD + ", columns: {params: {equals: 12*n*d**2}}, rows: [{n: 2, d: 8, params: 1.5K}]}"


def test_every_scalar_is_the_text_that_was_printed() -> None:
    table = read_text(HEAD + ", rows: [{a: 1.10, b: 0o17, c: yes, d: 2020-01-02, e: 1_000, f: 1e5, g: null}]}")
    assert list(table.rows[0].cells.values()) == ["1.10", "0o17", "yes", "2020-01-02", "1_000", "1e5", "null"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not of type 'object'"),
        ("[1, 2]", "is not of type 'object'"),
        ("{id: toy", "is no YAML"),
        ("{a: &x [1], b: *x}", "alias"),
        ("{id: toy, id: toy}", "stands twice"),
        ("{? [1]: 2}", "no text"),
        ("{id: toy, title: A toy, rows: [{n: 2}]}", "'citation' is a required property"),
        (HEAD + "}", "'rows' is a required property"),
        (HEAD + ", rows: []}", "rows: []"),
        (HEAD + ", rows: [{}]}", "rows/0"),
        (HEAD + ", rows: [{n: [1]}]}", "rows/0/n"),
        (HEAD + ", rows: [{n: 1}], colums: {}}", "colums"),
        (HEAD + ", rows: [{n: 1}], columns: {n: {equal: 1}}}", "columns/n"),
        (HEAD + ", rows: [{n: 1}], columns: {m: {equals: n}}}", "no row has a column 'm'"),
        (HEAD + ", rows: [{n: 1}], columns: {n: {equals: 2*(3}}}", "a parenthesis is not closed"),
        (HEAD + ", rows: [{n: 1}], columns: {n: {equals: 2*k}}}", "'k' in '2*k' is no column"),
        (HEAD + ", rows: [{n: 1}], columns: {n: {equals: model.params}}}", "'model.params'"),
        (HEAD + ", models: {model: {family: gpt2}}, rows: [{n: 1}], columns: {n: {equals: model.parms}}}", "'params'"),
        (HEAD + ", rows: [{n: 1}], convention: kaplen}", "did you mean 'kaplan'"),
        (HEAD + ", rows: [{n: 1}], columns: {n: {digits: 0}}}", "columns/n/digits"),
        (HEAD + ", rows: [{n: 1}], relations: [n]}", "relations/0"),
        (HEAD + ", rows: [{n: 1}], sizes: {'a b': 1}}", "sizes"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line_that_says_where(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SymflopsError) as refused:
        read(file)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("arguments", [["nothing-like-it"], ["missing.yaml"], ["kaplan2021"], ["../derivations"], [""]])
def test_a_name_that_is_none_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("symflops: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin, huge, deep = tmp_path / "latin.yaml", tmp_path / "huge.yaml", tmp_path / "deep.yaml"
    latin.write_bytes(b"title: caf\xe9")
    huge.write_text("x" * 2_000_001)
    deep.write_text("[" * 3000)
    for file in (latin, huge, deep, tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ClaimFileError) as refused:
            read(file)
        assert "\n" not in str(refused.value)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for text in (
        f"!!python/object/apply:os.system ['touch {trap}']",
        HEAD + f", rows: [{{n: 1}}], sizes: {{k: \"__import__('os').system('touch {trap}')\"}}}}",
        HEAD + ", models: {model: {network: 'os/system'}}, columns: {n: {equals: model.params}}, rows: [{n: 1}]}",
        HEAD + ", models: {model: {named_by: n}}, columns: {m: {equals: model.params}}, rows: [{n: ../x.json, m: 1}]}",
    ):
        file = tmp_path / "trap.yaml"
        file.write_text(text)
        assert run(["verify", str(file)]) == 2 and not trap.exists()


@given(st.text(alphabet="{}[]:,-#&*!|>'\"%@ \nabcdn0123", max_size=60) | st.text(max_size=30))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    try:
        assert isinstance(read_text(text), Table)
    except SymflopsError as refused:
        assert "\n" not in str(refused).replace("\\n", "")


@pytest.mark.parametrize("name", list(shipped()))
def test_every_table_that_ships_fits_the_schema_and_cites_its_source(name: str) -> None:
    path = Path(derivations.__file__).parent / "tables" / f"{name}.yaml"
    assert read(path) == shipped()[name]
    assert shipped()[name].source in (*derivations.SOURCES, "")


def test_rows_are_named_by_as_few_cells_as_tell_them_apart() -> None:
    rows = "rows: [{model: A, dp: 1, n: 3}, {model: A, dp: 4, n: 3}, {model: B, dp: 4, n: 3}]}"
    assert [row.label for row in read_text(f"{HEAD}, {rows}").rows] == ["A 1", "A 4", "B 4"]
    assert [row.label for row in read_text(f"{HEAD}, label: [model], {rows}").rows] == ["A #1", "A #2", "B #3"]


def test_the_published_schema_is_a_schema_and_says_what_each_part_is() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema())
    described = [name for name, each in schema()["properties"].items() if "description" in each or name in ("title",)]
    assert len(described) >= len(schema()["properties"]) - 1
    assert json.dumps(schema())
