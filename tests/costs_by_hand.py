"""Cost functions written out in plain Python, a second time: what laws are asked of in the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

from symflops import architecture
from symflops.conventions import CHINCHILLA, PALM
from symflops.laws.cost import ROLES, Case, Claims

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


def served(at: Case) -> dict[str, int]:
    """Parameters that serve a token: of experts those that it is sent to."""
    s, each = at.sizes, stored(at)
    return {**each, "feedforward": each["feedforward"] * s.get("n_active", 1) // s.get("n_expert", 1)}


def passes(claims: Claims, role: str) -> int:
    """Forward passes, those of gradients and of what is computed again among them."""
    again = {"none": False, "selective": role in ("scores", "softmax", "mix"),
             "full": role not in ("embedding", "position", "logits")}[claims.recompute]  # fmt: skip
    return {"forward": 1, "backward": 2, "training": 3}[claims.phase] + again


def charged(at: Case, claims: Claims) -> dict[str, Fraction]:
    """What has a price, by role, at its price in multiply-accumulates, for a forward pass of a batch."""
    macs, s = multiplied(at, claims.pairs), at.sizes
    if claims.convention == PALM:
        parameters = {role: Fraction(at.n_batch * at.n_seq * each) for role, each in served(at).items()}
        return {**parameters, "scores": macs["scores"], "mix": macs["mix"]}
    if claims.convention == CHINCHILLA:
        softmax = Fraction(3, 2) * s["n_layer"] * at.n_batch * s["n_head"] * pairs(claims.pairs, at.n_seq)
        return {**macs, "position": Fraction(0), "softmax": softmax}
    return macs


def last_norm(at: Case, claims: Claims) -> int:
    """The parameters of the norm after all layers, which is not recomputed with them."""
    counted = claims.convention == PALM and "norm" in claims.counts and claims.recompute == "full"
    return counted * at.n_batch * at.n_seq * at.sizes["d_model"] * (2 if at.model.family.name == "gpt2" else 1)


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
        paid = (passes(claims, role) * each for role, each in charged(at, claims).items() if role in claims.counts)
        return share * {"FLOP": 2, "MAC": 1}[claims.unit] * (sum(paid) - last_norm(at, claims))

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
    yield from (replace(WORK, recompute=what, per=per) for what in ("full", "selective") for per in ("batch", "token"))
    yield replace(WORK, recompute="full", phase="backward", pairs="exact", counts=WORK.counts - {"logits"})
    for convention in (PALM, CHINCHILLA):
        priced = replace(WORK, convention=convention, counts=frozenset(ROLES))
        yield from (priced, replace(priced, per="token", phase="forward", pairs="half", unit="MAC"))
        yield from (replace(priced, recompute=what) for what in ("full", "selective"))
        yield replace(priced, counts=priced.counts - {"position", "embedding"}, pairs="none")
    yield from (STORED, replace(STORED, counts=frozenset({"qkv", "project", "feedforward"})))
    yield from (replace(CACHED, per=per) for per in ("token", "sequence", "batch"))
