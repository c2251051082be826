"""Laws asked of cost functions: of ones written out in plain Python, and of the same with a fault in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import count
from typing import Any

import pytest

from symflops import architecture
from symflops.laws.catalogue import LAWS
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance

LLAMA = {
    "model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 5,
    "hidden_size": 24, "intermediate_size": 20, "vocab_size": 41, "max_position_embeddings": 19,
}  # fmt: skip
GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 3, "n_embd": 15, "n_inner": 7, "vocab_size": 41,
        "n_positions": 17}  # fmt: skip
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
CONFIGS: Mapping[str, dict[str, Any]] = {
    "llama": LLAMA, "llama tied": {**LLAMA, "tie_word_embeddings": True}, "gpt2": GPT2,
    "gpt2 apart": {**GPT2, "tie_word_embeddings": False}, "mixtral": MIXTRAL,
}  # fmt: skip
FAMILIES = ("gpt2", "llama", "mixtral")
WORK = Claims("flops", "training", "batch", families=FAMILIES)
STORED = Claims("params", counts=WORK.counts | {"embedding", "position", "norm"}, families=FAMILIES)
CACHED = Claims("cache_bytes", per="batch", families=FAMILIES)


@cache
def case(name: str, n_batch: int = 2, n_seq: int = 5) -> Case:
    return Case(architecture(CONFIGS[name]), n_batch, n_seq)


def pairs(kind: str, tokens: int) -> Fraction:
    """Pairs of tokens, one by one where they are exact."""
    if kind == "exact":
        return Fraction(sum(key <= query for query in range(tokens) for key in range(tokens)))
    return {"dense": Fraction(1), "half": Fraction(1, 2), "none": Fraction(0)}[kind] * tokens**2


def multiplied(at: Case, kind: str) -> dict[str, Fraction]:
    """Multiply-accumulates of a forward pass by role, layer after layer, written down here a second time."""
    s, matrices = at.sizes, 2 if at.model.family.name == "gpt2" else 3
    heads, groups, width = s["n_head"], s.get("n_kv_head", s["n_head"]), s["d_head"]
    tokens, found = at.n_batch * at.n_seq, dict.fromkeys(WORK.counts | {"embedding", "position"}, Fraction(0))
    for _ in range(s["n_layer"]):
        found["qkv"] += tokens * s["d_model"] * (heads + 2 * groups) * width
        found["scores"] += at.n_batch * heads * width * pairs(kind, at.n_seq)
        found["mix"] += at.n_batch * heads * width * pairs(kind, at.n_seq)
        found["project"] += tokens * heads * width * s["d_model"]
        found["feedforward"] += tokens * matrices * s["d_model"] * s["d_ff"] * s.get("n_active", 1)
        found["router"] += tokens * s["d_model"] * s.get("n_expert", 0)
    found["logits"] += tokens * s["d_model"] * s["n_vocab"]
    found["embedding"] += tokens * s["d_model"] * s["n_vocab"]
    found["position"] += tokens * s["d_model"] * (s["n_ctx"] if at.model.family.name == "gpt2" else 0)
    return found


def stored(at: Case) -> dict[str, int]:
    """Parameters by role, GPT-2's biases with them."""
    s, plain = at.sizes, at.model.family.name == "gpt2"
    d, heads, groups, width = s["d_model"], s["n_head"], s.get("n_kv_head", s["n_head"]), s["d_head"]
    qkv, bias = (heads + 2 * groups) * width, int(plain)
    layers = {
        "qkv": d * qkv + bias * qkv, "project": heads * width * d + bias * d,
        "feedforward": s.get("n_expert", 1) * ((2 if plain else 3) * d * s["d_ff"] + bias * (s["d_ff"] + d)),
        "router": d * s.get("n_expert", 0), "norm": 2 * (1 + bias) * d,
    }  # fmt: skip
    found = {role: s["n_layer"] * each for role, each in layers.items()}
    found["norm"] += (1 + bias) * d
    tied = at.model.config["tie_word_embeddings"]
    return {**found, "embedding": s["n_vocab"] * d, "position": s["n_ctx"] * d * bias,
            "logits": 0 if tied else s["n_vocab"] * d}  # fmt: skip


def by_hand(claims: Claims) -> Callable[[Case], Fraction]:
    """A cost function of those claims, in plain Python."""

    def cost(at: Case) -> Fraction:
        tokens = at.n_batch * at.n_seq
        share = {"token": Fraction(1, tokens), "sequence": Fraction(1, at.n_batch), "batch": Fraction(1)}[claims.per]
        s = at.sizes
        if claims.quantity == "params":
            return Fraction(sum(each for role, each in stored(at).items() if role in claims.counts))
        if claims.quantity == "cache_bytes":
            groups = s.get("n_kv_head", s["n_head"])
            return share * sum(2 * 2 * tokens * groups * s["d_head"] for _ in range(s["n_layer"]))
        macs = sum(each for role, each in multiplied(at, claims.pairs).items() if role in claims.counts)
        price = {"FLOP": 2, "MAC": 1}[claims.unit] * {"forward": 1, "backward": 2, "training": 3}[claims.phase]
        return share * price * macs

    return cost


def claimed() -> Iterator[Claims]:
    """Claims of every kind."""
    for phase, per, kind, unit in zip(
        ("forward", "backward", "training") * 4, ("token", "sequence", "batch", "batch") * 3,
        ("dense", "exact", "half", "none") * 3, ("FLOP", "MAC") * 6, strict=True,
    ):  # fmt: skip
        yield replace(WORK, phase=phase, per=per, pairs=kind, unit=unit)
    yield replace(WORK, counts=WORK.counts | {"embedding"})
    yield replace(WORK, counts=WORK.counts | {"embedding", "position"}, per="token", phase="forward")
    yield replace(WORK, counts=frozenset({"feedforward"}))
    yield replace(WORK, counts=WORK.counts - {"logits", "router"}, pairs="exact")
    yield from (STORED, replace(STORED, counts=frozenset({"qkv", "project", "feedforward"})))
    yield from (replace(CACHED, per=per) for per in ("token", "sequence", "batch"))


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


def test_a_law_is_asked_of_nothing_that_does_not_claim_it() -> None:
    only = replace(WORK, counts=frozenset({"feedforward"}))
    assert not ask("tying-stores-one-table", Cost("x", by_hand(WORK), WORK), case("llama"))
    assert not ask("experts-cost-their-router", Cost("x", by_hand(WORK), WORK), case("llama"))
    assert not ask("key-value-slope", Cost("x", by_hand(WORK), WORK), case("gpt2"))
    assert ask("feedforward-slope", Cost("x", by_hand(only), only), case("llama"))
