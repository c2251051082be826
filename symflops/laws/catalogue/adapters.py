"""Frozen layers and low-rank adapters: what is trained, what it costs, and that it merges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from sympy import Add, Expr, Integer

from symflops.laws.catalogue.algebra import in_domain
from symflops.laws.catalogue.predicted import passed
from symflops.laws.catalogue.subjects import Families, network, operations, over, plain_stream
from symflops.laws.catalogue.training import weightless
from symflops.laws.law import Instance, Law, never_negative, same
from symflops.layers.lora import TARGETS, frozen, merging, with_lora
from symflops.measures import flops, params, saved_elements, trainable_params
from symflops.networks import Use, uses
from symflops.notation import n_batch, n_seq, r_lora
from symflops.operations import Contraction


@cache
def adaptable(family: str) -> bool:
    """Whether there are projections to queries and values of their own, which the paper adapts."""
    names = {each.name for each in operations(network(family))}
    return names >= set(TARGETS) and plain_stream(family)


def targets(whole: Expr) -> tuple[Use, ...]:
    """The projections that are adapted, where they stand."""
    linear = (use for use in uses(whole) if isinstance(use.operation, Contraction))
    return tuple(use for use in linear if use.operation.name in TARGETS)


def widths(whole: Expr) -> Expr:
    """What goes into and out of the adapted projections, of all layers together."""
    sizes = ((use.copies, use.operation.sizes) for use in targets(whole))
    return Add(*(copies * (each["d_in"] + each["d_out"]) for copies, each in sizes))


def trains(name: str, base: Expr, lora: Expr) -> Iterator[Instance]:
    """Of each adapted weight, the rank times what goes in and out is trained, and nothing else."""
    yield same(f"trained, {name}", trainable_params(lora), r_lora * widths(base))
    yield same(f"stored, {name}", params(lora) - params(base), r_lora * widths(base))


def runs(name: str, base: Expr, lora: Expr) -> Iterator[Instance]:
    """Beside each adapted weight, a token passes its adapter."""
    more = flops(lora, "torch").expr - flops(base, "torch").expr
    yield same(name, more, 2 * n_batch * n_seq * r_lora * widths(base))


def learns(name: str, base: Expr, lora: Expr) -> Iterator[Instance]:
    """Backward, frozen weights pass gradients on without one of their own; adapters have both."""
    tokens, roles = n_batch * n_seq, frozenset(use.operation.role for use in uses(base))
    through = 2 * tokens * passed(base, roles) + weightless(base) * 2 / Integer(3)
    yield same(name, flops(lora, "torch", "backward").expr, through + 4 * tokens * r_lora * widths(base))


def merges(name: str, base: Expr, merge: Expr) -> Iterator[Instance]:
    """Merging multiplies each adapter out once: two FLOPs for each adapted weight and rank."""
    sizes = ((use.copies, use.operation.sizes) for use in targets(base))
    weights = Add(*(copies * each["d_in"] * each["d_out"] for copies, each in sizes))
    yield same(name, flops(merge, "torch").expr, 2 * r_lora * weights)


def still(name: str, base: Expr, fixed: Expr) -> Iterator[Instance]:
    """Frozen, a network trains nothing, stores and runs the same."""
    yield same(f"trained, {name}", trainable_params(fixed), Integer(0))
    yield same(f"stored, {name}", params(fixed), params(base))
    yield same(f"forward, {name}", flops(fixed, "torch").expr, flops(base, "torch").expr)


def passes_on(name: str, base: Expr, fixed: Expr) -> Iterator[Instance]:
    """Backward, a frozen network computes no gradient of a weight: a forward pass of its weights less."""
    roles = frozenset(use.operation.role for use in uses(base))
    less = flops(base, "torch", "backward").expr - flops(fixed, "torch", "backward").expr
    yield same(name, less, 2 * n_batch * n_seq * passed(base, roles))


def keeps_less(name: str, base: Expr, fixed: Expr) -> Iterator[Instance]:
    """It keeps no more for the backward pass."""
    yield never_negative(name, in_domain(saved_elements(base) - saved_elements(fixed)))


def _adapted(core: Callable[[str, Expr, Expr], Iterator[Instance]]) -> Families:
    """What a law says of families with adapters of rank r_lora on their queries and values."""
    return over(lambda name, whole: core(name, whole, with_lora(whole, r_lora)), adaptable)


LAWS: tuple[Law, ...] = (
    Law(
        "adapters-train-rank-times-widths",
        r"N_\mathrm{trained} = \sum r\,(d_\mathrm{in} + d_\mathrm{out})",
        "An adapter trains, and stores, its rank times what goes into and out of the weight beside it.",
        "Hu et al. 2021, arXiv:2106.09685, section 4.1",
        "all sizes and ranks",
        "families with projections to queries and values of their own, which are adapted",
        _adapted(trains),
    ),
    Law(
        "adapters-run-two-flops-a-weight",
        r"C_\mathrm{adapted} = C + 2 N_\mathrm{trained} D",
        "Until it is merged, an adapter costs each token two FLOPs for each of its weights.",
        "Hu et al. 2021, arXiv:2106.09685, section 4.1",
        "all sizes and ranks",
        "families with projections to queries and values of their own, which are adapted",
        _adapted(runs),
    ),
    Law(
        "adapters-learn-without-weight-gradients",
        r"C_\mathrm{backward} = 2 N D + 4 N_\mathrm{trained} D + 2\,C_\mathrm{weightless}",
        "Beside adapters, frozen weights pass gradients on for two FLOPs each, not four.",
        "Hu et al. 2021, arXiv:2106.09685, section 4.2: no gradients for the vast majority of parameters",
        "all sizes and ranks; gradients below the lowest adapter are declared",
        "families with projections to queries and values of their own, which are adapted",
        _adapted(learns),
    ),
    Law(
        "adapters-merge-once",
        r"C_\mathrm{merge} = 2 r\,N_\mathrm{adapted}",
        "Merging adapters multiplies them out once: two FLOPs for each adapted weight and rank.",
        "Hu et al. 2021, arXiv:2106.09685, section 4.1: no additional inference latency",
        "all sizes and ranks",
        "families with projections to queries and values of their own, which are adapted",
        over(lambda name, whole: merges(name, whole, merging(whole, r_lora)), adaptable),
    ),
    Law(
        "frozen-trains-nothing",
        r"N_\mathrm{trained} = 0,\quad C_\mathrm{forward}^\mathrm{frozen} = C_\mathrm{forward}",
        "Frozen, a network trains nothing, and stores and runs forward the same.",
        "a frozen parameter is a constant",
        "all sizes",
        "every family",
        over(lambda name, whole: still(name, whole, frozen(whole))),
    ),
    Law(
        "frozen-computes-no-weight-gradient",
        r"C_\mathrm{backward} - C_\mathrm{backward}^\mathrm{frozen} = 2 N D",
        "Backward, a frozen network computes two FLOPs less for each token and weight it meets.",
        "the gradient of a weight costs its matmul once",
        "all sizes",
        "families whose matmuls meet each token once",
        over(lambda name, whole: passes_on(name, whole, frozen(whole)), plain_stream),
    ),
    Law(
        "frozen-keeps-no-more",
        r"M_\mathrm{saved}^\mathrm{frozen} \le M_\mathrm{saved}",
        "A frozen network keeps no more for its backward pass.",
        "an input is kept for the gradient of its weight",
        "all sizes",
        "families whose matmuls meet each token once",
        over(lambda name, whole: keeps_less(name, whole, frozen(whole)), plain_stream),
    ),
)
