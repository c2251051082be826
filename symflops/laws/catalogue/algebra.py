"""The form of a cost: a polynomial without a minus, whole, never falling, whatever its sizes are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product

from sympy import Expr, Integer, Poly, Symbol, expand

from symflops.architectures.names import KINDS
from symflops.laws.catalogue.asking import alone, always, at_most, on_tables, on_tokens, shared, tested
from symflops.laws.catalogue.linearity import MEASURES, Measure
from symflops.laws.catalogue.matmuls import Given
from symflops.laws.catalogue.predicted import as_convention, on_weights
from symflops.laws.catalogue.subjects import few, over, scans
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, counted, never_negative, same
from symflops.measures import flops
from symflops.notation import (
    TERMS,
    d_conv,
    d_expert,
    d_ff,
    d_head,
    d_model,
    n_active,
    n_batch,
    n_chunk,
    n_ctx,
    n_expert,
    n_head,
    n_kv_head,
    n_layer,
    n_seq,
    n_vocab,
    n_window,
    symbol,
)  # fmt: skip

_COUNTS = [symbol(name) for name in (*KINDS.values(), "n_layer_dense")]
RISING: tuple[Symbol, ...] = (
    n_layer, d_model, d_ff, n_vocab, n_seq, n_batch, n_kv_head, d_head, n_expert, n_active, d_expert, n_ctx,
)  # fmt: skip
"""Sizes that nothing else gets smaller by."""


def domain(form: Expr) -> Mapping[Symbol, Expr]:
    """Sizes in others, which reach what is asked for: layers of a kind are layers, a window is in its sequence."""
    inside: dict[Symbol, Expr] = {n_layer: n_layer + sum(each for each in _COUNTS if each in form.free_symbols)}
    width, heads = symbol("d_model_vision"), symbol("n_head_vision")
    whole = {d_model: d_head * n_head} if d_head not in form.free_symbols else {}
    tower = {width: heads * symbol("d_head_vision")} if {width, heads} <= form.free_symbols else {}
    longer = {n_seq: n_seq + n_window} if n_window in form.free_symbols else {}
    chunks = {n_seq: n_seq * n_chunk} if n_chunk in form.free_symbols else {}
    # A causal convolution computes one position less than it has taps beyond the sequence.
    return inside | whole | tower | longer | chunks | {d_conv: d_conv + 1}


def in_domain(form: Expr) -> Expr:
    """The form in those sizes, expanded."""
    return expand(form.subs(dict(domain(form)), simultaneous=True))


def polynomial(name: str, whole: Expr, of: Mapping[str, Measure] = MEASURES) -> Iterator[Instance]:
    """All coefficients of parameters and work are positive."""
    for measure in ("params", "training flops"):
        form = in_domain(of[measure](whole))
        sizes = sorted(form.free_symbols, key=str)
        fine = form.is_polynomial(*sizes) and all(each > 0 for each in Poly(form, *sizes).coeffs())
        yield Instance(f"{measure}, {name}", bool(fine), "proved", str(form), "coefficients above zero")


def positive(subject: str, form: Expr) -> Instance:
    """That a form is at least nothing: by its terms, none of which has a minus, else by a certificate."""
    if all(each > 0 for each in form.as_coefficients_dict().values()):
        return Instance(subject, True, "proved", str(form), "0", "a sum of products of sizes without a minus")
    return never_negative(subject, form)


def not_negative(name: str, whole: Expr, convention: Given = "exact") -> Iterator[Instance]:
    """No work is negative, of exact pairs and elementary steps too."""
    yield positive(name, in_domain(flops(whole, convention, "training").expr))


def ask_not_negative(cost: Cost, case: Case) -> Iterator[Instance]:
    """A cost is at least nothing."""
    yield at_most(cost, case, 0, cost.of(case), "at least nothing")


def whole_number(name: str, whole: Expr, convention: Given = "exact") -> Iterator[Instance]:
    """Exact pairs make whole numbers of FLOPs: integer at 0, 1, 2, a polynomial of degree two is so everywhere."""
    form = in_domain(flops(whole, convention).expr)
    windows = range(3) if n_window in form.free_symbols else range(1)
    for window, length in product(windows, range(3)):
        at = expand(form.subs({n_window: window, n_seq: length}))
        fine = all(each.is_Integer for each in at.as_coefficients_dict().values())
        yield Instance(f"{name} at {window}, {length}", fine, "proved", str(at), "whole coefficients")


def ask_whole_number(cost: Cost, case: Case) -> Iterator[Instance]:
    """What is counted is a whole number."""
    found = cost.of(case)
    yield tested(cost, case, found, found.numerator // found.denominator, "a whole number")


def _whole(claims: Claims) -> bool:
    prices = as_convention(claims).prices if claims.quantity == "flops" else ()
    whole = all(Fraction(line.price).denominator == 1 for line in prices)
    return whole and (claims.quantity == "params" or not shared(claims))


def rising(name: str, whole: Expr, of: Mapping[str, Measure] = MEASURES) -> Iterator[Instance]:
    """One more of a size makes no cost smaller: the difference has no minus."""
    for measure in ("params", "training flops"):
        form = of[measure](whole)
        for size in RISING:
            if size in form.free_symbols:
                yield positive(f"{measure}, {name}: {size}", in_domain(form.subs(size, size + 1) - form))


def ask_rising(cost: Cost, case: Case) -> Iterator[Instance]:
    """The same of numbers: twice the size, of active experts one more."""
    for size in _rising(cost.claims):
        if size.name in case.sizes:
            more = case.sizes[size.name] + (1 if size == n_active else case.sizes[size.name])
            other = alone(case, **{size.name: more})
            if other is not None:
                about = f"{size} = {case.sizes[size.name]} and {more}"
                yield at_most(cost, case, cost.of(case), cost.of(other), about)


def _rising(claims: Claims) -> Iterator[Symbol]:
    """Of a token, or a sequence, what is done once for a batch is the less the more of them there are."""
    rare = not (on_weights(claims) and "convolution" not in claims.counts)
    fewer = {"token": (n_seq, n_batch), "sequence": (n_batch,), "batch": ()}[claims.per]
    return (size for size in RISING if not (rare and size in fewer))


def _rises(claims: Claims) -> bool:
    return claims.quantity != "cache_bytes" or claims.per != "token"


def renamed(name: str, whole: Expr, measure: Measure) -> Iterator[Instance]:
    """A network in other letters costs the same in those letters; in numbers, the same number."""
    sizes = sorted(whole.free_symbols, key=str)
    others = dict(zip(sizes, [*sizes[1:], sizes[0]], strict=True))
    spare = dict(zip(sizes, [symbol(each) for each in TERMS if symbol(each) not in sizes], strict=False))
    for letters in (others, spare):
        yield same(name, measure(whole.xreplace(letters)), measure(whole).xreplace(letters))
    numbers = {each: Integer(8 if each == d_model else 4 if each in (n_seq, n_head) else 2) for each in sizes}
    yield counted(f"{name} in numbers", measure(whole.xreplace(numbers)), measure(whole).xreplace(numbers))


def _renamed(family: str, whole: Expr) -> Iterator[Instance]:
    for measure in ("params", "training flops"):
        yield from renamed(f"{measure}, {family}", whole, MEASURES[measure])


def ask_repeatable(cost: Cost, case: Case) -> Iterator[Instance]:
    """Asked twice, a cost says the same."""
    yield tested(cost, case, cost.of(case), cost.of(case.with_sizes()), "asked twice")


LAWS: tuple[Law, ...] = (
    Law(
        "cost-is-a-polynomial",
        r"C = \sum_k c_k \prod_i n_i^{k_i},\quad c_k > 0",
        "Parameters and work are polynomials in the sizes, all of whose coefficients are positive.",
        "sums of products of sizes; layers of several kinds are counted by kind",
        "d_model a multiple of n_head, n_seq of n_chunk; at least two taps of a convolution",
        "parameters and training work over all pairs; every family",
        over(polynomial),
    ),
    Law(
        "cost-is-not-negative",
        r"C \ge 0",
        "No cost is negative, also over exact pairs, which are differences.",
        "counting",
        "sequences longer than windows",
        "training work over exact pairs of every family but those that scan in chunks; any cost",
        over(not_negative, without=scans),
        ask_not_negative,
        always,
    ),
    Law(
        "cost-is-whole",
        r"C \in \mathbb{Z}",
        "What is counted is a whole number, also where half of a square is in it.",
        "a polynomial of degree two that is whole at 0, 1 and 2 is so everywhere",
        "sequences longer than windows",
        "forward work over exact pairs of every family but those that scan in chunks; any cost but a token's share",
        over(whole_number, without=scans),
        on_tables(ask_whole_number),
        _whole,
    ),
    Law(
        "cost-never-falls",
        r"C(n + 1) \ge C(n)",
        "One more of a size that nothing gets smaller by makes no cost smaller.",
        "more of what is counted",
        "all sizes; other sizes stay as they are",
        "layers, widths, vocabulary, tokens, groups, experts; parameters and training work of every family; any cost",
        over(rising),
        on_tokens(ask_rising),
        _rises,
    ),
    Law(
        "substitution-commutes",
        r"C(A[n \mapsto m]) = C(A)[n \mapsto m]",
        "A network in other letters, or in numbers, costs the same in them.",
        "sizes are letters; a closed form knows no more of them",
        "all sizes",
        "parameters and training work; a family of each kind",
        over(_renamed, few),
        by="oracle",
    ),
    Law(
        "cost-is-repeatable",
        r"C(x) = C(x)",
        "Asked twice, a cost says the same.",
        "a function of its configuration",
        "all configurations",
        "any cost",
        None,
        ask_repeatable,
        always,
    ),
)
