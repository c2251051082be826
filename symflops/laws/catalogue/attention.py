"""Layouts of heads: what grouping, widths and absorbed latents change, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from sympy import Expr, Integer

from symflops.laws.catalogue.asking import alone, on_tables, settable, tested, without_field
from symflops.laws.catalogue.predicted import ATTENTION, of_matmuls, passed
from symflops.laws.catalogue.subjects import attends, grouped, over, own_heads, scans
from symflops.laws.cost import MATMULS, Case, Cost
from symflops.laws.law import Instance, Law, counted, same
from symflops.layers.attention import Heads, fused_qkv, separate_qkv
from symflops.layers.feedforward import fused_gated_feedforward, gated_feedforward
from symflops.layers.latent import HEADS, absorbed_attention, expanded_attention
from symflops.layers.linear import BIAS, NO_BIAS
from symflops.masks import Causal
from symflops.measures import flops, params
from symflops.networks import of_role
from symflops.notation import d_head, n_head, n_kv_head, n_seq

_QKV, _BACK = frozenset({"qkv"}), frozenset({"project"})


def all_heads(name: str, whole: Expr) -> Iterator[Instance]:
    """With as many heads for keys and values as for queries, QKV is three times the projection back."""
    yield same(name, passed(whole, _QKV).subs(n_kv_head, n_head), 3 * passed(whole, _BACK))


def one_head(name: str, whole: Expr) -> Iterator[Instance]:
    """With one, keys and values are as wide as one head."""
    yield same(name, passed(whole, _QKV).subs(n_kv_head, 1), passed(whole, _BACK) * (1 + 2 / n_head))


def ask_all_heads(cost: Cost, case: Case) -> Iterator[Instance]:
    """As many heads for all cost what the same model costs whose config knows no groups."""
    ungrouped = without_field(case, "n_kv_head")
    grouped = alone(case, n_kv_head=case.sizes["n_head"]) if ungrouped is not None else None
    if ungrouped is not None and grouped is not None:
        yield tested(cost, case, cost.of(grouped), cost.of(ungrouped), "n_kv_head = n_head against no such field")


def by_total_width(name: str, whole: Expr) -> Iterator[Instance]:
    """Many narrow heads cost what few wide ones do, as long as all are as wide together."""
    groups = {n_head: n_head / n_kv_head, d_head: d_head * n_kv_head, n_kv_head: Integer(1)}
    matmuls = sum((of_role(whole, role) for role in sorted(MATMULS)), start=Integer(0))
    for phase in ("forward", "training"):
        form = flops(matmuls, "torch", phase).expr
        yield same(f"{phase}, {name}", form.subs(groups, simultaneous=True), form)


@lru_cache(maxsize=256)
def multi_head(whole: Expr) -> bool:
    """Whether keys and values have as many heads as queries, whatever the sizes."""
    return bool(passed(whole, _QKV) == 3 * passed(whole, _BACK))


def ask_total_width(cost: Cost, case: Case) -> Iterator[Instance]:
    """As few heads as there are groups, each wider."""
    if "n_head" not in case.sizes:
        return
    groups = case.sizes.get("n_kv_head", case.sizes["n_head"])
    fewer = {"n_head": case.sizes["n_head"] // groups, "d_head": case.sizes["d_head"] * groups}
    own = {name: size for name, size in fewer.items() if name == "n_head" or settable(case.model, name)}
    if len(own) < len(fewer) and not multi_head(case.model.network):
        return
    other = alone(case, **own, **({"n_kv_head": 1} if "n_kv_head" in case.sizes else {}))
    if other is not None and other.sizes["d_head"] == fewer["d_head"] and "d_rope" not in case.sizes:
        about = f"{case.sizes['n_head']} heads of {case.sizes['d_head']} against {fewer['n_head']} of {fewer['d_head']}"
        yield tested(cost, case, cost.of(other), cost.of(case), about)


class Pair(NamedTuple):
    """Two ways to write the same matmuls."""

    name: str
    fused: Expr
    apart: Expr


def pairs() -> Iterator[Pair]:
    """One matmul against several."""
    heads = Heads(n_head, n_kv_head, d_head)
    for bias in (NO_BIAS, BIAS):
        yield Pair(f"qkv, {bias}", fused_qkv(heads, bias), separate_qkv(heads, bias))
        yield Pair(f"gate and up, {bias}", fused_gated_feedforward("silu", bias), gated_feedforward("silu", bias))


def fused(pair: Pair) -> Iterator[Instance]:
    """Matmuls of the same input that run as one have the same parameters and work."""
    yield same(f"parameters of {pair.name}", params(pair.fused), params(pair.apart))
    for phase in ("forward", "backward"):
        ways = (flops(way, "torch", phase).expr for way in (pair.fused, pair.apart))
        yield same(f"{phase} of {pair.name}", *ways)


def turning(name: str, whole: Expr) -> Iterator[Instance]:
    """Rotary positions have no parameters and no matmul."""
    turned = of_role(whole, "rotary")
    yield same(f"parameters, {name}", params(turned), Integer(0))
    yield same(f"matmuls, {name}", flops(turned, "torch", "training").expr, Integer(0))


Row = tuple[int, ...]
Matrix = tuple[Row, ...]


def matrix(rows: int, columns: int, seed: int) -> Matrix:
    """Small whole numbers that differ."""
    return tuple(tuple((seed + 7 * i + 3 * j + i * j) % 11 - 5 for j in range(columns)) for i in range(rows))


def times(left: Matrix, right: Matrix) -> Matrix:
    """The product of two matrices."""
    return tuple(
        tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in transposed(right)) for row in left
    )


def transposed(rows: Matrix) -> Matrix:
    """Rows as columns."""
    return tuple(zip(*rows, strict=True))


def expanded_numbers(queries: Matrix, latents: Matrix, k_up: Matrix, v_up: Matrix) -> Matrix:
    """Keys and values made of latents, then scores and mix, whatever the weights of the mix: linear here."""
    scores = times(queries, transposed(times(latents, k_up)))
    return times(scores, times(latents, v_up))


def absorbed_numbers(queries: Matrix, latents: Matrix, k_up: Matrix, v_up: Matrix) -> Matrix:
    """The matrix up to the keys taken into the queries, that up to the values into the mix."""
    scores = times(times(queries, transposed(k_up)), transposed(latents))
    return times(times(scores, latents), v_up)


def same_function(absorbed: Callable[..., Matrix] = absorbed_numbers) -> Iterator[Instance]:
    """Both ways give the same numbers."""
    for query, key, rank, width in product((1, 2, 3), (1, 4), (1, 2), (1, 3)):
        given = (matrix(query, width, 1), matrix(key, rank, 2), matrix(rank, width, 3), matrix(rank, 2, 4))
        about = f"{query} queries, {key} keys, rank {rank}, width {width}"
        yield counted(about, absorbed(*given), expanded_numbers(*given))


def other_cost(expanded: Expr, absorbed: Expr) -> Iterator[Instance]:
    """Both ways have the same parameters; their work differs."""
    yield same("parameters", params(expanded), params(absorbed))
    left, right = (flops(way, "torch").expr for way in (expanded, absorbed))
    yield Instance("work", left != right, "proved", str(left), str(right))


def _latent() -> Iterator[Instance]:
    mask = Causal(n_seq, n_seq)
    yield from other_cost(expanded_attention(HEADS, mask), absorbed_attention(HEADS, mask))


def _fused() -> Iterator[Instance]:
    for pair in pairs():
        yield from fused(pair)


LAWS: tuple[Law, ...] = (
    Law(
        "groups-of-one-are-multi-head",
        r"n_{kv} = n_\mathrm{head} \Rightarrow N_{qkv} = 3\,N_\mathrm{project}",
        "With as many heads for keys and values as for queries, grouped attention is multi-head attention.",
        "Ainslie et al. 2023, arXiv:2305.13245, section 2.2",
        "all sizes",
        "families with grouped heads and no state space beside them; any cost, against a config without groups",
        over(all_heads, grouped, without=scans),
        ask_all_heads,
        lambda claims: True,
    ),
    Law(
        "one-group-is-multi-query",
        r"n_{kv} = 1 \Rightarrow N_{qkv} = (1 + 2/n_\mathrm{head})\,N_\mathrm{project}",
        "With one head for keys and values, grouped attention is multi-query attention.",
        "Shazeer 2019, arXiv:1911.02150; Ainslie et al. 2023, section 2.2",
        "all sizes",
        "families with grouped heads and no state space beside them",
        over(one_head, grouped, without=scans),
    ),
    Law(
        "heads-count-by-their-width",
        r"C(n_\mathrm{head}, d_\mathrm{head}) = C(n_\mathrm{head}/k, k\,d_\mathrm{head})",
        "Many narrow heads cost the matmuls of few wide ones that are as wide together.",
        "Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2: the cost is that of one head of full width",
        "n_kv_head divides n_head",
        "matmuls and their parameters; families whose heads have a width of their own",
        over(by_total_width, own_heads, grouped),
        on_tables(ask_total_width),
        lambda claims: of_matmuls(claims) and not claims.counts.isdisjoint(ATTENTION | _QKV),
    ),
    Law(
        "fused-is-separate",
        r"C(x\,[W_1\,W_2]) = C(x W_1) + C(x W_2)",
        "Matmuls of the same input that run as one have the same parameters and work.",
        "a matrix of columns is its columns side by side",
        "all sizes",
        "queries, keys and values; gate and up; with and without biases; forward and backward",
        _fused,
    ),
    Law(
        "rotary-has-no-matmul",
        r"N_\mathrm{rotary} = C_\mathrm{matmul}^\mathrm{rotary} = 0",
        "Rotary positions have no parameters and no matmul.",
        "Su et al. 2021, arXiv:2104.09864, equation 34: two products and a sum for each element",
        "all sizes",
        "every family with attention",
        over(turning, attends),
    ),
    Law(
        "absorption-keeps-the-function",
        r"(q W_{UK}^\top)\,c^\top = q\,(c W_{UK})^\top",
        "Latent attention gives the same numbers, whether its matrices are absorbed or keys and values are expanded.",
        "DeepSeek-V2, arXiv:2405.04434, section 2.1.2; matrix products associate",
        "1 to 3 queries, 1 to 4 keys, ranks 1 and 2, widths 1 and 3",
        "scores and mix of one head, in whole numbers, without the softmax that both share",
        same_function,
        by="oracle",
    ),
    Law(
        "absorption-keeps-parameters-not-cost",
        r"N_\mathrm{absorbed} = N_\mathrm{expanded},\quad C_\mathrm{absorbed} \ne C_\mathrm{expanded}",
        "Latent attention has the same parameters absorbed or expanded, and other work.",
        "DeepSeek-V2, arXiv:2405.04434, section 2.1.2",
        "all sizes",
        "latent attention with compressed queries",
        _latent,
    ),
)
