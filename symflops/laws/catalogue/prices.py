"""Conventions: prices are linear, and what each author's list has that another's has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from sympy import Add, Expr

from symflops.conventions import CONVENTIONS, Convention
from symflops.laws.catalogue.algebra import in_domain
from symflops.laws.catalogue.matmuls import Given
from symflops.laws.catalogue.subjects import (
    Families,
    crosses,
    few,
    matmuls,
    network,
    operations,
    over,
    plain_stream,
)
from symflops.laws.law import Instance, Law, never_negative, same
from symflops.layers.attention import Causal, Heads, attention_core, fused_qkv, project
from symflops.layers.embedding import LEARNED, de_embedding, embedding
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.measures import active_params, flops
from symflops.networks import Recomputed, Tied, of_role, uses
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq, n_vocab
from symflops.totals import Total


def linear_prices(name: str, whole: Expr, given: Convention) -> Iterator[Instance]:
    """Prices three times as high make totals three times as high."""
    tripled = replace(given, prices=tuple(replace(each, price=3 * each.price) for each in given.prices))
    yield same(
        f"{given.name}, {name}", flops(whole, tripled, "training").expr, 3 * flops(whole, given, "training").expr
    )


def split_prices(
    name: str, whole: Expr, given: Convention, of: Callable[[Expr, Convention], Total] = flops
) -> Iterator[Instance]:
    """A total is the sum of the totals of its roles."""
    roles = {use.operation.role for use in uses(whole)}
    parts = (of(of_role(whole, role), given).expr for role in sorted(roles))
    yield same(f"{given.name}, {name}", Add(*parts), of(whole, given).expr)


def exact_at_most_all(
    name: str, whole: Expr, fewer: Given = "exact", more: Given = "all-operations"
) -> Iterator[Instance]:
    """Every arithmetic operation is no less than the matmuls among them."""
    yield never_negative(name, in_domain(flops(whole, more).expr - flops(whole, fewer).expr))


def kaplan_leaves_out(name: str, whole: Expr, given: Given = "kaplan") -> Iterator[Instance]:
    """Kaplan's totals are torch's without the mix of values and the logits."""
    out = Add(of_role(whole, "mix"), of_role(whole, "logits"))
    yield same(name, flops(whole, given).expr, flops(whole, "torch").expr - flops(out, "torch").expr)


def chinchilla_adds(name: str, whole: Expr, given: Given = "chinchilla") -> Iterator[Instance]:
    """Chinchilla's are torch's with the embedding as a matmul, and three for each element of a softmax."""
    scores = Add(*(use.runs * use.operation.elements_written for use in uses(of_role(whole, "softmax"))))
    table = 2 * n_batch * n_seq * d_model * n_vocab
    yield same(name, flops(whole, given).expr, flops(whole, "torch").expr + table + 3 * scores)


def palm_is_six_n(name: str, whole: Expr, given: Given = "palm") -> Iterator[Instance]:
    """PaLM's are six for each token and parameter that serves it, and torch's scores and mix."""
    core = flops(Add(of_role(whole, "scores"), of_role(whole, "mix")), "torch", "training").expr
    yield same(name, flops(whole, given, "training").expr, 6 * n_batch * n_seq * active_params(whole) + core)


def megatron_equation(whole: Expr, given: Given = "megatron") -> Iterator[Instance]:
    """The printed closed form."""
    s, h, v, layers = n_seq, d_model, n_vocab, n_layer
    printed = 96 * n_batch * s * layers * h**2 * (1 + s / (6 * h) + v / (16 * layers * h))
    yield same("GPT with all layers recomputed", flops(whole, given, "training").expr, printed)


def recomputed_gpt() -> Expr:
    """GPT as the paper has it: every layer runs twice."""
    heads = Heads(n_head, n_head, d_model / n_head)
    core = attention_core(heads, Causal(n_seq, n_seq))
    parts = (fused_qkv(heads, NO_BIAS), core, project(heads, NO_BIAS), plain_feedforward("gelu", NO_BIAS, 4 * d_model))
    return Add(embedding(LEARNED), n_layer * Recomputed(Add(*parts)), Tied(de_embedding()))


def _conventions(core: Callable[[str, Expr, Convention], Iterator[Instance]]) -> Families:
    def under_each(name: str, whole: Expr) -> Iterator[Instance]:
        for given in CONVENTIONS.values():
            yield from core(name, whole, given)

    return over(under_each, few)


def in_a_table(family: str) -> bool:
    """Whether every matmul has a role of a decoder's tables: no head, patch or state space stands beside them."""
    return not {each.role for each in matmuls(network(family))} & {"head", "patch", "convolution", "state space"}


def each_once(family: str) -> bool:
    """Whether every parameter meets each token once: norms shared by heads, and sinks of scores, do not."""
    met = {each: each.forward_work["parameter", "forward"] for each in operations(network(family)) if each.parameters}
    return all(met[each] == n_batch * n_seq * Add(*(one.count for one in each.parameters)) for each in met)


LAWS: tuple[Law, ...] = (
    Law(
        "prices-are-linear",
        r"C_{k p} = k\,C_p",
        "Prices so many times as high make a total so many times as high.",
        "a total is a sum of prices times amounts",
        "all sizes",
        "every convention; training work of a family of each kind",
        _conventions(linear_prices),
    ),
    Law(
        "roles-sum-to-the-total",
        r"C = \sum_\mathrm{role} C_\mathrm{role}",
        "A total is the sum of the totals of its roles, whatever each is priced at.",
        "each operation has one role",
        "all sizes",
        "every convention; forward work of a family of each kind",
        _conventions(split_prices),
    ),
    Law(
        "matmuls-at-most-all-operations",
        r"C_\mathrm{matmul} \le C_\mathrm{arithmetic}",
        "All arithmetic operations are no fewer than those of the matmuls among them.",
        "elementary operations have prices of nothing or one",
        "sequences longer than windows",
        "conventions exact and all-operations; a family of each kind",
        over(exact_at_most_all, few),
    ),
    Law(
        "kaplan-leaves-out-mix-and-logits",
        r"C_\mathrm{kaplan} = C_\mathrm{torch} - C_\mathrm{mix} - C_\mathrm{logits}",
        "Kaplan's totals are all matmuls but the mix of values and the logits.",
        "Kaplan et al. 2020, arXiv:2001.08361, Table 1: one attention term, no de-embedding in the total",
        "all sizes",
        "families whose matmuls meet each token once and have a role of the table's",
        over(kaplan_leaves_out, plain_stream, in_a_table),
    ),
    Law(
        "chinchilla-adds-embedding-and-softmax",
        r"C_\mathrm{chinchilla} = C_\mathrm{torch} + 2\,n_\mathrm{vocab} d_\mathrm{model} D + 3\,n_\mathrm{softmax}",
        "Chinchilla's totals are all matmuls, the embedding as one, and three for each element of a softmax.",
        "Hoffmann et al. 2022, arXiv:2203.15556, appendix F",
        "all sizes",
        "families of one stream whose matmuls meet each token once",
        over(chinchilla_adds, plain_stream, in_a_table, without=crosses),
    ),
    Law(
        "palm-is-six-n-and-attention",
        r"C_\mathrm{palm} = 6 N_\mathrm{active} D + 6\,\mathrm{mac}_\mathrm{attention}",
        "PaLM's training totals are six for each token and parameter that serves it, and thrice scores and mix.",
        "Chowdhery et al. 2022, arXiv:2204.02311, appendix B: 6N + 12 L H Q T",
        "all sizes",
        "families each of whose parameters meets each token once",
        over(palm_is_six_n, plain_stream, each_once),
    ),
    Law(
        "megatron-equation-three",
        r"C = 96\,B s l h^2 \left(1 + \tfrac{s}{6h} + \tfrac{V}{16lh}\right)",
        "With every layer recomputed, GPT costs what Megatron-LM prints.",
        "Narayanan et al. 2021, arXiv:2104.04473, equation 3",
        "d_ff = 4 d_model, d_attn = d_model",
        "GPT without biases, convention megatron",
        lambda: megatron_equation(recomputed_gpt()),
    ),
)
