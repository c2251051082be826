"""What a cost function has to give by what it claims: symflops' own closed forms, priced by the claims.

>>> from symflops.architectures import architecture
>>> case = Case(architecture("gpt2"), n_seq=1024)
>>> predicted(Claims("flops", phase="training", per="sequence"), case)
874944921600
>>> predicted(Claims("flops", phase="training", per="sequence", pairs="exact", unit="MAC"), case)
408509743104
>>> predicted(Claims("flops", phase="training", per="sequence", recompute="full"), case)
1087545802752
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from sympy import Add, Expr, Integer, Rational, expand

from symflops.arithmetic import fraction
from symflops.conventions import ANY, ELEMENTARY, Convention, Price
from symflops.laws.cost import MATMULS, ROLES, Case, Claims, CostError
from symflops.laws.recomputing import CORE, recomputed, runs_again
from symflops.measures import flops
from symflops.networks import Use, uses
from symflops.operations import Contraction, Lookup

ATTENTION = frozenset({"scores", "mix"})
"""The roles whose work is matmuls over pairs of tokens."""
LOOKUPS = frozenset({"embedding", "position"})
"""The roles that a cost may claim as matmuls with a one-hot matrix."""
ON_WEIGHTS = frozenset({"mac", "one_hot_mac", "parameter"})
"""The kinds of work that each weight is charged for alike."""
KINDS = (*sorted(ON_WEIGHTS), "lookup", "element", *ELEMENTARY)
"""Every kind of work that a convention may price."""
ELEMENT_BYTES = 2
"""Bytes of an element of a cache: bfloat16."""
_PASSES = {"forward": 1, "backward": 2, "training": 3}


@lru_cache(maxsize=512)
def as_convention(claims: Claims) -> Convention:
    """The price list that the claims amount to: that of their convention in their unit, over their pairs and roles."""
    given = claims.convention
    unit = {("FLOP", "MAC"): Fraction(1, 2), ("MAC", "FLOP"): Fraction(2)}.get((given.unit, claims.unit), Fraction(1))
    share = {"half": Fraction(1, 2), "none": Fraction(0)}.get(claims.pairs, Fraction(1))
    over_pairs = (
        replace(line, role=role, price=line.price * unit * share)
        for role in sorted(CORE)
        for line in given.prices
        if line.role in (ANY, role)
    )
    prices = (*over_pairs, *(replace(line, price=line.price * unit) for line in given.prices))
    pairs: Literal["dense", "exact"] = "exact" if claims.pairs == "exact" else "dense"
    left_out = frozenset(ROLES) - claims.counts
    return replace(given, name="claims", prices=prices, unit=claims.unit, pairs=pairs, left_out=left_out)


@lru_cache(maxsize=4096)
def once(claims: Claims, kind: str, role: str) -> Rational:
    """The price of a unit of work in the forward pass; of a role that is not counted, nothing."""
    return as_convention(claims).price(kind, "forward", role) if role in claims.counts else Integer(0)


def price(claims: Claims, kind: str, role: str) -> Rational:
    """The price of a unit of the forward pass's work in the claimed phase: its gradients are two of them.

    Only where `doubled`. What is recomputed is one more.
    """
    again = 1 if claims.phase != "forward" and runs_again(role, claims.recompute) else 0
    return once(claims, kind, role) * (_PASSES[claims.phase] + again)


@lru_cache(maxsize=4096)
def kinds(claims: Claims, roles: frozenset[str] = frozenset(ROLES)) -> frozenset[str]:
    """The kinds of work that have a price in some roles."""
    return frozenset(kind for kind in KINDS if any(once(claims, kind, role) for role in roles))


def doubled(claims: Claims) -> bool:
    """Whether the gradients of what is charged are twice its forward pass: of matmuls, or where the author says so."""
    return claims.phase == "forward" or claims.convention.backward == "twice" or kinds(claims) <= {"mac"}


def of_matmuls(claims: Claims) -> bool:
    """Whether matmuls and lookups as such are all that is charged, or the parameters of matmuls all that is counted."""
    if claims.quantity == "params":
        return claims.counts <= MATMULS
    return claims.quantity == "flops" and doubled(claims) and kinds(claims) <= {"mac", "one_hot_mac"}


def on_weights(claims: Claims) -> bool:
    """Whether work is charged for each weight alike, and beside weights for pairs of tokens alone."""
    off_core = frozenset(ROLES) - CORE
    return claims.quantity == "flops" and doubled(claims) and kinds(claims, off_core) <= ON_WEIGHTS


@lru_cache(maxsize=512)
def work(network: Expr, claims: Claims) -> Expr:
    """The claimed work of a batch, in closed form, without what is charged for each parameter and token.

    What is computed again in the backward pass costs what it does in the forward pass.
    """
    chosen = _without(as_convention(claims), "parameter")
    found = flops(network, chosen, claims.phase).expr
    if claims.recompute == "none":
        return found
    return found + flops(recomputed(network, claims.recompute), _again(chosen), "backward").expr


def _without(given: Convention, kind: str) -> Convention:
    return replace(given, prices=(Price(kind, 0), *given.prices))


def _again(given: Convention) -> Convention:
    """The prices of the forward pass, of what is recomputed alone."""
    lines = (line for line in given.prices if line.pass_ in (ANY, "forward"))
    return replace(given, prices=tuple(replace(line, pass_="recompute") for line in lines), backward="gradients")


@lru_cache(maxsize=512)
def charged(network: Expr, claims: Claims) -> Expr:
    """What each token is charged for each parameter that serves it."""
    if "parameter" not in kinds(claims):
        return Integer(0)
    again = recomputed(network, claims.recompute)
    return expand(Add(*(each for use in uses(again) for each in _charged(use, claims))))


def _charged(use: Use, claims: Claims) -> Iterator[Expr]:
    each = once(claims, "parameter", use.operation.role)
    if each:
        reruns = 0 if claims.phase == "forward" else use.reruns
        passes = _PASSES[claims.phase] * use.active + reruns
        yield from (each * passes * parameter.count for parameter in use.operation.parameters)


@lru_cache(maxsize=512)
def weighed(network: Expr, claims: Claims) -> Expr:
    """What each token is charged for the weights that it meets, looked up, multiplied or counted as parameters."""
    kinds = (("mac", Contraction), ("one_hot_mac", Lookup))
    met = (
        price(claims, kind, use.operation.role) * use.runs * each.count
        for use in uses(network)
        for kind, operation in kinds
        if isinstance(use.operation, operation)
        for each in use.operation.parameters
        if each.name == "weight"
    )
    return expand(Add(*met) + charged(network, claims))


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
    """The number that the claims amount to. Parameters are counted in full, biases too; a cache in 2-byte elements.

    A parameter with a price is charged once for each token. Raises `CostError` for saved bytes: what is kept depends on
    the kernels, and claims do not say which.
    """
    if claims.quantity == "saved_bytes":
        raise CostError("saved_bytes has no closed form here: what is kept depends on the kernels")
    if claims.quantity == "params":
        return at(owned(case.model.network, claims.counts), case)
    tokens = case.n_batch * case.n_seq
    if claims.quantity == "cache_bytes":
        kept = case.model.cache_bytes(case.n_batch, case.n_seq, ELEMENT_BYTES)
        return _plain(Fraction(kept * tokens_of(claims, case), tokens))
    network = case.model.of_length(case.n_seq)
    each = Fraction(at(work(network, claims), case)) / tokens + at(charged(network, claims), case)
    return _plain(each * tokens_of(claims, case))


def at(form: Expr, case: Case) -> int | Fraction:
    """A closed form at the sizes of a case."""
    value = case.model.at(form, n_batch=case.n_batch, n_seq=case.n_seq)
    return _plain(fraction(value))


def _plain(value: Fraction) -> int | Fraction:
    return int(value) if value.denominator == 1 else value
