"""Networks: sympy sums of multiples of operations, and operations on networks (named, tied, routed, recomputed, once).

Whatever is asked of a network is a sum over its `uses`: each operation, where it stands, and how many copies of its
parameters there are, how often it runs, and how often it runs again in the backward pass.

>>> from symflops.notation import n_layer
>>> from symflops.operations import Contraction
>>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3})
>>> [use] = uses(Block("layer", n_layer * up))
>>> use.path, use.copies, use.runs, use.reruns
('layer/up', n_layer, n_layer, 0)
>>> uses(up + 1)
Traceback (most recent call last):
symflops.errors.NotLinearError: 1 is no multiple of an operation; a network is a sum of multiples of operations
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sympy import Add, Expr, Float, Mul, S, expand, sympify

from symflops.errors import NotLinearError
from symflops.nodes import Node, as_str, operator_latex
from symflops.operations import Operation


@dataclass(frozen=True)
class Use:
    """An operation in its place, and how often it counts.

    ``copies`` of its parameters are stored, of which ``active`` serve one token; it ``runs`` so often, and ``reruns``
    in the backward pass. What ``kept`` of the runs leave for the backward pass is saved, not computed again.
    ``segment`` is the outermost recomputed network that it is in, or 0.
    """

    operation: Operation
    path: str
    copies: Expr = S.One
    active: Expr = S.One
    runs: Expr = S.One
    reruns: Expr = S.Zero
    kept: Expr = S.One
    segment: Expr = S.Zero

    def times(self, factor: Expr) -> Use:
        """The same, ``factor`` times."""
        return replace(self, **{name: factor * getattr(self, name) for name in _MULTIPLICITIES})


_MULTIPLICITIES = ("copies", "active", "runs", "reruns", "kept")


class Wrapper(Node):
    """An operation on a network; its last argument is the network. A subclass says what becomes of each use."""

    def __new__(cls, *args: Any) -> Wrapper:
        parts = [sympify(each, strict=True) for each in args]
        if any(each.has(Node) for each in parts[:-1]):
            raise NotLinearError(f"{cls.__name__.lower()} of {args[0]}: a number of copies cannot hold an operation")
        return Expr.__new__(cls, *parts)  # type: ignore[no-any-return]

    @property
    def body(self) -> Expr:
        """The network inside."""
        return self.args[-1]

    def change(self, use: Use) -> Use:
        """What this makes of one use inside it."""
        return use

    def _sympystr(self, printer: Any) -> str:
        return f"{type(self).__name__.lower()}({', '.join(printer._print(each) for each in self.args)})"

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        inside = ", ".join(printer._print(each) for each in self.args)
        return rf"\operatorname{{{type(self).__name__.lower()}}}\left({inside}\right)"


class Block(Wrapper):
    """A network with a name, which stands in the paths of its operations: ``Block("Feedforward", up + down)``."""

    def __new__(cls, name: Any, body: Any) -> Block:
        return Wrapper.__new__(cls, as_str(name), body)

    @property
    def name(self) -> str:
        """The name."""
        return str(self.args[0])

    def change(self, use: Use) -> Use:
        return replace(use, path=f"{self.name}/{use.path}")

    def _sympystr(self, printer: Any) -> str:
        return self.name

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        return operator_latex(self.name)


class Tied(Wrapper):
    """Runs with parameters that something else owns: all of the work, none of the parameters."""

    def change(self, use: Use) -> Use:
        return replace(use, copies=S.Zero, active=S.Zero)


class Routed(Wrapper):
    """``Routed(n_expert, n_active, expert)``: a token runs through some of the experts; all of them are stored."""

    def change(self, use: Use) -> Use:
        n_expert, n_active, _ = self.args
        return replace(use.times(n_active), copies=n_expert * use.copies)


class Recomputed(Wrapper):
    """Activation checkpointing: what is inside runs once more in the backward pass."""

    def change(self, use: Use) -> Use:
        return replace(use, reruns=use.reruns + use.runs, kept=S.Zero, segment=self.body)


class Once(Wrapper):
    """What runs once for each sequence and is kept for all tokens that follow: an encoder, keys of cross attention."""


def each_step(network: Expr) -> Expr:
    """The network without what runs only once for a sequence.

    >>> from symflops.operations import Contraction
    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3})
    >>> each_step(2 * up + 3 * Once(up))
    2*up
    """
    found: Expr = network.replace(lambda each: isinstance(each, Once), lambda each: S.Zero)
    return found


def of_role(network: Expr, role: str) -> Expr:
    """The network without the operations of other roles.

    >>> from symflops.operations import Contraction
    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3}, "feedforward")
    >>> of_role(2 * up, "feedforward"), of_role(2 * up, "logits")
    (2*up, 0)
    """
    found: Expr = network.replace(lambda each: isinstance(each, Operation) and each.role != role, lambda each: S.Zero)
    return found


def uses(network: Expr) -> tuple[Use, ...]:
    """Every operation of a network with its place and multiplicities, in the order of the canonical sum.

    Raises `NotLinearError` for what is not a sum of multiples of operations.
    """
    if not isinstance(network, Expr) and network != 0:
        raise NotLinearError(f"{network!r} is no network; a network is a sum of multiples of operations")
    return _uses(sympify(network, strict=True))


@lru_cache(maxsize=256)
def _uses(network: Expr) -> tuple[Use, ...]:
    found: dict[tuple[Operation, str], list[Use]] = {}
    for use in _walk(network):
        found.setdefault((use.operation, use.path), []).append(use)
    return tuple(_merged(same) for same in found.values())


def _merged(same: list[Use]) -> Use:
    if len(same) == 1:
        return same[0]
    fields = {name: Add(*(getattr(use, name) for use in same)) for name in _MULTIPLICITIES}
    return replace(same[0], **fields)


def _walk(network: Expr) -> Iterator[Use]:
    if isinstance(network, Operation):
        yield Use(network, network.name)
    elif isinstance(network, Wrapper):
        yield from (network.change(use) for use in _walk(network.body))
    elif isinstance(network, Add):
        for term in network.args:
            yield from _walk(term)
    elif isinstance(network, Mul):
        yield from _scaled(network)
    elif network != 0:
        raise NotLinearError(f"{network} is no multiple of an operation; a network is a sum of multiples of operations")


def _scaled(product: Mul) -> Iterator[Use]:
    networks = [factor for factor in product.args if factor.has(Node)]
    if len(networks) != 1:
        raise NotLinearError(f"{product} is a product of {len(networks)} networks; scale a network by a number")
    factor = Mul(*(each for each in product.args if each is not networks[0]))
    if factor.has(Float) or factor.is_real is False or factor.is_finite is False:
        raise NotLinearError(f"{product} scales a network by {factor}; counts are exact: use integers and fractions")
    yield from (use.times(factor) for use in _walk(networks[0]))


def blocks(network: Expr) -> dict[str, Expr]:
    """The network cut by the outermost named block (or operation): name to what stands under it.

    >>> from symflops.operations import Contraction
    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3})
    >>> list(blocks(2 * up + Block("out", up)))
    ['up', 'out']

    Raises `NotLinearError` for what is no network.
    """
    uses(network)
    parts: dict[str, list[Expr]] = {}
    for term in Add.make_args(expand(network)) if network != 0 else ():
        nodes = [factor for factor in Mul.make_args(term) if isinstance(factor, Node)]
        name = _outer_name(nodes[0]) if len(nodes) == 1 else str(term)
        parts.setdefault(name, []).append(term)
    return {name: Add(*terms) for name, terms in parts.items()}


def _outer_name(node: Node) -> str:
    if isinstance(node, Block | Operation):
        return node.name
    inner = {_outer_name(each) for each in node.args if isinstance(each, Node)}
    return inner.pop() if len(inner) == 1 else str(node)
