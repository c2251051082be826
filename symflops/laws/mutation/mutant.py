"""What a mutant is: one fault planted in a declaration, and the thing with the fault.

>>> from symflops.laws.catalogue.subjects import model
>>> from symflops.networks import Tied
>>> fault = Fault("reach", "Feedforward/up", "stored elsewhere", At("Feedforward/up", Tied))
>>> from symflops.measures import params
>>> params(model("llama").network) - params(planted(model("llama"), fault).network)
d_ff*d_model*n_layer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sympy import Add, Expr, Mul

from symflops.architectures import Architecture
from symflops.conventions import Convention
from symflops.masks import AttendedPairs
from symflops.networks import Block, Wrapper
from symflops.nodes import Node
from symflops.operations import Operation

KINDS: Mapping[str, str] = MappingProxyType({
    "dimension swapped": "a size of an operation is another size of the model, or two of its sizes are exchanged",
    "dimension dropped": "a size of an operation is one, or its weight lacks an axis",
    "coefficient": "a size, a number of layers or of experts, or how often an operation runs, is off by one",
    "heads exchanged": "query heads stand for key and value heads, and the other way round",
    "bias": "a bias is missing, or one too many",
    "gradient": "an operand has no gradient, or a constant has one",
    "mask": "an attention, or one step of it, sees other pairs",
    "operation": "an operation is missing",
    "role": "an operation has the role of another",
    "reach": "weights tied or not, experts routed otherwise, work that runs once or again",
    "formula": "the formula of a step is another",
    "mask's count": "a mask counts other pairs than it lets through, or lets through others: causal off by one",
    "price": "a line of a convention is off by one, missing, or of another role; pairs, roles left out, gradients",
})  # fmt: skip
"""The kinds of faults, and what is changed."""
Change = Callable[[Expr], Expr]
"""A network with a fault, from the network."""


@dataclass(frozen=True)
class At:
    """A change of the operations at a path."""

    path: str
    change: Callable[[Operation], Expr]

    def __call__(self, network: Expr) -> Expr:
        return self._within(network, "")

    def _within(self, node: Expr, inside: str) -> Expr:
        if isinstance(node, Operation):
            return self.change(node) if inside + node.name == self.path else node
        if isinstance(node, Wrapper):
            inner = f"{inside}{node.name}/" if isinstance(node, Block) else inside
            made: Expr = node.func(*node.args[:-1], self._within(node.body, inner))
            return made
        if isinstance(node, Add | Mul) and node.has(Node):
            again: Expr = node.func(*(self._within(each, inside) for each in node.args))
            return again
        return node


@dataclass(frozen=True)
class Fault:
    """A fault of a family's network: its kind, where it stands, what is changed in words, and the change itself."""

    kind: str
    where: str
    what: str
    change: Change = field(repr=False, compare=False)


def planted(model: Architecture, fault: Fault) -> Architecture:
    """The model whose networks, of whole sequences and of steps, all have the fault."""
    family, change = model.family, fault.change
    wrong = replace(family, compose=lambda config, run: change(family.compose(config, run)))
    return replace(model, family=wrong)


Subject = Architecture | type[AttendedPairs] | Convention
"""A thing with a fault."""


@dataclass(frozen=True)
class Mutant:
    """One fault: its kind, what it is of (a family, mask or convention), where, what was changed; the thing with it."""

    kind: str
    of: str
    where: str
    what: str
    subject: Subject = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.of}: {self.where}: {self.what}"
