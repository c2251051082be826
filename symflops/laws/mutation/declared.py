"""Faults of one operation: its sizes, sentence, gradients and role, made by rule from its declaration.

>>> from symflops.layers.linear import linear
>>> from symflops.notation import d_ff, d_model
>>> up = linear("up", d_model, d_ff, "feedforward")
>>> [what for what, _ in coefficients(up, ())]
['d_in = d_model + 1', 'd_in = d_model - 1', 'd_out = d_ff + 1', 'd_out = d_ff - 1', 'runs twice']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sympy import Expr, Integer, Lambda

from symflops.declarations import Sentence, Tensor
from symflops.elementwise import Elementwise
from symflops.formulas import Largest, Mean
from symflops.notation import n_head, n_kv_head
from symflops.operations import Contraction, Operation

Made = Callable[[Operation], Expr]
Faults = Iterator[tuple[str, Made]]
"""Faults of one operation: what is changed, and the change."""
LENGTHS = frozenset({"batch", "seq", "query", "key"})
"""Axes of tokens and pairs."""


def with_sizes(operation: Operation, sizes: Mapping[str, Expr]) -> Operation:
    """The operation with some other sizes."""
    return _with(operation, 2, {**operation.sizes, **sizes})


def _with(operation: Operation, place: int, argument: object) -> Operation:
    args: list[Any] = list(operation.args)
    args[place] = argument
    made: Operation = operation.func(*args)
    return made


def widths(operation: Operation) -> dict[str, Expr]:
    """The sizes that are of no tokens."""
    return {axis: size for axis, size in operation.sizes.items() if axis not in LENGTHS}


def _resized(axis: str, size: Expr) -> Made:
    return lambda operation: with_sizes(operation, {axis: size})


def swapped(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """A size is the next of those that the model has; two sizes are exchanged."""
    for axis, size in widths(operation).items():
        others = [each for each in pool if each != size]
        if others and size != 1:
            other = others[len(str(operation.args[0]) + axis) % len(others)]
            yield f"{axis} = {other}, not {size}", _resized(axis, other)
    if {"d_in", "d_out"} <= operation.sizes.keys() and operation.sizes["d_in"] != operation.sizes["d_out"]:
        yield "d_in and d_out exchanged", _exchanged


def _exchanged(operation: Operation) -> Operation:
    return with_sizes(operation, {"d_in": operation.sizes["d_out"], "d_out": operation.sizes["d_in"]})


def dropped(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """A size is one; the weight lacks an axis."""
    for axis, size in operation.sizes.items():
        if size != 1 and not (operation.mask and axis in ("query", "key")):
            yield f"{axis} = 1, not {size}", _resized(axis, Integer(1))
    for tensor in operation.sentence.parameters:
        for axis in tensor.axes if isinstance(operation, Contraction) else ():
            less = Tensor(tensor.name, tuple(each for each in tensor.axes if each != axis))
            yield f"{tensor.name} without {axis}", _rewritten({tensor.name: less})


def _rewritten(tensors: Mapping[str, Tensor]) -> Made:
    def made(operation: Operation) -> Operation:
        said = operation.sentence
        factors, added = ([tensors.get(each.name, each) for each in part] for part in (said.factors, said.added))
        return _with(operation, 1, text(factors, added, said))

    return made


def text(factors: Sequence[Tensor], added: Sequence[Tensor], said: Sentence) -> str:
    """A sentence of other operands."""
    written = " ".join(map(_tensor, factors)) + "".join(f" + {_tensor(each)}" for each in added)
    return f"{written} -> {_tensor(said.result)}"


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name}[{' '.join(tensor.axes)}]"


def coefficients(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """A size is one more or one less; the operation runs twice."""
    for axis, size in widths(operation).items():
        if size.free_symbols:
            yield f"{axis} = {size} + 1", _resized(axis, size + 1)
            yield f"{axis} = {size} - 1", _resized(axis, size - 1)
    yield "runs twice", lambda operation: 2 * operation


def heads(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """Query heads for those of keys and values, and the other way round."""
    other = {n_head: n_kv_head, n_kv_head: n_head}
    if n_kv_head not in {each for size in pool for each in size.free_symbols}:
        return
    for axis, size in widths(operation).items():
        new = size.subs(other, simultaneous=True)
        if new != size:
            yield f"{axis} = {new}, not {size}", _resized(axis, new)


def biases(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """A bias is missing, or one too many."""
    said = operation.sentence
    if any(each.name == "bias" for each in said.added):
        yield "no bias", _without_bias
    elif isinstance(operation, Contraction) and said.parameters:
        yield "a bias", _biased


def _biased(operation: Operation) -> Operation:
    said = operation.sentence
    bias = Tensor("bias", said.result.axes[-1:])
    return _with(operation, 1, text(said.factors, (*said.added, bias), said))


def _without_bias(operation: Operation) -> Operation:
    said = operation.sentence
    rest = [each for each in said.added if each.name != "bias"]
    args: list[Any] = list(operation.args)
    args[1] = text(said.factors, rest, said)
    if isinstance(operation, Elementwise):
        variables = [each for each in operation.args[6].rule.variables if each.name != "bias"]
        (bias,) = (each for each in operation.args[6].rule.variables if each.name == "bias")
        return _formula(args, Lambda(tuple(variables), operation.args[6].rule.expr.xreplace({bias: Integer(0)})))
    made: Operation = operation.func(*args)
    return made


def _formula(args: Sequence[object], rule: Lambda) -> Operation:
    return Elementwise(*args[:6], formula=rule)


def gradients(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """An operand has no gradient; a constant has one."""
    for tensor in operation.sentence.operands:
        constant = tensor.name in operation.constants
        yield f"{'a' if constant else 'no'} gradient of {tensor.name}", _other_constant(tensor.name)


def _other_constant(name: str) -> Made:
    return lambda operation: _with(operation, 5, tuple(sorted(operation.constants ^ {name})))


def roles(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """The role of another operation."""
    names = ("qkv", "scores", "mix", "project", "feedforward", "router", "logits", "embedding", "norm", "softmax")
    others = [each for each in names if each != operation.role]
    other = others[len(operation.name + operation.role) % len(others)]
    yield f"role {other}, not {operation.role}", lambda each: _with(each, 3, other)


def formulas(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """The formula multiplied by two, less its first operand, or with a reduction left out."""
    if not isinstance(operation, Elementwise):
        return
    for what, change in _FORMULAS.items():
        changed = change(operation.args[6].rule)
        if changed.expr != operation.args[6].rule.expr:
            yield what, _other_formula(change)


def _other_formula(change: Callable[[Lambda], Lambda]) -> Made:
    return lambda operation: _formula(operation.args, change(operation.args[6].rule))


def _less_reductions(rule: Lambda) -> Lambda:
    """Without what is subtracted of a row: the largest of a softmax, the mean of a norm."""
    found = [each for each in rule.expr.atoms(Largest, Mean) if each.args[0] in rule.variables]
    return Lambda(rule.variables, rule.expr.xreplace({each: Integer(0) for each in found}))


_FORMULAS: Mapping[str, Callable[[Lambda], Lambda]] = {
    "twice its value": lambda rule: Lambda(rule.variables, 2 * rule.expr),
    "its first operand less": lambda rule: Lambda(rule.variables, rule.expr - rule.variables[0]),
    "no largest or mean subtracted": _less_reductions,
}


def runs(operation: Operation, pool: Sequence[Expr]) -> Faults:
    """The operation is not there."""
    yield "missing", lambda operation: Integer(0)


BY_KIND: Mapping[str, Callable[[Operation, Sequence[Expr]], Faults]] = {
    "dimension swapped": swapped,
    "dimension dropped": dropped,
    "coefficient": coefficients,
    "heads exchanged": heads,
    "bias": biases,
    "gradient": gradients,
    "operation": runs,
    "role": roles,
    "formula": formulas,
}
"""Faults of an operation by kind; ``pool`` are the widths that its model has."""
