"""The calculus of elementwise and reducing steps: from what a step computes to its work, gradients and saved values.

A formula is a sympy expression over named operands; `Total`, `Mean` and `Largest` reduce over named axes. An operand
has axes, and so has every subexpression: the union of its parts' axes, less those reduced. Nothing here knows sizes.

>>> x, y = Symbol("x"), Symbol("y")
>>> axes = {x: frozenset({"row", "column"}), y: frozenset({"column"})}
>>> sorted(axes_of(Total(x * y, "column"), axes))
['row']
>>> [(step.kind, sorted(step.axes)) for step in steps([x * y + y], axes)]
[('mul', ['column', 'row']), ('add', ['column', 'row'])]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import (
    Add,
    Dummy,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Mul,
    Pow,
    Rational,
    Symbol,
    exp,
    expand,
    postorder_traversal,
)  # fmt: skip
from sympy.core.symbol import Str

from symflops.errors import DeclarationError

Axes = frozenset[str]
FUNCTIONS = frozenset({"exp", "log", "erf", "tanh", "sin", "cos", "compare"})
"""The functions of one value that a formula may use besides sums, products, powers and reductions."""


class Reduction(Expr):
    """An expression reduced over one or more named axes."""

    is_commutative = True
    kind = "add"

    def __new__(cls, body: Any, *axes: Any) -> Reduction:
        names = (axis if isinstance(axis, Str) else Str(axis) for axis in axes)
        return Expr.__new__(cls, body, *names)  # type: ignore[no-any-return]

    @property
    def over(self) -> Axes:
        """The axes that are gone from the result."""
        return frozenset(axis.name for axis in self.args[1:])


class Total(Reduction):
    """The sum over axes."""


class Mean(Reduction):
    """The mean over axes: a sum and one division."""


class Largest(Reduction):
    """The maximum over axes. Only ever a shift that cancels (softmax), so that no gradient passes through it."""

    kind = "compare"


@dataclass(frozen=True)
class Step:
    """One elementary operation of a formula for each element of ``axes``, less one for each element of ``less``."""

    kind: str
    axes: Axes
    times: int = 1
    less: Axes | None = None


def axes_of(node: Expr, axes: Mapping[Symbol, Axes]) -> Axes:
    """The axes of a subexpression."""
    if isinstance(node, Symbol):
        return axes.get(node, frozenset())
    if isinstance(node, Reduction):
        return axes_of(node.args[0], axes) - node.over
    return frozenset().union(*(axes_of(part, axes) for part in node.args))


def steps(outputs: Sequence[Expr], axes: Mapping[Symbol, Axes]) -> list[Step]:
    """The elementary operations that compute ``outputs``, a common subexpression once."""
    nodes: dict[Expr, None] = {}
    for output in outputs:
        nodes.update(dict.fromkeys(_computed(output)))
    return [step for node in nodes if node.free_symbols & axes.keys() for step in _steps_of(node, axes)]


def _computed(node: Expr) -> Iterator[Expr]:
    """Subexpressions in the order they are computed; a reciprocal in a product is the division, not a step of it."""
    for part in node.args:
        if _is_divisor(node, part) and len(node.args) > 1:
            yield from _computed(part.base)
        elif isinstance(part, Expr):
            yield from _computed(part)
    yield node


def _steps_of(node: Expr, axes: Mapping[Symbol, Axes]) -> list[Step]:
    own = axes_of(node, axes)
    if isinstance(node, Reduction):
        inner = axes_of(node.args[0], axes)
        summed = Step(node.kind, inner, less=own)
        return [summed, Step("div", own)] if isinstance(node, Mean) else [summed]
    if isinstance(node, Add | Mul):
        return _chain(node, axes)
    if isinstance(node, Pow) and node.exp.is_Rational:
        return _power(node.exp, own)
    if isinstance(node, Max | Min):
        return [Step("compare", own, times=len(node.args) - 1)]
    name = "compare" if isinstance(node, Heaviside) else type(node).__name__.lower()
    if node.args and name not in FUNCTIONS:
        raise DeclarationError(f"{node}: {name} has no price in a formula; known: {', '.join(sorted(FUNCTIONS))}")
    return [Step(name, own)] if node.args else []


def _chain(node: Expr, axes: Mapping[Symbol, Axes]) -> list[Step]:
    """A sum or product, the parts with fewest axes first and divisors last; constants are one, a factor -1 a sign."""
    constants = [part for part in node.args if not part.free_symbols & axes.keys()]
    varying = [part for part in node.args if part not in constants]
    free = (0,) if isinstance(node, Add) else (1, -1)
    folded = [] if node.func(*constants) in free else [node.func(*constants)]
    parts = folded + sorted(varying, key=lambda part: (_is_divisor(node, part), len(axes_of(part, axes))))
    so_far = axes_of(parts[0], axes)
    result = [Step("div", so_far)] if _is_divisor(node, parts[0]) else []
    for part in parts[1:]:
        so_far = so_far | axes_of(part, axes)
        result.append(Step(_binary(node, part), so_far))
    return result


def _is_divisor(node: Expr, part: Expr) -> bool:
    return isinstance(node, Mul) and isinstance(part, Pow) and bool(part.exp == -1)


def _binary(node: Expr, part: Expr) -> str:
    if isinstance(node, Add):
        return "add"
    return "div" if _is_divisor(node, part) else "mul"


def _power(exponent: Rational, own: Axes) -> list[Step]:
    """``u**(p/q)``: the products of the numerator, a root for a half, a division for a negative exponent."""
    if exponent.q > 2:
        raise DeclarationError(f"a power {exponent} has no price in a formula; use whole powers and square roots")
    products = abs(exponent.p) - 1
    result = [Step("mul", own, times=products)] if products else []
    if exponent.q != 1:
        result.append(Step("sqrt", own))
    return [*result, Step("div", own)] if exponent.is_negative else result


def gradients(formula: Expr, wanted: Sequence[Symbol], upstream: Symbol, axes: Mapping[Symbol, Axes]) -> list[Expr]:
    """The gradient for each wanted operand, by reverse accumulation, given the result's gradient ``upstream``.

    >>> from sympy import Symbol, exp
    >>> x, g = Symbol("x"), Symbol("g")
    >>> gradients(exp(x), [x], g, {x: frozenset("i"), g: frozenset("i")})
    [g*exp(x)]
    """
    adjoint: dict[Expr, list[Expr]] = {formula: [upstream]}
    order = list(dict.fromkeys(postorder_traversal(formula)))
    for node in reversed(order):
        incoming = Add(*adjoint.get(node, []))
        if incoming == 0 or not node.args:
            continue
        for part, local in _local_derivatives(node):
            gone = axes_of(node, axes) - axes_of(part, axes)
            flow = incoming * local
            adjoint.setdefault(part, []).append(Total(flow, *sorted(gone)) if gone else flow)
    return [Add(*adjoint.get(operand, [])) for operand in wanted]


def _local_derivatives(node: Expr) -> Iterator[tuple[Expr, Expr]]:
    if isinstance(node, Largest):
        return
    if isinstance(node, Reduction):
        length = Mul(*(Symbol(f"size_{name}", positive=True) for name in sorted(node.over)))
        yield node.args[0], 1 / length if isinstance(node, Mean) else Integer(1)
        return
    slots = [Dummy(positive=bool(part.is_positive)) for part in node.args]
    generic = node.func(*slots)
    for slot, part in zip(slots, node.args, strict=True):
        if part.free_symbols:
            derivative = generic.diff(slot)
            yield part, derivative.xreplace(dict(zip(slots, node.args, strict=True)))


@dataclass(frozen=True)
class Backward:
    """Gradients written in values that the forward pass keeps.

    ``kept`` names full-size values (operands, or ``output``); ``rows`` are reduced values, such as a row's mean.
    """

    gradients: tuple[Expr, ...]
    kept: tuple[str, ...]
    rows: tuple[tuple[Symbol, Axes], ...]


OUTPUT = Symbol("output")


def backward(
    formula: Expr, wanted: Sequence[Symbol], upstream: Symbol, axes: Mapping[Symbol, Axes], held: frozenset[Symbol]
) -> Backward:
    """The gradients, and the least that must be kept to compute them.

    The result is kept instead of the operands where the gradient can be written in it alone (exp, tanh, softmax);
    else the operands that occur, and the reduced values that occur (the mean and variance of a normalisation).
    ``held`` are operands that are kept anyway: the parameters.
    """
    raw = gradients(formula, wanted, upstream, axes)
    rows = {node: Dummy(f"row_{number}") for number, node in enumerate(_outermost_reductions(formula))}
    plain, body = [gradient.xreplace(rows) for gradient in raw], formula.xreplace(rows)
    row_axes = {symbol: axes_of(node, axes) for node, symbol in rows.items()}
    full = {**axes, **row_axes, OUTPUT: axes_of(formula, axes)}
    operands = set(axes) - held - {upstream}
    by_output = [_pull_out(expand(each.xreplace(_in_output(body, row_axes))), full) for each in plain]
    if not set().union(*(each.free_symbols for each in by_output)) & (operands | set(row_axes)):
        plain = by_output
    used = set().union(*(each.free_symbols for each in plain))
    kept = tuple(sorted(symbol.name for symbol in used & (operands | {OUTPUT})))
    return Backward(tuple(plain), kept, tuple((symbol, row_axes[symbol]) for symbol in row_axes if symbol in used))


def _outermost_reductions(node: Expr) -> list[Expr]:
    if isinstance(node, Reduction):
        return [node, *(inner for inner in _outermost_reductions(node.args[0]) if inner != node)]
    return list(dict.fromkeys(inner for part in node.args for inner in _outermost_reductions(part)))


def _in_output(body: Expr, row_axes: Mapping[Symbol, Axes]) -> dict[Expr, Expr]:
    """How to write what the forward pass computed in its result: ``e/s = y`` gives ``e = y*s`` for a row value s."""
    if not isinstance(body, Mul):
        return {body: OUTPUT}
    per_row = [part for part in body.args if part.free_symbols <= set(row_axes)]
    return {Mul(*(part for part in body.args if part not in per_row)): OUTPUT / Mul(*per_row)}


def _pull_out(node: Expr, axes: Mapping[Symbol, Axes]) -> Expr:
    """Move factors that do not vary along the summed axes out of each `Total`, so that they can cancel."""
    if not isinstance(node, Reduction):
        parts = [_pull_out(part, axes) for part in node.args]
        return expand(node.func(*parts)) if parts else node
    terms = [_split(term, node.over, axes) for term in Add.make_args(expand(_pull_out(node.args[0], axes)))]
    return Add(*(outside * node.func(inside, *node.args[1:]) for outside, inside in terms))


def _split(term: Expr, over: Axes, axes: Mapping[Symbol, Axes]) -> tuple[Expr, Expr]:
    inside = [part for part in Mul.make_args(term) if axes_of(part, axes) & over]
    return term / Mul(*inside), Mul(*inside)


def sigmoid(value: Expr) -> Expr:
    """The logistic function as it is computed: an exponential, an addition and a division."""
    return 1 / (1 + exp(-value))
