"""Training: three forward passes, six FLOPs for each weight and what is beside them, and what recomputation adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm

from sympy import Add, Expr, Integer, Rational, expand

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import CONVENTIONS
from symflops.laws.catalogue.algebra import in_domain
from symflops.laws.catalogue.asking import Number, of_flops, on_tables, shared, steps, tested
from symflops.laws.catalogue.matmuls import Given
from symflops.laws.catalogue.predicted import KINDS, doubled, passed, predicted, price
from symflops.laws.catalogue.subjects import (
    Families,
    attends,
    few,
    latent,
    over,
    plain_stream,
    scans,
    unfrozen,
)  # fmt: skip
from symflops.laws.cost import Case, Claims, Cost, Recompute
from symflops.laws.law import Instance, Law, never_negative, same
from symflops.laws.recomputing import CORE, recomputed
from symflops.measures import NOT_N, Phase, flops, saved_elements
from symflops.networks import Recomputed, of_role, uses
from symflops.notation import (
    d_expert,
    d_ff,
    d_head,
    d_model,
    d_shared,
    n_batch,
    n_head,
    n_kv_head,
    n_past,
    n_seq,
    symbol,
)  # fmt: skip
from symflops.operations import Contraction
from symflops.totals import Total

Priced = Callable[[Expr, str, Phase], Total]
"""Work by convention and phase."""
_PHASES: tuple[Phase, ...] = ("forward", "backward", "training")


def phases_add(name: str, whole: Expr, of: Priced = flops) -> Iterator[Instance]:
    """Training is the forward and the backward pass, under every convention."""
    for convention in CONVENTIONS:
        forward, backward, both = (of(whole, convention, phase).expr for phase in _PHASES)
        yield same(f"{convention}, {name}", forward + backward, both)


def thrice(name: str, whole: Expr, given: Given = "torch") -> Iterator[Instance]:
    """Where every operand has its gradient, training is three forward passes."""
    yield same(name, flops(whole, given, "training").expr, 3 * flops(whole, given).expr)


def ask_multiple(cost: Cost, case: Case) -> Iterator[Instance]:
    """The work of a phase is a multiple of what the smallest amount that has a price takes in it."""
    if unfrozen(case.model.family.name) or cost.claims.convention.backward == "twice":
        share = Fraction(cost.of(case)) / _unit(cost.claims)
        about = f"{cost.claims.phase}: whole forward passes"
        yield tested(cost, case, share, share.numerator // share.denominator, about)


def _unit(claims: Claims) -> Fraction:
    """What all prices of the phase are multiples of; one where there is none."""
    prices = {fraction(each) for each in _prices(claims) if each}
    below = lcm(*(each.denominator for each in prices))
    return Fraction(gcd(*(int(each * below) for each in prices)) or below, below)


def _prices(claims: Claims) -> Iterator[Rational]:
    return (price(claims, kind, role) for kind in KINDS for role in claims.counts)


def six_n(name: str, whole: Expr) -> Iterator[Instance]:
    """Six FLOPs for each token and weight it is multiplied by, and what multiplies no weight."""
    roles = frozenset(use.operation.role for use in uses(whole))
    total = flops(whole, "torch", "training").expr
    yield same(name, total - 6 * n_batch * n_seq * passed(whole, roles), weightless(whole))


def weightless(whole: Expr) -> Expr:
    """The training work of matmuls between activations: scores, mix, scans."""
    mine = (use for use in uses(whole) if isinstance(use.operation, Contraction) and not use.operation.parameters)
    each = (use.runs * amount for use in mine for (kind, _), amount in use.operation.work.items() if kind == "mac")
    macs = Add(*each)
    return expand(2 * CONVENTIONS["torch"].count_pairs(macs))


def six_n_alone(name: str, whole: Expr, times: int = 6) -> Iterator[Instance]:
    """As all widths grow, what is beside 6N grows slower: the highest powers agree."""
    heads = (n_head, n_kv_head) if d_head in whole.free_symbols else ()
    grown = {each: n_past * each for each in (d_model, d_ff, d_expert, d_shared, *heads)}
    stored = expand(active_without_tables(whole).subs(grown))
    work = expand(flops(whole, "torch", "training").expr.subs(grown))
    yield same(name, work.coeff(n_past, 2), times * n_batch * n_seq * stored.coeff(n_past, 2))


def active_without_tables(whole: Expr) -> Expr:
    """Kaplan's N, of experts those that serve a token."""
    mine = (use for use in uses(whole) if use.operation.role not in NOT_N)
    return Add(*(use.active * each.count for use in mine for each in use.operation.parameters))


def one_forward_more(
    name: str, whole: Expr, way: Callable[[Expr], Expr] = Recomputed, given: Given = "torch"
) -> Iterator[Instance]:
    """All recomputed, training is one forward pass more."""
    again = flops(way(whole), given, "training").expr
    yield same(name, again - flops(whole, given, "training").expr, flops(whole, given).expr)


def core_once_more(
    name: str, whole: Expr, way: Callable[[Expr], Expr] = lambda each: recomputed(each, "selective")
) -> Iterator[Instance]:
    """With the cores of attention recomputed, training is their forward pass more."""
    core = Add(*(of_role(whole, role) for role in sorted(CORE)))
    again = flops(way(whole), "torch", "training").expr
    yield same(name, again - flops(whole, "torch", "training").expr, flops(core, "torch").expr)


def ask_layers_more(cost: Cost, case: Case) -> Iterator[Instance]:
    """What is beside training is what as many layers again cost in a forward pass."""
    pair = steps(case, "n_layer", case.sizes.get("n_layer", 0), 2)
    if len(pair) == 2 and not any(name.startswith("n_layer_") for name in case.sizes):
        once_more = replace(cost.claims, phase="forward", recompute="none")
        less, more = (predicted(once_more, each) for each in pair)
        yield tested(cost, case, _beside(cost, case), more - less, "beside training, against a forward pass of layers")


def ask_core_more(cost: Cost, case: Case) -> Iterator[Instance]:
    """What is beside training is a forward pass of scores, softmax and mix."""
    core = replace(cost.claims, phase="forward", recompute="none", counts=cost.claims.counts & CORE)
    about = "beside training, against a forward pass of the core"
    yield tested(cost, case, _beside(cost, case), predicted(core, case), about)


def _beside(cost: Cost, case: Case) -> Number:
    return cost.of(case) - predicted(replace(cost.claims, recompute="none"), case)


def _again(what: Recompute) -> Callable[[Claims], bool]:
    return lambda claims: of_flops(claims) and claims.recompute == what


def scores_once_more(name: str, eager: Expr, flash: Expr) -> Iterator[Instance]:
    """A core that recomputes its scores takes their forward pass once more, and nothing else."""
    scores = flops(of_role(eager, "scores"), "torch").expr
    yield same(name, flops(flash, "torch", "training").expr - flops(eager, "torch", "training").expr, scores)
    yield same(f"forward, {name}", flops(flash, "torch").expr, flops(eager, "torch").expr)


def no_model_work(
    name: str, whole: Expr, way: Callable[[Expr], Expr] = Recomputed, given: Given = "exact"
) -> Iterator[Instance]:
    """What is computed again is hardware's work, not the model's; and nothing of it is kept."""
    again = way(whole)
    yield same(f"work, {name}", flops(again, given, "training").expr, flops(whole, given, "training").expr)
    yield same(f"saved, {name}", saved_elements(again), Integer(0))


def model_at_most_hardware(
    name: str, whole: Expr, hardware: Given = "torch", model: Given = "exact"
) -> Iterator[Instance]:
    """The pairs that a mask lets through are no more than those that are computed."""
    fewer, more = (flops(whole, each, "training").expr for each in (model, hardware))
    yield never_negative(name, in_domain(more - fewer))


def accumulated(name: str, whole: Expr) -> Iterator[Instance]:
    """A batch in parts, one after the other: the same work, and of what is saved only a part at a time."""
    n_data = symbol("n_data")
    part = {n_batch: n_batch / n_data}
    work, kept = flops(whole, "torch", "training").expr, saved_elements(whole)
    yield same(f"work, {name}", n_data * work.subs(part), work)
    each = kept - kept.subs(n_batch, 0)
    yield same(f"saved, {name}", n_data * each.subs(part), each)


def _scores(name: str, of: Architecture) -> Iterator[Instance]:
    flash = replace(of, attention="flash").network
    if flash != of.network:
        yield from scores_once_more(name, of.network, flash)


def _multiple(claims: Claims) -> bool:
    whole = not shared(claims) and claims.pairs != "half"
    return of_flops(claims) and doubled(claims) and claims.recompute == "none" and whole


LAWS: tuple[Law, ...] = (
    Law(
        "phases-add-to-training",
        r"C_\mathrm{training} = C_\mathrm{forward} + C_\mathrm{backward}",
        "Training is the forward and the backward pass, under every convention.",
        "each pass is counted once",
        "all sizes",
        "every convention; a family of each kind",
        over(phases_add, few),
    ),
    Law(
        "training-is-three-forwards",
        r"C_\mathrm{training} = 3\,C_\mathrm{forward}",
        "Where each operand has its gradient, training takes three forward passes: its FLOPs are a multiple of six.",
        "Kaplan et al. 2020, arXiv:2001.08361, section 2.1; Chinchilla, arXiv:2203.15556, appendix F",
        "all sizes",
        "families without frozen operands; work of any cost of a sequence or batch",
        over(thrice, unfrozen),
        on_tables(ask_multiple),
        _multiple,
    ),
    Law(
        "six-n-and-attention",
        r"C_\mathrm{training} - 6 N D = 6\,\mathrm{mac}_\mathrm{weightless}",
        "Training is six FLOPs for each token and weight it meets, and thrice what multiplies no weight: attention.",
        "Kaplan et al. 2020, section 2.1; PaLM, arXiv:2204.02311, appendix B",
        "all sizes",
        "families whose matmuls meet each token once",
        over(six_n, plain_stream),
    ),
    Law(
        "six-n-in-the-limit",
        r"\lim_{d_\mathrm{model} \to \infty} C_\mathrm{training} / 6 N D = 1",
        "As all widths grow, what is beside 6N vanishes against it: N without embeddings, of experts the active ones.",
        "Kaplan et al. 2020, section 2.1: d_model >> n_ctx/12",
        "widths in fixed proportion, or heads of fixed width; lengths, vocabulary and ranks fixed",
        "families whose matmuls meet each token once; latents, whose ranks stay, apart",
        over(six_n_alone, plain_stream, without=latent),
    ),
    Law(
        "full-recompute-is-one-forward-more",
        r"C_\mathrm{training}^\mathrm{recomputed} = C_\mathrm{training} + C_\mathrm{forward}",
        "Recomputing everything takes one forward pass more.",
        "Chen et al. 2016, arXiv:1604.06174; Narayanan et al. 2021, arXiv:2104.04473, section 5.1",
        "all sizes",
        "every family; work of any cost that recomputes its layers, beside which logits run once",
        over(one_forward_more),
        ask_layers_more,
        _again("full"),
    ),
    Law(
        "selective-recompute-is-one-core-more",
        r"C_\mathrm{training}^\mathrm{selective} = C_\mathrm{training} + C_{QK^T} + C_{AV}",
        "Recomputing the core of attention takes one forward pass of its scores, softmax and mix more.",
        "Korthikanti et al. 2022, arXiv:2205.05198, section 5; its equation 8 adds three",
        "all sizes",
        "every family with attention; work of any cost that recomputes the core",
        over(core_once_more, attends),
        ask_core_more,
        _again("selective"),
    ),
    Law(
        "flash-recomputes-its-scores",
        r"C_\mathrm{training}^\mathrm{flash} = C_\mathrm{training} + C_{QK^T}",
        "A core that keeps no scores takes their forward pass once more in training, and nothing more before it.",
        "Dao et al. 2022, arXiv:2205.14135, algorithm 4; Korthikanti et al. 2022, arXiv:2205.05198, section 5",
        "all sizes",
        "families with attention whose matmuls meet each token once; T5, whose biased scores do not run so, apart",
        Families(_scores, (attends, plain_stream), lambda family: family == "t5"),
    ),
    Law(
        "recompute-is-no-model-work",
        r"C_\mathrm{model}(\mathrm{Recomputed}(A)) = C_\mathrm{model}(A),\quad M_\mathrm{saved} = 0",
        "What is computed again is no work of the model, and nothing of it is kept for the backward pass.",
        "PaLM, arXiv:2204.02311, appendix B: model against hardware FLOPs utilisation",
        "all sizes",
        "every family",
        over(no_model_work),
    ),
    Law(
        "model-at-most-hardware",
        r"C_\mathrm{model} \le C_\mathrm{hardware}",
        "The work that masks let through is no more than what kernels do that skip nothing.",
        "PaLM, arXiv:2204.02311, appendix B",
        "sequences longer than windows",
        "every family but those that scan in chunks",
        over(model_at_most_hardware, without=scans),
    ),
    Law(
        "accumulation-saves-memory-not-work",
        r"k\,C(n_\mathrm{batch}/k) = C(n_\mathrm{batch}),\quad k\,M(n_\mathrm{batch}/k) = M(n_\mathrm{batch})",
        "A batch in parts, one after the other, is the same work, and a part of what its sequences save at a time.",
        "gradients of a batch are the sum of its sequences' gradients",
        "n_batch divisible by the parts",
        "every family but CLIP, which compares each image with each text",
        over(accumulated, without=lambda family: family == "clip"),
    ),
)
