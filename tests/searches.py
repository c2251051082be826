"""Answers by search and by loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate

from symflops import Architecture, architecture
from symflops.conventions import CONVENTIONS
from symflops.notation import (
    symbol,
)  # fmt: skip

FAR = 4000
n_layer_attention = symbol("n_layer_attention")
NAMES = sorted(CONVENTIONS)


def first_where(holds: Callable[[int], bool], far: int = FAR) -> int | None:
    """The first integer from which on something holds, by trying all up to a bound."""
    held = [number for number in range(1, far) if holds(number)]
    return next((number for number in held if len(held) == far - number), None)


@cache
def rows(window: int | None) -> list[int]:
    """Keys that the first so many queries see together, counted row by row: those before each that a window reaches."""
    return [0, *accumulate(min(query, window or query) for query in range(1, FAR))]


def pairs(kind: str, length: int, window: int | None) -> int:
    """Attended pairs: every one, or those that causality and the window let through."""
    return length**2 if kind == "dense" else rows(window)[length]


class Counted:
    """What one sequence costs, by plain arithmetic on the sizes of a decoder."""

    def __init__(self, model: Architecture, kind: str) -> None:
        self.kind, self.sizes, s = kind, model.sizes, model.sizes
        self.heads, self.kv = s["n_head"], s.get("n_kv_head", s["n_head"])
        self.head = s.get("d_head", s["d_model"] // s["n_head"])
        matmuls = 3 if model.family.name in ("llama", "gemma2", "mistral") else 2
        self.ff = 2 * matmuls * s["d_model"] * s["d_ff"]
        self.projections = 2 * s["d_model"] * self.head * (2 * self.heads + 2 * self.kv)
        self.sliding = s.get("n_layer_sliding", 0)

    def core(self, length: int) -> int:
        each = 4 * self.heads * self.head
        full, window = self.sizes["n_layer"] - self.sliding, self.sizes.get("n_window")
        return each * (full * pairs(self.kind, length, None) + self.sliding * pairs(self.kind, length, window))

    def feedforward(self, length: int) -> int:
        return self.sizes["n_layer"] * length * self.ff

    def others(self, length: int) -> int:
        return self.sizes["n_layer"] * length * (self.ff + self.projections)

    def cached(self, length: int) -> int:
        full, window = self.sizes["n_layer"] - self.sliding, self.sizes.get("n_window", 0)
        return 2 * self.kv * self.head * (full * length + self.sliding * min(length, window))


def windowed(n_layer: int, sliding: int, window: int, d_ff: int, kind: str = "gemma2") -> Architecture:
    """A small decoder, some of whose layers see a window."""
    types = ["sliding_attention"] * sliding + ["full_attention"] * (n_layer - sliding)
    fields = {"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 11}
    return architecture(
        {
            "model_type": kind,
            "num_hidden_layers": n_layer,
            "intermediate_size": d_ff,
            "sliding_window": window,
            "layer_types": types,
            "max_position_embeddings": 64,
            **fields,
        }
    )
