"""A closed form as a straight-line program over integers: what the evaluator runs and every language prints.

The value is one integer node divided by another, and only that last division can leave the integers, so a program is
exact in any language that has exact integers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Literal

from symflops.errors import SymflopsError

Op = Literal["size", "integer", "add", "sub", "mul", "max", "min", "floordiv", "less"]
"""``less`` is 1 where left < right and else 0; ``floordiv`` rounds towards minus infinity."""


class UnsupportedFormula(SymflopsError):
    """A formula with a part that is no exact arithmetic on integers, such as a square root or a float."""


EXACT: Mapping[str, Callable[[int, int], int]] = MappingProxyType(
    {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "max": max,
        "min": min,
        "floordiv": operator.floordiv,
        "less": lambda left, right: int(left < right),
    }
)
"""What each operation does to two Python integers."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value: the size at place ``left``, the integer ``left``, or an operation on two earlier nodes."""

    op: Op
    left: int
    right: int = 0

    @property
    def operands(self) -> tuple[int, ...]:
        """The places of the nodes this one reads."""
        return () if self.op in ("size", "integer") else (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Program:
    """Nodes in the order they are computed; the value is ``nodes[numerator] / nodes[denominator]``.

    ``whole`` says that the quotient is proved an integer for all integer sizes. The denominator is a positive integer,
    or a square where the sign of what was divided by is not known, so it is never negative.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> n = Symbol("n", positive=True, integer=True)
    >>> program = lower(n * (n + 1) / 2)
    >>> program.arguments, program.whole, [node.op for node in program.nodes]
    (('n',), True, ['integer', 'size', 'integer', 'add', 'mul'])
    """

    arguments: tuple[str, ...]
    nodes: tuple[Node, ...]
    numerator: int
    denominator: int
    whole: bool = False

    @property
    def divides(self) -> bool:
        """Whether there is a denominator other than one."""
        return self.nodes[self.denominator] != Node("integer", 1)

    @property
    def unsafe_denominator(self) -> bool:
        """Whether the denominator is computed from the sizes."""
        return self.nodes[self.denominator].op != "integer"

    @property
    def may_divide_by_zero(self) -> bool:
        """Whether anything is divided by what is not a constant."""
        divisors = [node.right for node in self.nodes if node.op == "floordiv"]
        return any(self.nodes[place].op != "integer" for place in [*divisors, self.denominator])

    @property
    def cost(self) -> int:
        """How many operations a run takes."""
        return sum(1 for node in self.nodes if node.operands)


class Builder:
    """Collects nodes, each value once, folding what is already known."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        self._places: dict[Node, int] = {}
        self.nodes: list[Node] = []

    def _place(self, node: Node) -> int:
        if node not in self._places:
            self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return self._places[node]

    def size(self, name: str) -> int:
        """The node of a size."""
        return self._place(Node("size", self.arguments.index(name)))

    def integer(self, value: int) -> int:
        """The node of a constant."""
        return self._place(Node("integer", int(value)))

    def constant(self, place: int) -> int | None:
        """The value of a node that is a constant."""
        node = self.nodes[place]
        return node.left if node.op == "integer" else None

    def apply(self, op: Op, left: int, right: int) -> int:
        """The node of an operation, or of what it is known to give."""
        a, b = self.constant(left), self.constant(right)
        if a is not None and b is not None and not (op == "floordiv" and b == 0):
            return self.integer(EXACT[op](a, b))
        if op == "mul" and 0 in (a, b):
            return self.integer(0)
        if op in ("max", "min") and left == right:
            return left
        neutral = {"add": 0, "sub": 0, "mul": 1, "floordiv": 1}.get(op)
        if neutral is not None and b == neutral:
            return left
        if op in ("add", "mul") and a == neutral:
            return right
        return self._place(Node(op, left, right))

    def program(self, numerator: int, denominator: int, *, whole: bool = False) -> Program:
        """The nodes that the quotient needs, and no others."""
        needed = _reachable(self.nodes, (numerator, denominator))
        moved = {old: new for new, old in enumerate(needed)}
        nodes = tuple(_moved(self.nodes[old], moved) for old in needed)
        return Program(self.arguments, nodes, moved[numerator], moved[denominator], whole)


def _moved(node: Node, moved: Mapping[int, int]) -> Node:
    return Node(node.op, moved[node.left], moved[node.right]) if node.operands else node


def _reachable(nodes: Sequence[Node], roots: tuple[int, ...]) -> list[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting.extend(nodes[place].operands)
    return sorted(found)


def peak(program: Program) -> Program:
    """A program that bounds the magnitude of every node of this one, for all sizes from 1 up to those it is given.

    It is the same program with magnitudes in place of values. A bound is never below those of what it was made from,
    so only the ends matter: the numerator, the denominator, and what a division or a comparison reads and drops.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> n, m = (Symbol(name, positive=True, integer=True) for name in "nm")
    >>> [node.op for node in peak(lower(n - m)).nodes]
    ['integer', 'size', 'size', 'add']
    """
    build = Builder(program.arguments)
    places: list[int] = []
    ends: list[int] = []
    for node in program.nodes:
        places.append(_magnitude(node, places, build))
        if node.op in ("floordiv", "less"):
            ends += [places[place] for place in node.operands]
    ends += [places[program.numerator], places[program.denominator]]
    ends = [place for place in ends if build.constant(place) != 1] or ends
    highest = reduce(lambda left, right: build.apply("max", left, right), dict.fromkeys(ends))
    return build.program(highest, build.integer(1), whole=True)


def _magnitude(node: Node, places: Sequence[int], build: Builder) -> int:
    if node.op == "size":
        return build.size(build.arguments[node.left])
    if node.op in ("integer", "less"):
        return build.integer(1 if node.op == "less" else abs(node.left))
    left, right = places[node.left], places[node.right]
    if node.op == "floordiv":
        return left
    return build.apply("mul" if node.op == "mul" else "max" if node.op in ("max", "min") else "add", left, right)
