"""Laws asked of cost functions: of ones written out in plain Python, and of the same with a fault in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from costs_by_hand import CACHED, CONFIGS, STORED, WORK, by_hand, case, claimed, multiplied

from symflops.conventions import ALL_OPERATIONS
from symflops.laws.catalogue import LAWS
from symflops.laws.claiming import claims_of
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance

ASKED = [name for name, law in LAWS.items() if law.ask]


def ask(name: str, cost: Cost, at: Case) -> list[Instance]:
    law = LAWS[name]
    assert law.ask is not None and law.asks is not None
    return list(law.ask(cost, at)) if law.asks(cost.claims) else []


@pytest.mark.parametrize("name", ASKED)
def test_a_law_holds_of_costs_that_are_written_out_by_hand(name: str) -> None:
    found = [
        instance
        for claims in claimed()
        for config in CONFIGS
        for instance in ask(name, Cost("by hand", by_hand(claims), claims), case(config))
    ]
    assert found and {each.how for each in found} == {"tested"}
    assert not [each for each in found if not each.holds]


Extra = Callable[[Case], Any]


def bent(claims: Claims, extra: Extra) -> Cost:
    """A cost with something added to it."""
    right = by_hand(claims)
    return Cost("bent", lambda at: right(at) + extra(at), claims)


def size(name: str, power: int = 1) -> Extra:
    return lambda at: at.sizes.get(name, 0) ** power


_CALLS = count()
BENT: dict[str, tuple[str, Claims, Extra]] = {
    "layer-linearity": ("llama", WORK, size("n_layer", 2)),
    "batch-linearity": ("llama", WORK, size("n_batch", 2)),
    "parameters-know-no-tokens": ("llama", STORED, size("n_seq")),
    "feedforward-slope": ("llama", WORK, size("d_ff")),
    "vocabulary-slope": ("llama", WORK, size("n_vocab")),
    "key-value-slope": ("llama", WORK, size("n_kv_head")),
    "masked-at-most-dense": ("llama", replace(WORK, pairs="half"), lambda at: 10**9),
    "length-degree": ("llama", WORK, size("n_seq", 3)),
    "length-curvature": ("llama", WORK, size("n_seq", 2)),
    "length-ignores-width": ("llama", WORK, lambda at: at.n_seq**2 * at.sizes["d_model"]),
    "length-ignores-key-value-heads": ("llama", WORK, lambda at: at.n_seq**2 * at.sizes["n_kv_head"]),
    "length-by-width-of-heads": ("llama", WORK, size("n_seq", 2)),
    "groups-of-one-are-multi-head": ("llama", WORK, lambda at: at.model.config.get("num_key_value_heads") or 0),
    "heads-count-by-their-width": ("llama", WORK, size("n_head")),
    "cache-by-key-value-heads": ("llama", CACHED, lambda at: 1),
    "cache-by-length": ("llama", CACHED, size("n_seq", 2)),
    "experts-cost-their-router": ("mixtral", WORK, size("n_expert")),
    "active-experts-slope": ("mixtral", WORK, size("n_active")),
    "experts-store-a-straight-line": ("mixtral", STORED, size("n_expert", 2)),
    "active-experts-store-nothing": ("mixtral", STORED, size("n_active")),
    "active-at-most-stored": ("mixtral", STORED, lambda at: -(10**6)),
    "one-expert-is-dense": ("mixtral", WORK, size("n_expert")),
    "finer-experts-cost-the-same": ("mixtral", WORK, size("n_active")),
    "tying-stores-one-table": ("llama", STORED, lambda at: int(at.model.config["tie_word_embeddings"])),
    "tying-costs-no-work": ("llama", WORK, lambda at: int(at.model.config["tie_word_embeddings"])),
    "positions-store-rows": ("gpt2", STORED, size("n_ctx")),
    "contexts-cost-no-work": ("gpt2", WORK, size("n_ctx")),
    "parameters-of-what-is-counted": ("gpt2", STORED, lambda at: 1),
    "work-of-what-is-counted": ("gpt2", WORK, lambda at: 1),
    "cache-layer-by-layer": ("gpt2", CACHED, lambda at: 1),
    "cost-is-not-negative": ("llama", STORED, lambda at: -(10**9)),
    "cost-is-whole": ("llama", WORK, lambda at: Fraction(1, 2)),
    "cost-never-falls": ("llama", WORK, lambda at: -(10**9) * at.sizes["d_head"]),
    "cost-is-repeatable": ("llama", WORK, lambda at: next(_CALLS)),
    "training-is-three-forwards": ("llama", WORK, lambda at: 2),
    "full-recompute-is-one-forward-more": (
        "llama",
        replace(WORK, recompute="full"),
        lambda at: 2 * multiplied(at, "dense")["logits"],
    ),
    "selective-recompute-is-one-core-more": (
        "llama",
        replace(WORK, recompute="selective"),
        lambda at: 2 * multiplied(at, "dense")["scores"],
    ),
}
"""For each law that is asked, a cost that breaks it and little else."""


def test_every_law_that_is_asked_has_a_planted_fault() -> None:
    assert set(BENT) == set(ASKED) and len(ASKED) >= 30


@pytest.mark.parametrize("name", BENT)
def test_a_law_fails_of_a_cost_that_breaks_it(name: str) -> None:
    config, claims, extra = BENT[name]
    broken = [each for each in ask(name, bent(claims, extra), case(config)) if not each.holds]
    assert broken and all(each.left != each.right or "most" in name for each in broken)
    assert "bent of" in broken[0].subject and (broken[0].detail or name == "cost-is-whole")


def without(role: str) -> Callable[[Case], Fraction]:
    """A role that is claimed, and not paid for."""
    return lambda at: -6 * multiplied(at, "dense")[role]


def instead(role: str, fraction: Callable[[dict[str, int]], Fraction]) -> Callable[[Case], Fraction]:
    """A role at a fraction of its price."""
    return lambda at: 6 * multiplied(at, "dense")[role] * (fraction(at.sizes) - 1)


def wrong_heads(s: dict[str, int]) -> Fraction:
    return Fraction(s["n_kv_head"], s["n_head"])


PEERS: dict[str, tuple[str, Extra, set[str]]] = {
    # The cookbook's calculator takes a feed-forward layer to be four times as wide as the model, whatever is said.
    "ignores the feed-forward width": (
        "llama", instead("feedforward", lambda s: Fraction(4 * s["d_model"], s["d_ff"])), {"feedforward-slope"}),
    # Its mixture of experts returns the dense number for two active experts.
    "two experts as dense": (
        "mixtral", instead("feedforward", lambda s: Fraction(1, s.get("n_active", 1))), {"active-experts-slope"}),
    # Training logits are not tripled.
    "logits once": ("llama", instead("logits", lambda s: Fraction(1, 3)), {"vocabulary-slope"}),
    # NX pays the projection back by heads of keys and values.
    "projection by key and value heads": (
        "llama", instead("project", wrong_heads), {"key-value-slope"}),
    # Scores of as many heads as there are keys and values.
    "scores by key and value heads": (
        "llama", instead("scores", wrong_heads), {"length-ignores-key-value-heads", "length-curvature"}),
    # levanter, litgpt: heads as wide as the model's share.
    "heads of the model's width": (
        "llama", instead("scores", lambda s: Fraction(s["d_model"], s["n_head"] * s["d_head"])),
        {"length-ignores-width", "length-by-width-of-heads"}),
    # All experts run.
    "all experts run": (
        "mixtral", instead("feedforward", lambda s: Fraction(s.get("n_expert", 1), s.get("n_active", 1))),
        {"experts-cost-their-router"}),
    "no attention": ("gpt2", lambda at: without("scores")(at) + without("mix")(at), {"length-curvature"}),
}  # fmt: skip
"""Faults of calculators that people use (each reported, or read in their code), and the laws that have to see them."""


@pytest.mark.parametrize("name", PEERS)
def test_faults_of_real_calculators_are_seen_by_the_law_of_their_subject(name: str) -> None:
    config, extra, laws = PEERS[name]
    cost = bent(WORK, extra)
    seen = {law for law in ASKED if not all(each.holds for each in ask(law, cost, case(config)))}
    assert laws | {"work-of-what-is-counted"} <= seen


def test_laws_of_matmuls_are_not_asked_of_what_charges_more() -> None:
    """Of every arithmetic operation only what holds whatever its price: not slopes, and not whole batches."""
    every, palm = (replace(claims_of(name, WORK), phase="training") for name in (ALL_OPERATIONS.name, "palm"))
    asked = [{law for law in ASKED if LAWS[law].asks(claims)} for claims in (WORK, every, palm)]  # type: ignore[misc]
    slopes = {"feedforward-slope", "vocabulary-slope", "key-value-slope", "training-is-three-forwards"}
    assert slopes <= asked[0] and not slopes & asked[1] and slopes <= asked[2]
    assert {"layer-linearity", "length-degree", "work-of-what-is-counted", "length-ignores-width"} <= asked[1]
    assert {"tying-costs-no-work", "contexts-cost-no-work", "heads-count-by-their-width"} & asked[2] == set()


def test_a_law_is_asked_of_nothing_that_does_not_claim_it() -> None:
    only = replace(WORK, counts=frozenset({"feedforward"}))
    assert not ask("tying-stores-one-table", Cost("x", by_hand(WORK), WORK), case("llama"))
    assert not ask("experts-cost-their-router", Cost("x", by_hand(WORK), WORK), case("llama"))
    assert not ask("key-value-slope", Cost("x", by_hand(WORK), WORK), case("gpt2"))
    assert ask("feedforward-slope", Cost("x", by_hand(only), only), case("llama"))
