"""What papers and tools compute, stated a second time in integers: each in its own letters, for one token of training.

Written from the sources that the formula files cite, not from the files. ``N`` of a source is taken from the exact
counts of the model, which other tests compare with real modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from symflops import Architecture


@dataclass(frozen=True)
class Sizes:
    """A decoder of plain or grouped heads: what a config says, and the counts of its parameters."""

    layers: int
    hidden: int
    heads: int
    groups: int
    head: int
    ffn: int
    matrices: int
    vocab: int
    seq: int
    tied: bool
    params: int
    positions: int
    without_embeddings: int


def sizes_of(model: Architecture, seq: int) -> Sizes:
    given = model.sizes
    heads = given["n_head"]
    gpt = model.family.name == "gpt2"
    tied = bool(model.config["tie_word_embeddings"])
    vocab = given["n_vocab"] * given["d_model"]
    positions = given["n_ctx"] * given["d_model"] if gpt else 0
    return Sizes(
        given["n_layer"], given["d_model"], heads, given.get("n_kv_head", heads), given["d_head"], given["d_ff"],
        2 if gpt else 3, given["n_vocab"], seq, tied, model.params(), positions,
        model.params() - positions - vocab * (1 if tied else 2),
    )  # fmt: skip


def chinchilla(its: Sizes, ends: int) -> int:
    wide, seq = its.head * its.heads, its.seq
    attention = (
        2 * 3 * its.hidden * wide + 2 * seq * wide + 3 * its.heads * seq + 2 * seq * wide + 2 * wide * its.hidden
    )
    dense = 2 * (its.hidden * its.ffn + its.hidden * its.ffn)
    return 3 * (its.layers * (attention + dense) + ends * 2 * its.vocab * its.hidden)


def megatron(its: Sizes, mask: Fraction) -> Fraction:
    query, key = its.head * its.heads, its.head * its.groups
    attention = its.hidden * (query + 2 * key) + query * its.seq * mask * 2 + query * its.hidden
    return 3 * 2 * (its.layers * (attention + its.hidden * its.ffn * its.matrices) + its.hidden * its.vocab)


def equation_3(its: Sizes) -> Fraction:
    h = its.hidden
    whole = 96 * its.layers * h**2
    return whole * (1 + Fraction(its.seq, 6 * h) + Fraction(its.vocab, 16 * its.layers * h))


def korthikanti(its: Sizes, core: int) -> Fraction:
    h = its.hidden
    return 72 * its.layers * h**2 * (1 + Fraction(its.seq, core * h) + Fraction(its.vocab, 12 * h * its.layers))


def maxtext(its: Sizes) -> Fraction:
    qkv = 2 * its.hidden * (its.heads + 2 * its.groups) * its.head
    ffn = 2 * its.ffn * its.hidden * (its.matrices - 1) + 2 * its.ffn * its.hidden
    core = Fraction(4 * its.seq * its.heads * its.head, 2)
    learnable = (ffn + qkv + 2 * its.hidden * its.heads * its.head) * its.layers + 2 * its.hidden * its.vocab
    return 3 * (learnable + core * its.layers)


def verl(its: Sizes, core: int) -> int:
    query, key = its.heads * its.head, its.groups * its.head
    mlp, linear = its.hidden * its.ffn * its.matrices, its.hidden * (query + key + key + query)
    return 6 * ((mlp + linear) * its.layers + its.vocab * its.hidden * 2) + core * its.seq * query * its.layers


def cookbook(its: Sizes) -> Fraction:
    factor, layers, h = 4, its.layers, its.hidden
    qkv = factor * 2 * (1 + 2 * Fraction(its.groups, its.heads)) * layers * h * h
    core = 2 * factor * 2 * layers * its.seq * h
    ffn = factor * 2 * its.matrices * Fraction(its.ffn, h) * layers * h * h
    return qkv + core + factor * 2 * layers * h * h + ffn + 6 * h * its.vocab


def torchtitan(its: Sizes) -> int:
    active = its.params - its.positions - (0 if its.tied else its.vocab * its.hidden)
    return 6 * active + its.layers * 6 * its.heads * (its.head + its.head) * its.seq


def sizing_notebook(its: Sizes) -> int:
    d, seq = its.hidden, its.seq
    per_head = d // its.heads
    block = 2 * d * 3 * d + 2 * seq * d + 2 * its.heads * seq * per_head + 2 * d * d + 2 * (d * 4 * d + 4 * d * d)
    return 3 * (its.layers * block + 2 * d * its.vocab)


def palm(its: Sizes, n: int, head: int) -> int:
    return 6 * n + 12 * its.layers * its.heads * head * its.seq


def head_of_vocab(its: Sizes) -> int:
    """What Hugging Face's count without embeddings keeps: a head's table of its own."""
    return 0 if its.tied else its.vocab * its.hidden


SOURCES: Mapping[str, Callable[[Sizes], int | Fraction]] = {
    "kaplan-2n": lambda its: 3 * (2 * its.without_embeddings + 2 * its.layers * its.seq * its.heads * its.head),
    "kaplan-6n": lambda its: 6 * its.without_embeddings,
    "chinchilla-6nd": lambda its: 6 * its.params,
    "chinchilla-appendix-f": lambda its: chinchilla(its, ends=2),
    "chinchilla-table-a4": lambda its: chinchilla(its, ends=0),
    "narayanan2021": equation_3,
    "korthikanti2022-model": lambda its: korthikanti(its, core=6),
    "korthikanti2022-hardware": lambda its: korthikanti(its, core=3),
    "palm-appendix-b": lambda its: palm(its, its.params, its.head),
    "nanogpt": lambda its: palm(its, its.params - its.positions, its.hidden // its.heads),
    "nanogpt-sizing": sizing_notebook,
    "hf-trainer": lambda its: 6 * (its.without_embeddings + head_of_vocab(its)),
    "litgpt": lambda its: 3 * (2 * its.params + its.layers * 2 * 2 * its.hidden * its.seq),
    "llm-foundry": lambda its: (
        3 * (2 * (its.params - head_of_vocab(its)) + its.layers * 2 * 2 * its.hidden * its.seq)
    ),
    "maxtext": maxtext,
    "torchtitan": torchtitan,
    "verl": lambda its: verl(its, core=6),
    "verl-2025": lambda its: verl(its, core=12),
    "megatron-lm": lambda its: megatron(its, Fraction(1, 2)),
    "megatron-lm-2024": lambda its: megatron(its, Fraction(1)),
    "cookbook": cookbook,
    "deepseek-llm": lambda its: 72 * its.layers * its.hidden**2 + 12 * its.layers * its.hidden * its.seq,
}  # fmt: skip
"""By the id of the formula file."""
