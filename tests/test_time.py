"""Kernels timed: times grow as closed forms say, records, the command, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from timed_models import ARGUMENTS, CPU, SMALL, only, small

from symflops.architectures import architecture
from symflops.cli import run as command
from symflops.errors import SymflopsError, UnknownName
from symflops.timing.records import Record
from symflops.timing.rows import Shown
from symflops.timing.samples import Sample
from symflops.timing.subjects import subject
from symflops.timing.tasks import Task, named, tasks
from symflops.tracing.timing import points, running
from symflops.tracing.timing.clock import seconds
from symflops.tracing.timing.inputs import drawn, needed, refuse
from symflops.tracing.timing.kernels import kernels
from symflops.tracing.timing.places import Place, place

GRID = str(next((Path(__file__).parent.parent / "benchmarks" / "records").glob("*-fp32-grid.json")))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take a time slice each, whatever they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_matmul_at_doubled_sizes_takes_longer_as_its_closed_form_says() -> None:
    """Judged on ratios of the fastest runs, generously: 8 times the FLOPs take between 3 and 20 times as long."""
    gpt2 = architecture("gpt2")
    at = [only(gpt2.with_sizes(d_model=size, n_head=4), "up", 1, size) for size in (256, 512)]
    assert at[1].flops("forward") == 8 * at[0].flops("forward")
    for phase in ("forward", "backward"):
        times = [min(seconds(task, kernels(task, "cpu")[0], phase, CPU, 15)) for task in at]  # type: ignore[arg-type]
        assert 3 < times[1] / times[0] < 20


def test_bytes_are_those_of_the_tensors_that_are_there() -> None:
    for name in ("up", "norm_final", "act", "core"):
        task = only(small("gpt2"), name, 2, 16)
        operands = drawn(task, CPU)
        result = kernels(task, "cpu")[0](*operands)
        assert task.bytes("forward", CPU.element) == sum(each.nbytes for each in (*operands, result))
    token = only(small("gpt2"), "token", 2, 16)
    index = drawn(token, CPU)[1]
    assert token.bytes("forward", CPU.element) == index.nbytes + 2 * (2 * 16 * 32 * 4)


def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = only(architecture("gpt2"), "logits", 10**6, 1024)
    assert needed(huge, CPU) > 10**13
    with pytest.raises(SymflopsError, match=r"logits takes .* GB to time, and cpu has .*--batch"):
        refuse(huge, CPU)
    monkeypatch.setattr(running, "drawn", lambda *_: pytest.fail("allocated"))
    with pytest.raises(SymflopsError, match="GB"):
        points.timed([points.Point(architecture("gpt2"), 10**6, 1024)], CPU, points.Often(2))


def test_a_point_that_does_not_fit_is_left_out_where_others_do() -> None:
    at = [points.Point(small("gpt2"), batch, 8, ("up",)) for batch in (1, 10**9)]
    record = points.timed(at, CPU, points.Often(1))
    assert {each.sizes["n_batch"] for each in record.samples if each.operation == "Feedforward/up"} == {1}
    assert any("Feedforward/up takes" in note and "GB to time" in note for note in record.notes)


def test_a_point_that_finds_no_memory_is_noted_where_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = running.seconds

    def full(task: Task, *rest: object) -> tuple[float, ...]:
        if task.symbols["n_seq"] == 16:
            raise torch.OutOfMemoryError("out of memory")
        return real(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "seconds", full)
    at = [points.Point(small("gpt2"), 1, length, ("up",)) for length in (8, 16)]
    record = points.timed(at, CPU, points.Often(1))
    assert {each.sizes["n_seq"] for each in record.samples if each.operation == "Feedforward/up"} == {8}
    assert "gpt2, 1 x 16 tokens was left out: Feedforward/up found no memory on cpu: out of memory" in record.notes
    with pytest.raises(SymflopsError, match="found no memory"):
        points.timed(at[1:], CPU, points.Often(1))


def test_names_are_paths_last_parts_and_roles() -> None:
    every = tasks(small("gpt2"), 1, 8)
    assert {task.path for task in named(every, ["norm", "Feedforward/up"])} == {
        "norm_attention", "norm_feedforward", "norm_final", "Feedforward/up",
    }  # fmt: skip
    with pytest.raises(UnknownName, match="unknown operation 'upp'"):
        named(every, ["upp"])


def test_an_interrupted_run_keeps_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place_of = tmp_path / "record.json"
    real, seen = running.checked, []

    def third_is_interrupted(task: Task, *rest: object) -> None:
        seen.append(task.path)
        if len(seen) == 3:
            raise KeyboardInterrupt
        real(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "checked", third_is_interrupted)
    assert command(["time", "--model", "gpt2", *ARGUMENTS, "--out", str(place_of)]) == 2
    kept, said = Record.read(place_of), capsys.readouterr()
    assert {each.operation for each in kept.samples} - {"peak matmul", "peak copy"} == set(seen[:2])
    assert said.err == "interrupted after 2 of 16 operations\n" and "Embed/position" in said.out


def test_a_run_that_is_interrupted_before_anything_was_timed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(points, "measured", interrupted)
    assert command(["time", "--model", "gpt2", *ARGUMENTS]) == 2
    assert capsys.readouterr().err == "symflops: interrupted before anything was timed\n"


def test_the_command_reports_each_operation_and_writes_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    assert command(["time", "--model", "gpt2", *ARGUMENTS, "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    record = Record.read(out)
    assert len(found["rows"]) == len(record.samples) == 2 * 15 + 2 + 2  # the core's twin without a mask, and the peaks
    for row in found["rows"]:
        assert row["flops_per_second"] == pytest.approx(row["flops"] / row["seconds"])
    model = small("gpt2")
    assert found["totals"]["operations, forward"]["flops"] == int(model.flops(1, 8, "exact").expr)
    assert command(["time", "--model", "gpt2", *ARGUMENTS, "--operation", "up"]) == 0
    assert "Feedforward/up" in capsys.readouterr().out


def test_shares_and_bounds_are_against_the_best_seen() -> None:
    task = only(small("gpt2"), "up")
    flops, moved = task.flops("forward"), task.bytes("forward", CPU.element)
    up = Sample(task.path, "addmm", "forward", task.symbols, flops, moved, (1e-3,), task.products("forward"))
    peak = Sample("peak matmul", "mm", "forward", {"side": 1}, flops, moved, (5e-4,))
    copy = Sample("peak copy", "copy", "forward", {"bytes": 1}, 0, moved, (1e-6,))
    record = Record("AMD EPYC", {}, "2026-01-31", "fp32", (), (up, peak, copy))
    shown = Shown(record, subject(small("gpt2")))
    assert shown.rows[0]["of_peak"] == pytest.approx(0.5) and shown.rows[0]["bound"] == "compute"
    assert shown.rows[0]["of_roof"] == pytest.approx(0.5)
    assert shown.totals["operations, forward"]["seconds"] == pytest.approx(12e-3)
    slow = replace(copy, seconds=(1.0,))
    assert Shown(replace(record, samples=(up, peak, slow))).rows[0]["bound"] == "memory"


def test_a_whole_model_is_held_against_the_sum_of_its_operations(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["time", "--model", "gpt2", *ARGUMENTS, "--step", "--operation", "up", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {(row["operation"], row["phase"]): row for row in found["rows"]}
    model = small("gpt2")
    for phase in ("forward", "backward"):
        exact = model.flops(1, 8, "exact", phase=phase)  # type: ignore[arg-type]
        assert rows["whole model", phase]["flops"] == int(exact.expr)
    assert rows["optimizer step", "forward"]["bytes"] == 7 * 4 * model.params()
    step = found["totals"]["training step"]
    assert step["flops"] == int(model.flops(1, 8, "exact", phase="training").expr)
    whole = [row["seconds"] for (name, _), row in rows.items() if name in ("whole model", "optimizer step")]
    assert step["seconds"] == pytest.approx(sum(whole)) and len(whole) == 3
    lecture = 6 * 8 * model.params() / step["seconds"] / found["peaks"]["flops"]
    assert step["mfu_6ND"] == pytest.approx(lecture)
    one, two = (small("gpt2").with_sizes(n_layer=layers).flops(1, 8, "exact").expr for layers in (1, 2))
    assert rows["layer", "forward"]["flops"] == two - one


def test_a_grid_is_timed_at_every_point_that_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "record.json", tmp_path / "roof.svg"
    grid = ["--grid", "seq=8,16", "--grid", "d_model=32:96:*2", "--grid", "n_head=4,5"]
    common = ["--model", "gpt2", "--set", "n_vocab=50", "--repeat", "1", "--operation", "up"]
    assert command(["time", *common, *grid, "--out", str(out), "--plot", str(picture)]) == 0
    sizes = {(each.sizes["n_seq"], each.sizes["d_model"]) for each in Record.read(out).samples if "d_ff" in each.sizes}
    assert sizes == {(seq, width) for seq in (8, 16) for width in (32, 64)}
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    capsys.readouterr()
    assert command(["time", "--record", str(out), "--calibration", str(out), "--json"]) == 2
    assert "too few to fit" in capsys.readouterr().err
    assert command(["time", "--record", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["rows"]) == len(Record.read(out).samples)


def test_a_whole_model_that_does_not_fit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "llama3-405b", "--seq", "8", "--repeat", "1", "--operation", "norm_final", "--step"]
    assert command(["time", *arguments]) == 2
    assert "a step of llama3-405b takes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs --model"),
        (["--operation", "up", "--grid", "seq"], "--grid is 'seq'"),
        (["--operation", "up", "--grid", "seq=1,2", "--grid", "seq=3"], "each size once"),
        (["--operation", "up", "--grid", "seq=0"], "seq"),
        (["--operation", "up", "--grid", "d_nothing=1"], "d_nothing"),
        (["--operation", "up", "--grid", "n_head=5,7"], "n_head"),
        (["--operation", "up", "--grid", "device=h100"], "--grid"),
        (["--operation", "up", "--plot", "roof.pdf"], "a picture is a .png or .svg"),
        (["--record", "/nowhere.json"], "cannot read /nowhere.json"),
        (["--record", "/nowhere.json", "--grid", "seq=1"], "leave them out"),
        (["--operation", "up", "--dtype", "bf16", "--calibration", GRID], "the calibration is of"),
        (["--operation", "up", "--calibration", "/nowhere.json"], "cannot read /nowhere.json"),
        (["--model", "gpt2", "--device", "tpu"], "unknown device to time on 'tpu'"),
        (["--model", "gpt2", "--device", "cuda:999"], "no device cuda:999"),
        (["--model", "gpt2", "--device", "cuda:x"], "unknown device to time on 'cuda:x'"),
        (["--model", "gpt2", "--dtype", "fp8"], "unknown number format to time"),
        (["--model", "gpt2", "--dtype", "bf61"], "unknown number format 'bf61'"),
        (["--model", "gpt2", "--operation", "qkw"], "unknown operation 'qkw'"),
        (["--model", "gpt2", "--repeat", "0"], "--repeat is '0'"),
        (["--model", "gpt2", "--repeat", "100000"], "at most 10000"),
        (["--model", "gpt2", "--batch", "1000000"], "GB to time"),
        (["--model", "gpt2", "--batch", "9" * 900], "at most"),
        (["--model", "gpt2", "--out", "/nowhere/record.json"], "--out is"),
        (["--model", "gpt9"], "unknown model 'gpt9'"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["time", *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("name", SMALL)
def test_every_kernel_of_a_gpu_equals_the_declaration(name: str, form: str) -> None:
    where: Place = place("cuda", form)
    record = points.timed([points.Point(small(name), 2, 64)], where, points.Often(3))
    assert len(record.samples) >= 28


@pytest.mark.gpu
def test_the_memory_that_a_gpu_takes_is_at_most_what_was_said() -> None:
    where = place("cuda", "bf16")
    for task in tasks(architecture("gpt2", "flash"), 2, 512):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        running.run(running.empty(where, 2), task, where, 2)
        assert torch.cuda.max_memory_allocated() - before <= needed(task, where), task.path


@pytest.mark.usefixtures("one_thread")
def test_flash_attention_backward_takes_longer_than_forward_where_there_is_work() -> None:
    task = only(architecture("gpt2", "flash"), "core", 1, 512)
    [kernel] = kernels(task, "cpu")
    measure = partial(seconds, task, kernel, where=CPU, repeat=9)
    assert 1 < min(measure("backward")) / min(measure("forward")) < 8


def test_rounds_add_runs_of_the_same_kernels() -> None:
    once, thrice = (points.timed([points.Point(small("gpt2"), 1, 8, ("up", "core"))], CPU, points.Often(2, rounds))
                    for rounds in (1, 3))  # fmt: skip
    assert [each.key for each in once.samples] == [each.key for each in thrice.samples]
    runs = {each.operation: len(each.seconds) for each in thrice.samples}
    assert runs["Feedforward/up"] == runs["Attention: Mask/core"] == 6 and runs["peak copy"] == 2


@pytest.mark.slow
def test_the_script_of_any_device_runs_through_on_a_processor(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "time_device.py"
    options = ["--device", "cpu", "--dtype", "fp32", "--grid", "tiny", "--repeat", "2", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["errors"]) == ["calibration", "roofline of the best seen", "RuntimeEstimator"]
    assert [each["part"] for each in found["modules"]][-1] == "training step"
    [picture] = tmp_path.glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = subprocess.run(
        [sys.executable, str(script), *options, "--judge"], capture_output=True, text=True, check=False
    )
    assert json.loads(again.stdout) == found
