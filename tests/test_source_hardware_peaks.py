"""Peaks of accelerators: dies by plain arithmetic, and each accusation a second time."""

from __future__ import annotations

from symflops.claims import verify
from symflops.claims.faults import plant


def peak(clock_mhz: int, multiply_adds: int) -> float:
    """TFLOP/s of so many multiply-adds in a clock cycle."""
    return 2 * clock_mhz * multiply_adds / 1e6


def test_accusations_a_second_time() -> None:
    assert round(peak(1980, 132 * 128), 1) == 66.9 and round(peak(1755, 114 * 128), 1) == 51.2
    assert round(peak(2100, 1216 * 256), 1) == 1307.4 and round(2 * peak(2100, 1216 * 256)) == 2615
    assert round(peak(2100, 1216 * 256) / 8, 1) == 163.4 and round(peak(2100, 1216 * 256) / 2, 1) == 653.7
    assert round(peak(2400, 1024 * 512)) == 2517 and round(peak(2400, 1024 * 512) / 16, 1) == 157.3
    assert round(peak(1600, 8 * 256 * 256)) == 1678
    assert round(peak(1750, 8 * 256 * 256) / 4) == 459 and round(peak(1750, 8 * 256 * 256) / 8) == 229
    assert {round(91.6 * 4), round(183.2 * 2), round(733 / 2 - 0.1)} == {366}
    assert round(peak(940, 4 * 128 * 128)) == 123 and round(peak(1750, 4 * 256 * 256), 1) == 917.5
    assert round(5120 * 3.186 / 8 / 1000, 2) == 2.04


def test_the_table_holds_and_its_digits_are_held() -> None:
    report = verify("hardware_peaks")
    assert report.holds and report.counts()["reproduces"] >= 150 and report.counts()["unchecked"] <= 26
    faults = plant(report.tables[0])
    assert sum(fault.caught for fault in faults) / len(faults) > 0.82
