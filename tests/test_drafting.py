"""Bare tables: rows, sizes under ``hyper`` and formulas as text are read as far as their letters mean something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symflops.claims import read_text, verify
from symflops.claims.drafting import draft
from symflops.claims.verdict import DIFFERS, INCONSISTENT, REPRODUCES, UNCHECKED
from symflops.errors import SymflopsError

HEAD = "id: bare\ntitle: A bare table\ncitation: {authors: A. Author, year: 2020, units: none}\n"


def found(text: str) -> list[tuple[str, str]]:
    """Cell and verdict of a bare table, without what is unchecked."""
    verdicts = verify(read_text(HEAD + text)).verdicts
    return [(verdict.cell.rpartition("/")[2], verdict.verdict) for verdict in verdicts if verdict.verdict != UNCHECKED]


@pytest.mark.parametrize(("tokens", "verdict"), [("8.0 Billion", REPRODUCES), ("9.0 Billion", INCONSISTENT)])
def test_six_n_d(tokens: str, verdict: str) -> None:
    """Chinchilla, Table 3, first row (Hoffmann et al. 2022)."""
    text = f"formulas: [C = 6*N*D]\nrows: [{{params: 400 Million, flops: '1.92e+19', tokens: {tokens}}}]\n"
    assert found(text) == [("flops", verdict)]


def test_letters_sizes_and_remarks() -> None:
    """GPT-3, Table 2.1, first row (Brown et al. 2020): the exact count is 125.2 million."""
    text = """
formulas: ['P = (V+S)*d + L*(12*d^2 + 13*d) + 2*d  (tied embeddings)', d_ff = 4*d_model]
hyper: {vocab: 50257, ctx: 2048, tied: true, norm: LayerNorm (gain+bias)}
rows: [{model: Small, n_params_printed: 125M, n_layers: 12, d_model: 768}]
"""
    assert found(text) == [("n_params_printed", REPRODUCES)]
    assert found(text.replace("125M", "135M")) == [("n_params_printed", DIFFERS)]


def test_columns_that_say_their_unit_and_rows_with_a_config_inside() -> None:
    text = """
formulas: ['N = V*d + L*(4*d^2 + 3*d*F [gated] + 2*d), F = 256*ceil(8*d/3/256)']
rows: [{name: a, config: {V: 32000, d: 4096, L: 32}, params_M_printed: '6607'}]
"""
    # by hand: 32000*4096 + 32*(4*4096**2 + 3*4096*11008 + 2*4096) = 6607.3 million
    assert found(text) == [("params_M_printed", REPRODUCES)]


def test_what_is_not_understood_is_left_as_text_and_nothing_is_claimed_of_it() -> None:
    text = "formulas: ['params = 3p^2 d + d', 'N = 2*Z*d', whatever]\nrows: [{d_model: 8, params: 99, N: 3}]\n"
    table = read_text(HEAD + text)
    assert not table.formulas and not table.columns and "3p^2 d" in table.about and "whatever" in table.about
    assert found(text) == []


@given(
    st.dictionaries(
        st.sampled_from(["id", "title", "citation", "formulas", "hyper", "rows"]),
        st.recursive(
            st.text(max_size=8),
            lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=4), part, max_size=2),
            max_leaves=4,
        ),
    )
)
def test_any_values_are_drafted_or_refused(data: dict[str, object]) -> None:
    try:
        draft(data)
    except SymflopsError as refused:
        assert "\n" not in str(refused).replace("\\n", "")
