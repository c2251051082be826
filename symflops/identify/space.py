"""The choices that are searched, as data: what a decoder is made of, which sizes follow from others, what is counted.

Departures say how far an option is from what most sources do: 0 is usual, 1 is found in known sources, 2 is rare.
"""

from __future__ import annotations

from collections.abc import Iterator

from symflops.conventions import ANY, CONVENTIONS, Price
from symflops.identify.choices import (
    HALF,
    Change,
    Dimension,
    Given,
    Option,
    Part,
    Passes,
    Per,
    Priced,
    Pricing,
    Rule,
    Without,
)

_PART = Part()
PARTS = (
    Dimension("tables", "the matrix of the logits", (
        Option("tied", "the logits share the token table", _PART),
        Option("untied", "the logits have a matrix of their own", _PART),
    )),
    Dimension("positions", "positions", (
        Option("none", "positions have no parameters (rotary, sines)", _PART),
        Option("learned", "a table of n_ctx learned positions", _PART, needs=("n_ctx",)),
        Option("relative", "a projection of relative positions in each layer, and two biases for each head, as in "
               "Transformer-XL (Dai et al. 2019, arXiv:1901.02860)", _PART, 1),
        Option("relative-keys", "a projection of relative positions in each layer, no biases of heads", _PART, 2),
    )),
    Dimension("heads", "heads of keys and values", (
        Option("all", "as many heads of keys and values as of queries", _PART),
        Option("given", "n_kv_head as given", Given("n_kv_head"), needs=("n_kv_head", "n_head")),
        Option("one", "one head of keys and values (multi-query)", Rule("n_kv_head", "1"), 1, ("n_head",)),
        Option("eight", "8 heads of keys and values", Rule("n_kv_head", "8"), 1, ("n_head",)),
    )),
    Dimension("feedforward", "the feed-forward layer", (
        Option("plain", "two matrices", _PART),
        Option("gated", "three matrices, one of them a gate", _PART),
    )),
    Dimension("biases", "biases", (
        Option("none", "no biases", _PART),
        Option("all", "biases of all projections and of the feed-forward layer", _PART),
        Option("qkv", "biases of queries, keys and values alone", _PART, 1),
        Option("feedforward", "biases of the feed-forward layer alone", _PART, 1),
        Option("attention", "biases of all projections of the attention, none of the feed-forward layer", _PART, 1),
        Option("project+feedforward", "biases but for queries, keys and values", _PART, 1),
        Option("qkv+feedforward", "biases but for the projection back", _PART, 2),
        Option("project", "biases of the projection back alone", _PART, 2),
    )),
    Dimension("norms", "norms", (
        Option("layer", "LayerNorm with gain and bias: two in a layer and a last one", _PART),
        Option("gain", "a gain without bias (RMSNorm): two in a layer and a last one", _PART),
        Option("uncounted", "norms are not counted", _PART, 1),
        Option("layer-post", "LayerNorm with gain and bias: two in a layer, none at the end", _PART, 1),
        Option("gain-post", "a gain without bias: two in a layer, none at the end", _PART, 1),
        Option("layer-parallel", "LayerNorm with gain and bias: one in a layer and a last one", _PART, 1),
        Option("gain-parallel", "a gain without bias: one in a layer and a last one", _PART, 1),
        Option("layer-embedding", "LayerNorm with gain and bias: as usual, and one of the embedding", _PART, 1),
    )),
)  # fmt: skip
"""What a decoder is made of."""


def _rounded(size: str, formula: str, multiple: int, departure: int) -> Option:
    sentence = f"{size} is {formula}, rounded up to a multiple of {multiple}"
    return Option(f"{multiple}", sentence, Rule(size, f"ceil({formula}/{multiple})*{multiple}"), departure)


SIZES = (
    Dimension("d_attn", "the width of the attention", (
        Option("given", "d_attn as given", Given("d_attn"), needs=("d_attn",)),
        Option("d_model", "all heads together are as wide as the model: d_attn = d_model", Rule("d_attn", "d_model")),
        Option("n_head*d_head", "d_attn = n_head*d_head", Rule("d_attn", "n_head*d_head"), needs=("n_head", "d_head")),
    )),
    Dimension("d_ff", "the width of the feed-forward layer", (
        Option("given", "d_ff as given", Given("d_ff"), needs=("d_ff",)),
        Option("4*d_model", "d_ff = 4*d_model", Rule("d_ff", "4*d_model")),
        *(_rounded("d_ff", "8*d_model/3", multiple, 1) for multiple in (256, 128, 64)),
    )),
)  # fmt: skip
"""Sizes that sources do not print and that follow from others."""


def _padded(multiple: int) -> Option:
    sentence = f"the vocabulary is padded to a multiple of {multiple}"
    return Option(f"{multiple}", sentence, Change("n_vocab", f"ceil(n_vocab/{multiple})*{multiple}"), 1, ("n_vocab",))


PADDING = Dimension("vocabulary", "padding of the vocabulary", (
    Option("given", "the vocabulary is not padded", Given("n_vocab")),
    # Megatron-LM pads to 128 times the tensor parallel size: its default is --make-vocab-size-divisible-by 128.
    *(_padded(multiple) for multiple in (8, 64, 128, 256, 512, 1024)),
))  # fmt: skip
_TABLES = frozenset({"embedding", "position", "logits"})
COUNTED = Dimension("parameters", "which parameters are counted", (
    Option("all", "all parameters", Without()),
    Option("no-embedding", "no tables of tokens and positions, no logits (Kaplan's N)", Without(_TABLES), 1),
    Option("no-position", "all but the table of positions", Without(frozenset({"position"})), 1),
    Option("no-token-table", "all but the tables that are looked up; the matrix of the logits is counted where it is "
           "not tied", Without(frozenset({"embedding", "position"})), 2),
), roles=_TABLES)  # fmt: skip
"""Of parameters, and of N inside 6*N*D."""

_DEPARTURES = {"torch": 0, "megatron": 0, "exact": 0, "all-operations": 2}
CONVENTION = Dimension("convention", "the price list", tuple(
    Option(each.name, f"{each.title}, in {each.unit}s", Priced(each.name), _DEPARTURES.get(each.name, 1))
    for each in CONVENTIONS.values()
))  # fmt: skip
_GRADIENTS = ("input_gradient", "weight_gradient")
FORWARD = Option("forward", "the forward pass", Passes(("forward",)))
TRAINING = Option("training", "forward and backward", Passes(("forward", *_GRADIENTS)))
RECOMPUTED = Option(
    "recomputed", "forward and backward, and all layers once more", Passes(("forward", *_GRADIENTS, "recompute")), 1
)
PHASES = {
    "forward": Dimension("phase", "what is run", (FORWARD,)),
    "training": Dimension("phase", "what is run", (TRAINING, RECOMPUTED)),
    "any": Dimension("phase", "what is run", (FORWARD, TRAINING, RECOMPUTED)),
}
_TOKEN = Option("token", "for one token", Per("n_seq"))
_SEQUENCE = Option("sequence", "for one sequence, or image", Per("1"))
PER = {
    "token": Dimension("per", "for how much", (_TOKEN,)),
    "sequence": Dimension("per", "for how much", (_SEQUENCE,)),
    "image": Dimension("per", "for how much", (_SEQUENCE,)),
    "any": Dimension("per", "for how much", (_TOKEN, _SEQUENCE)),
}
_USUAL = Pricing()


def _elements(role: str, prices: dict[int, str], departure: int = 1) -> Iterator[Option]:
    """A step priced at so much for each element of its result, instead of as the convention does."""
    for price, source in prices.items():
        lines = (Price("element", price, role, "forward"), Price(ANY, 0, role))
        yield Option(f"{price}", f"{price} for each element of a {role}{source}", Pricing(lines), departure)


def _nothing(*roles: str) -> Pricing:
    return Pricing(tuple(Price(ANY, 0, role) for role in roles))


def _role(role: str, title: str, left_out: int = 1, *more: Option) -> Dimension:
    """Whether a role's work is counted as the convention does, not at all, or otherwise."""
    options = (
        Option("usual", f"{title} as the price list has it", _USUAL),
        Option("out", f"{title} left out", _nothing(role), left_out),
    )
    return Dimension(role, f"the work of {title}", (*options, *more), frozenset({role}))


_PAIRED = ("scores", "softmax", "mix")
_HALVED = Pricing(pairs="dense", shares=dict.fromkeys(_PAIRED, HALF))
_ONE_HOT = (Price("one_hot_mac", 2, "embedding", "forward"), Price(ANY, 0, "embedding"))
PRICES = (
    Dimension("pairs", "attended pairs", (
        Option("usual", "attended pairs as the price list has them", _USUAL),
        Option("dense", "all pairs of tokens, masked or not", Pricing(pairs="dense"), 1),
        Option("exact", "only the pairs that the mask lets through", Pricing(pairs="exact"), 1),
        Option("half", "half of all pairs, for a causal mask", _HALVED, 1),
        Option("unseen", "the products of the attention left out, as by a counter that does not see a fused kernel",
               _nothing(*_PAIRED), 1),
        Option("scores-only", "of the attention's two products only that of queries and keys", _nothing("mix"), 2),
    ), frozenset(_PAIRED)),
    _role("softmax", "softmax", 1, *_elements("softmax", {
        1: "", 3: " (Chinchilla, appendix F, of its scores)", 5: " (Clark et al. 2020, arXiv:2003.10555, of its code)",
    })),
    _role("norm", "norms", 1, *_elements("norm", {
        5: " (the estimate of fvcore, nn/jit_handles.py, beside products at 1)", 7: "",
    })),
    _role("activation", "activations", 1, *_elements("activation", {1: "", 8: " (ELECTRA's code, of GELU)"}, 2)),
    _role("embedding", "the embedding", 1, Option(
        "one-hot", "the embedding as a matmul with one-hot rows",
        Pricing(_ONE_HOT, frozenset({"embedding"})), 1,
    )),
    _role("logits", "the logits", 1, Option(
        "counted", "the logits counted, whatever the price list says", Pricing(counted=frozenset({"logits"})), 1,
    )),
    Dimension("relative", "the work of relative positions", (
        Option("out", "no work of relative positions", _nothing("relative")),
        Option("counted", "the projection of relative positions and their product with queries", _USUAL, 1),
    ), frozenset({"relative"})),
    _role("patch", "the embedding of patches"),
    _role("head", "what stands at the end (poolers, classifiers)"),
)  # fmt: skip
"""What of the work is counted, beside what the convention says."""
