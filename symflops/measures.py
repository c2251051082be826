"""What a network costs: linear maps from networks to closed forms.

>>> from symflops.notation import d_ff, d_model, n_layer
>>> from symflops.operations import Contraction
>>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": d_model, "f": d_ff})
>>> params(n_layer * up)
d_ff*d_model*n_layer
>>> flops(n_layer * up, "torch")
10*d_ff*d_model*n_layer FLOP (torch)
>>> flops(n_layer * up, "torch", phase="backward") / flops(n_layer * up, "torch")
2
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from sympy import Add, Expr, expand

from symflops.conventions import EXACT, Convention, convention
from symflops.errors import SymflopsError, UnknownName
from symflops.networks import Use, uses
from symflops.totals import Total

Phase = Literal["forward", "backward", "training"]
PASSES: Mapping[str, tuple[str, ...]] = {
    "forward": ("forward",),
    "backward": ("input_gradient", "weight_gradient", "recompute"),
    "training": ("forward", "input_gradient", "weight_gradient", "recompute"),
}
NOT_N = frozenset({"embedding", "position", "logits"})
"""Roles whose parameters Kaplan's N leaves out: token and position tables, and the de-embedding."""


def _sum(network: Expr, measure: Callable[[Use], Expr]) -> Expr:
    return expand(Add(*(measure(use) for use in uses(network))))


def params(network: Expr) -> Expr:
    """Every distinct parameter once, biases and norms among them; tied weights belong to their owner.

    Raises `NotLinearError` for what is no network, here and in all other measures.
    """
    return _sum(network, lambda use: use.copies * _owned(use))


def params_without(network: Expr, roles: frozenset[str] = NOT_N) -> Expr:
    """The parameters of operations in none of these roles; by default N as Kaplan counts it: no embeddings."""
    return _sum(network, lambda use: 0 if use.operation.role in roles else use.copies * _owned(use))


def active_params(network: Expr) -> Expr:
    """The parameters that serve one token: of routed experts, those it is sent to."""
    return _sum(network, lambda use: use.active * _owned(use))


def trainable_params(network: Expr) -> Expr:
    """Every distinct parameter that is not frozen once: a frozen one is a constant of its operation.

    >>> from symflops.notation import d_ff, d_model, n_layer
    >>> from symflops.operations import Contraction
    >>> sizes = {"seq": 5, "d": d_model, "f": d_ff}
    >>> fixed = Contraction("up", "x[seq d] weight[d f] + bias[f] -> y[seq f]", sizes, constants=("weight",))
    >>> trainable_params(n_layer * fixed), params(n_layer * fixed)
    (d_ff*n_layer, d_ff*d_model*n_layer + d_ff*n_layer)
    """
    return _sum(network, lambda use: use.copies * _owned(use, use.operation.constants))


def _owned(use: Use, without: frozenset[str] = frozenset()) -> Expr:
    return Add(*(parameter.count for parameter in use.operation.parameters if parameter.name not in without))


def work(network: Expr) -> dict[tuple[str, str, str], Expr]:
    """All work by (kind, pass, role), before any convention prices it; attended pairs are still unevaluated."""
    amounts: dict[tuple[str, str, str], list[Expr]] = defaultdict(list)
    for use in uses(network):
        for kind, pass_, amount in use_work(use, PASSES["training"]):
            amounts[kind, pass_, use.operation.role].append(amount)
    return {key: Add(*parts) for key, parts in amounts.items()}


def use_work(use: Use, passes: tuple[str, ...]) -> Iterator[tuple[str, str, Expr]]:
    """The work of one operation in its place in some passes, with its multiplicities: (kind, pass, amount)."""
    forward = use.operation.forward_work.items()
    if "forward" in passes:
        for (kind, _), amount in forward:
            yield kind, "forward", (use.active if kind == "parameter" else use.runs) * amount
    if "recompute" in passes and use.reruns != 0:
        yield from ((kind, "recompute", use.reruns * amount) for (kind, _), amount in forward)
    if "input_gradient" in passes:
        yield from ((kind, pass_, use.runs * amount) for (kind, pass_), amount in use.operation.gradient_work.items())


def flops(network: Expr, given: str | Convention = EXACT, phase: Phase = "forward") -> Total:
    """The work of a phase, priced by a convention, without the roles that the convention leaves out of its totals.

    ``phase`` is ``forward``, ``backward`` (gradients and recomputation) or ``training`` (both).
    Raises `UnknownName` for an unknown convention or phase.
    """
    chosen = convention(given)
    return Total(_sum(network, lambda use: priced(use, chosen, phase, chosen.left_out)), chosen)


def flops_of_all(network: Expr, given: str | Convention = EXACT, phase: Phase = "forward") -> Total:
    """As `flops`, with the roles that the convention prices in its table but leaves out of its totals."""
    chosen = convention(given)
    return Total(_sum(network, lambda use: priced(use, chosen, phase)), chosen)


def priced(use: Use, chosen: Convention, phase: Phase, without: frozenset[str] = frozenset()) -> Expr:
    """The price of one operation in its place."""
    if phase not in PASSES:
        raise UnknownName("phase", phase, PASSES)
    if use.operation.role in without:
        return 0 * use.runs
    if chosen.backward == "twice" and phase != "forward":
        return (2 if phase == "backward" else 3) * priced(use, chosen, "forward")
    lines = (
        (chosen.price(kind, pass_, use.operation.role), amount) for kind, pass_, amount in use_work(use, PASSES[phase])
    )
    return Add(*(price * chosen.count_pairs(amount) for price, amount in lines if price))


def bytes_read(network: Expr, element_size: int | Expr = 2) -> Expr:
    """Bytes of operands and parameters read in a forward pass, if every operation reads each operand once.

    ``element_size`` in bytes; 2 is bfloat16.
    """
    return _sum(network, lambda use: use.runs * use.operation.elements_read * element_size)


def bytes_written(network: Expr, element_size: int | Expr = 2) -> Expr:
    """Bytes of results written in a forward pass, with ``element_size`` bytes for each element."""
    return _sum(network, lambda use: use.runs * use.operation.elements_written * element_size)


def saved_elements(network: Expr) -> Expr:
    """Elements that the forward pass keeps for the backward pass; a recomputed network keeps nothing of itself.

    Each operation keeps its own: a value that two operations keep is counted twice.
    """
    return _sum(network, lambda use: use.kept * Add(*(size for _, size in use.operation.saved)))


def intensity(network: Expr, given: str | Convention = EXACT, element_size: int | Expr = 2) -> Expr:
    """FLOPs for each byte moved in a forward pass: above a device's peak / bandwidth, compute is the bound.

    Raises `SymflopsError` for a network that moves nothing.
    """
    moved = bytes_read(network, element_size) + bytes_written(network, element_size)
    if moved == 0:
        raise SymflopsError("an empty network moves no bytes, so it has no arithmetic intensity")
    return flops_of_all(network, given).expr / moved
