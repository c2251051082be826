"""The search behind ``identify``: against measures of whole networks, real modules, loops, and hidden settings."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Integer

from symflops import architecture, conventions
from symflops.cli import run
from symflops.errors import SymflopsError
from symflops.identify import counting, identify, intervals, parts, pricing, row, space
from symflops.identify.fits import Fit
from symflops.identify.polynomials import Polynomial, at, both, not_negative
from symflops.identify.search import Space
from symflops.identify.symbolic import closed_form
from symflops.measures import flops, params
from symflops.networks import uses
from symflops.notation import n_batch
from symflops.operations import Contraction

SIZES = {"n_layer": 5, "d_model": 96, "n_head": 6, "d_ff": 320, "n_vocab": 1000, "n_seq": 64}


# What the search adds up is what the measures say of the whole network.


_PARTS = (parts.tables, parts.positions, parts.layers, parts.core, parts.norms)


def whole_network(fit: Fit) -> Any:
    return Add(*(compose({name: option.name for name, option in fit.choices.items()}) for compose in _PARTS))


@pytest.mark.parametrize("convention", sorted(conventions.CONVENTIONS))
@pytest.mark.parametrize("phase", ["forward", "training"])
def test_what_is_added_up_is_the_measure_of_the_network(convention: str, phase: Any) -> None:
    asked = counting.quantity(phase)
    dimensions = (*space.PARTS, *counting.dimensions_of(asked, "sequence"))
    named = {"positions": "learned", "biases": "all", "convention": convention, "relative": "counted"}
    chosen = {each.name: each.option(named.get(each.name, each.options[0].name)) for each in dimensions}
    form = closed_form(chosen, Space(parts.decoder(), dimensions), asked)
    names = {name: option.name for name, option in chosen.items()}
    network = Add(*(compose(names) for compose in _PARTS))
    expected = flops(network, convention, phase).expr - rerun(network, convention, phase)
    assert (form - expected.subs(n_batch, 1)).expand() == 0 and form != 0


def test_a_price_forgotten_is_noticed() -> None:
    [use] = uses(Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3}))
    option = space.CONVENTION.option("torch")
    whole = sum(price * amount for price, amount in pricing.work_of(use, (option, space.TRAINING)))
    assert whole == flops(use.operation, "torch", "training").expr
    assert whole != sum(price * amount for price, amount in pricing.work_of(use, (option, space.FORWARD)))


def rerun(network: Any, convention: str, phase: str) -> Any:
    """What a convention charges for running layers again, which a training step without recomputation does not."""
    chosen = conventions.CONVENTIONS[convention]
    if phase == "forward" or chosen.backward == "twice":
        return Integer(0)
    unpaid = replace(chosen, prices=(conventions.Price("*", 0, pass_="recompute"), *chosen.prices))
    return flops(network, chosen, "training").expr - flops(network, unpaid, "training").expr


def test_the_closed_form_shown_is_the_measure_of_the_network() -> None:
    found = identify([row("1.1M", **SIZES, n_ctx=64)], "params")
    for fit in found.fits[:40]:
        if fit.choices["parameters"].name == "all":
            form = closed_form(fit.choices, found.space, found.quantity)
            assert (form - params(whole_network(fit))).expand() == 0
            assert fit.cells[0].figure.holds(fit.cells[0].value or Fraction(0))


# Real modules whose settings are hidden.

_TINY = {
    "gpt2": dict(n_layer=3, n_embd=48, n_head=4, vocab_size=211, n_positions=40),
    "llama": dict(num_hidden_layers=3, hidden_size=48, num_attention_heads=6, num_key_value_heads=6, vocab_size=211,
                  intermediate_size=112, tie_word_embeddings=False),
    "gpt_neox": dict(num_hidden_layers=3, hidden_size=48, num_attention_heads=4, vocab_size=211, intermediate_size=192,
                     tie_word_embeddings=False),
}  # fmt: skip
_HIDDEN = {
    "gpt2": ("tied", "learned", "plain", "all", "layer"),
    "llama": ("untied", "none", "gated", "none", "gain"),
    "gpt_neox": ("untied", "none", "plain", "all", "layer"),
}


@pytest.mark.parametrize("family", _TINY)
def test_the_settings_of_a_real_module_are_found(family: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    counts = []
    for layers, width in ((3, 48), (5, 96)):
        config = dict(_TINY[family])
        config[next(name for name in ("n_layer", "num_hidden_layers") if name in config)] = layers
        config[next(name for name in ("n_embd", "hidden_size") if name in config)] = width
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(family, **config))
        counts.append((layers, width, sum(each.numel() for each in model.parameters())))
    shared = {"n_vocab": 211, "n_ctx": 40}
    if family != "gpt2":
        shared["d_ff"] = int(str(_TINY[family]["intermediate_size"]))
    found = identify([row(str(n), n_layer=layers, d_model=width, **shared) for layers, width, n in counts], "params")
    names = ("tables", "positions", "feedforward", "biases", "norms")
    best = found.fits[0]
    assert found.everything and tuple(best.choices[name].name for name in names) == _HIDDEN[family]
    off = [row(str(n + (layers == 3)), n_layer=layers, d_model=width, **shared) for layers, width, n in counts]
    assert not identify(off, "params").everything


# Settings hidden at random; the count is a loop over matrices and vectors.


def counted(
    tables: str, positions: str, ff: str, biases: str, norms: str, n: int, d: int, f: int, v: int, c: int
) -> int:
    matrices = [(d, d)] * 4 + [(d, f), (f, d)] + [(d, f)] * (ff == "gated")
    total = sum(a * b for _ in range(n) for a, b in matrices)
    total += sum(b for _ in range(n) for _, b in matrices) if biases == "all" else 0
    total += (2 * n + 1) * d * {"layer": 2, "gain": 1, "uncounted": 0}[norms]
    return total + v * d * (2 if tables == "untied" else 1) + (c * d if positions == "learned" else 0)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["tied", "untied"]),
    st.sampled_from(["none", "learned"]),
    st.sampled_from(["plain", "gated"]),
    st.sampled_from(["none", "all"]),
    st.sampled_from(["layer", "gain", "uncounted"]),
    st.integers(3, 4),
    st.randoms(use_true_random=False),
)
def test_settings_hidden_at_random_are_among_the_fits(
    tables: str, positions: str, ff: str, biases: str, norms: str, digits: int, chance: random.Random
) -> None:
    hidden, v = (tables, positions, ff, biases, norms), chance.randrange(5000, 60000)
    shapes = [(chance.randrange(4, 40), 64 * chance.randrange(4, 40)) for _ in range(3)]
    rows = []
    for n, d in shapes:
        count = counted(*hidden, n, d, 3 * d, v, 512)
        rows.append(row(f"{count:.{digits - 1}e}", n_layer=n, d_model=d, d_ff=3 * d, n_vocab=v, n_ctx=512))
    found = identify(rows, "params")
    exact = [counted(*hidden, n, d, 3 * d, v, 512) for n, d in shapes]
    assert found.everything and exact in [[cell.value for cell in fit.cells] for fit in found.fits]
    solved = identify([replace(each, sizes={k: s for k, s in each.sizes.items() if k != "n_vocab"}) for each in rows],
                      "params", ["n_vocab"])  # fmt: skip
    assert any(first <= v <= (last or v) for fit in solved.fits for first, last in fit.ranges)


def test_figures_of_nothing_are_said_to_be_of_nothing() -> None:
    found = identify([row("5", **SIZES, n_ctx=64)], "params")
    assert not found.everything and found.fits == () and found.exit_code == 1


# The arithmetic of the search.


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=4), st.integers(1, 7))
def test_where_a_polynomial_is_not_negative(numbers: list[int], divisor: int) -> None:
    polynomial: Polynomial = tuple(Fraction(each, divisor) for each in numbers)
    ranges = not_negative(polynomial)
    for place in range(1, 120):
        assert (at(polynomial, place) >= 0) == any(a <= place and (b is None or place <= b) for a, b in ranges)
    assert both(ranges, ((3, 9),)) == both(((3, 9),), ranges)


@pytest.mark.parametrize("degrees", [1, 2, 3])
def test_rows_reproduced_at_once_against_a_loop(degrees: int) -> None:
    chance = np.random.default_rng(1)
    bounds = chance.integers(-40, 40, size=(400, 3, 2, degrees))
    loop = [
        max(sum(all(at(tuple(map(int, one)), u) >= 0 for one in of) for of in each) for u in range(1, 400))
        for each in bounds
    ]
    assert intervals.counts(bounds).tolist() == loop
    assert (intervals.at_most(bounds) >= np.array(loop)).all()


# The command.


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["identify", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_two_sizes_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    known = ("--set", "n_layer=12", "--set", "d_model=768", "--set", "n_ctx=1024", "--quantity", "params")
    code, found = ask(
        capsys, "--printed", "124439808", *known, "--unknown", "d_ff", "--unknown", "n_vocab", "--limit", "2"
    )
    best = found["fits"][0]
    assert code == 0 and best["unknowns"]["d_ff"]["ranges"] == [[3072, 3072]]
    assert best["unknowns"]["n_vocab"]["ranges"] == [[50257, 50257]]
    assert "gpt2" in best["unknowns"]["n_vocab"]["well_known"][0]["whose"]


def test_a_width_is_asked_for_whose_square_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    known = ("--set", "n_layer=12", "--set", "n_vocab=50257", "--set", "n_ctx=1024", "--quantity", "params")
    _, found = ask(capsys, "--printed", "124439808", *known, "--unknown", "d_model", "--limit", "50")
    ranges = [each["unknowns"]["d_model"]["ranges"] for each in found["fits"]]
    assert [[768, 768]] in ranges


def test_of_an_architecture_a_size_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    total = architecture("llama3-8b").params()
    code, found = ask(
        capsys, "--printed", str(total), "--quantity", "params", "--on", "llama3-8b", "--unknown", "n_vocab"
    )
    assert code == 0 and found["fits"][0]["unknowns"]["n_vocab"]["ranges"] == [[128256, 128256]]


def test_a_text_page_and_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["identify", "--printed", "17.6 GFLOPs", "--on", "vit-b-16", "--limit", "1"]
    for form, sign in (("text", "Fit 1"), ("markdown", "|"), ("latex", "\\begin"), ("html", "<"), ("json", "{")):
        assert run([*arguments, "--format", form]) == 0
        assert sign in capsys.readouterr().out


_TABLE = "id: t\nhyper: {vocab: 32000, d_ff: 4*d_model}\nrows:\n- {params_M_printed: '44', d_model: 512, n_layers: 8}\n"


def test_a_table_is_read_as_text_with_formulas_of_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(_TABLE, encoding="utf-8")
    _, found = ask(capsys, str(file), "--column", "params_M_printed")
    assert found["rows"][0]["sizes"] == {"d_ff": 2048, "d_model": 512, "n_layer": 8, "n_vocab": 32000}
    assert found["quantity"] == "params"


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("a: &x 1\nrows: [{p: *x}]\n", "p", "alias"),
        ("hyper: {}\nrows: 5\n", "p", "rows: []"),
        (_TABLE, "parms_M_printed", "did you mean 'params_M_printed'"),
        ("rows: [", "p", "no YAML"),
        ("x" * 2_000_001, "p", "larger than 2,000,000 bytes"),
        ("hyper: {}\nrows:\n- {params: forty, d_model: 1, n_layer: 1}\n", "params", "is no figure"),
    ],
)
def test_a_bad_table_is_refused(
    text: str, column: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text, encoding="utf-8")
    assert run(["identify", str(file), "--column", column, "--quantity", "params"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--printed", "117M"], ["--printed", "117M", "x.yaml"], ["x.yaml"], ["x.yaml", "--column", "p"],
     ["--printed", "117M", "--quantity", "params", "--set", "n_lyer=1"],
     ["--printed", "117M", "--quantity", "params", "--on", "gpt2", "--set", "n_expert=8"],
     ["--printed", "117 GFLOPs", "--set", "n_layer=1", "--set", "d_model=8", "--per", "hour"]],
)  # fmt: skip
def test_a_bad_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identify", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_python_refuses_what_the_command_refuses() -> None:
    with pytest.raises(SymflopsError, match="per"):
        identify([row("1G", **SIZES)], "forward", per="hour")
