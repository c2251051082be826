"""Scaling, depth and width, experts, shares: closed forms against searches and models of those sizes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import NAMES, Counted, first_where, windowed
from strategies import configs, llama_configs
from sympy import Rational, Symbol, sqrt

from symflops import Routed, SymflopsError, architecture
from symflops.errors import SizeError, UnknownName
from symflops.layers.feedforward import NO_BIAS, gated_feedforward, plain_feedforward
from symflops.layers.linear import linear
from symflops.measures import params
from symflops.notation import (
    d_expert,
    d_ff,
    d_model,
    n_active,
    n_batch,
    n_expert,
    n_layer,
    n_seq,
    n_vocab,
)  # fmt: skip
from symflops.questions import (
    Answer,
    against_6n,
    against_dense,
    attention_overtakes,
    attention_reaches,
    attention_share,
    cache_equals_weights,
    dense_of_active,
    dense_of_all,
    depth_or_width,
    embedding_share,
    scaling,
)


@settings(deadline=None, max_examples=20)
@given(llama_configs, st.sampled_from(["d_ff", "n_layer", "n_vocab"]), st.integers(2, 4))
def test_scaling_is_the_ratio_of_two_models(config: dict[str, Any], size: str, factor: int) -> None:
    old = architecture(config)
    new, found = old.with_sizes(**{size: factor * old.sizes[size]}), scaling(old, size, factor, 13)
    assert found.params.value == Fraction(new.params(), old.params())
    assert found.flops.value == Fraction(int(new.flops(1, 13)), int(old.flops(1, 13)))
    assert found.cache.value == Fraction(Counted(new, "dense").cached(13), Counted(old, "dense").cached(13))
    assert found.params.value != Fraction(new.params() + 1, old.params())


def test_scaling_keeps_the_proportions_of_layers_and_refuses_what_is_no_size() -> None:
    assert scaling(windowed(4, 2, 5, 12), "n_layer", 2, under="exact").cache.value == 2
    assert scaling("gpt2", "n_seq", 2, 100).cache.value == 2
    assert scaling("gpt2", "n_batch", Fraction(1, 2)).flops.value == Fraction(1, 2)
    with pytest.raises(UnknownName, match="unknown size of gpt2 'd_expert'"):
        scaling("gpt2", "d_expert", 2)
    with pytest.raises(SizeError, match=r"factor is 1\.5"):
        scaling("gpt2", "d_ff", 1.5)  # type: ignore[arg-type]
    with pytest.raises(SizeError, match="no whole number"):
        scaling("gpt2", "n_layer", Fraction(1, 5))
    with pytest.raises(SizeError, match="would not divide"):
        scaling("llama3-8b", "n_kv_head", 3)


def test_depth_or_width_is_least_where_a_search_over_models_says() -> None:
    model = architecture("pythia-160m")
    found, searched = depth_or_width(model, 256), {}
    goal = model.params("non_embedding")
    for width in range(192, 3073, 64):
        at = {layers: 12 * layers * width**2 + 13 * layers * width + 2 * width for layers in range(1, 400)}
        layers = min(at, key=lambda each, at=at: abs(at[each] - goal))  # type: ignore[misc]
        if abs(at[layers] - goal) * 50 <= goal:
            matmuls = 2 * layers * 12 * width**2 + 4 * layers * 256 * width + 2 * 50304 * width
            searched[layers, width] = matmuls - 2 * (at[layers] - goal)
    best = min(searched, key=lambda each: searched[each])
    assert (found.best.n_layer, found.best.d_model) == best
    assert min(searched.values()) == found.best.equal


def test_each_choice_of_depth_and_width_is_the_model_of_those_sizes() -> None:
    model = architecture("llama3.2-1b")
    found = depth_or_width(model, 512, "exact")
    ratio = {name: Fraction(model.sizes[name], model.sizes["d_model"]) for name in ("d_ff", "n_head", "n_kv_head")}
    assert len(found.choices) > 4 and any(each.n_layer == model.sizes["n_layer"] for each in found.choices)
    for each in found.choices:
        sizes = {name: int(share * each.d_model) for name, share in ratio.items()}
        other = model.with_sizes(n_layer=each.n_layer, d_model=each.d_model, **sizes)
        assert other.params("non_embedding") == each.N
        assert other.flops(1, 512, "exact").expr == 512 * each.flops
        assert each.difference == Fraction(each.N, model.params("non_embedding")) - 1


def test_the_cheapest_depth_is_where_the_closed_form_is_least() -> None:
    for under, form in (("torch", lambda n: 50257 / (2 * n)), ("exact", lambda n: 50257 / (n + 1))):
        found = depth_or_width("gpt2", 128, under)
        cost = found.cost.form.subs({Symbol("N"): 85056000, n_seq: 128, n_vocab: 50257})
        assert float(found.cheapest.value) == pytest.approx(form(128))
        depth = round(found.cheapest.value)
        at = [float(cost.subs(n_layer, each)) for each in (depth // 2, depth - 5, depth, depth + 5, 2 * depth)]
        assert min(at) == at[2] and sorted(at[:3], reverse=True) == at[:3] and sorted(at[2:]) == at[2:]
    assert depth_or_width("gpt2", 128, "kaplan").cheapest.note == "the fewer the better"


def test_the_closed_form_of_depth_or_width_is_off_by_no_more_than_it_says() -> None:
    found, model = depth_or_width("gpt2", 1024), architecture("gpt2")
    exact = int(model.flops(1, 1024)) / 1024
    assert abs(float(found.cost.value) / exact - 1) < 0.00144 and "0.143%" in found.remarks[0]


def test_depth_or_width_needs_sizes() -> None:
    with pytest.raises(SizeError, match="needs a model with sizes"):
        depth_or_width(n_layer * plain_feedforward("gelu", NO_BIAS))


EXPERTS = n_layer * (
    linear("router", d_model, n_expert, "router")
    + Routed(n_expert, n_active, gated_feedforward("silu", NO_BIAS, d_expert))
    + gated_feedforward("silu", NO_BIAS, d_ff)
)


def test_experts_against_dense_models_by_counting() -> None:
    sizes = {n_layer: 3, d_model: 8, d_expert: 5, d_ff: 7, n_expert: 6, n_active: 2, n_batch: 1}
    found = against_dense(EXPERTS)
    router, expert, shared = 8 * 6, 3 * 8 * 5, 3 * 8 * 7
    total, active = 3 * (router + 6 * expert + shared), 3 * (router + 2 * expert + shared)
    few, many = 3 * (2 * expert + shared), 3 * (6 * expert + shared)
    expected = {
        "flops_per_active": Fraction(2 * active, active),
        "flops_per_parameter": Fraction(2 * active, total),
        "active_params": Fraction(total, few),
        "active_flops": Fraction(active, few),
        "all_params": Fraction(many, total),
        "all_flops": Fraction(many, active),
    }
    assert {name: answer.form.subs(sizes) for name, answer in found.answers.items() if answer.form} == expected
    assert params(dense_of_active(EXPERTS)).subs(sizes) == few and params(dense_of_all(EXPERTS)).subs(sizes) == many
    assert found.all_flops.form.subs({**sizes, n_active: 1}) != expected["all_flops"]  # a planted fault


@settings(deadline=None, max_examples=20)
@given(configs, st.sampled_from(NAMES), st.integers(1, 19))
def test_2n_and_the_remainder_are_the_whole(config: dict[str, Any], convention: str, length: int) -> None:
    model = architecture(config)
    found, n = against_6n(model, length, convention), model.params("non_embedding")
    each = 1 if convention == "macs" else 2
    forward, training = (model.flops(1, length, convention, phase).expr / length for phase in ("forward", "training"))
    assert found.forward.value + each * n == forward and found.training.value + 3 * each * n == training
    assert found.forward_share.value == found.forward.value / (each * n)
    assert found.forward.value + each * (n + 1) != forward
    assert embedding_share(model).value == 1 - Fraction(n, model.params())


def test_of_experts_n_are_those_that_serve_a_token() -> None:
    found = against_6n(EXPERTS)
    assert found.forward.form == 0 and found.training.form == 0 and found.forward_share.form == 0


@settings(deadline=None, max_examples=20)
@given(configs, st.integers(1, 19), st.fractions(Fraction(1, 7), Fraction(6, 7), max_denominator=7))
def test_the_share_of_attention_and_where_it_is_reached(config: dict[str, Any], length: int, share: Fraction) -> None:
    model = architecture(config)
    counted = Counted(model, "dense")
    core, others = counted.core(length), counted.others(length)
    assert attention_share(model, length).share.value == Fraction(core, core + others)
    answer = attention_reaches(model, share)
    holds = first_where(lambda n: Fraction(counted.core(n), counted.core(n) + counted.others(n)) > share, 5000)
    assert answer.first == holds
    assert attention_share(model).half.value == attention_overtakes(model).others.value


@pytest.mark.parametrize("share", [0.5, 1, True, Fraction(0), Fraction(3, 2)])
def test_a_share_is_exact_and_between_0_and_1(share: Any) -> None:
    with pytest.raises(SizeError, match="a share is"):
        attention_reaches("gpt2", share)


@pytest.mark.parametrize(
    "ask",
    [
        attention_overtakes,
        attention_share,
        cache_equals_weights,
        embedding_share,
        against_6n,
        against_dense,
        lambda model: scaling(model, "d_ff", 2),
        lambda model: depth_or_width(model, 128),
    ],
)
def test_every_answer_shows_itself_and_is_frozen(ask: Callable[[Any], Any]) -> None:
    found = ask("gpt2")
    assert repr(found) == str(found) == found.text() and found.text().isascii()
    assert found._repr_latex_().startswith(r"$\displaystyle \begin{aligned}")
    assert isinstance(found.as_json(), dict)
    with pytest.raises(FrozenInstanceError):
        found.note = found.title = ""
    for refused in ("gpt3", n_layer, 3):
        with pytest.raises(SymflopsError):
            ask(refused)


def test_a_number_is_never_rounded_without_saying_so() -> None:
    assert str(Answer("it", (), Rational(1, 3))) == "it\n    ~0.333333"
    assert str(Answer("it", (), Rational(5, 2), 3)) == "it\n    = 2.5; more from 3 on"
    assert str(Answer("it", (), sqrt(2) * 10**6)) == "it\n    ~1,414,214"


def test_importing_symflops_and_asking_imports_no_matplotlib_and_no_torch() -> None:
    code = (
        "import sys, symflops, symflops.questions, symflops.pictures; symflops.questions.attention_overtakes('gpt2');"
        "assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
