"""Kaplan et al. 2020 beside Table 1: what the constants of the fits say of each other; each mistake by numbers."""

from __future__ import annotations

import pytest

from derivations import _kaplan2020_fits, kaplan2020
from symflops.claims.faults import plant
from symflops.claims.verifying import shipped, verify
from symflops.notation import d_attn, d_ff, d_model, n_layer

PF_DAY = 10**15 * 86400


def test_the_worked_numbers_have_the_verdicts_that_the_file_declares() -> None:
    report = verify("kaplan2020_examples")
    assert report.holds and report.counts()["reproduces"] >= 14 and report.counts()["inconsistent"] == 2
    faults = [fault for fault in plant(shipped()["kaplan2020_examples"]) if fault.spoken]
    assert sum(fault.caught for fault in faults) / len(faults) >= 0.7


def test_no_exponents_printed_as_those_of_the_fits_give_what_equation_6_4_prints() -> None:
    most = 1 / (1 / 0.765 + 1 / 0.215 + 1 / 0.0775)
    assert most < 0.0535 and 0.0515 < 1 / (1 / 0.76 + 1 / 0.21 + 1 / 0.077) < 0.0525
    assert _kaplan2020_fits.predicted_alpha() == pytest.approx(1 / (1 / 0.76 + 1 / 0.21 + 1 / 0.077))


def test_equation_6_7_prints_twice_the_tokens_that_it_states() -> None:
    assert 2 * PF_DAY / (6 * 1.35e9) > 2.1e10 and 2 * PF_DAY / (6 * 1.25e9) < 2.4e10 < 3.5e10


def test_the_constants_of_table_6_make_a_pf_day() -> None:
    assert 6 * 1.25e9 * 1.95e6 * 5.35e3 < PF_DAY < 6 * 1.35e9 * 2.05e6 * 5.45e3
    assert pytest.approx(1) == 0.73 + 0.24 + 0.03


@pytest.mark.parametrize("row", ["Table 6", "equation 6.7 with N of Table 6"])
def test_at_the_crossing_both_fits_have_the_same_loss(row: str) -> None:
    compute = _kaplan2020_fits.crossing(row)
    tokens = {"Table 6": 2e10 * compute**0.27}.get(row, 4e10 * compute**0.26)
    assert (3.1e8 / compute) ** 0.05 == pytest.approx((5.4e13 / tokens) ** 0.095)


def test_the_shapes_of_the_loss_within_three_percent_differ_in_size_by_ten() -> None:
    n = kaplan2020.derive().N.subs({d_attn: d_model, d_ff: 4 * d_model})
    large, flat = (int(n.subs({n_layer: layers, d_model: width})) for layers, width in ((48, 1600), (6, 4288)))
    assert (large, flat) == (12 * 48 * 1600**2, 12 * 6 * 4288**2) and 0.10 < 1 - flat / large < 0.11


def test_only_the_paper_s_own_convention_has_the_paper_s_sections() -> None:
    assert kaplan2020.derive().sections and not kaplan2020.derive("torch").sections
