"""Printed figures: their values and the precision that their digits claim."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symflops.claims.figures import FigureError, figure
from symflops.claims.shown import shown
from symflops.errors import SymflopsError

TERA, GIBI = 10**12, 2**30


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [
        ("1.03", Fraction(103, 100), Fraction(1, 200)),
        ("3.14E+23", 314 * 10**21, Fraction(10**21, 2)),
        ("1.92e+19", 192 * 10**17, Fraction(10**17, 2)),
        ("4.29e22", 429 * 10**20, Fraction(10**20, 2)),
        ("34.6K", 34600, 50),
        ("28.3 GB", 28_300_000_000, 50_000_000),
        ("7.2GB", 7_200_000_000, 50_000_000),
        ("52%", Fraction(52, 100), Fraction(1, 200)),
        ("1,018", 1018, Fraction(1, 2)),
        ("3_596_615_680", 3596615680, Fraction(1, 2)),
        ("400 Million", 400 * 10**6, 10**6 // 2),
        ("1.5 Trillion", 15 * 10**11, 5 * 10**10),
        ("13.0B", 13 * 10**9, 5 * 10**7),
        ("34 days", 34, Fraction(1, 2)),
        ("~144 days", 144, Fraction(1, 2)),
        ("about 60 GB", 60 * 10**9, 5 * 10**9),
        ("approximately 21 days", 21, Fraction(1, 2)),
        ("175,255.8M", Fraction(1752558, 10) * 10**6, 50_000),
        ("5.4 × 10^13", 54 * TERA, TERA // 2),
        ("5.4x10**13", 54 * TERA, TERA // 2),
        ("137 TFLOP/s", 137 * TERA, TERA // 2),
        ("17.58 GMACs", 17_580_000_000, 5_000_000),
        ("327.82 GiB", Fraction("327.82") * GIBI, Fraction(GIBI, 200)),
        ("-3.5", Fraction(-7, 2), Fraction(1, 20)),
        ("6.0e-4", Fraction(6, 10**4), Fraction(5, 10**6)),
        ("0.12", Fraction(12, 100), Fraction(1, 200)),
        ("20 billion parameters", 20 * 10**9, 5 * 10**8),
    ],
)
def test_a_figure_has_the_value_and_the_precision_of_its_digits(text: str, value: Fraction, half: Fraction) -> None:
    found = figure(text)
    assert found.value == value and found.half == half


@pytest.mark.parametrize(
    "text",
    ["", "-", "many", "34 Bilion", "1.2.3", "16/32", "96 or 141", "0.50 (0.488,0.502)", "E=1.69", "1e",
     "7 GB 3", "1" * 90, "29.0% and 5", "NaN", "inf", "0x10", "1 234 days ago"],
)  # fmt: skip
def test_what_is_no_single_figure_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(FigureError, match="is no figure") as refused:
        figure(text)
    assert "\n" not in str(refused.value)


def test_the_unit_of_a_column_goes_before_the_suffix_and_a_bad_suffix_is_seen_all_the_same() -> None:
    assert figure("327.82GB", "GiB").value == Fraction("327.82") * GIBI
    assert figure("44", "M").value == 44_000_000
    with pytest.raises(FigureError, match="Gx"):
        figure("327.82Gx", "GiB")


@given(st.integers(1, 10**9), st.sampled_from(["", "K", "M", "B", "%", " GB", " days"]), st.integers(0, 4))
def test_rounding_to_the_printed_digits_reproduces_and_a_changed_digit_does_not(
    number: int, unit: str, places: int
) -> None:
    text = f"{Decimal(number) / 10**4:.{places}f}{unit}"
    printed = figure(text)
    exact = Fraction(number, 10**4) * printed.scale
    assert printed.holds(exact)
    last = 2 * printed.half
    assert not printed.holds(exact + last + last / 100) and not printed.holds(exact - last - last / 100)


@given(st.text(alphabet="0123456789.,_eE+-×x^*~ KMGTB%/daysFLOPabout", max_size=24) | st.text(max_size=20))
def test_any_text_is_a_figure_or_refused(text: str) -> None:
    try:
        found = figure(text)
    except SymflopsError as refused:
        assert isinstance(refused, FigureError)
    else:
        assert found.holds(found.value) and found.half > 0 and shown(found.value, found)


def test_a_computed_number_is_shown_in_the_style_of_the_printed_one() -> None:
    assert shown(Fraction(6 * 67 * 10**9 * 15 * 10**11), figure("5.76e+23")) == "6.0300e+23"
    assert shown(Fraction(860160), figure("860.2K")) == "860.16K"
    assert shown(Fraction(2, 3), figure("66%")) == "66.67%"
    assert shown(Fraction(6738417664), figure("6738417664")) == "6738417664"
