"""The strongest laws: a cost is the closed form of what it claims, which loops and published counts confirm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from sympy import Add, Expr, expand

from symflops.architectures import architecture, presets
from symflops.laws.catalogue.asking import of_cache, of_flops, of_params, tested
from symflops.laws.catalogue.matmuls import Given
from symflops.laws.catalogue.predicted import owned, predicted, work
from symflops.laws.catalogue.subjects import over, plain_stream
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, counted, same
from symflops.measures import flops, params
from symflops.networks import uses

CACHED = ("gpt2", "gpt2-xl", "llama2-7b", "llama3-8b", "mistral-7b", "gemma2-9b", "mixtral-8x7b")
"""Models whose cache is counted layer by layer."""


def our_count(name: str) -> int:
    """The closed form at a preset's sizes."""
    return architecture(name).params()


def published(names: Iterable[str], count: Callable[[str], int] = our_count) -> Iterator[Instance]:
    """The exact counts that were published with the weights."""
    for name in names:
        if "params" in presets()[name]:
            yield counted(name, count(name), presets()[name]["params"])


def by_roles(name: str, whole: Expr, of: Callable[[Expr], Expr] = params) -> Iterator[Instance]:
    """What all roles own is all there is."""
    roles = {use.operation.role for use in uses(whole)}
    yield same(name, Add(*(owned(whole, frozenset({role})) for role in roles)), of(whole))


def ask_parameters(cost: Cost, case: Case) -> Iterator[Instance]:
    """The parameters of what is counted."""
    yield tested(cost, case, cost.of(case), predicted(cost.claims, case), "against the closed form of what is counted")


def as_torch(name: str, whole: Expr, given: Given = "torch") -> Iterator[Instance]:
    """Claimed over all pairs with every role, a cost is what torch counts."""
    claims = Claims("flops", "training", "batch")
    yield same(name, expand(work(whole, claims)), flops(whole, given, "training").expr)


def ask_work(cost: Cost, case: Case) -> Iterator[Instance]:
    """The work of what is counted, over the claimed pairs."""
    yield tested(cost, case, cost.of(case), predicted(cost.claims, case), "against the closed form of the claims")


def looped(sizes: Mapping[str, int], n_batch: int, n_seq: int) -> int:
    """Keys and values of each layer, one after the other."""
    heads, kept = sizes.get("n_kv_head", sizes["n_head"]), 0
    for layer in range(sizes["n_layer"]):
        short = layer < sizes.get("n_layer_sliding", 0)
        tokens = min(n_seq, sizes["n_window"]) if short else n_seq
        kept += 2 * n_batch * tokens * heads * sizes["d_head"]
    return kept


def layer_by_layer(names: Iterable[str], loop: Callable[..., int] = looped) -> Iterator[Instance]:
    """A cache, counted over layers, tokens and heads."""
    for name in names:
        model = architecture(name)
        yield counted(name, model.cache_bytes(2, 5000, 1), loop(model.sizes, 2, 5000))


LAWS: tuple[Law, ...] = (
    Law(
        "parameters-as-published",
        r"N = N_\mathrm{published}",
        "The closed form gives the exact counts that were published with the weights.",
        "the sources of the presets",
        "the presets' sizes",
        "every preset with a published exact count",
        lambda: published(presets()),
        by="oracle",
    ),
    Law(
        "parameters-of-what-is-counted",
        r"N = \sum_\mathrm{role} N_\mathrm{role}",
        "Parameters are the sum of what each role owns: those of the counted roles, biases too, are the cost.",
        "each parameter has one owner",
        "all sizes",
        "every family; parameters of any cost",
        over(by_roles),
        ask_parameters,
        of_params,
    ),
    Law(
        "work-of-what-is-counted",
        r"C = \sum_\mathrm{role} p_\mathrm{role}\,\mathrm{mac}_\mathrm{role}",
        "A cost is the work of the roles it counts, at the prices and over the pairs claimed.",
        "torch.utils.flop_counter for all roles and pairs",
        "all sizes",
        "families whose matmuls meet each token once; work of any cost",
        over(as_torch, plain_stream),
        ask_work,
        of_flops,
    ),
    Law(
        "cache-layer-by-layer",
        r"M = \sum_\mathrm{layer} 2\,n_{kv}\,d_\mathrm{head}\,\min(n_\mathrm{seq}, n_\mathrm{window})",
        "A cache is keys and values of each layer, of all tokens or of those in its window, in elements of two bytes.",
        "counting over layers",
        "2 sequences of 5,000 tokens; any cache in elements of two bytes",
        "presets with and without groups and windows; any cost",
        lambda: layer_by_layer(CACHED),
        ask_parameters,
        of_cache,
        by="oracle",
    ),
)
