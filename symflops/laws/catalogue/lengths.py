"""What a longer sequence costs: attention grows with its square, all else with it, and only heads say how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache

from sympy import Add, Expr, Poly, Symbol, expand

from symflops.conventions import TORCH
from symflops.laws.catalogue.asking import Ask, Number, alone, of_flops, on_tokens, settable, tested
from symflops.laws.catalogue.predicted import ATTENTION, at, doubled, kinds, price
from symflops.laws.catalogue.subjects import attends, grouped, one_stream, over, own_heads, scans
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, same
from symflops.laws.recomputing import CORE
from symflops.masks import AttendedPairs, Causal
from symflops.measures import flops
from symflops.networks import uses
from symflops.notation import d_head, d_model, n_kv_head, n_seq
from symflops.operations import Operation


def degrees(name: str, whole: Expr) -> Iterator[Instance]:
    """Work over pairs of tokens grows with the square of a length, all other work with the length."""
    for use in uses(whole):
        amount = Add(*use.operation.forward_work.values())
        found = Poly(expand(TORCH.count_pairs(amount)), n_seq).degree()
        most = 1 if use.operation.mask is None else 2
        yield Instance(f"{use.path}, {name}", found <= most, "proved", f"degree {found}", f"at most {most}")


def curvature(whole: Expr) -> Expr:
    """What attention multiplies for each pair of tokens of a batch: the coefficient of n_seq**2 of dense work."""
    return flops(whole, "macs").expr.coeff(n_seq, 2)


def over_pairs(whole: Expr) -> Expr:
    """The same from the declarations: the width of heads that scores and mix multiply over."""
    mine = (use for use in uses(whole) if use.operation.role in ATTENTION)
    return expand(Add(*(use.runs * each for use in mine for kind, each in _for_a_pair(use.operation) if kind == "mac")))


def _for_a_pair(operation: Operation) -> Iterator[tuple[str, Expr]]:
    """What is multiplied, and the elements that there are, for each pair of tokens of whole sequences."""
    mask = operation.mask
    if mask is not None and mask.dense == n_seq**2:
        for kind in ("mac", "element"):
            if (kind, "forward") in operation.forward_work:
                yield kind, operation.forward_work[kind, "forward"] / mask


@lru_cache(maxsize=512)
def paid_for_a_pair(whole: Expr, claims: Claims) -> Expr:
    """What a batch is charged for each pair of tokens by the claims."""
    mine = ((use, kind, each) for use in uses(whole) for kind, each in _for_a_pair(use.operation))
    return expand(Add(*(price(claims, kind, use.operation.role) * use.runs * each for use, kind, each in mine)))


def squares(name: str, whole: Expr) -> Iterator[Instance]:
    """The square of a length is paid for scores and mix, by the width of their heads, and for nothing else."""
    yield same(name, curvature(whole), over_pairs(whole))


def stays(size: Symbol) -> Callable[[str, Expr], Iterator[Instance]]:
    """The square does not depend on a size."""

    def core(name: str, whole: Expr) -> Iterator[Instance]:
        found = curvature(whole)
        yield Instance(name, size not in found.free_symbols, "proved", str(found), f"without {size}")

    return core


def by_width(name: str, whole: Expr) -> Iterator[Instance]:
    """The square is proportional to the width of a head."""
    found = curvature(whole)
    yield same(name, found, d_head * found.subs(d_head, 1))


def whole_cost(cost: Cost, case: Case) -> Number:
    """The cost of all tokens of a sequence, where the function gives that of one."""
    return cost.of(case) * (case.n_seq if cost.claims.per == "token" else 1)


def bend(cost: Cost, case: Case) -> Number:
    """How fast the cost rises with a length: the second difference in n_seq."""
    first, second, third = (whole_cost(cost, case.with_sizes(n_seq=case.n_seq + more)) for more in range(3))
    return third - 2 * second + first


def ask_degree(cost: Cost, case: Case) -> Iterator[Instance]:
    """The third difference of a sequence's cost is nothing."""
    lengths = (case.with_sizes(n_seq=case.n_seq + more) for more in range(4))
    first, second, third, fourth = (whole_cost(cost, each) for each in lengths)
    about = f"n_seq = {case.n_seq} to {case.n_seq + 3}: the third difference"
    yield tested(cost, case, fourth - 3 * third + 3 * second - first, 0, about)


def ask_squares(cost: Cost, case: Case) -> Iterator[Instance]:
    """The second difference is what the claimed pairs give."""
    claims = cost.claims
    if claims.pairs == "exact" and not _causal(case.model.network):
        return
    each = Fraction(at(paid_for_a_pair(case.model.network, claims), case))
    expected = (1 if claims.pairs == "exact" else 2) * each / (1 if claims.per == "batch" else case.n_batch)
    yield tested(cost, case, bend(cost, case), expected, f"n_seq = {case.n_seq} and the next: {claims.pairs} pairs")


def _causal(whole: Expr) -> bool:
    """Whether all its masks are causal and no more."""
    return {type(each) for each in whole.atoms(AttendedPairs)} <= {Causal}


def ask_stays(size: Symbol) -> Ask:
    """The rise is the same with another size."""

    def ask(cost: Cost, case: Case) -> Iterator[Instance]:
        other = _other(case, size)
        if other is not None:
            about = f"{size} = {case.sizes[size.name]} and {other.sizes[size.name]}: how fast n_seq raises it"
            yield tested(cost, case, bend(cost, other), bend(cost, case), about)

    return ask


def ask_by_width(cost: Cost, case: Case) -> Iterator[Instance]:
    """Heads twice as wide: twice the rise."""
    if "d_head" in case.sizes and "d_rope" not in case.sizes:
        other = alone(case, d_head=2 * case.sizes["d_head"])
        if other is not None:
            about = f"d_head = {case.sizes['d_head']} and twice that: how fast n_seq raises it"
            yield tested(cost, case, bend(cost, other), 2 * bend(cost, case), about)


def _other(case: Case, size: Symbol) -> Case | None:
    """Twice the width with heads as they are, or as many heads for keys and values as for queries."""
    if size == n_kv_head:
        return alone(case, n_kv_head=case.sizes["n_head"]) if "n_kv_head" in case.sizes else None
    fixed = settable(case.model, "d_head") and "d_rope" not in case.sizes
    return alone(case, d_model=2 * case.sizes["d_model"]) if fixed else None


def _pays_for(claims: Claims, those: set[str]) -> bool:
    """Whether a pair of tokens costs what is of those kinds, and nothing else."""
    return (
        of_flops(claims) and doubled(claims) and kinds(claims, CORE) - {"parameter", "lookup", "one_hot_mac"} <= those
    )


def _beyond_window(ask: Ask) -> Ask:
    """A law of lengths, asked where no window is longer than the sequence."""

    def asked(cost: Cost, case: Case) -> Iterator[Instance]:
        yield from ask(cost, case.with_sizes(n_seq=max(case.n_seq, case.sizes.get("n_window", 1))))

    return asked


LAWS: tuple[Law, ...] = (
    Law(
        "length-degree",
        r"\deg_{n_\mathrm{seq}} C_\mathrm{attention} = 2,\quad \deg_{n_\mathrm{seq}} C_\mathrm{rest} = 1",
        "Work over pairs of tokens grows with the square of the length, all other work with the length.",
        "Vaswani et al. 2017, arXiv:1706.03762, Table 1",
        "all sizes; exact pairs of sliding windows are asked from the window's length on",
        "every operation of every family; work of any cost",
        over(degrees),
        on_tokens(_beyond_window(ask_degree)),
        of_flops,
    ),
    Law(
        "length-curvature",
        r"\Delta^2 C = 2 \cdot 2\,n_\mathrm{layer}\,n_\mathrm{head}\,(d_{qk} + d_v)",
        "The square of a length is paid for scores and mix by the width of their heads: half where pairs are causal.",
        "Vaswani et al. 2017, arXiv:1706.03762, section 3.2; PaLM, arXiv:2204.02311, appendix B: 12 L H Q T",
        "all sizes; exact pairs of sliding windows are not asked",
        "scores and mix of every family but those that scan in chunks; work of any cost, elements of a softmax too",
        over(squares, attends, one_stream, without=scans),
        on_tokens(ask_squares),
        lambda claims: _pays_for(claims, {"mac", "element"}),
    ),
    Law(
        "length-ignores-width",
        r"\partial^2 C / \partial n_\mathrm{seq}^2 \text{ is free of } d_\mathrm{model}",
        "How fast a length raises the cost depends on the heads' width, not on the model's.",
        "litgpt and llm-foundry use d_model where n_head*d_head is meant",
        "all sizes",
        "families whose heads have a width of their own; work of any cost",
        over(stays(d_model), own_heads),
        on_tokens(ask_stays(d_model)),
        of_flops,
    ),
    Law(
        "length-ignores-key-value-heads",
        r"\partial^2 C / \partial n_\mathrm{seq}^2 \text{ is free of } n_{kv}",
        "Every query head has scores and a mix of its own, however many share their keys and values.",
        "Ainslie et al. 2023, arXiv:2305.13245",
        "n_kv_head divides n_head",
        "families with grouped heads; work of any cost",
        over(stays(n_kv_head), grouped),
        on_tokens(ask_stays(n_kv_head)),
        of_flops,
    ),
    Law(
        "length-by-width-of-heads",
        r"\partial^2 C / \partial n_\mathrm{seq}^2 \propto d_\mathrm{head}",
        "Heads twice as wide make scores and mix twice as dear.",
        "levanter takes d_model/n_head where a head has a width of its own",
        "all sizes",
        "families whose heads have a width of their own; work of any cost",
        over(by_width, own_heads),
        on_tokens(ask_by_width),
        lambda claims: _pays_for(claims, {"mac"}),
    ),
)
