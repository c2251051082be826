"""Decoding: steps, chunks and generations are the prefill in pieces, and what bounds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from sympy import Basic, Expr, Integer

from symflops.architectures import Architecture, generation
from symflops.laws.catalogue.subjects import (
    Families,
    Has,
    OfModel,
    crosses,
    decodes,
    grouped,
    matmuls,
    over,
    recurrent,
    scans,
    windowed,
)  # fmt: skip
from symflops.laws.law import Instance, Law, proved, same
from symflops.masks import AttendedPairs
from symflops.measures import flops
from symflops.networks import each_step, of_role, uses
from symflops.notation import n_new, n_past, n_query, n_seq
from symflops.serving import sum_over_steps


def steps_are_prefill(name: str, of: Architecture, pairs: str = "exact") -> Iterator[Instance]:
    """One token after the other, each over the cache of those before it, is the prefill of all of them."""
    one_by_one = sum_over_steps(of.step.subs(n_query, 1), pairs, Integer(0), n_seq).expr
    yield same(name, one_by_one, flops(of.network, "exact").expr)


def chunks_are_prefill(name: str, of: Architecture) -> Iterator[Instance]:
    """A prefill of some tokens, and a chunk after them, are the prefill of all: so of any chunking."""
    whole = flops(of.network, "exact").expr
    chunk = flops(of.step, "exact").expr
    yield same(name, whole.subs(n_seq, n_past) + chunk, whole.subs(n_seq, n_past + n_query))


def generated(name: str, of: Architecture) -> Iterator[Instance]:
    """Generating after a prompt costs what reading the prompt and all but the last new token would."""
    read = flops(of.network, "exact").expr.subs(n_seq, n_seq + n_past)
    yield same(name, generation(of, "exact").expr.subs(n_new, n_past + 1), read)


def once(name: str, of: Architecture) -> Iterator[Instance]:
    """A chunk of all tokens is the network without what runs once for a sequence."""
    chunk = flops(of.step, "exact").expr.subs({n_past: 0, n_query: n_seq})
    yield same(name, chunk, flops(each_step(of.network), "exact").expr)


def dense_steps(name: str, of: Architecture) -> Iterator[Instance]:
    """A step sees all keys there are, so that it pays for no masked pair even where all pairs are paid."""
    yield from steps_are_prefill(name, of, "torch")


def compute_bound(name: str, whole: Expr) -> Iterator[Instance]:
    """A matmul by a weight does no more FLOPs for each byte, in two-byte elements, than there are vectors."""
    for each in matmuls(whole):
        if set(each.sizes) >= {"seq", "d_in", "d_out"}:
            vectors, moved = each.sizes["batch"] * each.sizes["seq"], each.elements_read + each.elements_written
            claim = each.forward_work["mac", "forward"] <= vectors * moved
            yield replace(_claimed(claim), subject=f"{each.name}, {name}")


@lru_cache(maxsize=256)
def _claimed(claim: Basic) -> Instance:
    """Shown once, wherever the same shapes meet again."""
    return proved("", claim)


def memory_bound(name: str, of: Architecture) -> Iterator[Instance]:
    """In a step of decoding, scores and mix do no more FLOPs for each byte than there are heads in a group."""
    for role in ("scores", "mix"):
        for use in uses(of_role(of.step.subs(n_query, 1), role)):
            each = use.operation
            amount = each.forward_work["mac", "forward"]
            moved = each.elements_read + each.elements_written
            pairs = {mask: mask.dense for mask in amount.atoms(AttendedPairs)}
            claim = amount.xreplace(pairs) <= each.sizes["group"] * moved
            yield replace(_claimed(claim), subject=f"{each.name}, {name}")


def of_models(core: OfModel, *has: Has, without: Has | None = None) -> Families:
    """What a law says of every such family."""
    return Families(core, has, without)


LAWS: tuple[Law, ...] = (
    Law(
        "steps-sum-to-prefill",
        r"\sum_{i=0}^{n-1} C_\mathrm{step}(i) = C_\mathrm{prefill}(n)",
        "Decoding token by token does the work of a prefill over the pairs that its mask lets through.",
        "the keys of query i are the same in both; sums of polynomials",
        "all lengths",
        "families that decode; state spaces, whose prefill is another algorithm than their steps, apart",
        of_models(steps_are_prefill, decodes, without=recurrent),
    ),
    Law(
        "dense-steps-sum-to-exact-prefill",
        r"\sum_{i=0}^{n-1} C_\mathrm{step}^\mathrm{dense}(i) = C_\mathrm{prefill}^\mathrm{exact}(n)",
        "A step of decoding sees all keys there are: it pays for no masked pair even where a kernel skips nothing.",
        "a causal mask of one query masks nothing",
        "all lengths",
        "families that decode, without windows and states",
        of_models(dense_steps, decodes, without=lambda family: recurrent(family) or windowed(family)),
    ),
    Law(
        "chunks-sum-to-prefill",
        r"C_\mathrm{prefill}(a) + C_\mathrm{chunk}(b \mid a) = C_\mathrm{prefill}(a + b)",
        "A prefill in chunks, however cut, does the work of one prefill.",
        "Agrawal et al. 2023, arXiv:2308.16369: chunked prefills; by induction over chunks",
        "all lengths of both parts",
        "families that decode; those that scan in chunks of their own apart",
        of_models(chunks_are_prefill, decodes, without=scans),
    ),
    Law(
        "generation-is-a-longer-prefill",
        r"C_\mathrm{generate}(n, m) = C_\mathrm{prefill}(n + m - 1)",
        "Generating after a prompt does the work of reading it and all but the last new token.",
        "the first new token is the prompt's own; each other is read once",
        "all lengths, from one new token on",
        "families that decode, without states",
        of_models(generated, decodes, without=recurrent),
    ),
    Law(
        "encoders-run-once",
        r"C_\mathrm{chunk}(n \mid 0) = C - C_\mathrm{once}",
        "Steps of decoding run everything but the encoder and the keys and values made of it.",
        "Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3: cross attention reads the encoder's output",
        "all sizes",
        "families with an encoder beside the decoder",
        of_models(once, crosses),
    ),
    Law(
        "matmul-intensity-at-most-vectors",
        r"C / M_\mathrm{bytes} \le n_\mathrm{batch}\,n_\mathrm{seq}",
        "A matmul by a weight does no more FLOPs for each byte than it has vectors, in elements of two bytes.",
        "Williams et al. 2009, roofline: each weight is read once and met by each vector",
        "all sizes",
        "every linear layer of every family",
        over(compute_bound),
    ),
    Law(
        "decoding-intensity-at-most-group",
        r"C_\mathrm{attention} / M_\mathrm{bytes} \le n_\mathrm{head} / n_{kv}",
        "In a step, scores and mix do no more FLOPs for each byte than there are query heads in a group.",
        "Shazeer 2019, arXiv:1911.02150, section 2.4.1: each cached key is read once and met by each query head",
        "all sizes, in elements of two bytes, all pairs",
        "families that decode with grouped heads",
        of_models(memory_bound, decodes, grouped),
    ),
)
