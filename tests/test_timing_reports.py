"""A record's page has every kernel, law, fit and note, in every format."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
from test_timing_predicting import LARGE, MODEL, PEAK, SMALL, record, samples

from symflops.render import render_document
from symflops.timing.calibrating import Calibration, calibrate
from symflops.timing.predicting import predict
from symflops.timing.reports import predicted, report
from symflops.timing.rows import Shown, rooflines
from symflops.timing.subjects import subject

TIMED = replace(record(samples((*SMALL, *LARGE), None)), notes=("clocks: 1980 MHz",), versions={"torch": "2.9"})


@cache
def fitted() -> Calibration:
    return calibrate(TIMED)


def test_the_figures_are_those_of_the_samples() -> None:
    page = report(Shown(replace(TIMED, device="NVIDIA H100 80GB HBM3")))
    for row, sample in zip(page.data["rows"], TIMED.samples, strict=True):
        assert row["flops_per_second"] == sample.flops / sample.median
        assert row["of_sheet"] == pytest.approx(sample.flops / sample.median / 989e12, rel=1e-3)
        assert row["of_peak"] <= 1
    bounds = {(row["operation"], row["bound"]) for row in page.data["rows"]}
    assert ("act", "memory") in bounds and ("Feedforward/up", "compute") in bounds and ("act", "compute") not in bounds
    json.dumps(page.data)


@pytest.mark.parametrize("form", ["text", "markdown", "html", "latex", "json"])
def test_it_prints_in_every_format(form: str) -> None:
    found = fitted()
    for page in (
        report(Shown(TIMED, subject(MODEL), {"calibration": found.seconds, **rooflines(TIMED)}), found),
        predicted(predict(found, MODEL, n_batch=1, n_seq=64), "H100"),
    ):
        assert len(render_document(page, form)) > 1000


def test_the_page_names_laws_fits_and_notes() -> None:
    said = render_document(report(Shown(TIMED), fitted()), "text")
    for words in ("clocks: 1980 MHz", "torch", "backward-over-forward", "quadratic", "holds", "median error"):
        assert words in said
    [matmul] = [
        each
        for each in report(Shown(TIMED), fitted()).data["calibration"]["fits"]
        if (each["kernel"], each["phase"]) == ("matmul", "forward")
    ]
    assert matmul["peak"]["low"] <= PEAK <= matmul["peak"]["high"]


def test_a_record_shows_itself_in_a_notebook() -> None:
    page = Shown(TIMED)._repr_html_()
    assert "<table" in page and "Feedforward/up" in page


def test_a_busy_machine_is_noted() -> None:
    wide = replace(TIMED.samples[0], seconds=(1e-6, 5e-6, 9e-6))
    said = render_document(report(Shown(TIMED.with_sample(wide))), "text")
    assert "1 of 70 samples spread by more than 25%" in said.replace("\n  ", " ")
    assert "was the machine busy" not in render_document(report(Shown(TIMED)), "text")


def test_the_errors_of_predictions_stand_beside_each_other() -> None:
    """A planted calibration is off by what it was planted to be."""
    off = {"twice": lambda sample: 2 * sample.median, "right": lambda sample: sample.median}
    page = report(Shown(TIMED, None, off))
    assert page.data["errors"]["twice"]["median"] == pytest.approx(1)
    assert page.data["errors"]["right"] == {"median": 0, "most": 0, "worst": 0, "points": len(TIMED.samples)}
    assert page.data["rows"][0]["predicted"]["twice"] == 2 * TIMED.samples[0].median
