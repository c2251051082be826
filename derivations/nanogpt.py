"""nanoGPT's sizing notebook: the parameters and FLOPs of a GPT-2 without biases, operation by operation.

The notebook counts the matmuls of a forward pass of one sequence, takes a backward pass as two of them, and sets the
sum beside PaLM's 6*N + 12*L*H*Q*T. Here its figures are measures of the network that its model.py builds.

>>> result = derive()
>>> result.N
d_model*(4*d_attn*n_layer + 2*d_ff*n_layer + 2*n_layer + 1)
>>> surplus(result).factor()
6*d_model*n_ctx*(2*n_layer + 1)
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from sympy import Expr, Integer, Rational

from symflops.claims.sections import checked
from symflops.conventions import PALM, TORCH, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, rewrite, start
from symflops.documents import Prose, Table, prose
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, ROTARY, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import BIAS, NO_BIAS, linear
from symflops.layers.norm import gain_norm, layer_norm, residual
from symflops.masks import Causal
from symflops.measures import flops, params
from symflops.networks import Block, Tied
from symflops.notation import d_attn, d_ff, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab

CITATION = "Karpathy, nanoGPT, 2023, transformer_sizing.ipynb and scaling_laws.ipynb, github.com/karpathy/nanoGPT"

_HEADS = Heads(n_head, n_head, d_attn / n_head)
_EMBED, _LOGITS = embedding(LEARNED), Tied(de_embedding())
ATTENTION: Expr = (
    Block("Norm: Attention", gain_norm("norm_attention"))
    + fused_qkv(_HEADS, NO_BIAS)
    + attention_core(_HEADS, Causal(n_seq, n_seq))
    + project(_HEADS, NO_BIAS)
)
FEEDFORWARD: Expr = Block("Norm: Feedforward", gain_norm("norm_feedforward")) + plain_feedforward("gelu", NO_BIAS)
LAYER: Expr = ATTENTION + FEEDFORWARD + Block("Residual", 2 * residual("add"))
NETWORK: Expr = _EMBED + n_layer * LAYER + Block("Norm: Final", gain_norm("norm_final")) + _LOGITS
NETWORKS = {"attention": ATTENTION, "feedforward": FEEDFORWARD, "layer": LAYER}
"""The parts that the notebook adds up, before they are multiplied by the layers."""

_GPT2 = {n_layer: 12, n_head: 12, d_model: 768, d_attn: 768, d_ff: 3072, n_vocab: 50257, n_ctx: 1024, n_batch: 1}


def derive(given: str | Convention = TORCH) -> Derivation:
    """The notebook's counts under a convention, by default that of its FLOPs: two for each multiply-accumulate."""
    chosen, whole = convention(given), NETWORK.subs(n_seq, n_ctx)
    title = "nanoGPT: the sizing of a GPT-2 without biases"
    base = derive_network("nanogpt", title, CITATION, whole, chosen, n_batch * n_ctx)
    sections = (_identity(base), _palm(base), _dropped(), _chinchilla(), *checked("nanogpt"))
    return replace(base, steps=(*base.steps, *_training_steps(base)), sections=sections)


def palm_flops() -> Expr:
    """A training step of one sequence as the notebook's palm_flops states it: N without the table of positions."""
    n = params(NETWORK) - n_ctx * d_model
    return (6 * n + 12 * n_layer * d_attn * n_ctx) * n_ctx


def surplus(base: Derivation) -> Expr:
    """What PaLM's formula has more than the sum of the matmuls of a training step of one sequence."""
    return (palm_flops() - flops(base.network, TORCH, "training").expr.subs(n_batch, 1)).expand()


def _training_steps(base: Derivation) -> tuple[Step, ...]:
    """A training step is three forward passes, derived from the gradients' own einsums and not assumed."""
    trained = flops(base.network, base.convention, "training").expr / (n_batch * n_ctx)
    chain = start("C", trained.factor(), "forward, and the gradients of every operand and weight")
    chain = rewrite(chain, 3 * base.C_forward, "three forward passes: the notebook's estimate is exact for its matmuls")
    return chain if base.convention == TORCH else chain[:1]


def _identity(base: Derivation) -> Section:
    """N of the block as the notebook sums it, and the totals at GPT-2's sizes."""
    forward = flops(base.network, TORCH).expr
    rows = (
        ("parameters", params(NETWORK).factor(), f"{_at(params(NETWORK)):,}"),
        ("of one layer", params(LAYER).factor(), f"{_at(params(LAYER)):,}"),
        ("forward FLOPs of a sequence", forward.subs(n_batch, 1).factor(), f"{_at(forward):,}"),
        ("training FLOPs of a sequence", (3 * forward).subs(n_batch, 1).factor(), f"{_at(3 * forward):,}"),
    )
    text = (
        "At 12 layers of 768 with 12 heads, 50,257 tokens and 1,024 positions, the closed forms give what is printed."
    )
    return Section("Identity", (Prose(text), Table("", ("quantity", "closed form", "of GPT-2"), rows)))


def _palm(base: Derivation) -> Section:
    """PaLM's formula against the matmuls."""
    more, positions = surplus(base), 6 * n_ctx**2 * d_model
    matmuls = palm_flops() - more
    norms = (params(NETWORK) - params(NETWORK.replace(_is_norm, lambda _: Integer(0)))).factor()
    ratios = [f"{float(_exact(each / matmuls)):.4f}" for each in (palm_flops(), palm_flops() + positions)]
    return Section(
        "Ratio: PaLM's 6*N + 12*L*H*Q*T",
        (
            prose(
                "The notebook checks its sum with PaLM's formula (Chowdhery et al. 2022, appendix B), N without the "
                "table of positions. For a sequence that is ", more.factor(), " FLOPs more than the matmuls: six for "
                "each of the ", norms, " weights of norms and each token, which are in N and in no matmul. At GPT-2's "
                f"size: {_at(palm_flops()):,} against {_at(matmuls):,}, a ratio of {ratios[0]}. An older version of "
                f"the notebook kept the positions in N, {_at(positions):,} FLOPs more again, a ratio of {ratios[1]}.",
            ),
            prose(
                "The older version is PaLM's own count: priced by the convention ", PALM.name, ", two for each "
                "parameter and token, the network has ", _palm_left(), " FLOPs more than the newer: the positions'.",
            ),
        ),
    )  # fmt: skip


def _palm_left() -> Expr:
    """PaLM's convention on the network, less the notebook's formula."""
    priced = flops(NETWORK.subs(n_seq, n_ctx), PALM, "training").expr.subs(n_batch, 1)
    return (priced - palm_flops()).expand()


def _is_norm(part: Expr) -> bool:
    return isinstance(part, Block) and part.name.startswith("Norm")


def _dropped() -> Section:
    """What counting matmuls alone leaves out, and what counting masked pairs puts in."""
    whole = NETWORK.subs(n_seq, n_ctx)
    everything, exact, matmuls = (flops(whole, each).expr for each in ("all-operations", "exact", TORCH))
    masked = _exact((matmuls - exact) / matmuls)
    steps = _exact((everything - exact) / matmuls)
    text = (
        "The notebook counts matmuls alone, and all pairs of positions. Norms, softmax, GELU and additions, each by "
        f"its formula, are {100 * float(steps):.2f} % of that at GPT-2's size; the pairs that the causal mask lets "
        f"nobody see are {100 * float(masked):.2f} % of it."
    )
    return Section("What was dropped", (Prose(text),))


class Chinchilla(NamedTuple):
    """A row of Chinchilla's Table A9: millions of parameters as printed, and the shape."""

    millions: int
    width: int
    hidden: int
    head: int
    heads: int
    layers: int


A9_MISSES = (
    Chinchilla(3530, 2688, 10752, 128, 22, 36),
    Chinchilla(4084, 2944, 11776, 128, 22, 36),
    Chinchilla(11452, 4352, 17408, 128, 32, 47),
    Chinchilla(12569, 4608, 18432, 128, 32, 47),
    Chinchilla(13735, 4864, 19456, 128, 32, 47),
    Chinchilla(14940, 4992, 19968, 128, 32, 49),
)
"""The rows of Hoffmann et al. 2022, Table A9, in which kv_size*n_heads is not d_model."""


def chinchilla_params() -> Expr:
    """Chinchilla's parameters by the shape of its attention: relative positions, biases, one table of 32,000 tokens.

    As scaling_laws.ipynb counts, with d_attn where that writes d_model: keys of relative positions have a projection of
    their own, without a bias, and two vectors as long as all heads (Dai et al. 2019, arXiv:1901.02860).

    >>> chinchilla_params().coeff(n_vocab)
    d_model
    """
    attention = fused_qkv(_HEADS, BIAS) + linear("relative", d_model, d_attn, "qkv", NO_BIAS) + project(_HEADS, BIAS)
    layer = attention + plain_feedforward("gelu", BIAS) + layer_norm("norm_attention") + layer_norm("norm_feedforward")
    whole = embedding(ROTARY) + n_layer * layer + layer_norm("norm_final")
    return params(whole) + n_layer * 2 * d_attn


def _chinchilla() -> Section:
    """The notebook's formula for Chinchilla, which takes d_attn for d_model."""
    by_width = chinchilla_params().subs(d_attn, d_model)
    gap = (by_width - chinchilla_params()).factor()
    rows = tuple(
        (
            f"{row.millions:,} M",
            f"{row.width}",
            f"{row.head * row.heads}",
            *(_millions(form, row) for form in (by_width, chinchilla_params())),
        )
        for row in A9_MISSES
    )
    head = ("Table A9", "d_model", "d_attn", "d_attn = d_model", "d_attn = kv_size*n_heads")
    return Section(
        "Chinchilla's Table A9",
        (
            prose(
                "scaling_laws.ipynb writes every projection of attention as d_model wide. Of the 50 models of the "
                f"table, in {len(A9_MISSES)} the heads together are wider or narrower. There its count is off by ", gap,
                f", up to {max(_off(by_width, row) for row in A9_MISSES):.1f} %; with the heads' own width "
                f"{max(_off(chinchilla_params(), row) for row in A9_MISSES):.2f} % is the most that is left.",
            ),
            Table("", head, rows),
        ),
    )  # fmt: skip


def _of(form: Expr, row: Chinchilla) -> int:
    sizes = (32000, row.width, row.hidden, row.head * row.heads, row.layers)
    return int(form.subs(dict(zip((n_vocab, d_model, d_ff, d_attn, n_layer), sizes, strict=True))))


def _millions(form: Expr, row: Chinchilla) -> str:
    return f"{_of(form, row) / 10**6:,.1f} M"


def _off(form: Expr, row: Chinchilla) -> float:
    return 100 * abs(_of(form, row) / (row.millions * 10**6) - 1)


def _exact(form: Expr) -> Rational:
    found: Rational = form.subs(_GPT2)
    return found


def _at(form: Expr) -> int:
    """A closed form at GPT-2's sizes, an integer."""
    return int(_exact(form))


__all__ = [
    "A9_MISSES",
    "CITATION",
    "NETWORK",
    "NETWORKS",
    "Chinchilla",
    "chinchilla_params",
    "derive",
    "palm_flops",
    "surplus",
]
