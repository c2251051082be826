"""Sweeps in files and on clusters: the same values everywhere, and no half-written file."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symflops.cli import run
from symflops.errors import SizeError, SymflopsError, UnknownName
from symflops.sweeping import Sweep, Swept, held, prepared, stream, sweep
from symflops.sweeping.parts import Part

OVER: dict[str, Any] = {"n_layer": "1:12", "d_model": "64:768:32", "n_head": [4, 12], "seq": [64, 1024]}
MEASURES = ("params", "C_training")
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def texts(found: Swept) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in found.rows()]


def test_a_csv_file_holds_what_a_sweep_in_memory_holds(tmp_path: Path) -> None:
    found = sweep("gpt2", OVER, MEASURES)
    written = stream(prepared("gpt2", OVER, MEASURES), tmp_path / "a.csv")
    assert read_csv(tmp_path / "a.csv") == texts(found)
    assert (written.points, written.dropped) == (len(found), found.dropped)
    found.to_csv(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_fractions_and_large_integers_are_exact_in_csv(tmp_path: Path) -> None:
    over = {
        "device": "a100,h100",
        "tokens": "15e12",
        "count": [7, 1000],
        "mfu": "0.3",
        "batch": [1, 10**15],
        "seq": 8192,
    }
    found = prepared("llama3-8b", over, ["days", "C_training"])
    stream(found, tmp_path / "a.csv")
    for row, own in zip(read_csv(tmp_path / "a.csv"), held(found).rows(), strict=True):
        assert Fraction(row["days"]) == own["days"] and int(row["C_training"]) == own["C_training"]
        assert Fraction(row["mfu"]) == Fraction(3, 10)


@needs_pyarrow
def test_parquet_has_a_type_that_holds_every_value(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    over = {
        "device": "a100,h100",
        "tokens": "15e12",
        "count": [7, 1000],
        "mfu": "0.3",
        "batch": [1, 10**15],
        "seq": 8192,
    }
    found = prepared("llama3-8b", over, ["params", "days", "C_training"])
    stream(found, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "device": "string", "tokens": "int64", "count": "int64", "mfu": "string", "batch": "int64", "seq": "int64",
        "params": "int64", "days": "string", "C_training": "decimal128(38, 0)",
    }  # fmt: skip
    own = held(found)
    assert [int(each) for each in table["C_training"].to_pylist()] == own.columns["C_training"].tolist()
    assert [Fraction(each) for each in table["days"].to_pylist()] == own.columns["days"].tolist()
    assert table.schema.field("params").metadata == {b"unit": b"parameters", b"meaning": b"all parameters, each once"}
    stream(prepared("llama3-8b", over, ["days"], numbers="float64"), tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet")["days"].to_pylist() == [
        float(each) for each in own.columns["days"]
    ]
    stream(prepared("gpt2", {"batch": [10**40]}, ["C_forward"]), tmp_path / "c.parquet")
    assert parquet.read_table(tmp_path / "c.parquet")["batch"].to_pylist() == [str(10**40)]


@needs_pyarrow
def test_many_parts_make_one_parquet_file(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    over = {"n_layer": "1:200", "d_model": "128:6400:128", "seq": "128:12800:128"}
    written = stream(prepared("llama3-8b", over, MEASURES), tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    own = sweep("llama3-8b", over, MEASURES)
    assert written.points == table.num_rows == 10**6
    assert all((table[name].to_numpy() == values).all() for name, values in own.columns.items())


def broken(of: Sweep, after: int) -> Iterator[Part]:
    """A sweep that is interrupted."""
    for number, part in enumerate(of.parts()):
        if number == after:
            raise KeyboardInterrupt
        yield part


@pytest.mark.parametrize("name", ["a.csv", pytest.param("a.parquet", marks=needs_pyarrow)])
def test_an_interrupted_sweep_leaves_the_file_as_it_was(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text("old")
    of = prepared("llama3-8b", {"n_layer": "1:400", "seq": "1:1000"}, MEASURES)
    monkeypatch.setattr("symflops.sweeping.swept.parts_of", lambda sweep, scheduler: _Always(broken(of, 2)))
    with pytest.raises(KeyboardInterrupt):
        stream(of, path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == [name]


class _Always:
    def __init__(self, parts: Iterator[Part]) -> None:
        self.parts = parts

    def __enter__(self) -> Iterator[Part]:
        return self.parts

    def __exit__(self, *_: object) -> None:
        return None


def test_files_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    of = prepared("gpt2", {"n_layer": [1, 2]}, MEASURES)
    for path, error, said in (
        (tmp_path / "a.xlsx", UnknownName, "kind of file"),
        (tmp_path / "none" / "a.csv", SymflopsError, "no such folder"),
        (tmp_path, UnknownName, "kind of file"),
    ):
        with pytest.raises(error, match=said):
            stream(of, path)
    with pytest.raises(SizeError, match="no point of the grid is left"):
        stream(prepared("gpt2", {"d_model": [769, 770], "n_head": [12]}, MEASURES), tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def test_a_grid_that_does_not_fit_in_memory_is_refused() -> None:
    with pytest.raises(SizeError, match="200,000,000 points, more than the 20,000,000"):
        held(prepared("gpt2", {"n_layer": "1:20000", "seq": "1:10000"}, MEASURES))


def test_the_frame_and_the_table_of_a_notebook() -> None:
    pandas = pytest.importorskip("pandas")
    found = sweep("gpt2", OVER, MEASURES)
    frame = found.frame()
    assert isinstance(frame, pandas.DataFrame) and frame["params"].dtype == np.int64
    assert frame.to_dict("records") == found.rows()
    assert found._repr_html_().count("<tr>") == 21 and "params (parameters)" in found._repr_html_()


@needs_dask
def test_a_cluster_of_two_processes_gives_the_same(tmp_path: Path) -> None:
    from distributed import LocalCluster

    of = prepared(
        "gpt2", {**OVER, "batch": [*range(1, 400), 10**15]}, ["params", "C_training"], where=["d_model % 64 == 0"]
    )
    assert sum(1 for _ in of.grid.chunks()) > 2
    own = held(of)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        there = held(of, cluster.scheduler_address)
        stream(of, tmp_path / "there.csv", cluster.scheduler_address)
    stream(of, tmp_path / "here.csv")
    assert own.dropped == there.dropped and own.columns.keys() == there.columns.keys()
    for name, values in own.columns.items():
        assert values.dtype == there.columns[name].dtype and (values == there.columns[name]).all()
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


@needs_dask
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symflops.sweeping.clusters._PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(SymflopsError, match="does not answer") as caught:
            sweep("gpt2", {"n_layer": [1]}, scheduler=address)
        assert "\n" not in str(caught.value)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "gpt2", "--over", "n_layer=12,24", "--over", "d_model=768:1024:64", "--measure", "params,N"]
    assert run(arguments) == 0
    assert "dropped: 6 points, not d_head = d_model/12 is whole" in capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["points"], said["dropped"], said["rows"][0]["params"]) == (
        4,
        {"d_head = d_model/12 is whole": 6},
        124439808,
    )
    assert run([*arguments, "--out", str(tmp_path / "a.csv")]) == 0
    assert capsys.readouterr().out.startswith(f"4 points written to {tmp_path / 'a.csv'}")
    assert run(["sweep", "--list"]) == 0
    assert "saved_bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "nothing varies"),
        (["--over", "n_layer"], "--over takes name=values"),
        (["--over", "n_layer=1", "--over", "n_layer=2"], "--over takes name=values"),
        (["--over", "n_layr=1"], "did you mean 'n_layer'"),
        (["--over", "n_layer=1", "--measure", "parms"], "did you mean 'params'"),
        (["--over", "n_layer=1", "--unfit", "maybe"], "unknown choice of unfit"),
        (["--over", "n_layer=1", "--numbers", "float32"], "unknown choice of numbers"),
        (["--over", "n_layer=1", "--where", "n_layer"], "no condition"),
        (["--over", "n_layer=1", "--where", "sqrt(n_layer) > 1"], "cannot compute"),
        (["--over", "n_layer=1,2", "--zip", "n_layer,seq"], "unknown name to zip"),
        (["--over", "n_layer=1,2", "--over", "seq=1", "--zip", "n_layer,seq"], "zipped lists are of one length"),
        (["--over", "n_layer=1", "--out", "a.txt"], "unknown kind of file"),
        (["--over", "n_layer=1:20000", "--json"], "write them with --out"),
        (["--over", "n_layer=1", "--dtype", "fp77"], "unknown number format"),
    ],
)
def test_bad_input_on_the_command_line(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "gpt2", *more]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_importing_sweeps_imports_no_pandas_pyarrow_or_dask() -> None:
    code = (
        "import sys; from symflops.cli import run; run(['sweep', 'gpt2', '--over', 'n_layer=1,2']);"
        "assert not {'torch', 'pandas', 'pyarrow', 'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
