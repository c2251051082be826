"""PaLM (Chowdhery et al. 2022): its parameters, 6 N + 12 L H Q T for each token, and model FLOPs utilisation.

The paper defines model FLOPs utilisation: the tokens that are trained on each second, over those that would be if the
chips ran at their peak and did nothing but the model's own FLOPs, 6 N + 12 L H Q T for each token (appendix B). Here
that count is a measure of the network: one head for keys and values, a gated feed-forward layer beside the attention.
Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022, arXiv:2204.02311.

>>> from symflops.proof import residual
>>> residual(training("palm"), 6 * params(NETWORK) + 12 * n_layer * n_head * d_head * n_seq)
0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sympy import Add, Expr, Integer, Symbol, factor

from symflops.claims.sections import checked
from symflops.conventions import EXACT, PALM, TORCH, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, drop, rewrite, share, start
from symflops.documents import Forms, Prose, Table, prose
from symflops.layers.attention import Heads, attention_core, project, separate_qkv
from symflops.layers.embedding import ROTARY, de_embedding, embedding
from symflops.layers.feedforward import gated_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.layers.norm import gain_norm, residual
from symflops.layers.rotary import rotary_angles, rotate
from symflops.masks import Causal
from symflops.measures import flops, params
from symflops.networks import Block, Recomputed, Tied, of_role
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_layer, n_seq, n_vocab

CITATION = "Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022, arXiv:2204.02311, section 2, app. B"

# Section 2: SwiGLU, a parallel layer (one norm, whose result both parts read), one head of keys and values, rotary
# positions, one table for tokens and logits, no biases.
HEADS = Heads(n_head, Integer(1), d_head)
turned = Add(rotate("q", n_head, d_head), rotate("k", Integer(1), d_head))
added = Add(residual("add_attention"), residual("add_feedforward"))
core = attention_core(HEADS, Causal(n_seq, n_seq))
matrices = Add(separate_qkv(HEADS, NO_BIAS), project(HEADS, NO_BIAS), gated_feedforward("silu", NO_BIAS))
steps_between = Add(
    Block("Norm", gain_norm("norm")), Block("Attention: Rotary", turned), Block("Residual", added)
)  # fmt: skip
ends = Add(
    embedding(ROTARY), rotary_angles(d_head), Block("Norm", gain_norm("norm_final")), Tied(de_embedding())
)  # fmt: skip
NETWORK: Expr = ends + n_layer * (matrices + steps_between + core)
NETWORKS: Mapping[str, Expr] = {
    # Appendix B: what is rematerialised for 8B and 62B.
    "attention computed again": ends + n_layer * (matrices + steps_between + Recomputed(core)),
    "layers computed again": ends + n_layer * Recomputed(matrices + steps_between + core),
}
TOKENS: Expr = n_batch * n_seq
SIZES: Mapping[str, Mapping[Expr, int]] = {
    name: {n_layer: layers, n_head: heads, d_head: 256, d_model: width, d_ff: 4 * width, n_vocab: 256000, n_seq: 2048}
    for name, layers, heads, width in (("8B", 32, 16, 4096), ("62B", 64, 32, 8192), ("540B", 118, 48, 18432))
}
_N = Symbol("N")
CONTEXT: Expr = 12 * n_layer * n_head * d_head * n_seq
"""Attention's own work for a token: the scores and the mix of all pairs, forward and twice that backward."""
PEAK, CHIPS, SPEED = 275 * 10**12, 6144, 238_300
"""FLOPs a second of a TPU v4, chips, and tokens a second of the 540B (appendix B)."""


def training(given: str | Convention, network: Expr = NETWORK) -> Expr:
    """The FLOPs of training on one token."""
    return (flops(network, given, "training").expr / TOKENS).expand()


def derive(given: str | Convention = PALM) -> Derivation:
    """PaLM's network under a convention, by default the paper's own."""
    chosen = convention(given)
    base = derive_network("palm2022", "PaLM, 2022", CITATION, NETWORK, chosen, TOKENS)
    if chosen != PALM:
        return base
    sections = (_identity(), _ratio(), _utilisation(), _again(), _dropped(), *checked("palm2022"))
    return replace(base, steps=(*base.steps, *paper_steps()), sections=sections)


def paper_steps() -> tuple[Step, ...]:
    """From the sum of the operations to the paper's counts."""
    whole = params(NETWORK)
    gains = params(of_role(NETWORK, "norm"))
    layer = 2 * d_model * n_head * d_head + 2 * d_model * d_head + 3 * d_model * d_ff
    total = rewrite(start("N_all", whole, "all parameters"), n_layer * layer + n_vocab * d_model + gains, "collected")
    total = drop(total, gains, n_layer * layer + n_vocab * d_model, "the gains of norms, which Table 1 leaves out")
    work = rewrite(start("C", training(PALM), "forward, and twice that backward"), 6 * whole + CONTEXT, "collected")
    return (*total, work[0], work[1].written(6 * _N + CONTEXT, N=whole))


def at(form: Expr, size: str) -> Expr:
    """A closed form at one of the paper's sizes."""
    return form.subs(SIZES[size])


def _percent(ratio: Expr, digits: int = 1) -> str:
    return f"{float(ratio) * 100:.{digits}f} %"


def _identity() -> Section:
    said = prose(
        "Each parameter is charged 6, so that the token table is paid once, as if a lookup were a matmul; the logits "
        "use the same table and own nothing. So the paper's count is that of the matmuls that run, forward and "
        "backward, and of norms' gains beside it. What is left over against the matmuls: "
    )  # fmt: skip
    left = factor(training(PALM) - training(TORCH))
    return Section("Identity", (said, Forms((("C - C of matmuls", left),))))


def _ratio() -> Section:
    ratio = share(CONTEXT, 6 * (params(NETWORK)))
    rows = tuple((size, _percent(at(ratio, size)), _percent(at(halved(), size))) for size in SIZES)
    head = ("Size", "attention beside 6 N", "what a causal mask leaves out of C")
    said = prose(
        "Beside 6 N, attention adds ", CONTEXT, " for a token. A larger model is wider before it is longer, so that "
        "this share falls. The paper counts all pairs of a sequence; of these a causal mask lets about half through."
    )  # fmt: skip
    return Section("Ratio", (said, Table("", head, rows)))


def halved() -> Expr:
    """The share of the paper's count that pairs make which the mask excludes."""
    core_alone = n_layer * core
    over = flops(core_alone, PALM, "training").expr - flops(core_alone, EXACT, "training").expr
    return factor(over / TOKENS) / training(PALM)


def utilisation(work: Expr, tokens_per_s: int = SPEED, chips: int = CHIPS, peak: int = PEAK) -> Expr:
    """The share of the chips' peak that so many FLOPs for each token are."""
    return work * tokens_per_s / (chips * peak)


def remat_540b() -> Expr:
    """What appendix B adds for the 540B: 0.75 of a forward pass of 2 N, and attention's forward pass."""
    return Integer(3) / 4 * 2 * params(NETWORK) + CONTEXT / 3


def _utilisation() -> Section:
    work = at(training(PALM), "540B")
    again = at(remat_540b(), "540B")
    whole = Integer(780 * 10**9) * work
    chip_seconds = 3600 * (6144 * 1200 + 3072 * 336)
    forms = (
        ("without attention", _percent(utilisation(6 * at(params(NETWORK), "540B")))),
        ("model FLOPs utilisation", _percent(utilisation(work))),
        ("hardware FLOPs utilisation, with what is computed again", _percent(utilisation(work + again))),
        ("of the whole run", _percent(whole / (chip_seconds * PEAK))),
    )
    said = Prose(
        f"The 540B was trained at {SPEED:,} tokens a second on {CHIPS:,} chips of {PEAK // 10**12} TFLOPs a second. "
        "Over the whole run of 780 billion tokens the share is smaller: the paper counts 1200 hours of 6144 chips and "
        "336 hours of 3072, downtime and repeated steps among them."
    )
    return Section("Model FLOPs utilisation", (said, Table("", ("of the 540B", "share of the peak"), forms)))


def _again() -> Section:
    attention = factor(training(TORCH, NETWORKS["attention computed again"]) - training(TORCH))
    layers = training(TORCH, NETWORKS["layers computed again"]) - training(TORCH)
    rest = factor(layers - attention)
    most = at(rest, "540B") / at(2 * params(NETWORK), "540B")
    said = prose(
        "Rematerialisation computes parts of the forward pass again in the backward pass, which are no FLOPs of the "
        "model. For 8B and 62B that is attention alone. For the 540B the paper adds 0.75 of 2 N and does not say what "
        f"that is; all matrices of its layers would be {float(most):.2f} of 2 N, so that some of them are kept."
    )
    forms = Forms((("attention, forward", attention), ("matrices of all layers, forward", rest)))
    return Section("What is computed again", (said, forms))


def _dropped() -> Section:
    gains = params(of_role(NETWORK, "norm"))
    said = prose(
        "Table 1 leaves out the gains of norms, ", factor(gains), ": at 540B they are ", at(gains, "540B"),
        f" of {int(at(params(NETWORK), '540B')):,}, and the last digit printed, 540.35 billion, is of the count "
        "without them. Table 21 gives training compute as 6 times nominal parameters times tokens, Table 22 as "
        f"6 N + 12 L H Q T with the parameters as they are: for 8B {float(6 * 8 * 780 / 1000):.1f} and "
        f"{float(at(training(PALM), '8B')) * 780e9 / 1e21:.1f} zettaFLOPs, because it has 8.63 billion parameters, "
        f"and attention is {_percent(at(share(CONTEXT, training(PALM)), '8B'))} of the work."
    )  # fmt: skip
    return Section("What was dropped", (said,))
