"""Each closed-form answer against a search over integers that counts by itself, at small sizes; and planted faults."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from searches import FAR, NAMES, Counted, first_where, n_layer_attention, windowed
from strategies import configs, llama_configs
from sympy import expand

from symflops import architecture
from symflops.errors import SizeError
from symflops.layers.attention import Heads, attention_core
from symflops.layers.feedforward import NO_BIAS, plain_feedforward
from symflops.masks import Causal, Full, SlidingWindow
from symflops.measures import flops
from symflops.networks import blocks
from symflops.notation import (
    d_ff,
    d_head,
    d_model,
    n_head,
    n_layer,
    n_seq,
    n_window,
)  # fmt: skip
from symflops.questions import (
    against_dense,
    attention_overtakes,
    attention_share,
    cache_equals_weights,
    scaling,
)
from symflops.questions.subjects import Subject


@settings(deadline=None, max_examples=25)
@given(configs, st.sampled_from([("torch", "dense"), ("exact", "exact")]))
def test_attention_overtakes_where_a_search_says(config: dict[str, Any], under: tuple[str, str]) -> None:
    model = architecture(config)
    counted, found = Counted(model, under[1]), attention_overtakes(model, under[0])
    for answer, other in ((found.feedforward, counted.feedforward), (found.others, counted.others)):
        assert answer.first == first_where(lambda n, other=other: counted.core(n) > other(n))  # type: ignore[misc]


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 3), st.integers(0, 3), st.integers(1, 40), st.integers(1, 40))
def test_windows_give_two_regimes_and_a_search_agrees(layers: int, sliding: int, window: int, d_ff: int) -> None:
    assume(sliding <= layers)
    model = windowed(layers, sliding, window, d_ff)
    counted, found = Counted(model, "exact"), attention_overtakes(model, "exact")
    for answer, other in ((found.feedforward, counted.feedforward), (found.others, counted.others)):
        searched = first_where(lambda n, other=other: counted.core(n) > other(n))  # type: ignore[misc]
        assert answer.first == searched
        assert (searched is None) == answer.note.startswith("never")
        if answer.value is not None:
            conditions = " ".join(map(str, answer.cases[0].domain))
            assert f"n_seq {'>=' if answer.value >= window else '<='} n_window" in conditions or answer.value == window


def test_a_window_that_is_too_short_never_overtakes_and_the_note_says_how_near() -> None:
    model = windowed(2, 2, 3, 10)
    answer = attention_overtakes(model, "exact").feedforward
    counted = Counted(model, "exact")
    assert answer.first is None and answer.value is None and answer.cases == ()
    assert answer.note == "never: in long sequences it approaches 0.2 of that"
    assert abs(counted.core(FAR - 1) / counted.feedforward(FAR - 1) - 0.2) < 1e-3


@pytest.mark.parametrize("convention", NAMES)
@pytest.mark.parametrize("name", ["gpt2", "llama3-8b", "pythia-160m"])
def test_the_first_integer_is_the_first_under_every_convention(name: str, convention: str) -> None:
    model = architecture(name)
    parts = blocks(n_layer * sum(blocks(model.network).values()))
    core, ff = (
        sum(flops(part, convention).expr for part_name, part in parts.items() if part_name == wanted)
        for wanted in ("Attention: Mask", "Feedforward")
    )
    answer = attention_overtakes(model, convention).feedforward
    assert is_first(answer.first, lambda n: model.at(core - ff, n_batch=1, n_seq=n) > 0)
    assert not is_first(answer.first + 1, lambda n: model.at(core - ff, n_batch=1, n_seq=n) > 0)  # a planted fault
    assert not is_first(answer.first - 1, lambda n: model.at(core - ff, n_batch=1, n_seq=n) > 0)


def is_first(found: int | None, holds: Callable[[int], Any]) -> bool:
    return found is not None and bool(holds(found)) and not bool(holds(found - 1))


def test_the_closed_forms_are_the_ones_of_the_books() -> None:
    assert attention_overtakes("gpt2").feedforward.form == d_ff
    assert attention_overtakes("gpt2", "exact").feedforward.form == 2 * d_ff - 1
    assert expand(attention_overtakes("gpt2").others.form - (d_ff + 2 * d_model)) == 0
    llama = attention_overtakes("llama3-8b").feedforward
    assert expand(llama.form - 3 * d_ff * d_model / (2 * d_head * n_head)) == 0
    assert (llama.value, llama.first) == (21504, 21505)


def test_a_network_in_symbols_has_every_case_and_no_number() -> None:
    heads = Heads(n_head, n_head, d_head)
    core = attention_core(heads, SlidingWindow(n_seq, n_seq, n_window))
    found = attention_overtakes(n_layer * (core + plain_feedforward("gelu", NO_BIAS)), "exact")
    assert found.feedforward.value is None and found.feedforward.first is None
    assert [str(case.domain[-1]) for case in found.feedforward.cases] == ["n_seq <= n_window", "n_seq >= n_window"]
    short, long = found.feedforward.cases
    sizes = {n_head: 2, d_head: 3, d_model: 6, d_ff: 10}
    assert short.form.subs(sizes) == 19  # 2*n*(n + 1)*6 = 2*2*6*10*n
    assert long.form.subs({**sizes, n_window: 15}) == 21  # 4*6*(15*21 - 15*14/2) = 2*2*6*10*21


def test_what_has_no_answer_says_so_with_a_value() -> None:
    feedforward = n_layer * plain_feedforward("gelu", NO_BIAS)
    assert attention_overtakes(feedforward).feedforward.note.startswith("never")
    encoder = n_layer * attention_core(Heads(n_head, n_head, d_head), Full(n_seq, n_seq))
    assert cache_equals_weights(encoder).tokens.note == "never: nothing is cached"
    alone = attention_overtakes(encoder.subs({n_head: 2, d_head: 3}))
    assert alone.feedforward.note
    assert against_dense("gpt2").flops_per_active.note == "it has no experts"
    assert scaling(feedforward, "d_ff", 2).cache.note == "there is none"


def test_layers_that_a_config_has_none_of_are_not_divided_by() -> None:
    core = attention_core(Heads(n_head, n_head, d_head), Causal(n_seq, n_seq))
    kinds = n_layer_attention * core + n_layer * plain_feedforward("gelu", NO_BIAS)
    model = Subject("hybrid", kinds, {"n_layer": 2, "n_layer_attention": 0, "n_head": 2, "d_head": 4, "d_model": 8,
                                      "d_ff": 9, "n_ctx": 16})  # fmt: skip
    found = cache_equals_weights(model)
    assert {each.note for each in (found.tokens, found.batch)} == {"never: nothing is cached"}
    assert found.length.note.startswith("never") and attention_overtakes(model).feedforward.note.startswith("never")
    assert scaling(model, "d_model", 2).cache.note == "there is none" and attention_share(model).share.value == 0


@settings(deadline=None, max_examples=20)
@given(llama_configs)
def test_the_cache_is_as_large_as_the_weights_where_a_search_says(config: dict[str, Any]) -> None:
    model = architecture(config)
    counted, found, weights = Counted(model, "dense"), cache_equals_weights(model), model.params()
    tokens = next(n for n in count(1) if counted.cached(n) > weights)
    assert found.tokens.first == found.length.first == tokens
    assert found.batch.first == next(n for n in count(1) if n * counted.cached(19) > weights)
    assert not is_first(found.tokens.first + 1, lambda n: counted.cached(n) > weights)  # a planted fault


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(0, 3), st.integers(1, 300))
def test_the_cache_of_windows_stops_growing(layers: int, sliding: int, window: int) -> None:
    assume(sliding <= layers)
    model = windowed(layers, sliding, window, 12)
    counted, found, weights = Counted(model, "exact"), cache_equals_weights(model), model.params()
    assert found.length.first == first_where(lambda n: counted.cached(n) > weights)
    assert (found.tokens.value is None) == (sliding > 0)
    assert found.batch.value == Fraction(weights, counted.cached(64))


def test_bytes_of_weights_and_cache_may_differ() -> None:
    same, quantised = cache_equals_weights("llama3-8b"), cache_equals_weights("llama3-8b", weight_bytes=Fraction(1, 2))
    assert quantised.tokens.value * 4 == same.tokens.value
    with pytest.raises(SizeError, match=r"weight_bytes is 0\.5"):
        cache_equals_weights("llama3-8b", weight_bytes=0.5)  # type: ignore[arg-type]
