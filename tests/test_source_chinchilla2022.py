"""Chinchilla's tables and derivation against integers, brute force and figures that nothing of them uses."""

from collections.abc import Mapping
from fractions import Fraction
from math import exp, log

import pytest

from derivations._optimum import FITS, GOPHER, balance, best
from derivations.chinchilla2022 import NETWORK, NETWORKS, TOKENS, derive
from symflops.claims.faults import plant
from symflops.claims.verdict import REPRODUCES, UNCHECKED
from symflops.claims.verifying import shipped, verify
from symflops.measures import flops, params
from symflops.notation import symbol

SHARES = {
    "chinchilla_misc": (202, 288),
    "chinchilla_table_3": (106, 138),
    "chinchilla_table_a3": (120, 163),
    "chinchilla_table_a4": (118, 120),
    "chinchilla_table_a9": (908, 914),
}
"""Of digits changed alone in cells that a claim speaks of, how many at least are noticed, and how many there are."""


@pytest.mark.parametrize("name", SHARES)
def test_a_table_holds_and_its_faults_are_noticed(name: str) -> None:
    report = verify(name)
    assert report.holds
    spoken = [fault for fault in plant(report.tables[0]) if fault.spoken]
    assert (sum(fault.caught for fault in spoken), len(spoken)) >= SHARES[name]


def test_most_cells_have_a_verdict() -> None:
    report = verify("chinchilla2022")
    assert sum(verdict.verdict != UNCHECKED for verdict in report.verdicts) >= 220
    assert {verdict.verdict for verdict in report.of(shipped()["chinchilla_table_a9"])} == {REPRODUCES}


def test_gopher_and_chinchilla_are_of_the_sizes_that_their_names_say() -> None:
    def count(layers: int, width: int) -> int:
        layer = 5 * width**2 + 2 * width * 4 * width  # q, k, v, keys of positions, back; up and down
        biases = 3 * width + 2 * width + width + 4 * width + width
        return 32000 * width + layers * (layer + biases)

    for layers, heads, printed in ((80, 128, 280), (80, 64, 70)):
        width = 128 * heads
        sizes = {
            "n_layer": layers,
            "n_head": heads,
            "d_head": 128,
            "d_model": width,
            "d_ff": 4 * width,
            "n_vocab": 32000,
        }
        counted = params(NETWORKS["trained"]).subs({symbol(name): size for name, size in sizes.items()})
        assert counted == count(layers, width)
        assert round(int(counted) / 1e9) == printed


def test_the_network_is_priced_as_a_loop_over_its_matrices() -> None:
    layers, width, hidden, heads, head, words, seq = 2, 6, 10, 3, 4, 11, 5
    wide = heads * head
    matmuls = [(seq, width, 3 * wide), (seq, wide, width), (seq, width, hidden), (seq, hidden, width)]
    inside = sum(2 * a * b * c for a, b, c in matmuls) + heads * (4 * seq * seq * head + 3 * seq * seq)
    total = layers * inside + 2 * (2 * seq * width * words)
    sizes = {"n_layer": layers, "d_model": width, "d_ff": hidden, "n_head": heads, "d_head": head, "n_vocab": words}
    given = {symbol(name): size for name, size in {**sizes, "n_seq": seq, "n_batch": 1}.items()}
    assert flops(NETWORK, "chinchilla").expr.subs(given) == total
    assert flops(NETWORK, "chinchilla", "training").expr.subs(given) == 3 * total


@pytest.mark.parametrize("fit", FITS)
def test_the_best_split_is_better_than_its_neighbours(fit: str) -> None:
    a, b, alpha, beta = (float(FITS[fit][name]) for name in ("A", "B", "alpha", "beta"))

    def loss(n: float) -> float:
        return a / n**alpha + b / (float(GOPHER) / (6 * n)) ** beta

    found = float(best(FITS[fit], GOPHER))
    grid = [found * exp(step / 100) for step in range(-200, 201)]
    assert min(grid, key=loss) == pytest.approx(found)
    assert balance() == 0


def test_mistakes_of_the_projections_again_in_integers() -> None:
    billion, trillion = 10**9, 10**12
    # Table A3, 175 billion: a tenth
    assert 6 * 175 * billion * 12 * trillion == 1260 * 10**22
    # 280 billion: no number of tokens that is printed 20.1 gives 3.52e25
    assert 6 * 280 * billion * Fraction(2015, 100) * trillion < Fraction(3515, 1000) * 10**25
    # 67 billion: neither; 70 billion: both
    assert 6 * 67 * billion * Fraction(415, 100) * trillion < Fraction(1705, 1000) * 10**24
    assert 6 * 70 * billion * Fraction(405, 100) * trillion < Fraction(171, 100) * 10**24
    assert Fraction(1715, 1000) * 10**24 < 6 * 70 * billion * Fraction(415, 100) * trillion
    # Table 3, 67 billion: no number of tokens that is printed 1.5 goes with Gopher's budget
    assert 6 * 67 * billion * Fraction(145, 100) * trillion > Fraction(5765, 1000) * 10**23
    assert Fraction(576 * 10**21, 123 * 10**20) > Fraction(93, 2)  # 46.8: 47, not 46
    assert 10**26 < 174 * 576 * 10**21


def test_the_row_of_67_billion_lies_on_the_power_law_at_70() -> None:
    slope = log(1.36e26 / 2.46e22) / log(52)
    at = {size: 2.46e22 * (size / 10) ** slope for size in (67, 70, 175, 280)}
    assert f"{at[70]:.2e}" == "1.71e+24" and f"{at[67]:.2e}" == "1.56e+24"
    assert f"{at[175]:.2e}" == "1.26e+25" and f"{at[280]:.1e}" == "3.5e+25"


def test_percentiles_of_a_and_b_are_of_one_number() -> None:
    assert 454 + 543 != 1000 and 455 + 542 != 1000  # a + b = 1, so the 10th of a is 1 less the 90th of b
    assert abs(454 + 543 - 1000) > 1  # more than both roundings


def test_kaplans_optimum_is_that_of_half_the_compute() -> None:
    assert f"{1.3 * (0.5e21 / 8.64e19) ** 0.73:.2f}" == "4.68"
    assert f"{1.3 * (1e21 / 8.64e19) ** 0.73:.2f}" == "7.77"


def test_the_page_has_its_parts_in_order() -> None:
    titles = [section.title for section in derive().sections]
    assert titles[-2:] == ["Checked tables", "Mistakes found"]
    assert derive("torch").C_forward.expand() == (flops(NETWORK, "torch").expr / TOKENS).expand()


def test_gophers_budgets_by_appendix_f_in_plain_numbers() -> None:
    layers, width, tokens, seq, words = 80, 16384, 300 * 10**9, 2048, 32000
    layer = 2 * 3 * width**2 + 4 * seq * width + 3 * 128 * seq + 2 * width**2 + 4 * width * 4 * width
    forward = layers * layer + 2 * (2 * words * width)
    assert f"{3 * tokens * forward:.2e}" == "4.75e+23" and f"{6 * 280 * 10**9 * tokens:.2e}" == "5.04e+23"
    assert f"{4 * tokens * layers * layer:.1e}" == "6.3e+23" and round(5.76e23 / (6 * 280e9) / 1e9) == 343


def test_embeddings_alone_put_the_ratio_of_73_million_above_what_is_printed() -> None:
    words, width, layers = 32000, 640, 10
    layer = 5 * width**2 + 8 * width**2 + 5 * width + 4 * width + 2 * width
    count = words * width + layers * layer
    least = 2 * (2 * words * width) + layers * 2 * 12 * width**2  # no pair of tokens at all
    assert count == 73_798_400 and f"{3 * least / (6 * count):.2f}" == "1.22" > "1.03"


def test_only_sequences_of_2048_give_the_ratios_of_table_a4() -> None:
    def ratio(cells: Mapping[str, str], seq: int) -> float:
        names = ("n_layers", "d_model", "ffw_size", "n_heads", "kv_size")
        layers, width, hidden, heads, head = (int(cells[name]) for name in names)
        wide = heads * head
        work = layers * (8 * width * wide + 4 * seq * wide + 3 * heads * seq + 4 * width * hidden)
        layer = 5 * width * wide + 2 * width * hidden + 5 * wide + hidden + 2 * width
        return work / (2 * (32000 * width + layers * layer))

    rows = [row.cells for row in shipped()["chinchilla_table_a4"].rows]
    for seq, fitting in ((1024, 0), (2048, 6), (4096, 0)):
        assert sum(f"{ratio(cells, seq):.2f}" == cells["flop_ratio_printed"] for cells in rows) == fitting
