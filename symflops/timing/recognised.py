"""What torch has one kernel for, recognised by what an operation declares; all other formulas run step by step.

>>> from symflops.layers.softmax import plain
>>> from symflops.masks import Full
>>> [softmax] = plain({"batch": 1, "kv_head": 1, "group": 1}, Full(3, 3))
>>> fused(softmax)
Fused(name='softmax', small=None)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sympy import Expr, Integer, Lambda, Max, Rational, Symbol, erf, exp, pi, sqrt, tanh

from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Mean, Reduction, Total, sigmoid
from symflops.layers.convolution import Convolution
from symflops.operations import Contraction, Lookup, Operation
from symflops.timing.routed import EXPERT, TOKEN

FORMULA = "formula"
"""How the name of what runs step by step begins; its role follows, since steps of one role are as many."""
MM, ADDMM, EINSUM, GROUPED = "mm", "addmm", "einsum", "grouped_mm"
"""The names of matmuls: plain, with a bias, batched, and of tokens sorted by expert."""
CAUSAL, MASKED = " causal", " masked"
"""How the name of a core's kernel ends: it leaves out what is masked causally, or computes what a tensor then masks.

The twin that masks nothing has the same name without."""
_X, _Y, _Z = (Symbol(name, real=True) for name in ("x", "weight", "bias"))


@dataclass(frozen=True)
class Fused:
    """A kernel by name; ``small`` is what a norm adds to the variance."""

    name: str
    small: Rational | None = None


def names(of: Operation) -> tuple[str, ...]:
    """The kernels that can run an operation by itself, by name."""
    if isinstance(of, Elementwise):
        return (fused(of).name,)
    if isinstance(of, Lookup):
        return ("embedding",)
    if isinstance(of, Convolution):
        return ("conv1d",)
    return _matmuls(of) if type(of) is Contraction else (type(of).__name__.lower(),)


def _matmuls(of: Contraction) -> tuple[str, ...]:
    """One matmul of two matrices where a sentence is one as it stands, else batched matmuls by einsum.

    Where each expert has its weight, also one kernel over the tokens of all.
    """
    left, right = of.sentence.factors
    result = of.sentence.result.axes
    if right.axes == (left.axes[-1], result[-1]) and result[:-1] == left.axes[:-1]:
        return (ADDMM,) if of.sentence.added else (MM,)
    return (EINSUM, GROUPED) if left.axes[:-1] == (EXPERT, TOKEN) else (EINSUM,)


def fused(step: Elementwise) -> Fused:
    """The kernel of an elementwise step, which takes the operands in order."""
    rule: Lambda = step.args[6].rule
    layouts = [each.axes for each in step.sentence.operands]
    plain = rule.expr.xreplace(dict(zip(rule.variables, (_X, _Y, _Z), strict=False)))
    if len(layouts) <= 3 and step.sentence.result.axes == layouts[0]:
        for found, form in _candidates(plain, layouts):
            if form == plain:
                return found
    return Fused(f"{FORMULA}: {step.role}" if step.role else FORMULA)


def _candidates(plain: Expr, layouts: list[tuple[str, ...]]) -> Iterator[tuple[Fused, Expr]]:
    if len(layouts) == 1:
        yield from _activations()
    if len(layouts) == 2 and layouts[0] == layouts[1]:
        yield Fused("add"), _X + _Y
        yield Fused("mul"), _X * _Y
    over = {axis for node in plain.atoms(Reduction) for axis in node.over}
    if over == {layouts[0][-1] if layouts[0] else ""}:
        [axis] = over
        yield from _rows(axis, plain, layouts)


def _activations() -> Iterator[tuple[Fused, Expr]]:
    yield Fused("silu"), _X * sigmoid(_X)
    yield Fused("relu"), Max(_X, 0)
    yield Fused("gelu"), _X * (1 + erf(_X / sqrt(Integer(2)))) / 2
    inner = sqrt(2 / pi) * (_X + Rational(44715, 10**6) * _X**3)
    yield Fused("gelu_tanh"), _X * (1 + tanh(inner)) / 2


def _rows(axis: str, plain: Expr, layouts: list[tuple[str, ...]]) -> Iterator[tuple[Fused, Expr]]:
    """Softmax and norms along the last axis; the small number of a norm is one of the formula's own."""
    if len(layouts) == 1:
        grown = exp(_X - Largest(_X, axis))
        yield Fused("softmax"), grown / Total(grown, axis)
    if any(each != (axis,) for each in layouts[1:]):
        return
    middle = _X - Mean(_X, axis)
    for small in sorted(plain.atoms(Rational)):
        yield Fused("layer_norm", small), _Z + _Y * middle / sqrt(Mean(middle**2, axis) + small)
        yield Fused("rms_norm", small), _Y * _X / sqrt(Mean(_X**2, axis) + small)
