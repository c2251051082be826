"""Kaplan and Chinchilla reconciled, against a search over sizes with embeddings, a real module, and planted faults."""

from __future__ import annotations

from fractions import Fraction
from math import exp, log

import pytest

from derivations import pearce2024
from derivations.pearce2024 import BUDGET, EXPONENT, LARGEST, MIXED, SMALLEST, U, derive, fitted, local, omegas, secant
from symflops.claims.verifying import verify
from symflops.derivation import WrongStep
from symflops.training.scaling import at, law
from symflops.training.scaling_forms import ALPHA, BETA, N

FITS = {
    "besiroglu2024": (482.01, 2085.43, 0.3478, 0.3658),
    "chinchilla-3-unrounded": (406.401, 410.7228, 0.33917084, 0.2849083),
}
OMEGA = 47491


def searched(name: str, budget: float, total_budget: bool = False) -> float:
    """log N, without embeddings, of the least loss for a budget that leaves embeddings out or not; golden section."""
    a, b, alpha, beta = FITS[name]
    low, high, part = log(10.0), log(1e14), (5**0.5 - 1) / 2

    def loss(each: float) -> float:
        total = exp(each) + OMEGA * exp(each / 3)
        tokens = budget / 6 / (total if total_budget else exp(each))
        return float(a / total**alpha + b / tokens**beta)

    while high - low > 1e-9:
        left, right = high - part * (high - low), low + part * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return (low + high) / 2


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("size", ["1e4", "1e6", "3e7", "1.5e9", "1e11"])
def test_the_exponent_and_the_budget_are_what_a_search_finds(name: str, size: str) -> None:
    omega, n = Fraction(OMEGA), Fraction(size)
    budget = float(law(name).at(BUDGET, N=n, omega=omega))
    assert searched(name, budget) == pytest.approx(float(log(n)), abs=1e-5)
    slope = (searched(name, budget * 1.2) - searched(name, budget / 1.2)) / (2 * log(1.2))
    assert float(local(law(name), omega, n)) == pytest.approx(slope, abs=5e-3)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("size", ["1e5", "1e7", "1e10"])
def test_the_exponent_where_the_budget_counts_embeddings(name: str, size: str) -> None:
    n = float(size)
    total = n + OMEGA * n ** (1 / 3)
    budget = float(law(name).at(law(name).form.budget(N).expression, N=Fraction(total)))
    assert searched(name, budget, total_budget=True) == pytest.approx(log(n), abs=1e-5)
    ends = [searched(name, budget * each, total_budget=True) for each in (1.1, 1 / 1.1)]
    found = float(law(name).at(MIXED, u=Fraction(OMEGA / n ** (2 / 3))))
    assert found == pytest.approx((ends[0] - ends[1]) / (2 * log(1.1)), abs=5e-3)


def test_kaplans_exponent_lies_between_those_over_his_range() -> None:
    low, high = (law(name) for name in ("chinchilla-3-unrounded", "besiroglu2024"))
    omega = Fraction(OMEGA)
    assert 0.70 < secant(low, omega) < 0.73 < secant(high, omega) < 0.76
    assert 0.73 < fitted(low, omega) < fitted(high, omega) < 0.80
    # The limits: nearly Kaplan's for the smallest, equation 4's for the largest.
    assert float(local(high, omega, Fraction(10**16))) == pytest.approx(0.3658 / (0.3478 + 0.3658), abs=1e-5)
    assert float(local(low, omega, Fraction(10**16))) == pytest.approx(0.4565, abs=1e-4)
    assert float(local(high, omega, Fraction(1, 10**6))) == pytest.approx(0.3658 / (0.3478 / 3 + 0.3658), abs=1e-5)


@pytest.mark.parametrize("name", FITS)
def test_the_fits_over_the_range_again_in_floats(name: str) -> None:
    numpy = pytest.importorskip("numpy")
    a, b, alpha, beta = FITS[name]
    n = numpy.geomspace(768, 1.5e9, 24)
    total, each = n + OMEGA * n ** (1 / 3), n + OMEGA * n ** (1 / 3) / 3
    c = 6 * n * (beta * b / (alpha * a) * total ** (1 + alpha) / each) ** (1 / beta)
    slope = numpy.polyfit(numpy.log(c), numpy.log(n), 1)[0]
    assert float(fitted(law(name), Fraction(OMEGA))) == pytest.approx(slope, rel=1e-9)
    ends = (log(n[-1]) - log(n[0])) / (log(c[-1]) - log(c[0]))
    assert float(secant(law(name), Fraction(OMEGA), SMALLEST, LARGEST)) == pytest.approx(ends, rel=1e-9)


def test_the_power_law_of_the_frontier_from_simulated_budgets() -> None:
    """As the authors' script fits it: budgets even in log C from 10**12.95 to 10**20.7, by search."""
    numpy = pytest.importorskip("numpy")
    budgets = numpy.geomspace(10**12.95, 10**20.7, 40)
    slopes = {
        name: numpy.polyfit(numpy.log(budgets), [searched(name, float(each)) for each in budgets], 1)[0]
        for name in FITS
    }
    grid = numpy.geomspace(1e2, 1e11, 4000)
    for name, (a, b, alpha, beta) in FITS.items():
        total, each = grid + OMEGA * grid ** (1 / 3), grid + OMEGA * grid ** (1 / 3) / 3
        logs = numpy.log(6 * grid * (beta * b / (alpha * a) * total ** (1 + alpha) / each) ** (1 / beta))
        sizes = numpy.interp(numpy.log(budgets), logs, numpy.log(grid))
        assert slopes[name] == pytest.approx(numpy.polyfit(numpy.log(budgets), sizes, 1)[0], abs=1e-4)
    assert 0.73 < slopes["chinchilla-3-unrounded"] < slopes["besiroglu2024"] < 0.78


def test_omega_is_that_of_a_real_module() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=48, n_embd=1600, n_head=25)
    with pytest.importorskip("torch").device("meta"):
        module = transformers.GPT2LMHeadModel(config)
    tables = sum(each.numel() for name, each in module.named_parameters() if ".wte." in name or ".wpe." in name)
    rest = module.num_parameters() - tables
    omega = float(omegas()["GPT-2's words and positions, Kaplan et al.'s largest shape"])
    assert omega * rest ** (1 / 3) == pytest.approx(tables, rel=3e-4)  # biases and norms are in ``rest``
    assert omega * (12 * 48 * 1600**2) ** (1 / 3) == pytest.approx(tables, rel=1e-12)


def test_the_exponent_in_u_and_its_limits() -> None:
    assert EXPONENT.free_symbols == {ALPHA, BETA, U}
    given = {"alpha": Fraction(1, 3), "beta": Fraction(1, 3)}
    assert at(EXPONENT, {**given, "u": Fraction(0)}) == at(MIXED, {**given, "u": Fraction(0)}) == Fraction(1, 2)
    assert at(EXPONENT, {**given, "u": Fraction(10**12)}) == pytest.approx(Fraction(3, 4), rel=1e-9)


def test_a_slip_in_the_budget_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    falling, rising = pearce2024._slope_terms()
    monkeypatch.setattr(pearce2024, "_slope_terms", lambda: (2 * falling, rising))
    with pytest.raises(WrongStep, match="slope"):
        pearce2024._best()
    with pytest.raises(WrongStep, match="is not the slope"):
        pearce2024._same_ratio(falling, 3 * falling)


def test_the_page_and_its_table_hold() -> None:
    page = derive().show()
    assert "47,491" in page and "N_total = N**(1/3)*omega + N" in page and "Porian" in page
    report = verify("pearce2024")
    assert report.holds and len(report.verdicts) == 1
