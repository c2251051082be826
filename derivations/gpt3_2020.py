"""GPT-2 and GPT-3: parameters from the printed shapes, and compute as six times parameters and tokens.

GPT-3 is GPT-2 with a longer context, every other layer with banded sparse attention (Brown et al. 2020, section 2.1).
Its Table 2.1 prints shapes and parameters, its Table D.1 the compute to train them. What a shape owns follows here from
the operations of GPT-2, and the six FLOPs per parameter and token from their gradients.

>>> result = derive()
>>> result.N.subs({d_attn: d_model, d_ff: 4 * d_model}).expand()
12*d_model**2*n_layer + 13*d_model*n_layer + 2*d_model
>>> implied_vocabularies(gpt2_rows())
(40468, 40812)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from sympy import Expr

from symflops.claims.sections import checked
from symflops.claims.verifying import shipped
from symflops.conventions import TORCH, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, drop, rewrite, specialise, start
from symflops.documents import Prose, Table, prose
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS
from symflops.layers.norm import layer_norm, residual
from symflops.masks import Causal
from symflops.measures import flops, params, params_without
from symflops.networks import Block, Tied
from symflops.notation import d_attn, d_ff, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab
from symflops.steps import share

CITATION = (
    "Brown et al., Language Models are Few-Shot Learners, 2020, arXiv:2005.14165, Tables 2.1 and D.1; Radford et al., "
    "Language Models are Unsupervised Multitask Learners, 2019, Table 2"
)

_HEADS = Heads(n_head, n_head, d_attn / n_head)
_LAYER = (
    Block("Norms", layer_norm("norm_attention") + layer_norm("norm_feedforward"))
    + fused_qkv(_HEADS, BIAS)
    + attention_core(_HEADS, Causal(n_seq, n_seq))
    + project(_HEADS, BIAS)
    + plain_feedforward("gelu_new", BIAS)
    + Block("Residual", residual("add_attention") + residual("add_feedforward"))
)
NETWORK: Expr = (
    embedding(LEARNED) + n_layer * _LAYER + Block("Norm: Final", layer_norm("norm_final")) + Tied(de_embedding())
).subs(n_seq, n_ctx)
TOKENS: Expr = n_batch * n_ctx
_SHAPE = {d_attn: d_model, d_ff: 4 * d_model}
_VOCABULARY = 50257
_PF_DAY = 864 * 10**17


class Size(NamedTuple):
    """A row of a table of sizes: its name, parameters as printed, the least and most that are printed so, the shape."""

    name: str
    printed: str
    least: int
    most: int
    layers: int
    width: int
    attention: int


def derive(given: str | Convention = TORCH) -> Derivation:
    """GPT-3's network under a convention, with the attention of all layers taken as dense."""
    chosen = convention(given)
    title = "GPT-2 and GPT-3: parameters and compute"
    base = derive_network("gpt3_2020", title, CITATION, NETWORK, chosen, TOKENS)
    sections = (_identity(), _shapes(), _compute(), _six(), _vocabulary(), *checked("gpt3_2020"))
    return replace(base, steps=(*base.steps, *_steps(base)), sections=sections)


def _steps(base: Derivation) -> tuple[Step, ...]:
    """All parameters of a shape, and the 6*N that Table D.1 charges."""
    p = start("P", params(NETWORK).factor(), "the rows and the tables")
    p = specialise(p, _SHAPE, _of_shape(), "d_attn = d_model and d_ff = 4*d_model")
    trained = (flops(NETWORK, TORCH, "training").expr / TOKENS).subs(_SHAPE).expand()
    c = start("C", trained, "forward and gradients under torch, for one token, of the same shape")
    matmuls = 72 * n_layer * d_model**2
    c = rewrite(c, matmuls + 12 * n_layer * n_ctx * d_model + 6 * d_model * n_vocab, "layers, attended pairs, logits")
    pairs = 12 * n_layer * n_ctx * d_model
    said = (
        f"the attended pairs are {share(pairs, matmuls)} of the layers' matmuls; the paper says that they are ignored"
    )
    c = drop(c, pairs, matmuls + 6 * d_model * n_vocab, said)
    left = (6 * _of_shape() - c[-1].expression).expand()
    said = f"the same, and {left.factor()}: what positions, biases and norms own and no matmul uses"
    return (*p, *c, *rewrite(start("6*P", 6 * _of_shape(), "Table D.1"), c[-1].expression + left, said)[1:])


def _of_shape() -> Expr:
    """Parameters by layers and width, vocabulary and context.

    >>> int(_of_shape().subs({n_layer: 12, d_model: 768, n_vocab: 50257, n_ctx: 1024}))
    124439808
    """
    return params(NETWORK).subs(_SHAPE).expand()


def sizes(table: str) -> tuple[Size, ...]:
    """The shapes of a claim file, with the parameters that it prints."""
    found = []
    for row in shipped()[table].rows:
        column = "printed" if "printed" in row.cells else "n_params_printed"
        printed, cells = shipped()[table].printed(row, column), row.cells
        width = int(cells["d_model"])
        attention = int(cells["n_heads"]) * int(cells["d_head"]) if "n_heads" in cells else width
        least, most = ceil(printed.low), floor(printed.high)
        name = cells.get("model", printed.text)
        found.append(Size(name, printed.text, least, most, int(cells["n_layers"]), width, attention))
    return tuple(found)


def gpt2_rows() -> tuple[Size, ...]:
    """The four sizes of GPT-2's Table 2, as printed."""
    return sizes("gpt2_table2")


def counted(size: Size, context: int, attention: Expr | int = d_model) -> int:
    """The parameters of a size with heads as wide as ``attention`` together."""
    form = params(NETWORK).subs({d_attn: attention, d_ff: 4 * d_model})
    values = {n_layer: size.layers, d_model: size.width, n_vocab: _VOCABULARY, n_ctx: context}
    return int(form.subs(values))


def implied_vocabularies(rows: Iterable[Size], context: int = 1024) -> tuple[int, int]:
    """The least and most tokens of a vocabulary with which all rows are printed as they are."""
    least, most = 0, 10**9
    for size in rows:
        others = int(_of_shape().subs({n_layer: size.layers, d_model: size.width, n_ctx: context, n_vocab: 0}))
        least = max(least, ceil(Fraction(size.least - others, size.width)))
        most = min(most, floor(Fraction(size.most - others, size.width)))
    return least, most


def _identity() -> Section:
    """The closed form of a GPT-2, by what owns what."""
    n = params_without(NETWORK).subs(_SHAPE).expand()
    tables = (_of_shape() - n).factor()
    bare = 12 * n_layer * d_model**2
    return Section(
        "Identity",
        (
            prose(
                "With heads that make up the width and d_ff = 4*d_model, the layers own ", n, " and the two tables ",
                tables, ", the logits using the table of tokens again. Of the layers, ", (n - bare).factor(),
                " are biases and norms, a share of ", share(n - bare, bare), ".",
            ),
        ),
    )  # fmt: skip


def _shapes() -> Section:
    """Table 2.1's shapes, read in two ways, against both tables' parameters."""
    trained = {row.cells["model"]: row.cells["params_M"] for row in shipped()["gpt3_table_d1"].rows}
    rows = tuple(
        (size.name, size.printed, f"{trained[size.name]} M", f"{counted(size, 2048) / 1e6:,.1f} M",
         f"{counted(size, 2048, size.attention) / 1e6:,.1f} M")
        for size in sizes("gpt3_table2_1")
    )  # fmt: skip
    narrow = Size("13B", "", 0, 0, 40, 5120, 5120)
    text = (
        "Where n_heads*d_head is not d_model, the parameters say which of the three is wrong. The row XL has the "
        "parameters of 16 heads of 128; with its 24, attention would be half as large again. The width 5140 of the 13B "
        "row gives more than Table D.1 prints; 5120, which 40 heads of 128 are, gives "
        f"{counted(narrow, 2048) / 1e6:,.1f} million."
    )
    head = ("model", "Table 2.1", "Table D.1", "from d_model", "from n_heads*d_head")
    return Section("Numbers: the eight shapes", (Table("", head, rows), Prose(text)))


def _compute() -> Section:
    """Table D.1: 6*P per token, against the matmuls that train."""
    rows = []
    for size in sizes("gpt3_table2_1"):
        at = {n_layer: size.layers, d_model: size.width, n_vocab: _VOCABULARY, n_ctx: 2048, n_batch: 1}
        trained = (flops(NETWORK, TORCH, "training").expr / TOKENS).subs(_SHAPE).subs(at) * 300 * 10**9
        simple = 6 * counted(size, 2048) * 300 * 10**9
        rows.append(
            (size.name, f"{float(simple):.2e}", f"{float(simple / _PF_DAY):.2e}", f"{float(trained / simple):.3f}")
        )
    text = (
        "300 billion tokens each. The last column is what the matmuls take with all layers dense, over 6*P*D: the "
        "longer the context beside the width, the more the attended pairs add. Banded layers would take it down again."
    )
    head = ("model", "6*P*D FLOP", "PF-days", "matmuls / 6*P*D")
    return Section("Ratio: what 6*P*D leaves out", (Table("", head, tuple(rows)), Prose(text)))


def _six() -> Section:
    """T5's row of Table D.1."""
    text = (
        "The caption reads the columns from the right: tokens, the part of the parameters that serves a token (half of "
        "T5's, which has an encoder and a decoder), an addition and a multiplication for each of them, and three times "
        "that with the backward pass. So 3*2*0.5 = 3 for T5 and 3*2*1 = 6 for the others, as printed. The column of "
        "the forward pass is headed per active parameter, which is 2 for all; T5's rows print 1, which is per "
        "parameter, the half already in it. The totals are not touched."
    )
    return Section("T5's half", (Prose(text),))


def _vocabulary() -> Section:
    """The vocabulary with which GPT-2's printed counts come out."""
    rows, (least, most) = gpt2_rows(), implied_vocabularies(gpt2_rows())
    lines = tuple(
        (
            size.printed,
            f"{counted(size, 1024):,}",
            f"{(counted(size, 1024) - (size.least + size.most) // 2) / size.width:,.0f}",
        )
        for size in rows
    )
    text = (
        "GPT-2's Table 2 is 1 to 6 % short of the released models; the README of the code says that the counts were "
        "wrong, not why. The shortfall grows as the width alone, not as the layers, so that it lies in the tables: "
        f"with {least:,} to {most:,} tokens and 1,024 positions all four come out. GPT had 40,478 (Radford et al. "
        "2018: 40,000 merges and their characters), which is among them. That fits; it does not prove it."
    )
    head = ("Table 2", "released", "rows of d_model missing")
    return Section("What vocabulary GPT-2's counts imply", (Table("", head, lines), Prose(text)))
