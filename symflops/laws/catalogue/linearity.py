"""Costs are linear: in networks, in their layers, in their batches; and parameters know nothing of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sympy import Add, Expr, Integer, Poly

from symflops.architectures.names import KINDS
from symflops.laws.catalogue.asking import KINDS as COUNTS
from symflops.laws.catalogue.asking import always, no_curve, of_params, on_tables, steps, tested
from symflops.laws.catalogue.predicted import on_weights
from symflops.laws.catalogue.subjects import Families, Has, few, over
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, same
from symflops.measures import (
    bytes_read,
    flops,
    flops_of_all,
    params,
    saved_elements,
)
from symflops.networks import Block, blocks
from symflops.notation import n_batch, n_layer, n_seq, symbol

Measure = Callable[[Expr], Expr]
MEASURES: Mapping[str, Measure] = {
    "params": params,
    "bytes_read": bytes_read,
    "saved_elements": saved_elements,
    "training flops": lambda whole: flops(whole, "torch", "training").expr,
}
LAYERS = frozenset({n_layer, symbol("n_layer_decoder"), symbol("n_layer_dense"), symbol("n_layer_vision")}) | {
    symbol(name) for name in KINDS.values()
}
_PERIOD = 12


def additive(measure: str, of: Measure, name: str, whole: Expr) -> Iterator[Instance]:
    """A network's cost is the sum of its named parts' costs."""
    parts = Add(*(of(part) for part in blocks(whole).values()))
    yield same(f"{measure}, {name}", of(whole), parts)


def scales(measure: str, of: Measure, name: str, whole: Expr) -> Iterator[Instance]:
    """So many times a network costs so many times as much, and a network less itself costs nothing."""
    yield same(f"{measure}, {name}", of(7 * whole) - of(3 * whole), 4 * of(whole))
    yield same(f"{measure}, {name} less itself", of(whole - whole), Integer(0))


def by_measure(core: Callable[[str, Measure, str, Expr], Iterator[Instance]], *has: Has) -> Families:
    """Every measure of families."""

    def measured(name: str, whole: Expr) -> Iterator[Instance]:
        for measure, of in MEASURES.items():
            yield from core(measure, of, name, whole)

    return over(measured, *has)


def straight_in_layers(name: str, whole: Expr, of: Mapping[str, Measure] = MEASURES) -> Iterator[Instance]:
    """No product of two numbers of layers stands in a cost."""
    for measure in ("params", "training flops", "saved_elements"):
        found = of[measure](whole)
        sizes = sorted(LAYERS & found.free_symbols, key=str)
        degree = Poly(found, *sizes).total_degree() if sizes else 0
        yield Instance(f"{measure}, {name}", degree <= 1, "proved", f"degree {degree}", "degree 1")


def ask_layers(cost: Cost, case: Case) -> Iterator[Instance]:
    """Equal steps in layers make equal steps in cost; steps of a whole period where layers are of several kinds."""
    several = [name for name in (*COUNTS, *KINDS.values()) if name in case.sizes]
    cases = steps(case, "n_layer", _PERIOD if several else 1)
    if cases and all(_straight([each.sizes.get(name, 0) for each in cases]) for name in several):
        yield from no_curve(cost, cases, "n_layer")


def _straight(counts: list[int]) -> bool:
    """Whether layers of a kind grow in equal steps, as those of a config do that does not list them."""
    return counts[2] - counts[1] == counts[1] - counts[0]


def straight_in_batch(name: str, whole: Expr) -> Iterator[Instance]:
    """The work of a batch is that of one sequence, times the sequences."""
    for convention in ("torch", "exact"):
        form = flops_of_all(whole, convention).expr
        yield same(f"{convention}, {name}", form, n_batch * form.subs(n_batch, 1))


def ask_batch(cost: Cost, case: Case) -> Iterator[Instance]:
    """Three times the sequences: three times the batch's cost, and the same for each sequence or token."""
    if "head" in cost.claims.counts and crossed(case.model.family.name):
        return
    more, one = case.with_sizes(n_batch=3 * case.n_batch), cost.of(case)
    factor = 3 if cost.claims.per == "batch" else 1
    yield tested(cost, case, cost.of(more), factor * one, f"n_batch = {more.n_batch} against {case.n_batch}")


def crossed(family: str) -> bool:
    """Whether the sequences of a batch are compared with each other, as CLIP's images and texts are."""
    return family == "clip"


def without_tokens(name: str, whole: Expr, of: Measure = params) -> Iterator[Instance]:
    """No parameter depends on the tokens that are computed."""
    inside = sorted(map(str, of(whole).free_symbols & {n_batch, n_seq}))
    yield Instance(name, not inside, "proved", ", ".join(inside), "")


def ask_tokens(cost: Cost, case: Case) -> Iterator[Instance]:
    """As many parameters whatever is computed."""
    more = case.with_sizes(n_batch=case.n_batch + 1, n_seq=case.n_seq + 1)
    yield tested(cost, case, cost.of(more), cost.of(case), "one sequence and one token more")


def nameless(name: str, whole: Expr, of: Mapping[str, Measure] = MEASURES) -> Iterator[Instance]:
    """What a part is called, and which part it stands in, costs nothing."""
    flat = whole.replace(lambda each: isinstance(each, Block), lambda each: each.body)
    for measure in ("params", "training flops"):
        yield same(f"{measure}, {name}", of[measure](flat), of[measure](whole))


def _of_each_sequence(claims: Claims) -> bool:
    """Whether nothing is charged once for a batch, as angles of positions and sums of gradients are."""
    return claims.quantity == "cache_bytes" or on_weights(claims)


LAWS = (
    Law(
        "additivity",
        r"C(A + B) = C(A) + C(B)",
        "The cost of a network is the sum of the costs of its parts.",
        "linearity of counting: each operation is counted where it stands",
        "all sizes",
        "every measure; every family, cut into its named blocks",
        by_measure(additive),
    ),
    Law(
        "homogeneity",
        r"C(k A) = k\,C(A)",
        "So many copies of a network cost so many times as much, and none costs nothing.",
        "linearity of counting",
        "all sizes",
        "every measure; a family of each kind",
        by_measure(scales, few),
    ),
    Law(
        "names-cost-nothing",
        r"C(\mathrm{Block}(A)) = C(A)",
        "How a network is cut into named parts changes no cost.",
        "a name is no operation",
        "all sizes",
        "parameters and training work; every family, with all its blocks dissolved",
        over(nameless),
    ),
    Law(
        "layer-linearity",
        r"C(n_\mathrm{layer}) = C_0 + n_\mathrm{layer}\,C_1",
        "Every layer of a kind costs the same, so that a cost is a straight line in the number of layers.",
        "Kaplan et al. 2020, arXiv:2001.08361, Table 1: each row is n_layer times a layer",
        "all sizes; where layers are of several kinds, whole periods of them",
        "parameters, work, saved activations, caches; every family",
        over(straight_in_layers),
        ask_layers,
        always,
    ),
    Law(
        "batch-linearity",
        r"C(k\,n_\mathrm{batch}) = k\,C(n_\mathrm{batch})",
        "Sequences of a batch do not see each other: a batch costs its sequences, and a token costs the same in any.",
        "no operation of a transformer runs over two sequences",
        "all sizes",
        "work and caches; every family but CLIP, which compares each image with each text",
        over(straight_in_batch, without=crossed),
        on_tables(ask_batch),
        _of_each_sequence,
    ),
    Law(
        "parameters-know-no-tokens",
        r"\partial N/\partial n_\mathrm{seq} = \partial N/\partial n_\mathrm{batch} = 0",
        "How many parameters there are depends on no sequence and on no batch.",
        "parameters are stored before a token is seen",
        "all sizes",
        "parameters; every family",
        over(without_tokens),
        ask_tokens,
        of_params,
    ),
)
