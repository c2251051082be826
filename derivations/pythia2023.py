"""Biderman et al. 2023: eight models of one architecture, their parameters, tokens and GPU hours.

The Pythia suite is GPT-NeoX at eight sizes (arXiv:2304.01373, Table 1), each trained on the same tokens in the same
order. The network is the family gpt_neox of symflops; the paper's non-embedding counts are its parameters to the last
digit, and the GPU hours of appendix D then say how well the GPUs were used.

>>> result = derive()
>>> result.N.expand() - (n_layer * (12 * d_model**2 + 13 * d_model) + 2 * d_model).expand()
0
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from sympy import Expr, Integer

from symflops.architectures import architecture
from symflops.claims.figures import figure
from symflops.claims.sections import checked
from symflops.claims.shown import percent, plain, scientific
from symflops.claims.table import Row
from symflops.claims.verifying import shipped
from symflops.conventions import EXACT, MEGATRON, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, drop, rewrite, share, start
from symflops.documents import Cell, Table, prose
from symflops.measures import flops, params, params_without
from symflops.networks import of_role
from symflops.notation import d_ff, d_model, n_batch, n_layer, n_seq, n_vocab, symbol

CITATION = "Biderman et al., Pythia: A Suite for Analyzing Large Language Models, 2023, arXiv:2304.01373"

# Attention and feed-forward read the same stream, each behind a LayerNorm of its own; every matrix has a bias; a
# quarter of each head is rotated; two tables of words (section 2.3).
_NEOX = {"model_type": "gpt_neox", "hidden_act": "gelu", "rotary_pct": 0.25, "tie_word_embeddings": False}
NETWORK: Expr = architecture(_NEOX).network.subs(d_ff, 4 * d_model)
TOKENS: Expr = n_batch * n_seq
STEPS, BATCH = 143000, 1024 * 2048
TRAINED = STEPS * BATCH
PEAK = 312 * 10**12
"""Dense FLOP/s of an A100 in fp16 (NVIDIA A100 datasheet), which appendix D names with 40 GB."""
WORDS = 50254
"""Words of the tokenizer of GPT-NeoX-20B."""


def derive(given: str | Convention = MEGATRON) -> Derivation:
    """The suite's network under a convention, by default matmuls alone."""
    base = derive_network("pythia2023", "Biderman et al. 2023 (Pythia)", CITATION, NETWORK, convention(given), TOKENS)
    sections = (_counts(), _tokens(), _hours(), *checked("pythia2023"))
    return replace(base, steps=(*base.steps, *counted()), sections=sections)


def counted() -> tuple[Step, ...]:
    """The non-embedding parameters as a sum of matrices, biases and norms, and what the usual formula drops."""
    matrices, vectors = 12 * n_layer * d_model**2, 13 * n_layer * d_model + 2 * d_model
    chain = start("N", params_without(NETWORK), "the network")
    chain = rewrite(chain, matrices + vectors, "matrices; biases and norms of a layer, and the last norm")
    dropped = f"biases and norms are about {share(13 * n_layer * d_model, matrices)} of the matrices"
    chain = drop(chain, vectors, matrices, dropped)
    whole = start("params", params(NETWORK), "with both tables of words")
    return (*chain[1:], *rewrite(whole, params_without(NETWORK) + 2 * d_model * n_vocab, "N and two tables")[1:])


def _models() -> tuple[Row, ...]:
    return tuple(row for row in shipped()["pythia_table1"].rows if "n_layers" in row.cells)


def _at(form: Expr, row: Row) -> Fraction:
    """A closed form at the sizes of a row, sequences of 2048 tokens."""
    sizes = {"n_layer": "n_layers", "d_model": "d_model", "n_head": "n_heads", "n_vocab": "vocab"}
    known = {symbol(name): Integer(int(row.cells[column])) for name, column in sizes.items()}
    head = int(row.cells["d_model"]) // int(row.cells["n_heads"])
    known |= {symbol("d_head"): Integer(head), symbol("d_rope"): Integer(head // 4), n_seq: Integer(2048)}
    exact = form.xreplace({**known, symbol("n_kv_head"): known[symbol("n_head")]}).xreplace(known)
    return Fraction(int(exact.p), int(exact.q))


def _counts() -> Section:
    lines = []
    for row in _models():
        n, whole = _at(params_without(NETWORK), row), _at(params(NETWORK), row)
        unpadded = n + 2 * WORDS * int(row.cells["d_model"])
        added = percent(whole / unpadded - 1)
        lines.append(
            (row.label, f"{int(n):,}", row.cells["vocab"], f"{int(whole):,}", _share((whole - n) / whole), added)
        )
    said = prose(
        "Table 1 prints parameters without the two tables of words, and names each model after all of them. The tables "
        f"have more rows than the tokenizer has words ({WORDS:,}): the next multiple of 128 for each GPU that a matrix "
        "is cut over, which are two for 6.9B, four for 12B, and one for the others."
    )
    head = ("Model", "N", "rows of a table", "all parameters", "in the tables", "more than without padding")
    return Section("Parameters", (said, Table("", head, tuple(lines))))


def _tokens() -> Section:
    said = prose(
        f"{STEPS:,} steps of 1024 sequences of 2048 tokens are {TRAINED:,} tokens, and a checkpoint every 1,000 steps "
        f"is one every {1000 * BATCH:,}. A batch of 4M, which one printing of the model card has for three models, "
        f"goes with half as many steps, {STEPS // 2:,}; the README of EleutherAI/pythia says that of its first version."
    )
    return Section("Tokens", (said,))


def _hours() -> Section:
    """How much of the GPUs' peak the printed hours leave for 6 N D, and for the work that was executed."""
    lines: list[tuple[Cell, ...]] = []
    for row in _models():
        seconds = figure(row.cells["gpu_hours"]).value * 3600
        step = plain(seconds / (STEPS * int(row.cells["gpus"])), 3)
        shares = (_share(_at(form, row) * TRAINED / (seconds * PEAK)) for form in WORK.values())
        lines.append((row.label, scientific(_at(WORK["6ND"], row) * TRAINED, 3), f"{step} s", *shares))
    said = prose(
        "Appendix D prints GPUs and GPU hours, which it made from the time of a step; the hours over "
        f"{STEPS:,} steps and the GPUs give it back. Of 312 TFLOP/s, what was left for the model:"
    )
    after = prose(
        "6ND with all parameters pays a table of words that is only looked up in, and no scores; the smallest model's "
        "share falls to under a third without the tables. The configuration recomputes every layer "
        "(checkpoint-activations, appendix E), which the last column counts. The paper prints no utilisation, so that "
        "of these hours only the sums can be checked."
    )
    head = ("Model", "6ND in FLOPs", "a step", *WORK)
    return Section("GPU hours", (said, Table("Share of the GPUs' peak", head, tuple(lines)), after))


def _work() -> dict[str, Expr]:
    """The training work of a token, counted in several ways."""
    matmuls = flops(NETWORK, MEGATRON, "training").expr / TOKENS
    again = (flops(NETWORK, MEGATRON) - flops(of_role(NETWORK, "logits"), MEGATRON)).expr / TOKENS
    forms = {
        "6ND without tables": 6 * params_without(NETWORK),
        "6ND": 6 * params(NETWORK),
        "matmuls, causal": flops(NETWORK, EXACT, "training").expr / TOKENS,
        "matmuls": matmuls,
        "with layers run again": matmuls + again,
    }
    return {name: form.expand() for name, form in forms.items()}


WORK = _work()


def _share(ratio: Fraction) -> str:
    return f"{plain(100 * ratio, 3)} %"
