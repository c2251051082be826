"""Activation checkpointing: what is computed again in the backward pass, and what memory that leaves.

>>> from symflops.architectures import architecture
>>> bloom = architecture({"model_type": "bloom"}).network
>>> [f"{name}: {form}" for name, form in memory(bloom, FULL).items() if name == "checkpoints"]
['checkpoints: 2*d_model*n_batch*n_layer*n_seq']
>>> best_every(bloom)
sqrt(d_model)*sqrt(n_layer)/sqrt(16*d_model + n_head*n_seq + 8)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sympy import Add, Expr, Integer, Max, Mul, S, Symbol, expand, factor, sift, sqrt

from symflops.errors import SizeError, UnknownName
from symflops.networks import Recomputed, Use, uses
from symflops.nodes import Node
from symflops.operations import PAIRED, Operation
from symflops.training.activations import activation_bytes

STACK = "n_layer"
"""How the names of sizes begin that count layers."""


@dataclass(frozen=True)
class Scheme:
    """What is kept of the layers: ``recomputed`` is the network as it then runs; ``every`` so many layers keep their
    input alone, 0 where layers keep their own values."""

    name: str
    recomputed: Callable[[Expr], Expr]
    every: Expr = S.Zero


def _core(network: Expr) -> Expr:
    """Each step of attention's core computed again, alone (Korthikanti et al. 2022, arXiv:2205.05198, section 5)."""

    def again(node: Expr) -> Expr:
        return Recomputed(node)

    def inside(node: Expr) -> bool:
        return isinstance(node, Operation) and node.mask is not None and set(node.sizes) >= PAIRED

    return _outside_recomputed(network, inside, again)


def _outside_recomputed(node: Expr, chosen: Callable[[Expr], bool], change: Callable[[Expr], Expr]) -> Expr:
    """The network with some of its operations changed, but for those that are recomputed already."""
    if chosen(node):
        return change(node)
    if isinstance(node, Recomputed | Operation) or not node.has(Node):
        return node
    return node.func(*(_outside_recomputed(each, chosen, change) for each in node.args))


def _layers(network: Expr) -> Expr:
    """All layers computed again, and nothing outside of them."""
    found: dict[Expr, list[Expr]] = {}
    for term in Add.make_args(expand(network)):
        nodes, rest = sift(Mul.make_args(term), lambda factor: factor.has(Node), binary=True)
        found.setdefault(Mul(*rest), []).append(Mul(*nodes))
    layers = ((times, Add(*nodes)) for times, nodes in found.items())
    return Add(*(times * (Recomputed(layer) if _stacked(times) else layer) for times, layer in layers))


def _stacked(times: Expr) -> bool:
    return any(each.name.startswith(STACK) for each in times.free_symbols)


NONE = Scheme("none", lambda network: network)
SELECTIVE = Scheme("selective", _core)
FULL = Scheme("full", _layers, Integer(1))
SCHEMES: Mapping[str, Scheme] = MappingProxyType({each.name: each for each in (NONE, SELECTIVE, FULL)})
"""What may be recomputed: nothing, the core of attention, or all layers, each from its input."""


def scheme(given: str | Scheme) -> Scheme:
    """A scheme by its name, or, of a number, all layers, so many of them from one kept input.

    >>> scheme("full").every, scheme("4").every
    (1, 4)

    Raises `UnknownName` for another name, `SizeError` for a number that is not positive.
    """
    if isinstance(given, Scheme):
        return given
    if given.isdecimal():
        if int(given) == 0:
            raise SizeError("--recompute is '0'; give none, selective, full, or how many layers share one kept input")
        return Scheme(given, _layers, Integer(given))
    if given not in SCHEMES:
        raise UnknownName("recomputation", given, {*SCHEMES, "a number of layers"})
    return SCHEMES[given]


def memory(network: Expr, how: Scheme = NONE, element_bytes: int | Expr = 2) -> Mapping[str, Expr]:
    """The bytes of activations at the end of the forward pass and while a segment of layers is computed again.

    ``layers``: what layers keep; ``checkpoints``: the inputs that segments are computed from; ``segment``: what else
    the segment keeps that is being computed again, of several kinds of layers the largest; ``outside``: what is in no
    layer. Raises `SizeError` for a network without layers whose layers are to be recomputed.
    """
    whole = activation_bytes(how.recomputed(network) if how.every == 0 else network, element_bytes)
    outside = whole.subs(dict.fromkeys(_counts(whole), 0))
    if how.every == 0:
        return {"layers": expand(whole - outside), "outside": outside}
    inputs = {stack: _input(network, stack, element_bytes) for stack in _stacks(network)}
    kinds = [each for each in _counts(whole) if each not in inputs]
    segments = (how.every * layer - inputs[each] for each in inputs for layer in _layers_of(whole, each, kinds))
    checkpoints = expand(Add(*(stack / how.every * each for stack, each in inputs.items())))
    return {"checkpoints": checkpoints, "segment": Max(*segments), "outside": outside}


def _layers_of(whole: Expr, stack: Symbol, kinds: list[Symbol]) -> tuple[Expr, ...]:
    """What one layer of a stack keeps, of each kind of layer, from what all keep, which is linear in their numbers."""
    layer = whole.coeff(stack, 1)
    others = [layer + whole.coeff(kind, 1) for kind in kinds] if stack.name == STACK else []
    return tuple(dict.fromkeys((layer, *others)))


def _counts(form: Expr) -> list[Symbol]:
    return sorted((each for each in form.free_symbols if each.name.startswith(STACK)), key=lambda each: each.name)


def _stacks(network: Expr) -> tuple[Symbol, ...]:
    """The sizes that count the layers of a stack: a residual stream has one addition for each of them, at least."""
    found = tuple(dict.fromkeys(use.runs for use in _residuals(network) if use.runs.is_Symbol and _stacked(use.runs)))
    if not found:
        raise SizeError("the network has no layers, whose number is n_layer, to be recomputed")
    return found


def _residuals(network: Expr) -> list[Use]:
    return [use for use in uses(network) if use.operation.role == "residual"]


def _input(network: Expr, stack: Symbol, element_bytes: int | Expr) -> Expr:
    """The bytes of a layer's input: as many as a residual addition of it makes."""
    mine = next(use.operation for use in _residuals(network) if use.runs == stack)
    return mine.elements_written * element_bytes


def best_every(network: Expr, element_bytes: int | Expr = 2) -> Expr:
    """How many layers should share one kept input for the least memory: sqrt(n_layer*input/layer), in closed form.

    n_layer/k inputs and k layers' values are least where both weigh the same (Chen et al. 2016, arXiv:1604.06174,
    section 4). Of several kinds of layers, the first is meant. Raises `SizeError` for a network without layers.
    """
    stack, *_ = _stacks(network)
    layer = activation_bytes(network, element_bytes).coeff(stack, 1)
    return sqrt(factor(stack * _input(network, stack, element_bytes) / layer))
