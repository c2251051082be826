"""What a family of architectures is: a composition of layers, and where the code keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

from sympy import Expr

from symflops.architectures.fields import Config, Field
from symflops.architectures.runs import Run
from symflops.networks import Use


@dataclass(frozen=True)
class Place:
    """Where the code keeps an operation: its module's path, with ``*`` for the layer, and its tensors' names there.

    ``stacked`` tensors hold many of the operation's, such as those of all experts.
    """

    module: str
    tensors: Mapping[str, str] = field(default_factory=dict)

    @property
    def stacked(self) -> bool:
        """Whether the tensors have names of their own."""
        return bool(self.tensors)

    def tensor(self, parameter: str) -> tuple[str, str]:
        """Module and name of a parameter; a name with a dot is kept in a module inside, which others compute with.

        >>> Place("mixer", {"weight": "conv1d.weight"}).tensor("weight")
        ('mixer.conv1d', 'weight')
        """
        module, _, name = f"{self.module}.{self.tensors.get(parameter, parameter)}".rpartition(".")
        return module, name


@dataclass(frozen=True)
class Family:
    """One kind of architecture: ``compose(config, run)`` is its network in symbols.

    ``places`` says where the code of transformers keeps each operation, line by line: names of operations, then the
    module's path, in which ``{}`` is the name, and after a colon the names of its tensors where they are not weight and
    bias. ``fields`` are sizes that the common table does not know how to read; ``divides`` are pairs of sizes of which
    the first divides the second.
    """

    name: str
    citation: str
    compose: Callable[[Config, Run], Expr]
    places: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    divides: tuple[tuple[str, str], ...] = ()

    def place(self, use: Use) -> Place:
        """Where the code keeps an operation; at the operation's own path where the family does not say."""
        for pattern, module in lines(self.places):
            if fnmatchcase(use.path, pattern) or fnmatchcase(use.path, f"*/{pattern}"):
                path, _, tensors = module.format(use.operation.name).partition(":")
                return Place(path, dict(zip(("weight", "bias"), tensors.split(","), strict=False)) if tensors else {})
        return Place(use.path)


@cache
def lines(places: str) -> tuple[tuple[str, str], ...]:
    """Pattern and module of each name of ``places``, the first that fits counts.

    >>> lines("q k  self_attn.{}_proj")
    (('q', 'self_attn.{}_proj'), ('k', 'self_attn.{}_proj'))
    """
    words = [line.split() for line in places.splitlines() if line.strip()]
    return tuple((name, module) for *names, module in words for name in names)
