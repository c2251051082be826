"""Kaplan et al. 2020, Table 1, derived from its six operations.

The table counts a decoder's parameters and the FLOPs of its forward pass, for one token. Here it is the sum of six
operations, each declared by what it computes; every figure of the table is a measure of them.

>>> result = derive("kaplan")
>>> result.N, result.C_forward.expand() - (2 * result.N).expand()
(2*d_model*n_layer*(2*d_attn + d_ff), 2*d_attn*n_ctx*n_layer)
"""

from __future__ import annotations

from sympy import Expr, Symbol

from symflops.conventions import ALL_OPERATIONS, CHINCHILLA, EXACT, KAPLAN, TORCH, Convention, convention
from symflops.derivation import (
    Derivation,
    Note,
    Step,
    derive_network,
    drop,
    rewrite,
    specialise,
    start,
)
from symflops.documents import prose
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.masks import Causal
from symflops.measures import flops, flops_of_all, params
from symflops.networks import Tied
from symflops.notation import d_attn, d_ff, d_model, n_batch, n_ctx, n_head, n_layer, n_seq, n_vocab
from symflops.proof import residual

OPENING = (
    prose(
        "The table counts the parameters of a decoder and the FLOPs of its forward pass, for one token. Here it is the "
        "sum of six operations, each declared by what it computes; every figure below measures them. Biases, norms "
        "and residual additions are left out, as in the table. Heads share ",
        d_attn,
        " among them, and cancel.",
    ),
)
CITATION = "Kaplan et al., Scaling Laws for Neural Language Models, 2020, arXiv:2001.08361, Table 1"

# The six operations. The table does not mention heads.
_HEADS = Heads(n_head, n_head, d_attn / n_head)
embed = embedding(LEARNED)
qkv = fused_qkv(_HEADS, NO_BIAS)
mask = attention_core(_HEADS, Causal(n_seq, n_seq))
project_back = project(_HEADS, NO_BIAS)
feedforward = plain_feedforward("gelu", NO_BIAS)
de_embed = Tied(de_embedding())

# The paper writes of sequences as long as the context.
NETWORK: Expr = (embed + n_layer * (qkv + mask + project_back + feedforward) + de_embed).subs(n_seq, n_ctx)
TOKENS: Expr = n_batch * n_ctx
_N, _C = Symbol("N"), Symbol("C_forward")
_SHAPE = {d_attn: d_model, d_ff: 4 * d_model}

# The table as printed, for one token. These are the paper's claims, not ours: they are compared, never used.
PRINTED: dict[str, Expr] = {
    "Embed": 4 * d_model,
    "Attention: Mask": 2 * n_layer * n_ctx * d_attn,
    "De-embed": 2 * d_model * n_vocab,
}


def per_token(part: Expr, chosen: Convention) -> Expr:
    """The price of a part of the network for one token."""
    return flops_of_all(part.subs(n_seq, n_ctx), chosen).expr / TOKENS


def derive(given: str | Convention = KAPLAN) -> Derivation:
    """Table 1 under a convention, by default the paper's own."""
    chosen = convention(given)
    base = derive_network("kaplan2020", "Kaplan et al. 2020, Table 1", CITATION, NETWORK, chosen, TOKENS)
    steps = (*base.steps, *paper_steps(base)) if chosen == KAPLAN else base.steps
    return Derivation(**{**vars(base), "steps": steps, "notes": notes(), "opening": OPENING})


def paper_steps(base: Derivation) -> tuple[Step, ...]:
    """From the table to N = 12 n_layer d_model^2 and C = 6 N, with the size of what is dropped."""
    shape = "d_attn = d_model and d_ff = 4*d_model"
    small_n, context = 12 * n_layer * d_model**2, 2 * n_layer * n_ctx * d_model
    small = "the context term is small for d_model >> n_ctx/12"
    n = specialise(start("N", base.N, "the table"), _SHAPE, small_n, shape)
    forward = specialise(start("C_forward", base.C_forward, "the table"), _SHAPE, 2 * small_n + context, shape)
    forward = drop(forward, context, 2 * small_n, small)
    training = start("C", flops(NETWORK, KAPLAN, "training").expr / TOKENS, "forward, and twice that backward")
    training = rewrite(training, 3 * base.C_forward, "three forward passes")
    training = specialise(training, _SHAPE, 6 * small_n + 3 * context, shape)
    training = drop(training, 3 * context, 6 * small_n, small)
    named = (
        forward[1].written(2 * _N + context, N=small_n),
        forward[2].written(2 * _N, N=small_n),
        training[1].written(3 * _C, C_forward=base.C_forward),
        training[2].written(6 * _N + 3 * context, N=small_n),
        training[3].written(6 * _N, N=small_n),
    )
    return (n[1], *named)


def notes() -> tuple[Note, ...]:
    """What the engine says about the printed table."""
    return (_embed_note(), _mask_note(), _project_note(), _de_embed_note())


def _embed_note() -> Note:
    lookup, one_hot = per_token(embed, ALL_OPERATIONS), per_token(embed, CHINCHILLA)
    forms = {"printed": PRINTED["Embed"], "lookup and addition": lookup, "one-hot matmul": one_hot}
    text = (
        f"printed as {PRINTED['Embed']}, without a derivation. Two lookups and their addition take {lookup} additions; "
        f"as a matmul with one-hot rows the token table takes {one_hot}. The printed figure is 2 for each element "
        "looked up in the two tables, which is how the convention 'kaplan' prices it."
    )
    return Note("Embed", text, forms)


def _mask_note() -> Note:
    printed, core = PRINTED["Attention: Mask"], n_layer * mask
    scores_alone, causal, dense = (per_token(core, each).expand() for each in (KAPLAN, EXACT, TORCH))
    forms = {
        "printed": printed,
        "QK^T alone": scores_alone,
        "QK^T and AV, causal average": causal,
        "QK^T and AV": dense,
    }
    text = (
        f"printed as {printed}. That is QK^T alone over all pairs ({scores_alone}, residual "
        f"{residual(scores_alone, printed)}), or QK^T and AV averaged over causal positions but for "
        f"{residual(causal, printed)}: exactly {causal.factor()}. In full, both matmuls over all pairs, it is {dense}."
    )
    return Note("Attention: Mask", text, forms)


def _project_note() -> Note:
    flops_ = per_token(n_layer * project_back, KAPLAN)
    text = (
        "the FLOPs column names a width d_embd that the paper defines nowhere; the operation ends in the residual "
        f"stream, so it is d_model: {flops_}, twice the parameters {params(n_layer * project_back)} of the row."
    )
    return Note("Attention: Project", text, {"derived": flops_})


def _de_embed_note() -> Note:
    work = per_token(de_embed, KAPLAN)
    untied = params(de_embed.body)
    text = (
        f"{work} FLOPs with no parameters: the weights are tied to the embedding, which owns them. Untied, the row "
        f"owns {untied} more, and the FLOPs are the same."
    )
    return Note("De-embed", text, {"flops": work, "params if untied": untied})
