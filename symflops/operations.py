"""What a transformer computes, one operation at a time, each a sympy expression object.

An operation is declared by what it computes: a sentence over named tensors and axes, the sizes of the axes, and, for an
elementwise step, its formula. Parameters, work, gradients, bytes and saved tensors follow from that alone.

>>> from symflops.notation import d_ff, d_model, n_batch, n_seq
>>> up = Contraction(
...     "up", "x[batch seq d_model] weight[d_model d_ff] + bias[d_ff] -> y[batch seq d_ff]",
...     {"batch": n_batch, "seq": n_seq, "d_model": d_model, "d_ff": d_ff}, role="feedforward")
>>> [(parameter.name, parameter.shape) for parameter in up.parameters]
[('weight', (d_model, d_ff)), ('bias', (d_ff,))]
>>> up.work["mac", "forward"]
d_ff*d_model*n_batch*n_seq
>>> up.func(*up.args) == up, up.subs(d_model, 768).free_symbols == {d_ff, n_batch, n_seq}
(True, True)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import Add, Basic, Expr, Mul, Tuple
from sympy.core.symbol import Str

from symflops.declarations import Sentence, Tensor, parse
from symflops.errors import DeclarationError
from symflops.formulas import Axes
from symflops.masks import AttendedPairs
from symflops.nodes import Node, as_str, axis_table, operator_latex, sizes_of

PAIRED = frozenset({"query", "key"})
"""The two axes that a mask counts together."""

Kind = str
Pass = str
Work = Mapping[tuple[Kind, Pass], Expr]
"""Amounts of work by kind (mac, add, exp, lookup, …) and pass (forward, input_gradient, weight_gradient)."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: its name as in torch's modules, and its shape, one size for each axis."""

    name: str
    shape: tuple[Expr, ...]

    @property
    def count(self) -> Expr:
        """Elements."""
        return Mul(*self.shape)


class Operation(Node):
    """One step of a network. Its arguments are its name, role, sentence, sizes, mask, constants and formula.

    Parameters of the constructor: ``name``; ``sentence``, ``"x[…] weight[…] + bias[…] -> y[…]"`` with axes by name
    (operands called weight or bias are parameters); ``sizes``, a mapping of axes to sizes; ``role``, what a price list
    goes by; ``mask``, which counts the axes ``query`` and ``key`` together; ``constants``, operands that need no
    gradient. Raises `DeclarationError` for a sentence that does not fit, `SizeError` for a size that is not one.
    """

    def __new__(
        cls,
        name: str | Str,
        sentence: str | Str,
        sizes: Mapping[str, Any] | Tuple = Tuple(),  # noqa: B008 (sympy tuples are frozen)
        role: str | Str = "",
        mask: AttendedPairs | Tuple = Tuple(),  # noqa: B008
        constants: Iterable[Any] = (),
        formula: Basic = Tuple(),  # noqa: B008
    ) -> Operation:
        parsed = parse(str(sentence))
        fixed = Tuple(*sorted({as_str(each) for each in constants}, key=str))
        if not isinstance(mask, AttendedPairs) and mask != Tuple():
            raise DeclarationError(f"operation {name}: {mask} is no mask; it stays unevaluated, such as Causal(n, n)")
        if not {str(each) for each in fixed} <= {each.name for each in parsed.operands}:
            raise DeclarationError(f"operation {name}: the constants {fixed} are not all operands of {sentence}")
        table = axis_table(str(name), parsed, sizes_of(sizes), mask)
        cls._accept(str(name), parsed, formula)
        return Expr.__new__(cls, as_str(name), as_str(sentence), table, as_str(role), mask, fixed, formula)  # type: ignore

    @classmethod
    def _accept(cls, name: str, sentence: Sentence, formula: Any) -> None:
        """Refuse a sentence that this kind of operation cannot compute."""

    @property
    def name(self) -> str:
        """What the operation is called in tables and module paths."""
        return str(self.args[0])

    @property
    def sentence(self) -> Sentence:
        """The declaration, parsed."""
        return parse(str(self.args[1]))

    @cached_property
    def sizes(self) -> dict[str, Expr]:
        """The size of each named axis."""
        return {axis.name: size for axis, size in self.args[2]}

    @property
    def role(self) -> str:
        """What the operation is for, in the words that conventions price by."""
        return str(self.args[3])

    @property
    def mask(self) -> AttendedPairs | None:
        """How many (query, key) pairs are attended to, where the operation is over pairs."""
        return self.args[4] if isinstance(self.args[4], AttendedPairs) else None

    @property
    def constants(self) -> frozenset[str]:
        """Operands that need no gradient."""
        return frozenset(str(each) for each in self.args[5])

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters it owns, with their shapes."""
        return tuple(Parameter(each.name, self.shape(each)) for each in self.sentence.parameters)

    @property
    def work(self) -> Work:
        """Every amount of work that a convention may price, by kind and pass, with attended pairs unevaluated."""
        return {**self.forward_work, **self.gradient_work}

    @cached_property
    def forward_work(self) -> Work:
        """The forward pass: what the sentence says, its result's elements, and each parameter for each token."""
        result = frozenset(self.sentence.result.axes)
        tokens = ((each, self.elements(result - frozenset(each.axes))) for each in self.sentence.parameters)
        return _summed(
            [
                *((kind, "forward", amount) for kind, amount in self._forward()),
                *(("parameter", "forward", self.numel(each) * count) for each, count in tokens),
                ("element", "forward", self.elements(result)),
            ]
        )

    @cached_property
    def gradient_work(self) -> Work:
        """The gradients of the operands that need one: ``input_gradient`` and ``weight_gradient``."""
        return _summed(self._gradients())

    @property
    def saved(self) -> tuple[tuple[str, Expr], ...]:
        """What the backward pass needs of the forward pass: name and elements of each value, parameters apart."""
        return tuple((each.name, self.numel(each)) for each in self.kept_tensors)

    @property
    def kept_tensors(self) -> tuple[Tensor, ...]:
        """The tensors of ``saved``, with their axes."""
        return tuple(self._saved_tensors())

    @property
    def elements_read(self) -> Expr:
        """Elements of all operands, parameters among them."""
        return Add(*(self.numel(each) for each in self.sentence.operands))

    @property
    def elements_written(self) -> Expr:
        """Elements of the result."""
        return self.numel(self.sentence.result)

    def doit(self, **_: Any) -> Operation:
        """Itself: nothing in a declaration is left to do, and its mask is counted only where a convention asks."""
        return self

    _eval_simplify = doit

    def shape(self, tensor: Tensor) -> tuple[Expr, ...]:
        """The sizes of a tensor of the sentence."""
        return tuple(self.sizes[axis] for axis in tensor.axes)

    def numel(self, tensor: Tensor) -> Expr:
        """The elements of a tensor as it is stored: masked pairs are stored too."""
        return Mul(*self.shape(tensor))

    def elements(self, axes: Axes) -> Expr:
        """The points of an iteration over axes: query and key together are the attended pairs."""
        if self.mask is not None and axes >= PAIRED:
            return self.mask * Mul(*(self.sizes[axis] for axis in sorted(axes - PAIRED)))
        return Mul(*(self.sizes[axis] for axis in sorted(axes)))

    def _forward(self) -> Iterable[tuple[Kind, Expr]]:
        return ()

    def _gradients(self) -> Iterable[tuple[Kind, Pass, Expr]]:
        return ()

    def _saved_tensors(self) -> Iterable[Tensor]:
        return ()

    def _needs_gradient(self, tensor: Tensor) -> bool:
        return tensor.name not in self.constants

    def _gradient_pass(self, tensor: Tensor) -> Pass:
        return "weight_gradient" if tensor.is_parameter else "input_gradient"

    def _sympystr(self, printer: Any) -> str:
        return self.name

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        return operator_latex(self.name)


class Contraction(Operation):
    """An einsum of two operands, and a bias where the sentence adds one.

    Each operand's gradient is the einsum with that operand and the result exchanged, so it costs one forward exactly.
    """

    @classmethod
    def _accept(cls, name: str, sentence: Sentence, formula: Any) -> None:
        foreign = {axis for bias in sentence.added for axis in bias.axes} - set(sentence.result.axes)
        if len(sentence.factors) != 2 or len(sentence.added) > 1 or foreign:
            what = "two factors and at most one bias, over axes of the result"
            raise DeclarationError(f"contraction {name}: {what}, not {sentence.text!r}")
        left, right = (set(factor.axes) for factor in sentence.factors)
        alone = sorted((left ^ right) - set(sentence.result.axes))
        if alone:
            # Summed over in one factor alone, it could be summed first: the einsum's volume would not be its work.
            raise DeclarationError(f"contraction {name}: the summed axes {' '.join(alone)} stand in one factor only")

    @property
    def _volume(self) -> Expr:
        everywhere = frozenset(axis for each in self.sentence.factors for axis in each.axes)
        return self.elements(everywhere | frozenset(self.sentence.result.axes))

    def _forward(self) -> Iterable[tuple[Kind, Expr]]:
        yield "mac", self._volume
        for _ in self.sentence.added:
            yield "bias_add", self.elements(frozenset(self.sentence.result.axes))

    def _gradients(self) -> Iterable[tuple[Kind, Pass, Expr]]:
        for operand in filter(self._needs_gradient, self.sentence.factors):
            yield "mac", self._gradient_pass(operand), self._volume
        for bias in filter(self._needs_gradient, self.sentence.added):
            added = self.elements(frozenset(self.sentence.result.axes))
            yield "bias_add", "weight_gradient", added - self.numel(bias)

    def _saved_tensors(self) -> Iterable[Tensor]:
        """An operand is needed for the gradient of the other one; parameters are there anyway."""
        left, right = self.sentence.factors
        for operand, other in ((left, right), (right, left)):
            if self._needs_gradient(other) and not operand.is_parameter:
                yield operand


class Lookup(Operation):
    """Rows of a table, picked by integers, which need no gradient; the table's gradient is a scatter of additions.

    >>> token = Lookup("token", "weight[vocab d_model] -> x[seq d_model]", {"vocab": 9, "d_model": 4, "seq": 3})
    >>> token.work["lookup", "forward"], token.work["one_hot_mac", "forward"], token.saved
    (12, 108, (('index', 3),))
    """

    @classmethod
    def _accept(cls, name: str, sentence: Sentence, formula: Any) -> None:
        if len(sentence.operands) != 1:
            raise DeclarationError(f"lookup {name}: one table, not {sentence.text!r}")

    @property
    def _index(self) -> Tensor:
        table = self.sentence.operands[0]
        return Tensor("index", tuple(axis for axis in self.sentence.result.axes if axis not in table.axes))

    @property
    def elements_read(self) -> Expr:
        """The rows picked and the integers that pick them, not the whole table."""
        return self.elements_written + self.numel(self._index)

    @property
    def _picked(self) -> Expr:
        return self.elements(frozenset(self.sentence.result.axes))

    def _forward(self) -> Iterable[tuple[Kind, Expr]]:
        table = self.sentence.operands[0]
        yield "lookup", self._picked
        yield "one_hot_mac", self.elements(frozenset(self.sentence.result.axes) | frozenset(table.axes))

    def _gradients(self) -> Iterable[tuple[Kind, Pass, Expr]]:
        for table in filter(self._needs_gradient, self.sentence.operands):
            yield "add", self._gradient_pass(table), self._picked

    def _saved_tensors(self) -> Iterable[Tensor]:
        if self._needs_gradient(self.sentence.operands[0]):
            yield self._index


def _summed(amounts: Iterable[tuple[Kind, Pass, Expr]]) -> Work:
    parts: dict[tuple[Kind, Pass], list[Expr]] = defaultdict(list)
    for kind, pass_, amount in amounts:
        parts[kind, pass_].append(amount)
    return {key: Add(*each) for key, each in parts.items()}
