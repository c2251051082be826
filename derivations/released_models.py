"""Released dense models: one formula for their parameters, proved for each family, and what published counts leave out.

Checkpoints say exactly how many parameters a model has; papers, cards and names say it rounded, and not all count the
same tensors. Sources are named in the rows of the table and in symflops/architectures/presets.json.

>>> residual(general(Shape(tables=1, per_layer=4)), of_family("gemma2-9b"))
0
>>> unbiased = general(Shape(tables=1)).subs(d_head, d_model / n_head)
>>> residual(unbiased, of_family("qwen2.5-3b"))  # the biases of queries, keys and values
-d_model*n_layer*(n_head + 2*n_kv_head)/n_head
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, Integer, S

from symflops.architectures import architecture
from symflops.claims.sections import checked
from symflops.derivation import Section, Study, WrongStep
from symflops.documents import Forms, Prose, Table, prose
from symflops.measures import params
from symflops.networks import of_role
from symflops.notation import d_ff, d_head, d_model, n_ctx, n_head, n_kv_head, n_layer, n_vocab, symbol
from symflops.proof import residual

CITATION = "Exact counts of released checkpoints, and the figures of their papers and cards, 2018-2025"
GPT1_VOCAB = 40_478
"""Tokens of GPT-1 (Radford et al. 2018): 40,000 merges, and what they start from."""


@dataclass(frozen=True)
class Shape:
    """What tells the formula of one family from that of another; by default a Llama with a table for the logits.

    ``tables`` of tokens; ``matrices`` of a feed-forward layer; ``norm``, weights of a norm over its width; norms
    ``per_layer``; ``of_heads``, weights of the norms of queries and keys; ``qkv`` and ``rest``, whether those matrices
    have biases; ``positions``, rows of learned tables beside the tokens'; norms at the ``ends``; ``head``, what else.
    """

    tables: int = 2
    matrices: int = 3
    norm: int = 1
    per_layer: int = 2
    of_heads: Expr = S.Zero
    qkv: int = 0
    rest: int = 0
    positions: Expr = S.Zero
    ends: int = 1
    head: Expr = S.Zero


def general(shape: Shape) -> Expr:
    """The parameters of a model of that shape."""
    queries, keys = n_head * d_head, n_kv_head * d_head
    attention = 2 * d_model * queries + 2 * d_model * keys + shape.qkv * (queries + 2 * keys) + shape.rest * d_model
    feedforward = shape.matrices * d_model * d_ff + shape.rest * (d_ff + d_model)
    layer = attention + feedforward + shape.per_layer * shape.norm * d_model + shape.of_heads
    outside = (shape.tables * n_vocab + shape.positions + shape.ends * shape.norm) * d_model + shape.head
    return n_layer * layer + outside


_BIASED = {"matrices": 2, "norm": 2, "qkv": 1, "rest": 1}
_EACH_HEAD = 2 * d_head
SHAPES: Mapping[str, tuple[str, Shape]] = {
    "llama3-8b": ("", Shape()),
    "tinyllama-1.1b": ("", Shape()),
    "mistral-7b-v0.3": ("", Shape()),
    "llama3.2-1b": ("tied tables", Shape(tables=1)),
    "gemma-2b": ("tied tables", Shape(tables=1)),
    "gemma2-9b": ("tied tables, four norms in a layer", Shape(tables=1, per_layer=4)),
    "gemma3-4b": ("the same, norms of each head", Shape(tables=1, per_layer=4, of_heads=_EACH_HEAD)),
    "olmo2-13b": ("norms of all heads together", Shape(of_heads=(n_head + n_kv_head) * d_head)),
    "qwen2.5-3b": ("tied tables, biases of queries, keys and values", Shape(tables=1, qkv=1)),
    "qwen3-8b": ("norms of each head", Shape(of_heads=_EACH_HEAD)),
    "gpt2-medium": ("biases, learned positions, a plain layer", Shape(tables=1, positions=n_ctx, **_BIASED)),
    "pythia-1b": ("biases, a plain layer", Shape(**_BIASED)),
    "bert-base-uncased": (
        "as GPT-2; two kinds of segments; a norm after the embedding, none at the end; a head",
        Shape(
            tables=1,
            positions=n_ctx + symbol("n_type"),
            head=d_model**2 + 3 * d_model + n_vocab,
            **_BIASED,
        ),
    ),
}
"""Known models, what is special about each, and its shape."""


def of_family(name: str) -> Expr:
    """The parameters of a known model's family, in symbols, from its operations."""
    return params(architecture(name).network)


def left(name: str) -> Expr:
    """What the formula misses of a family; zero if it is right."""
    model, (_, shape) = architecture(name), SHAPES[name]
    own = params(model.network)
    fixed = {size: other for size, other in _SHARED.items() if size not in own.free_symbols}
    return residual(general(shape).subs(fixed), own)


_SHARED: Mapping[Expr, Expr] = {n_kv_head: n_head, d_head: d_model / n_head}
"""What the sizes are where a family has none of its own."""


def derive() -> Study:
    """The page."""
    sections = (_operations(), _identity(), _ratio(), _dropped(), _vocabulary(), *checked("released_models"))
    return Study("released_models", "Released dense models: exact parameters", CITATION, sections)


def _operations() -> Section:
    said = Prose(
        "The formula for all, of a shape without anything special: attention's matrices, the gated feed-forward layer, "
        "two gains in a layer and one at the end, and two tables of tokens."
    )
    return Section("Operations", (said, Forms((("N", general(Shape())),))))


def _identity() -> Section:
    """The formula against the operations of each family. Raises `WrongStep` where they differ."""
    wrong = {name: form for name in SHAPES if (form := left(name)) != 0}
    if wrong:
        raise WrongStep(f"the formula of all models misses {wrong}")
    rows = tuple(
        (name, architecture(name).family.name, what or "nothing", Integer(architecture(name).params()))
        for name, (what, _) in SHAPES.items()
    )
    said = Prose(
        "Each line's formula was expanded against the sum of the family's operations, for all sizes, and nothing is "
        "left over. The last column is the sum at the model's own sizes."
    )
    return Section("Identity", (said, Table("", ("Model", "family", "special", "parameters"), rows)))


def _ratio() -> Section:
    roles = ("embedding", "logits", "norm")
    rows = []
    for name in SHAPES:
        model = architecture(name)
        shares = (model.at(params(of_role(model.network, role))) / model.params() for role in roles)
        rows.append((name, *(f"{float(each) * 100:.3g} %" for each in shares)))
    return Section("Ratio", (Table("", ("Model", "token table", "table of logits", "norms"), tuple(rows)),))


def _dropped() -> Section:
    llama, qwen = architecture("llama2-7b"), architecture("qwen2.5-3b")
    buffers, biases = n_layer * d_head / 2, n_layer * (n_head + 2 * n_kv_head) * d_head
    said = prose(
        "The metadata of Llama 2's checkpoints counts buffers too: the inverse frequencies of rotary positions, ",
        buffers, ", at 7B ", llama.at(buffers), ", which no later checkpoint holds. A count that leaves out the biases "
        "of queries, keys and values, ", biases, ", is ", qwen.at(biases), " too small at Qwen2.5-3B: that is what the "
        "copied figure lacks."
    )  # fmt: skip
    return Section("What was dropped", (said,))


def _vocabulary() -> Section:
    missing = (n_vocab - GPT1_VOCAB) * d_model
    printed = {"gpt2": "117M", "gpt2-medium": "345M", "gpt2-large": "762M", "gpt2-xl": "1542M"}
    rows = []
    for name, figure in printed.items():
        model = architecture(name)
        less = model.params() - int(model.at(missing))
        rows.append((name, figure, f"{model.params() / 1e6:.1f}M", f"{less / 1e6:.1f}M"))
    said = prose(
        "GPT-2's paper prints counts that are too small for its checkpoints, as its authors say in their repository. "
        f"All four are what follows with GPT-1's vocabulary of {GPT1_VOCAB:,} tokens for GPT-2's 50,257, ", missing,
        " parameters less. That the counts were made with it is a guess; the paper says nothing of it."
    )  # fmt: skip
    head = ("Model", "printed", "with 50,257 tokens", "with 40,478")
    return Section("GPT-2's printed counts", (said, Table("", head, tuple(rows))))
