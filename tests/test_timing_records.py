"""The records that are shipped: what they say follows from their samples, and how far off predictions are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from symflops.cli import run
from symflops.timing.accuracy import STEP, errors, summary
from symflops.timing.calibrating import calibrate
from symflops.timing.predicting import accuracy
from symflops.timing.recognised import CAUSAL
from symflops.timing.records import Record
from symflops.timing.rows import peers, rooflines
from symflops.timing.samples import PHASES, WHOLE

FOLDER = Path(__file__).parent.parent / "benchmarks" / "records"
NAMES = sorted(path.name.removesuffix("-grid.json") for path in FOLDER.glob("*-grid.json"))
KINDS = ("matmul", "attention", "moves")


@pytest.fixture(params=NAMES, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def grid(name: str) -> Record:
    return Record.read(FOLDER / f"{name}-grid.json")


@pytest.fixture(scope="module")
def other(name: str) -> Record:
    return Record.read(FOLDER / f"{name}-other.json")


@pytest.fixture(scope="module")
def said(grid: Record, other: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(summary(grid, other)))
    return found


def test_there_is_a_record() -> None:
    assert NAMES


def test_a_record_says_what_it_takes_to_measure_again(grid: Record, other: Record) -> None:
    for record in (grid, other):
        assert record.device and record.versions["torch"] and record.date[:2] == "20"
        assert any("compared with float64" in note for note in record.notes)
        assert {len(each.seconds) for each in record.samples} >= {15}


def test_the_closed_forms_are_those_of_the_products(grid: Record, other: Record) -> None:
    """Counted from the shapes that ran: 2 for each multiply-accumulate, of causal cores on and below the diagonal."""
    seen = 0
    for each in (*grid.samples, *other.samples):
        volume = sum(one.batch * one.rows * one.columns * one.depth for one in each.products)
        if each.is_core:
            [of] = each.products
            pairs = sum(min(row + 1, of.columns) for row in range(of.rows)) if each.kernel.endswith(CAUSAL) else None
            volume = volume if pairs is None else of.batch * pairs * of.depth
            volume *= 2 if each.phase == "forward" else 5
        if each.operation not in WHOLE:
            assert each.flops == 2 * volume, each.key
            seen += each.flops > 0
    assert seen > 100


def test_no_shape_that_judges_was_calibrated_on(grid: Record, other: Record) -> None:
    known = {(each.products, each.phase) for each in grid.samples if each.products}
    new = [each for each in other.samples if each.products and (each.products, each.phase) not in known]
    assert len(new) > 0.9 * sum(bool(each.products) for each in other.samples if each.operation not in WHOLE)


def test_the_page_of_figures_is_what_the_samples_say(name: str, said: dict[str, Any]) -> None:
    written = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert written.keys() == said.keys()
    for who, kinds in said["errors"].items():
        for kind, found in kinds.items():
            assert written["errors"][who][kind] == pytest.approx(found, rel=1e-6), (who, kind)
    for one, two in zip(written["modules"], said["modules"], strict=True):
        assert one["part"] == two["part"] and one["off"] == pytest.approx(two["off"], rel=1e-6)


def test_a_calibration_is_nearer_than_the_rooflines_and_pytorchs_estimator(other: Record, said: dict[str, Any]) -> None:
    others = {*rooflines(other), *peers(other)}
    assert "RuntimeEstimator" in others and len(others) >= 2
    for kind in KINDS:
        off = {who: said["errors"][who][kind]["median"] for who in ("calibration", *others)}
        assert min(off, key=lambda who: off[who]) == "calibration", (kind, off)


def test_layers_and_steps_are_nearer_too(said: dict[str, Any]) -> None:
    for each in said["modules"]:
        if each["part"] == STEP or each["part"].startswith("layer"):
            off = {who: abs(share) for who, share in each["off"].items()}
            assert min(off, key=lambda who: off[who]) == "calibration", each


def test_predictions_are_as_near_as_the_page_says(grid: Record, other: Record) -> None:
    """Generous: a device that others use. A calibration of times that are half as long again is found out."""
    bounds = {"matmul": 0.15, "attention": 0.25, "moves": 0.3}
    slower = replace(
        grid,
        samples=tuple(replace(each, seconds=tuple(1.5 * one for one in each.seconds)) for each in grid.samples),
    )
    right, wrong = (errors(other, calibrate(each).seconds) for each in (grid, slower))
    for kind, most in bounds.items():
        assert right[kind]["median"] < most < wrong[kind]["median"] + most / 2, kind
        assert wrong[kind]["median"] > 1.5 * right[kind]["median"], kind


def test_a_calibration_fits_its_own_samples(grid: Record) -> None:
    single = [each for each in grid.samples if each.operation not in WHOLE and each.flops]
    assert accuracy(single, calibrate(grid).seconds).median < 0.15


def test_matmuls_and_flash_attention_obey_backward_over_forward(said: dict[str, Any]) -> None:
    found = [each for each in said["laws"] if each["law"] == "backward-over-forward"]
    matmuls = [each for each in found if each["expected"] == pytest.approx(2, rel=1e-6)]
    cores = [each for each in found if each["expected"] == pytest.approx(2.5, rel=1e-6)]
    assert len(matmuls) >= 8 and cores
    assert all(each["verdict"] in ("holds", "undecided", "launch bound") for each in matmuls + cores)
    assert sum(each["verdict"] == "holds" for each in matmuls) >= len(matmuls) / 2


@pytest.mark.parametrize("phase", PHASES)
def test_attention_takes_the_square_of_the_length(said: dict[str, Any], phase: str) -> None:
    [found] = [
        each
        for each in said["laws"]
        if each["law"] == "quadratic" and each["subject"].endswith(f"core, flash, {phase} in n_seq")
    ]
    assert found["expected"] == pytest.approx(2, abs=0.01)
    assert found["estimate"]["value"] == pytest.approx(2, abs=0.35)


def test_the_command_shows_a_record_beside_a_calibration(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(FOLDER / f"{name}-{part}.json") for part in ("other", "grid")]
    assert run(["time", "--record", files[0], "--calibration", files[1]]) == 0
    page = capsys.readouterr().out
    assert all(words in page for words in ("RuntimeEstimator", "median error", "backward-over-forward", "Fits"))
