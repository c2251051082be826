"""LLaMA, Llama 3 and 3.1: parameters, the width of the hidden layer, and what the hours on their cards hold.

The papers print sizes, GPU hours and speeds. The network is the family of symflops; from its count of parameters follow
the implied utilisation of the GPUs, and from the ways of parallelism how many there are. Touvron et al., LLaMA, 2023,
arXiv:2302.13971; Llama Team, The Llama 3 Herd of Models, 2024, arXiv:2407.21783, and the model cards.

>>> from symflops.proof import residual
>>> residual(params(NETWORK), 2 * n_vocab * d_model + n_layer * (LAYER + 2 * d_model) + d_model)
0
>>> [hidden_width(4096), hidden_width(5120), hidden_width(6656), hidden_width(8192)]
[11008, 13824, 17920, 22016]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sympy import Expr, Integer, Rational, ceiling

from symflops.architectures import architecture
from symflops.claims.sections import checked
from symflops.conventions import PALM, Convention, convention
from symflops.derivation import Derivation, Section, Step, derive_network, drop, rewrite, share, specialise, start
from symflops.documents import Prose, Steps, Table, prose
from symflops.measures import flops, params
from symflops.networks import of_role
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_kv_head, n_layer, n_seq, n_vocab

CITATION = "Touvron et al., LLaMA, 2023, arXiv:2302.13971; Llama Team, Llama 3, 2024, arXiv:2407.21783"
NETWORK: Expr = architecture({"model_type": "llama", "tie_word_embeddings": False}).network
TOKENS: Expr = n_batch * n_seq
LAYER: Expr = 2 * d_model * n_head * d_head + 2 * d_model * n_kv_head * d_head + 3 * d_model * d_ff
"""The matrices of a layer: queries and the projection back, keys and values, and the gated feed-forward layer."""
A100, H100 = 312 * 10**12, 989 * 10**12
"""Dense bfloat16 FLOPs a second, as NVIDIA's data sheets have them."""


@dataclass(frozen=True)
class Run:
    """A training run as printed: sizes, tokens, GPU hours, the peak of one GPU, and tokens in a sequence."""

    name: str
    preset: str
    tokens: int
    hours: int
    peak: int
    length: int


RUNS = (
    Run("LLaMA-7B", "llama2-7b", 10**12, 82_432, A100, 2048),
    Run("LLaMA-13B", "llama2-13b", 10**12, 135_168, A100, 2048),
    Run("Llama 3.1 8B", "llama3-8b", 15 * 10**12, 1_460_000, H100, 8192),
    Run("Llama 3.1 70B", "llama3-70b", 15 * 10**12, 7_000_000, H100, 8192),
    Run("Llama 3.1 405B", "llama3-405b", 156 * 10**11, 30_840_000, H100, 8192),
)
"""Of the first release, the 7B and the 13B have the sizes of Llama 2's."""


def derive(given: str | Convention = PALM) -> Derivation:
    """The family under a convention, by default that of model FLOPs utilisation."""
    chosen = convention(given)
    base = derive_network("llama", "LLaMA and Llama 3", CITATION, NETWORK, chosen, TOKENS)
    if chosen != PALM:
        return base
    sections = (_identity(), _ratio(), _dropped(), _hours(), _parallel(), *checked("llama"))
    return replace(base, steps=(*base.steps, *paper_steps()), sections=sections)


def paper_steps() -> tuple[Step, ...]:
    """All parameters, and those of the first release's shape."""
    gains = params(of_role(NETWORK, "norm"))
    tables = 2 * n_vocab * d_model
    chain = rewrite(start("N_all", params(NETWORK), "all parameters"), tables + n_layer * LAYER + gains, "collected")
    shape: Mapping[Expr, Expr] = {n_kv_head: n_head, d_head: d_model / n_head}
    first = tables + n_layer * (4 * d_model**2 + 3 * d_model * d_ff) + gains
    return specialise(chain, shape, first, "LLaMA: as many heads for keys and values, together as wide as the model")


def hidden_width(width: int) -> int:
    """The width of LLaMA's hidden layer: 2/3 of 4 d_model (section 2.2), in its code up to a multiple of 256."""
    return int(256 * ceiling(Rational(8, 3) * width / 256))


def _identity() -> Section:
    plain, gated = Integer(2) * d_model * d_ff, Integer(3) * d_model * d_ff
    chain = start("gated feed-forward", gated, "three matrices")
    exact = specialise(chain, {d_ff: Rational(8, 3) * d_model}, 8 * d_model**2, "d_ff = 2/3 of 4*d_model")
    other = specialise(
        start("plain feed-forward", plain, "two matrices"), {d_ff: 4 * d_model}, 8 * d_model**2, "d_ff = 4*d_model"
    )
    widths = (4096, 5120, 6656, 8192)
    rows = tuple(
        (Integer(width), f"{8 * width / 3:.1f}", Integer(hidden_width(width)), f"{3 * hidden_width(width) / width:.3f}")
        for width in widths
    )
    said = Prose(
        "A third matrix for the gate is paid for by a narrower hidden layer: both have 8 d_model^2 weights. The code "
        "rounds the width up to a multiple of 256, so that a little more is left."
    )
    head = ("d_model", "8/3 of it", "d_ff", "weights over d_model^2")
    return Section("Identity", (said, Steps((*exact, *other)), Table("", head, rows)))


def _ratio() -> Section:
    tables = share(2 * n_vocab * d_model, params(NETWORK))
    context = share(12 * n_layer * n_head * d_head * n_seq, 6 * params(NETWORK))
    rows = []
    for name in ("llama2-7b", "llama3-8b", "llama3-70b", "llama3-405b"):
        model = architecture(name)
        shares = (model.at(tables), model.at(context, n_seq=2048), model.at(context, n_seq=8192))
        rows.append((name, *map(_percent, shares), _percent(model.at(context, n_seq=131072))))
    head = (
        "Model",
        "token tables, of all parameters",
        *(f"attention beside 6 N, {each}" for each in ("2K", "8K", "128K")),
    )
    said = Prose(
        "The vocabulary of 128,256 is a share of a small model; attention grows with the length of a sequence."
    )
    return Section("Ratio", (said, Table("", head, tuple(rows))))


def _percent(ratio: Expr) -> str:
    return f"{float(ratio) * 100:.1f} %"


def _dropped() -> Section:
    gains = params(of_role(NETWORK, "norm"))
    whole = params(NETWORK)
    special = 2 * 256 * d_model
    model = architecture("llama3-405b")
    chain = drop(start("N_all", whole, "all parameters"), gains, (whole - gains).expand(), "the gains of norms")
    said = prose(
        "Gains of norms are ", model.at(gains), f" of {model.params():,} at 405B. The vocabulary of 128,000 that "
        "Table 3 prints leaves out 256 special tokens, which are ", special, " parameters, ", model.at(special),
        " there."
    )  # fmt: skip
    return Section("What was dropped", (Steps(chain), said))


def utilisation(run: Run) -> tuple[Expr, Expr]:
    """The share of the peak that 6 N is, and with attention, over all hours that are printed."""
    model = architecture(run.preset)
    done = Rational(run.tokens, run.hours * 3600 * run.peak)
    work = flops(model.network, PALM, "training").expr / TOKENS
    return 6 * model.params() * done, model.at(work, n_batch=1, n_seq=run.length) * done


def _hours() -> Section:
    rows = tuple((run.name, f"{run.hours:,}", *map(_percent, utilisation(run))) for run in RUNS)
    head = ("Run", "GPU hours", "6 N alone", "with attention")
    said = Prose(
        "The hours and tokens that are printed imply a utilisation: model FLOPs over hours times the peak (312 TFLOPs "
        "a second of an A100, 989 of an H100). For the 405B the paper measures 38 to 43 % while it trains. Its card "
        "counts all hours, so that restarts, evaluation, and training after pre-training may be what lies between. "
        "The 8B used its hours far less; why, neither paper nor card says."
    )
    return Section("What the hours imply", (said, Table("", head, rows)))


def _parallel() -> Section:
    ways = ((8, 1, 16, 64, 8192, 32), (8, 1, 16, 128, 8192, 16), (8, 16, 16, 4, 131072, 16), (8, 16, 16, 8, 131072, 16))
    rows = []
    for tensor, context, pipeline, data, length, sequences in ways:
        devices = tensor * context * pipeline * data
        rows.append(
            (*map(Integer, (tensor, context, pipeline, data, devices)), f"{length * sequences * data / 2**20:g} M")
        )
    said = Prose(
        "Each GPU belongs to one group of each way of parallelism, so that their numbers multiply. A batch has as many "
        "sequences for each way of data parallelism, here in units of 2^20 tokens. The third line is as printed; the "
        "last has 8 ways of data parallelism, with which both products are the 16,384 GPUs and 16 M tokens that the "
        "table prints."
    )
    head = ("tensor", "context", "pipeline", "data", "GPUs", "tokens in a batch")
    return Section("Parallelism", (said, Table("", head, tuple(rows))))
