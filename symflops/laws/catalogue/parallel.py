"""Devices that share a model: their parts of weights, experts, parameters and work sum to the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sympy import Add, Expr

from symflops.architectures import architecture
from symflops.laws.catalogue.predicted import passed
from symflops.laws.catalogue.subjects import decodes, grouped, mixture, model, over, own_heads, scans
from symflops.laws.law import Instance, Law, counted, same
from symflops.measures import flops, params
from symflops.networks import Routed, of_role
from symflops.notation import d_ff, n_active, n_expert, n_head, n_kv_head, n_seq, n_vocab, symbol

WAYS = symbol("n_tensor")
CUT: Mapping[Expr, Expr] = {each: each / WAYS for each in (n_head, n_kv_head, d_ff, n_vocab)}
"""What tensor parallelism cuts: heads, the feed-forward layer's width, the vocabulary."""
SHARED = ("qkv", "scores", "mix", "project", "feedforward", "logits")


def work_is_shared(name: str, whole: Expr, cut: Mapping[Expr, Expr] = CUT) -> Iterator[Instance]:
    """The matmuls of all devices together are the model's."""
    for role in SHARED:
        form = flops(of_role(whole, role), "torch", "training").expr
        yield same(f"{role}, {name}", WAYS * form.subs(dict(cut), simultaneous=True), form)


def weights_are_shared(name: str, whole: Expr, cut: Mapping[Expr, Expr] = CUT) -> Iterator[Instance]:
    """The matmuls' weights on all devices together are the model's."""
    weights = passed(whole, frozenset(SHARED))
    yield same(name, WAYS * weights.subs(dict(cut), simultaneous=True), weights)


def experts_are_shared(name: str, whole: Expr) -> Iterator[Instance]:
    """The experts of all devices are all experts; each token's are spread over them."""
    experts = Add(*whole.atoms(Routed))
    cut = {n_expert: n_expert / WAYS, n_active: n_active / WAYS}
    for measure, form in (("stored", params(experts)), ("work", flops(experts, "torch", "training").expr)):
        yield same(f"{measure}, {name}", WAYS * form.subs(cut, simultaneous=True), form)


def shard(count: int, ways: int, rank: int) -> int:
    """The elements of one device's part, when parts differ by at most one."""
    return (count + rank) // ways


def shards_sum(counts: Mapping[str, int], part: Callable[[int, int, int], int] = shard) -> Iterator[Instance]:
    """Parts of parameters, gradients or optimiser states, however many, sum to all of them."""
    for name, count in counts.items():
        for ways in (1, 2, 3, 7, 8, 64, 1000):
            parts = [part(count, ways, rank) for rank in range(ways)]
            yield counted(f"{name} over {ways}", count, sum(parts))


def tokens_are_shared(name: str, whole: Expr, ways: int = 4) -> Iterator[Instance]:
    """Devices that each take a part of the tokens, over the keys of all before them, do the work of one."""
    chunk, first = flops(model(name).step, "exact").expr, flops(whole, "exact").expr
    parts = (chunk.subs({symbol("n_past"): rank * n_seq, symbol("n_query"): n_seq}) for rank in range(1, ways))
    yield same(name, first + Add(*parts), first.subs(n_seq, ways * n_seq))


def _counts() -> dict[str, int]:
    """Parameters of real models, and numbers that nothing divides."""
    models = ("gpt2", "llama3-8b", "mixtral-8x7b")
    return {**{name: architecture(name).params() for name in models}, "a prime": 7919, "fewer than devices": 5}


LAWS: tuple[Law, ...] = (
    Law(
        "tensor-parallel-work-sums",
        r"t\,C(n_\mathrm{head}/t, d_\mathrm{ff}/t, n_\mathrm{vocab}/t) = C",
        "Cut by heads, by the feed-forward layer's width and by the vocabulary, matmuls are shared without a rest.",
        "Shoeybi et al. 2019, arXiv:1909.08053, section 3",
        "t divides heads, groups, widths and vocabulary",
        "training work of families whose heads have a width of their own, by role",
        over(work_is_shared, own_heads, grouped),
    ),
    Law(
        "tensor-parallel-weights-sum",
        r"t\,N_\mathrm{weight}(n_\mathrm{head}/t, d_\mathrm{ff}/t, n_\mathrm{vocab}/t) = N_\mathrm{weight}",
        "So cut, each weight of a matmul is on one device.",
        "Shoeybi et al. 2019, arXiv:1909.08053, section 3",
        "t divides heads, groups, widths and vocabulary",
        "matmuls of families whose heads have a width of their own",
        over(weights_are_shared, own_heads, grouped),
    ),
    Law(
        "expert-parallel-sums",
        r"e\,C(n_\mathrm{expert}/e, n_\mathrm{active}/e) = C",
        "Experts spread over devices, and each token's with them, sum to all experts and all their work.",
        "Lepikhin et al. 2020, arXiv:2006.16668, section 3",
        "e divides the experts, and the active ones on average",
        "the experts of every family with some",
        over(experts_are_shared, mixture),
    ),
    Law(
        "shards-sum-to-the-whole",
        r"\sum_{i=0}^{k-1} \lfloor (N + i)/k \rfloor = N",
        "Parameters, gradients and optimiser states in parts that differ by one at most sum to all of them.",
        "Rajbhandari et al. 2019, arXiv:1910.02054, section 5; Hermite's identity",
        "1 to 1,000 devices, also where they do not divide",
        "the parameters of three models, a prime, and fewer than devices",
        lambda: shards_sum(_counts()),
        by="oracle",
    ),
    Law(
        "token-parallel-work-sums",
        r"\sum_{i=0}^{k-1} C_\mathrm{chunk}(n \mid i n) = C(k n)",
        "Devices that each take a part of a sequence, over the keys of all before, do the work of one, unevenly.",
        "Liu et al. 2023, arXiv:2310.01889: ring attention",
        "four devices, parts of equal length",
        "families that decode, work over exact pairs; those that scan in chunks apart",
        over(tokens_are_shared, decodes, without=scans),
    ),
)
