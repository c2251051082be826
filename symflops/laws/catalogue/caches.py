"""What decoding keeps: caches by heads, lengths, windows and latents, and states that do not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache as kept_once

from sympy import Add, Expr, Integer

from symflops.architectures import Architecture
from symflops.architectures.runs import Run
from symflops.laws.catalogue.asking import alone, no_curve, of_cache, steps, tested
from symflops.laws.catalogue.subjects import Families, Has, attends, decodes, grouped, model, recurrent, windowed
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, same
from symflops.layers.latent import HEADS, absorbed_attention, expanded_attention
from symflops.masks import Causal
from symflops.notation import (
    d_nope,
    d_rope,
    d_value,
    n_batch,
    n_head,
    n_kv_head,
    n_layer,
    n_past,
    n_seq,
    n_window,
    r_kv,
    symbol,
)  # fmt: skip
from symflops.serving import cache_elements

_WINDOWS = {symbol("n_layer_sliding"), symbol("n_layer_local")}


def kept(of: Architecture) -> Expr:
    """Elements that a batch of sequences of n_seq tokens keeps, in symbols."""
    return cache_elements(of.at_run(Run(Integer(1), n_seq)))


@kept_once
def cache(family: str) -> Expr:
    """The same of a family."""
    return kept(model(family))


def by_groups(name: str, kept: Expr) -> Iterator[Instance]:
    """Twice the heads for keys and values: twice the cache."""
    yield same(name, kept, n_kv_head * kept.subs(n_kv_head, 1))


def ask_groups(cost: Cost, case: Case) -> Iterator[Instance]:
    """A cache for every head, against one for each group."""
    other = alone(case, n_kv_head=case.sizes["n_head"]) if "n_kv_head" in case.sizes else None
    if other is not None and "n_state" not in case.sizes:
        share = case.sizes["n_head"] // case.sizes["n_kv_head"]
        yield tested(cost, case, cost.of(other), share * cost.of(case), f"{share} times n_kv_head")


def by_length(name: str, kept: Expr) -> Iterator[Instance]:
    """Twice the tokens: twice the cache."""
    yield same(name, kept, n_seq * kept.subs(n_seq, 1))


def ask_length(cost: Cost, case: Case) -> Iterator[Instance]:
    """Equal steps in length make equal steps in the cache, from the window's length on."""
    start = case.with_sizes(n_seq=max(case.n_seq, case.sizes.get("n_window", 1)))
    if cost.claims.per != "token":
        yield from no_curve(cost, steps(start, "n_seq"), "n_seq")


def bounded(name: str, kept: Expr) -> Iterator[Instance]:
    """Past its window, a layer's cache grows no more; up to it, the cache is that of all layers."""
    past = kept.subs(n_seq, n_window + n_past)
    grown = past.subs(n_past, n_past + 1) - past
    rest = (n_layer - Add(*(_WINDOWS & kept.free_symbols))) / n_layer
    inside = kept.subs(n_window, n_seq + n_past)
    yield same(f"{name}: past the window", grown, rest * inside / n_seq)
    yield same(f"{name}: inside", inside, n_seq * inside.subs(n_seq, 1))


def constant(name: str, kept: Expr) -> Iterator[Instance]:
    """A state is as large after any number of tokens."""
    yield Instance(name, n_seq not in kept.free_symbols, "proved", str(kept), "without n_seq")


def latent_cache(expanded: Expr, absorbed: Expr) -> Iterator[Instance]:
    """Absorbed, one latent and one rotated key are kept for all heads; expanded, keys and values of each."""
    tokens = n_batch * n_seq
    yield same("absorbed", cache_elements(absorbed), tokens * (r_kv + d_rope))
    yield same("expanded", cache_elements(expanded), tokens * n_head * (d_nope + d_rope + d_value))


def of_caches(core: Callable[[str, Expr], Iterator[Instance]], *has: Has, without: Has) -> Families:
    """What a law says of the cache of every such family that decodes."""
    return Families(lambda name, of: core(name, kept(of)), (decodes, *has), without)


def _latent() -> Iterator[Instance]:
    mask = Causal(1, n_seq)
    yield from latent_cache(expanded_attention(HEADS, mask), absorbed_attention(HEADS, mask))


def _grows(claims: Claims) -> bool:
    return of_cache(claims) and claims.per != "token"


LAWS: tuple[Law, ...] = (
    Law(
        "cache-by-key-value-heads",
        r"M(k\,n_{kv}) = k\,M(n_{kv})",
        "A cache is proportional to the heads of keys and values, however many queries share them.",
        "Shazeer 2019, arXiv:1911.02150; Ainslie et al. 2023, arXiv:2305.13245",
        "n_kv_head divides n_head",
        "families with grouped heads and no states; any cache",
        of_caches(by_groups, grouped, without=recurrent),
        ask_groups,
        of_cache,
    ),
    Law(
        "cache-by-length",
        r"M(k\,n_\mathrm{seq}) = k\,M(n_\mathrm{seq})",
        "Each token adds the same to a cache, until a window is full.",
        "keys and values of a token are kept once",
        "all lengths; where there are windows, from their length on",
        "families without windows and states; any cache of a sequence or batch",
        of_caches(by_length, attends, without=lambda family: recurrent(family) or windowed(family)),
        ask_length,
        _grows,
    ),
    Law(
        "window-bounds-the-cache",
        r"n \ge n_\mathrm{window} \Rightarrow M_\mathrm{window}(n + 1) = M_\mathrm{window}(n)",
        "A layer with a window keeps no more tokens than it is long, and all of them until then.",
        "Beltagy et al. 2020, arXiv:2004.05150; Mistral 7B, arXiv:2310.06825, section 2: rolling buffer cache",
        "all lengths beyond the window, and all windows beyond the length",
        "families with windows",
        of_caches(bounded, windowed, without=recurrent),
    ),
    Law(
        "states-do-not-grow",
        r"\partial M_\mathrm{state} / \partial n_\mathrm{seq} = 0",
        "What a state space model keeps is as large after any number of tokens.",
        "Gu and Dao 2023, arXiv:2312.00752, section 3.2",
        "all sizes",
        "families with states and no attention beside them",
        of_caches(constant, recurrent, without=grouped),
    ),
    Law(
        "latent-cache-has-no-heads",
        r"M_\mathrm{absorbed} = n_\mathrm{seq}\,(r_{kv} + d_\mathrm{rope})",
        "Absorbed, latent attention keeps one latent and one rotated key; expanded, keys and values of each head.",
        "DeepSeek-V2, arXiv:2405.04434, section 2.1.2 and Table 1",
        "all sizes",
        "a layer of latent attention, both ways",
        _latent,
    ),
)
