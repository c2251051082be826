"""Hoffmann et al. 2022: what training costs by appendix F, the fifty models, and the projections, derived and checked.

The paper counts a transformer's FLOPs operation by operation, says that 6ND comes close, and asks how a budget is best
divided between parameters and tokens (arXiv:2203.15556, section 3 and appendices D, F, J). Here appendix F is a
network, its table is measured on it, and the models of Table A9 are a second network, found by its parameters.

>>> result = derive()
>>> (result.C_forward - CORE - EMBEDDING).expand()
0
>>> TRAINED_PARAMS.coeff(n_layer).coeff(n_vocab), TRAINED_PARAMS.coeff(n_vocab)
(0, d_model)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from sympy import Add, Expr, Integer, Lambda, Symbol

from derivations._optimum import GOPHER, optimum
from symflops.claims.sections import checked
from symflops.claims.shown import plain
from symflops.claims.table import Row as ClaimRow
from symflops.claims.verifying import shipped
from symflops.conventions import CHINCHILLA, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, drop, rewrite, share, specialise, start
from symflops.documents import Cell, Table, prose
from symflops.elementwise import Elementwise
from symflops.layers.attention import BIAS, NO_BIAS, Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import ROTARY, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import Bias
from symflops.layers.norm import layer_norm, rms_norm
from symflops.measures import flops, params
from symflops.networks import Block, Tied
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_layer, n_seq, n_vocab, symbol
from symflops.operations import Contraction

CITATION = "Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, arXiv:2203.15556, appendix F"

# Appendix F: no biases, norms, residual additions or positions. Its key_size*num_heads is the width of all heads.
_HEADS = Heads(n_head, n_head, d_head)
_MASK = Causal(n_seq, n_seq)
_CORE = attention_core(_HEADS, _MASK)
_ENDS = embedding(ROTARY) + Tied(de_embedding())
NETWORK: Expr = _ENDS + n_layer * Add(
    fused_qkv(_HEADS, NO_BIAS), _CORE, project(_HEADS, NO_BIAS), plain_feedforward("gelu", NO_BIAS)
)
TOKENS: Expr = n_batch * n_seq


def relative_attention() -> Block:
    """What Transformer-XL adds to a layer (Dai et al. 2019, arXiv:1901.02860, section 3.3): keys of distances.

    A projection of the distances' vectors to keys, two biases of the queries, and a second product of scores.
    """
    sizes = {"batch": n_batch, "seq": n_seq, "key": n_seq, "head": n_head, "d_head": d_head, "d_model": d_model}
    keys = Contraction(
        "relative_key", "r[key d_model] weight[d_model head d_head] -> k[key head d_head]", sizes, "qkv"
    )  # fmt: skip
    x, bias = Symbol("x", real=True), Symbol("bias", real=True)
    shifted = (
        Elementwise(
            name, "x[batch seq head d_head] + bias[head d_head] -> y[batch seq head d_head]", sizes, "bias",
            formula=Lambda((x, bias), x + bias),
        )
        for name in ("content_bias", "position_bias")
    )  # fmt: skip
    scores = Contraction(
        "relative_scores", "q[batch head query d_head] k[head key d_head] -> scores[batch head query key]",
        sizes, "scores", _MASK,
    )  # fmt: skip
    return Block("Attention: Relative", Add(keys, *shifted, scores))


def trained(bias: Bias = BIAS, *more: Expr) -> Expr:
    """The layers of the models of Table A9 with their embedding; ``more`` stands in each layer too."""
    layer = Add(
        fused_qkv(_HEADS, bias), _CORE, project(_HEADS, bias), plain_feedforward("gelu", bias), relative_attention()
    )
    return _ENDS + n_layer * Add(layer, *more)


NETWORKS: dict[str, Expr] = {"trained": trained()}
TRAINED_PARAMS: Expr = params(NETWORKS["trained"])
READINGS: dict[str, Expr] = {
    "biases and relative positions": trained(),
    "with the gains of two norms a layer": trained(BIAS, 2 * rms_norm("norm")),
    "with gains and biases of two norms a layer": trained(BIAS, 2 * layer_norm("norm")),
    "without biases": trained(NO_BIAS),
    "appendix F's own matrices": NETWORK,
}
"""Ways to count the parameters of Table A9's models."""

_C = flops(NETWORK, CHINCHILLA).expr / TOKENS
EMBEDDING: Expr = 4 * d_model * n_vocab
CORE: Expr = (_C - EMBEDDING).expand()


def derive(given: str | Convention = CHINCHILLA) -> Derivation:
    """Appendix F under a convention, by default the paper's own."""
    chosen = convention(given)
    base = derive_network("chinchilla2022", "Hoffmann et al. 2022 (Chinchilla)", CITATION, NETWORK, chosen, TOKENS)
    steps = (*base.steps, *identity(), *ratio()) if chosen == CHINCHILLA else base.steps
    sections = (_ratios(), _left_out(), _fifty(), *optimum(), *checked("chinchilla2022"))
    return replace(base, steps=steps, sections=sections)


def identity() -> tuple[Step, ...]:
    """From the operations to appendix F's total for a sequence, and to training."""
    d_attn = n_head * d_head
    attention = (
        6 * n_seq * d_model * d_attn + 4 * n_seq**2 * d_attn + 3 * n_head * n_seq**2 + 2 * n_seq * d_attn * d_model
    )
    dense = 2 * n_seq * (d_model * d_ff + d_model * d_ff)
    stated = 2 * n_seq * n_vocab * d_model + n_layer * (attention + dense) + 2 * n_seq * d_model * n_vocab
    chain = start("C_sequence", (n_seq * _C).expand(), "the network, one sequence")
    chain = rewrite(chain, stated, "as appendix F states it: embeddings + num_layers*(attention + dense) + logits")
    training = start("C", flops(NETWORK, CHINCHILLA, "training").expr / TOKENS, "forward, and twice that backward")
    return (*chain, rewrite(training, (3 * _C).expand(), "three forward passes")[-1])


def ratio() -> tuple[Step, ...]:
    """Training against 6 N, N with the embedding, for d_ff = 4 d_model and heads that fill the width."""
    shape = {d_head: d_model / n_head, d_ff: 4 * d_model}
    matrices = 12 * n_layer * d_model**2
    n = matrices + d_model * n_vocab
    scores, softmax, ends = 12 * n_layer * n_seq * d_model, 9 * n_layer * n_head * n_seq, 12 * d_model * n_vocab
    chain = start("C", flops(NETWORK, CHINCHILLA, "training").expr / TOKENS, "training")
    whole = 6 * matrices + scores + softmax + ends
    chain = specialise(chain, shape, whole, "d_head = d_model/n_head and d_ff = 4*d_model")
    chain = rewrite(chain, 6 * n + scores + softmax + 6 * d_model * n_vocab, "N = params, the embedding among them")
    chain = drop(
        chain, softmax, 6 * n + scores + 6 * d_model * n_vocab,
        f"the softmax is {share(softmax, scores)} of the scores: small for wide heads",
    )  # fmt: skip
    chain = drop(
        chain, scores, 6 * n + 6 * d_model * n_vocab,
        f"the scores are {share(scores, 6 * matrices)} of the layers' matrices: small for d_model >> n_seq/6",
    )  # fmt: skip
    chain = drop(
        chain, 6 * d_model * n_vocab, 6 * n,
        "a table that serves at both ends is paid twice and counted once, at "
        f"{share(d_model * n_vocab, matrices)} of the layers' matrices",
    )  # fmt: skip
    name = Symbol("N")
    return (*chain[1:-1], chain[-1].written(6 * name, N=n))


def _at(form: Expr, row: ClaimRow) -> Fraction:
    """A closed form at the sizes of a row of Table A4 or A9, sequences of 2048 tokens and 32,000 words."""
    cells = {"n_layer": "n_layers", "d_model": "d_model", "d_ff": "ffw_size", "n_head": "n_heads", "d_head": "kv_size"}
    sizes = {symbol(name): Integer(int(row.cells[column])) for name, column in cells.items()}
    exact = form.xreplace({**sizes, n_seq: Integer(2048), n_vocab: Integer(32000)})
    return Fraction(int(exact.p), int(exact.q))


def _ratios() -> Section:
    """Table A4 under three readings of what is counted."""
    rows = shipped()["chinchilla_table_a4"].rows
    forms = (_C, _C - 2 * d_model * n_vocab, CORE)
    lines: list[tuple[Cell, ...]] = []
    for row in rows:
        found = (plain(_at(3 * form / (6 * TRAINED_PARAMS), row), 5) for form in forms)
        lines.append((row.label, f"{int(_at(TRAINED_PARAMS, row)):,}", row.cells["flop_ratio_printed"], *found))
    head = ("Model", "N", "Printed", "All of appendix F", "Without one end", "Without embedding and logits")
    said = prose(
        "Appendix F says that embedding matrices count in the FLOPs and in N. Table A4's ratios are for sequences of "
        "a length, and a vocabulary, that neither prints; with 2048 tokens and the 32,000 of Table A8 its six figures "
        "come out where N keeps the embedding and the FLOPs leave both ends out, and in no row as the text says. With "
        "1024 or 4096 tokens none of the six does:"
    )
    after = prose(
        "N is the exact count of Table A9's networks (below): a rounded name such as 1.1B, for 1.143, is too coarse "
        "for three digits of a ratio. With both ends the smallest model is far from 6ND, so that the remark that the "
        "differences are very small rests on what was left out."
    )
    return Section("Ratio to 6ND", (said, Table("", head, tuple(lines)), after))


def _left_out() -> Section:
    """What neither appendix F nor 6ND counts of the models that were trained."""
    more = (flops(relative_attention(), CHINCHILLA).expr / TOKENS).expand()
    per_batch = more.coeff(n_batch, -1)
    rows = shipped()["chinchilla_table_a4"].rows
    part = n_layer * (more - per_batch / n_batch)
    sizes = {row.label: plain(100 * _at(part / CORE, row), 2) for row in (rows[0], rows[-1])}
    said = [
        prose(
            "Relative positions cost a second product of scores, ", part, " FLOPs for each token, and keys of the "
            "distances, ", n_layer * per_batch / n_batch, ", once for a batch. Appendix F has neither: they are "
            + " and ".join(f"{percent} % of the layers' FLOPs of the {label} model" for label, percent in sizes.items())
            + ", more than what Table A4's ratios of these two are off 1."
        ),
        prose("Biases, norms, activations and residual additions have no line in it either; a mask saves nothing: "
              "all n_seq**2 pairs are paid."),
    ]  # fmt: skip
    return Section("What was dropped", tuple(said))


def _fifty() -> Section:
    """How many of Table A9's parameter counts each way to count gives."""
    rows = shipped()["chinchilla_table_a9"].rows
    lines = tuple(
        (name, params(network).factor(), *_reproduced(params(network), rows)) for name, network in READINGS.items()
    )
    said = prose(
        "Appendix J prints 50 models and no formula. To the million, as they are printed, all 50 counts follow from "
        "the first of these ways to count, and from no other that was tried: every matrix with its bias, keys of "
        "relative positions and two biases of the queries as in Transformer-XL, one table of 32,000 words for both "
        "ends, no norms. Heads do not always fill the width: "
        f"n_heads*kv_size is not d_model in {sum(map(_unfilled, rows))} of the models."
    )
    return Section("The fifty models", (said, Table("", ("Counted", "Parameters", "Rows"), lines)))


def _unfilled(row: ClaimRow) -> bool:
    return int(row.cells["n_heads"]) * int(row.cells["kv_size"]) != int(row.cells["d_model"])


def _reproduced(form: Expr, rows: tuple[ClaimRow, ...]) -> Iterator[str]:
    table = shipped()["chinchilla_table_a9"]
    yield f"{sum(table.printed(row, 'params_M_printed').holds(_at(form, row)) for row in rows)} of {len(rows)}"


__all__ = ["CITATION", "GOPHER", "NETWORK", "NETWORKS", "READINGS", "derive", "relative_attention", "trained"]
