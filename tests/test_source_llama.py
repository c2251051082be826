"""LLaMA and Llama 3: what is said of their printed figures, worked out once more in plain numbers; planted faults."""

from __future__ import annotations

import pytest

from derivations.llama import NETWORK, RUNS, derive, hidden_width, utilisation
from symflops.architectures import presets
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.claims.verifying import tables
from symflops.measures import params
from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head, n_layer, n_vocab


def count(layers: int, width: int, hidden: int, keys: int, vocab: int) -> int:
    """The parameters of a Llama, matrix by matrix."""
    layer = 2 * width * width + 2 * width * keys + 3 * width * hidden + 2 * width
    return 2 * vocab * width + layers * layer + width


def test_the_family_is_the_sum_of_its_matrices() -> None:
    sizes = {n_layer: 80, d_model: 8192, d_ff: 28672, n_head: 64, n_kv_head: 8, d_head: 128, n_vocab: 128256}
    assert params(NETWORK).subs(sizes) == count(80, 8192, 28672, 1024, 128256) == 70_553_706_496


@pytest.mark.parametrize(
    ("layers", "width", "printed", "cut"),
    [(32, 4096, "6.7", False), (40, 5120, "13.0", False), (60, 6656, "32.5", False), (80, 8192, "65.2", True)],
)
def test_llamas_counts_are_rounded_but_for_the_largest(layers: int, width: int, printed: str, cut: bool) -> None:
    exact = count(layers, width, hidden_width(width), width, 32_000)
    assert (f"{exact / 10**9:.1f}" != printed) == cut
    assert cut == (exact // 10**8 == 652)


def test_power_and_emissions_of_table_15() -> None:
    hours = (82_432, 135_168, 530_432, 1_022_362)
    power = [each * 400 * 1.1 / 10**6 for each in hours]
    assert [round(each) for each in power] == [36, 59, 233, 450] and int(power[3]) == 449
    assert [round(0.385 * each) for each in power] == [14, 23, 90, 173]


def test_the_third_line_of_table_4_needs_eight_ways_of_data_parallelism() -> None:
    assert 8 * 16 * 16 * 8 == 16_384 and 8 * 16 * 16 * 4 != 16_384
    assert 131_072 * 16 * 8 == 16 * 2**20 == 8192 * 32 * 64 == 8192 * 16 * 128


def test_speeds_of_table_4_are_in_tens() -> None:
    for speed, printed in ((430, 43), (400, 41), (380, 38)):
        assert 100 * (speed - 5) / 989 < printed + 0.5 and printed - 0.5 < 100 * (speed + 5) / 989
    assert round(100 * 400 / 989) == 40 and round(100 * 401 / 989) == 41


def test_the_vocabulary_of_the_released_models_is_256_larger() -> None:
    for name, sizes in (("llama3-8b", (32, 4096, 14336)), ("llama3-405b", (126, 16384, 53248))):
        released = presets()[name]["params"]
        assert released == count(*sizes, 1024, 128_256) == count(*sizes, 1024, 128_000) + 2 * 256 * sizes[1]


def test_cards_add_up_and_one_intensity_fits_a_release() -> None:
    assert 390 + 1900 == 2290 and 420 + 2040 + 8930 == 11_390
    old = ((390, 1.3, 0.05), (1900, 6.4, 0.05))
    new = ((420, 1.46, 0.005), (2040, 7.0, 0.05), (8930, 30.84, 0.005))
    ranges = []
    for release in (old, new):
        low = max((tons - 5) / ((hours + half) * 700) for tons, hours, half in release)
        high = min((tons + 5) / ((hours - half) * 700) for tons, hours, half in release)
        ranges.append((low, high))
    assert all(low < high for low, high in ranges) and ranges[1][1] < ranges[0][0]


def test_implied_utilisation_in_plain_numbers() -> None:
    run = RUNS[-1]
    assert abs(float(utilisation(run)[0]) - 6 * 405_853_388_800 * 15.6e12 / (30.84e6 * 3600 * 989e12)) < 1e-12
    assert all(0 < alone < whole < 1 for alone, whole in map(utilisation, RUNS))


def test_the_tables_hold_and_the_page_derives() -> None:
    report = verify("llama")
    assert report.holds and sum(report.counts().values()) - report.counts()["unchecked"] >= 75
    declared = {f"{verdict.table} {verdict.cell}" for verdict in report.verdicts if verdict.declared}
    assert len(declared) == 4 and "llama3_table4 16384 131072/dp" in declared
    assert derive("torch").convention.name == "torch"
    titles = [section.title for section in derive().sections]
    assert titles[-2:] == ["Checked tables", "Mistakes found"]


@pytest.mark.parametrize(
    ("name", "share"),
    [("llama1_table2", 0.75), ("llama3_table3", 0.9), ("llama3_table4", 0.91), ("llama31_hours", 0.81)],
)
def test_planted_faults_are_caught(name: str, share: float) -> None:
    faults = plant(tables(name)[0])
    assert sum(fault.caught for fault in faults) >= share * len(faults)
