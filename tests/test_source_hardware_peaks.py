"""Peaks of accelerators: dies by plain arithmetic, and each accusation a second time."""

from __future__ import annotations

from symflops.claims import verify
from symflops.claims.faults import plant


def peak(clock_mhz: int, multiply_adds: int) -> float:
    """TFLOP/s of so many multiply-adds in a clock cycle."""
    return 2 * clock_mhz * multiply_adds / 1e6


def test_accusations_a_second_time() -> None:
    assert int(peak(1600, 8 * 256 * 256)) == 1677 and round(peak(1600, 8 * 256 * 256)) == 1678
    assert round(peak(1750, 8 * 256 * 256)) == 1835
    assert {round(91.6 * 4), round(183.2 * 2), round(733 / 2 - 0.1)} == {366} and 2 * 181.05 == 362.1
    assert round(peak(940, 4 * 128 * 128)) == 123 and 1836 / 2 == 918 != 920 and 2 * 667 == 1334
    assert round(5120 * 3.186 / 8 / 1000, 2) == 2.04


def test_vendors_figures_are_roundings() -> None:
    """What reproduces since a vendor prints whole TFLOP/s, or two or three digits of a PFLOP/s."""
    assert round(peak(1980, 132 * 128)) == 67 and round(peak(1755, 114 * 128)) == 51 and round(2 * 91.6) == 183
    assert round(1835 / 4) == 459 and round(1835 / 8) == 229
    matrix = peak(2100, 1216 * 256) / 1000
    assert (f"{matrix:.1f}", f"{2 * matrix:.2f}", f"{2 * matrix:.1f}") == ("1.3", "2.61", "2.6")
    assert round(1000 * matrix / 8, 1) == 163.4 and round(1000 * matrix / 2, 1) == 653.7
    assert f"{peak(2400, 1024 * 512) / 1000:.1f}" == "2.5" and round(peak(2400, 1024 * 512) / 16, 1) == 157.3
    assert f"{1836e12:.2e}" == "1.84e+15"


def test_the_table_holds_and_its_digits_are_held() -> None:
    report = verify("hardware_peaks")
    assert report.holds and report.counts()["reproduces"] >= 150 and report.counts()["unchecked"] <= 26
    faults = plant(report.tables[0])
    assert sum(fault.caught for fault in faults) / len(faults) > 0.82
