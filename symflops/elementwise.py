"""Elementwise and reducing steps: what they compute is a formula, and everything about them follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Atom, Expr, Integer, Lambda, Symbol

from symflops.declarations import Sentence, Tensor
from symflops.errors import DeclarationError
from symflops.formulas import Axes, Backward, Reduction, Step, axes_of, backward, steps
from symflops.operations import Kind, Operation, Pass


class Formula(Atom):
    """What an elementwise step computes: a `Lambda` that sympy's rewriting leaves as it was declared.

    The work of a step is the work of its formula as written, so that ``expand`` of a network must not expand it.
    """

    def __new__(cls, rule: Lambda) -> Formula:
        formula = Atom.__new__(cls)
        formula.rule = rule
        return formula  # type: ignore[no-any-return]

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.rule,)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.rule,)

    def _sympystr(self, printer: Any) -> str:
        return str(printer._print(self.rule))

    _sympyrepr = _sympystr


class Elementwise(Operation):
    """An elementwise or reducing step, declared by its formula: a `Lambda` over the operands, in the sentence's order.

    >>> from sympy import exp, symbols
    >>> x = Symbol("x")
    >>> Elementwise("exp", "x[seq] -> y[seq]", {"seq": 5}, formula=Lambda(x, exp(x))).work["exp", "forward"]
    5
    """

    def __new__(cls, *args: Any, formula: Lambda | None = None, **more: Any) -> Elementwise:
        """As `Operation`; a formula given as a `Lambda` is held as it is written."""
        if formula is not None:
            more["formula"] = Formula(formula) if isinstance(formula, Lambda) else formula
        return Operation.__new__(cls, *args, **more)

    @classmethod
    def _accept(cls, name: str, sentence: Sentence, formula: Any) -> None:
        names = [each.name for each in sentence.operands]
        given = [symbol.name for symbol in formula.rule.variables] if isinstance(formula, Formula) else None
        if given != names:
            raise DeclarationError(
                f"elementwise {name}: the formula must be a Lambda over {', '.join(names)}, not {given}"
            )
        _check_axes(name, formula.rule, sentence)

    @property
    def _rule(self) -> tuple[Lambda, Sentence]:
        return self.args[6].rule, self.sentence

    @property
    def _calculus(self) -> _Calculus:
        return _calculus(*self._rule, self.constants)

    def _forward(self) -> Iterable[tuple[Kind, Expr]]:
        for step in _forward_steps(*self._rule):
            yield step.kind, self._times(step)

    def _gradients(self) -> Iterable[tuple[Kind, Pass, Expr]]:
        for pass_, step in self._calculus.gradient_steps:
            yield step.kind, pass_, self._times(step)

    def _times(self, step: Step) -> Expr:
        less = Integer(0) if step.less is None else self.elements(step.less)
        return step.times * self.elements(step.axes) - less

    def _saved_tensors(self) -> Iterable[Tensor]:
        tensors = {each.name: each for each in self.sentence.operands}
        result = self.sentence.result
        for name in self._calculus.backward.kept:
            yield Tensor(result.name, result.axes) if name == "output" else tensors[name]
        for number, (_, axes) in enumerate(self._calculus.backward.rows):
            yield Tensor(f"row_{number}", tuple(sorted(axes)))


@dataclass(frozen=True)
class _Calculus:
    """The gradients of a formula and their steps, over axes, before any size is known."""

    backward: Backward
    gradient_steps: tuple[tuple[Pass, Step], ...]


def _check_axes(name: str, formula: Lambda, sentence: Sentence) -> None:
    """Refuse a formula over axes that are not there, or whose value has other axes than the result."""
    axes = _operand_axes(formula, sentence)
    for node in formula.expr.atoms(Reduction):
        if not node.over <= axes_of(node.args[0], axes):
            raise DeclarationError(f"elementwise {name}: {node} reduces over an axis that its operands lack")
    found, result = axes_of(formula.expr, axes), frozenset(sentence.result.axes)
    if found != result:
        have, want = (" ".join(sorted(each)) for each in (found, result))
        raise DeclarationError(f"elementwise {name}: the formula's value has the axes {have}, and the result {want}")


def _operand_axes(formula: Lambda, sentence: Sentence) -> dict[Symbol, Axes]:
    return {symbol: frozenset(each.axes) for symbol, each in zip(formula.variables, sentence.operands, strict=True)}


@lru_cache(maxsize=1024)
def _forward_steps(formula: Lambda, sentence: Sentence) -> tuple[Step, ...]:
    return tuple(steps([formula.expr], _operand_axes(formula, sentence)))


@lru_cache(maxsize=1024)
def _calculus(formula: Lambda, sentence: Sentence, constants: frozenset[str]) -> _Calculus:
    axes, result_axes = _operand_axes(formula, sentence), frozenset(sentence.result.axes)
    upstream = Symbol("upstream")
    axes[upstream] = result_axes
    pairs = list(zip(formula.variables, sentence.operands, strict=True))
    wanted = [(symbol, each) for symbol, each in pairs if each.name not in constants]
    held = frozenset(symbol for symbol, each in pairs if each.is_parameter)
    back = backward(formula.expr, [symbol for symbol, _ in wanted], upstream, axes, held)
    known = {**axes, **dict(back.rows), Symbol("output"): result_axes}
    passes = ["weight_gradient" if each.is_parameter else "input_gradient" for _, each in wanted]
    return _Calculus(back, tuple(_gradient_steps(back, passes, known)))


def _gradient_steps(back: Backward, passes: list[Pass], axes: Mapping[Symbol, Axes]) -> Iterable[tuple[Pass, Step]]:
    """A subexpression that two gradients share belongs to the first that needs it."""
    done = 0
    for number, pass_ in enumerate(passes, start=1):
        so_far = steps(back.gradients[:number], axes)
        yield from ((pass_, step) for step in so_far[done:])
        done = len(so_far)
