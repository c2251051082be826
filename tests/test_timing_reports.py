"""A record's page has every kernel, law, fit and note, in every format."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_timing_predicting import LARGE, MODEL, PEAK, SMALL, record, samples

from symflops.render import render_document
from symflops.timing.predicting import calibrate, predict
from symflops.timing.reports import predicted, report
from symflops.training.hardware import device

TIMED = replace(record(samples((*SMALL, *LARGE), None)), notes=("clocks: 1980 MHz",), versions={"torch": "2.9"})


def test_the_figures_are_those_of_the_samples() -> None:
    page = report(TIMED, device("h100"))
    for row, sample in zip(page.data["samples"], TIMED.samples, strict=True):
        assert row["flops_per_second"] == sample.flops / sample.median
        assert row["of_data_sheet"] == pytest.approx(sample.flops / sample.median / 989e12, rel=1e-3)
        assert row["of_measured_peak"] <= 1
    bounds = {(row["operation"], row["bound"]) for row in page.data["samples"]}
    assert ("act", "memory") in bounds and ("Feedforward/up", "compute") in bounds and ("act", "compute") not in bounds
    json.dumps(page.data)


@pytest.mark.parametrize("form", ["text", "markdown", "html", "latex", "json"])
def test_it_prints_in_every_format(form: str) -> None:
    found = calibrate(TIMED, MODEL.network)
    for page in (report(TIMED, None, found), predicted(predict(found, MODEL, n_batch=1, n_seq=64), "H100")):
        assert len(render_document(page, form)) > 1000


def test_the_page_names_laws_fits_and_notes() -> None:
    said = render_document(report(TIMED, None, calibrate(TIMED, MODEL.network)), "text")
    for words in ("clocks: 1980 MHz", "torch", "backward-over-forward", "quadratic", "holds", "median error"):
        assert words in said
    [matmul] = [
        each
        for each in report(TIMED, None, calibrate(TIMED, MODEL.network)).data["calibration"]["fits"]
        if (each["kind"], each["phase"]) == ("matmul", "forward")
    ]
    assert matmul["peak"]["low"] <= PEAK <= matmul["peak"]["high"]
