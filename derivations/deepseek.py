"""DeepSeek-V2 and V3: what latent attention caches, which parameters serve a token, and what training cost.

Multi-head latent attention caches one latent and one rotated key for each token, shared by all heads (V2, section 2.1).
Here the cache is a measure of the declared operations: the operands that a later token reads again. DeepSeek-AI,
DeepSeek-V2, 2024, arXiv:2405.04434; DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437.

>>> cached("latents").subs({r_kv: 4 * d_head, d_rope: d_head / 2})
9*d_head*n_layer/2
"""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Expr, Integer, factor

from symflops.architectures import architecture
from symflops.claims.sections import checked
from symflops.derivation import Section, Study, share, specialise, start
from symflops.documents import Block, Forms, Prose, Steps, Table, prose
from symflops.layers.attention import Heads, attention_core
from symflops.layers.latent import HEADS, absorbed_attention, expanded_attention
from symflops.masks import Causal
from symflops.measures import flops, params
from symflops.networks import of_role
from symflops.notation import d_head, d_nope, d_rope, d_value, n_batch, n_head, n_kv_head, n_layer, n_seq, r_kv
from symflops.serving import cache_elements

CITATION = "DeepSeek-AI, DeepSeek-V2, 2024, arXiv:2405.04434; DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437"
SEEN = Causal(n_seq, n_seq)
NETWORKS: Mapping[str, Expr] = {
    "heads": n_layer * attention_core(Heads(n_head, n_kv_head, d_head), SEEN),
    "latents": n_layer * absorbed_attention(HEADS, SEEN),
    "latents of every head": n_layer * expanded_attention(HEADS, SEEN),
}
V2: Mapping[Expr, int] = {
    n_layer: 60, n_head: 128, n_kv_head: 128, d_head: 128, d_nope: 128, d_value: 128, d_rope: 64, r_kv: 512,
}  # fmt: skip
MODELS = ("deepseek-v2", "deepseek-v2-lite", "deepseek-v3")
PHASES = (("pre-training", 2_664_000), ("context extension", 119_000), ("post-training", 5_000))
"""GPU hours of V3 (its Table 1)."""
DOLLARS, GPUS = 2, 2048
"""The rent of an H800 for an hour, and the GPUs of the run, as V3 states them."""


def cached(network: str) -> Expr:
    """The elements that a network caches for each token."""
    return factor(cache_elements(NETWORKS[network]) / (n_batch * n_seq))


def derive() -> Study:
    """The page."""
    sections = (_operations(), _identity(), _ratio(), _dropped(), _active(), _cost(), *checked("deepseek"))
    return Study("deepseek", "DeepSeek-V2 and V3: latent attention", CITATION, sections)


def _operations() -> Section:
    heads, latents, expanded = (cached(name) for name in NETWORKS)
    rows = (
        ("multi-head", "keys and values of every head", heads.subs(n_kv_head, n_head), _at(heads)),
        ("grouped-query", "keys and values of n_kv_head heads", heads, "-"),
        ("multi-query", "one key and one value", heads.subs(n_kv_head, 1), _at(heads.subs(n_kv_head, 1))),
        ("latent", "one latent and one rotated key", latents, _at(latents)),
        ("latent, expanded", "keys and values made for every head", expanded, _at(expanded)),
    )
    said = Prose(
        "A cache keeps what the scores and the mix of a later token read again. The last line is the same model as the "
        "one before, run as transformers does: keys and values of all heads are made first and cached, which is more "
        "than without latents. Only where the matrices that lead up to them are multiplied into queries and mix "
        "(section 2.1.2) does the cache shrink."
    )
    head = ("Attention", "Cached", "Elements for a token", "At V2's sizes")
    return Section("Operations", (said, Table("", head, rows)))


def _at(form: Expr) -> Expr:
    return form.subs(V2)


def _identity() -> Section:
    latents, heads = cached("latents"), cached("heads")
    shape = {r_kv: 4 * d_head, d_rope: d_head / 2}
    chain = start("kv", latents, "the latent and the rotated key")
    chain = specialise(chain, shape, Integer(9) / 2 * d_head * n_layer, "r_kv = 4*d_head and d_rope = d_head/2")
    groups = start("groups", share(latents, heads / n_kv_head), "over what one head's key and value take")
    groups = specialise(groups, shape, Integer(9) / 4, "at V2's shape: it caches as much as 2.25 groups")
    return Section("Identity", (Steps((*chain, *groups)),))


def _ratio() -> Section:
    ratio = share(cached("latents"), cached("heads").subs(n_kv_head, n_head))
    absorbed, expanded = (_of_pairs(name) for name in ("latents", "latents of every head"))
    dearer = share(absorbed, expanded)
    said = prose(
        f"Against multi-head attention of the same heads the cache is 1/{_at(1 / ratio).round(1)} at V2's sizes. The "
        "large model of appendix C.2 had fewer heads, 56 where its printed cache is right, and there 4 % are left. The "
        "price is work: scores and mix are taken over the latent, and "
        f"for each cached token and new token take {float(_at(dearer)):.1f} times the FLOPs of heads of their own."
    )  # fmt: skip
    forms = (("kv/kv of heads", ratio), ("FLOPs, latents", absorbed), ("FLOPs, heads", expanded), ("ratio", dearer))
    return Section("Ratio", (said, Forms(forms)))


def _of_pairs(name: str) -> Expr:
    """The FLOPs of scores and mix, for each new token and each that it sees."""
    network = NETWORKS[name]
    both = sum(flops(of_role(network, role), "torch").expr for role in ("scores", "mix"))
    return factor(both / (n_batch * n_seq**2))


def _dropped() -> Section:
    latents = cached("latents").subs(V2)
    dense = cached("heads").subs({n_layer: 95, n_kv_head: 8, d_head: 128})
    said = prose(
        "V2's abstract says that its cache is 93.3 % smaller than that of DeepSeek 67B (95 layers, 8 heads for keys "
        "and values). Counted in elements, as its Table 1 counts, it is ", latents, " against ", dense,
        f", which is {_percent(1 - latents / dense)} less. When it is served, V2's cache has 6 bits for an element on "
        f"average (section 3.2.3): at 16 for the other that is {_percent(1 - latents * 6 / (dense * 16))} less, as "
        "printed. The abstract gives no formula: if that is its count, it compares two deployments, not two kinds of "
        "attention alone."
    )  # fmt: skip
    return Section("What the 93.3 % hold", (said,))


def _percent(ratio: Expr) -> str:
    return f"{float(ratio) * 100:.1f} %"


def _active() -> Section:
    models = [architecture(name) for name in MODELS]
    rows = []
    for name, model in zip(MODELS, models, strict=True):
        serving = model.params("active")
        token, logits = (int(model.at(params(of_role(model.network, role)))) for role in ("embedding", "logits"))
        counts = (model.params(), serving, serving - token, serving - token - logits)
        rows.append((name, *map(Integer, counts)))
    said = Prose(
        "Of the routed experts, a token passes some. Which parameters serve it also depends on whether the table of "
        "tokens counts, of which it reads one row, and the table of logits, of which it reads all. V2's 21 "
        "billion hold with it or without, V3's 37 only without."
    )
    head = ("Model", "all", "for a token", "without the token table", "without both tables")
    return Section("Active parameters", (said, Table("", head, tuple(rows))))


def _cost() -> Section:
    hours = sum(each for _, each in PHASES)
    rows = tuple((name, Integer(each), f"{each * DOLLARS / 10**6:.3f} million") for name, each in PHASES)
    total = ("total", Integer(hours), f"{hours * DOLLARS / 10**6:.3f} million")
    days = PHASES[0][1] / GPUS / 24
    flops_each = 6 * 37 * 10**9 * 14_800_000_000_000
    said = Prose(
        f"At {DOLLARS} dollars an hour. Pre-training reads 14.8 trillion tokens, at 180,000 hours for each trillion: "
        f"{days:.0f} days of {GPUS} GPUs; 6 times 37 billion active parameters for each token, without attention, are "
        f"{flops_each / PHASES[0][1] / 3600 / 1e12:.0f} TFLOPs a second of each."
    )
    blocks: tuple[Block, ...] = (said, Table("", ("Phase", "GPU hours", "dollars"), rows, total))
    return Section("The cost of V3", blocks)
