"""What a cost function has to give by what it claims: symflops' own closed forms, priced by the claims.

>>> from symflops.architectures import architecture
>>> case = Case(architecture("gpt2"), n_seq=1024)
>>> predicted(Claims("flops", phase="training", per="sequence"), case)
874944921600
>>> predicted(Claims("flops", phase="training", per="sequence", pairs="exact", unit="MAC"), case)
408509743104
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

from sympy import Add, Expr, expand

from symflops.conventions import Convention, Price
from symflops.laws.cost import Case, Claims
from symflops.measures import flops
from symflops.networks import uses
from symflops.notation import n_batch, n_seq
from symflops.operations import Contraction

ATTENTION = frozenset({"scores", "mix"})
"""The roles whose work is over pairs of tokens."""
LOOKUPS = frozenset({"embedding", "position"})
"""The roles that a cost may claim as matmuls with a one-hot matrix."""
MATMULS = Claims().counts | LOOKUPS
"""The roles whose price everybody agrees on, once a lookup is claimed as a matmul."""
ELEMENT_BYTES = 2
"""Bytes of an element of a cache: bfloat16."""


def per_pair(claims: Claims) -> Fraction:
    """The price of a multiply-accumulate over a pair of tokens, beside all pairs or those that a mask lets through."""
    shares = {"dense": Fraction(1), "exact": Fraction(1), "half": Fraction(1, 2), "none": Fraction(0)}
    return shares[claims.pairs] * per_mac(claims)


def per_mac(claims: Claims) -> int:
    """The price of a multiply-accumulate of the forward pass: two FLOPs."""
    return 2 if claims.unit == "FLOP" else 1


def passes(claims: Claims) -> int:
    """How many forward passes the phase is worth: a matmul's gradients are two of them."""
    return {"forward": 1, "backward": 2, "training": 3}[claims.phase]


def as_convention(claims: Claims) -> Convention:
    """The price list that the claims amount to."""
    prices = [
        *(Price("mac", per_pair(claims), role) for role in sorted(claims.counts & ATTENTION)),
        *(Price("mac", per_mac(claims), role) for role in sorted(claims.counts - ATTENTION)),
        *(Price("one_hot_mac", per_mac(claims), role) for role in sorted(claims.counts & LOOKUPS)),
    ]
    pairs: Literal["dense", "exact"] = "exact" if claims.pairs == "exact" else "dense"
    return Convention("claims", "what is claimed", "-", "-", tuple(prices), claims.unit, pairs, backward="twice")


@lru_cache(maxsize=512)
def work(network: Expr, claims: Claims) -> Expr:
    """The claimed work of a batch, in closed form."""
    return flops(network, as_convention(claims), claims.phase).expr


@lru_cache(maxsize=512)
def owned(network: Expr, roles: frozenset[str]) -> Expr:
    """The parameters of the operations of some roles."""
    mine = (use for use in uses(network) if use.operation.role in roles)
    return expand(Add(*(use.copies * parameter.count for use in mine for parameter in use.operation.parameters)))


@lru_cache(maxsize=512)
def passed(network: Expr, roles: frozenset[str]) -> Expr:
    """The weights of matmuls that a token is multiplied by, tied ones too, and of experts those it is sent to."""
    mine = (use for use in uses(network) if use.operation.role in roles and isinstance(use.operation, Contraction))
    weights = ((use.runs, each) for use in mine for each in use.operation.parameters if each.name == "weight")
    return expand(Add(*(runs * each.count for runs, each in weights)))


def tokens_of(claims: Claims, case: Case) -> int:
    """How many tokens the number is for."""
    return {"token": 1, "sequence": case.n_seq, "batch": case.n_batch * case.n_seq}[claims.per]


def predicted(claims: Claims, case: Case) -> int | Fraction:
    """The number that the claims amount to. Parameters are counted in full, biases too; a cache in 2-byte elements."""
    if claims.quantity == "params":
        return at(owned(case.model.network, claims.counts), case)
    tokens = case.n_batch * case.n_seq
    if claims.quantity == "cache_bytes":
        kept = case.model.cache_bytes(case.n_batch, case.n_seq, ELEMENT_BYTES)
        return _plain(Fraction(kept * tokens_of(claims, case), tokens))
    whole = at(work(case.model.of_length(case.n_seq), claims), case)
    return _plain(Fraction(whole) * tokens_of(claims, case) / tokens)


def at(form: Expr, case: Case) -> int | Fraction:
    """A closed form at the sizes of a case."""
    value = case.model.at(form, n_batch=case.n_batch, n_seq=case.n_seq)
    return _plain(Fraction(int(value.p), int(value.q)))


def _plain(value: Fraction) -> int | Fraction:
    return int(value) if value.denominator == 1 else value


__all__ = [
    "ATTENTION", "ELEMENT_BYTES", "LOOKUPS", "MATMULS", "as_convention", "at", "n_batch", "n_seq", "owned", "passed",
    "passes", "per_mac", "per_pair", "predicted", "tokens_of", "work",
]  # fmt: skip
