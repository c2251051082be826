"""Optimisers, declared: what each keeps of a parameter by its shape, and its update as formulas.

States and FLOPs of a step follow for any network: its parameters, each with its own shape, times their copies.

>>> from symflops.layers.linear import BIAS, linear
>>> from symflops.notation import d_ff, d_model
>>> up = linear("up", d_model, d_ff, "feedforward", BIAS)
>>> {state.name: state.elements for state in states(up, "adafactor")}
{'step': 2, 'row_var': d_model, 'col_var': d_ff, 'variance': d_ff}
>>> step_flops(up, "adam", "all-operations")
13*d_ff*d_model + 13*d_ff FLOP (all-operations)
>>> step_flops(up, "adam", "torch"), step_flops(up.subs({d_model: 4, d_ff: 6}), "muon", "torch")
(0 FLOP (torch), 2560 FLOP (torch))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from sympy import Add, Expr, Integer, Lambda, Mul, Piecewise, S, expand

from symflops.conventions import ALL_OPERATIONS, Convention
from symflops.declarations import parse
from symflops.elementwise import Elementwise
from symflops.measures import flops
from symflops.networks import Block
from symflops.totals import Total
from symflops.training.formats_known import FP32, NumberFormat, number_format
from symflops.training.tensors import Shape, Tensor, tensors

Step: TypeAlias = Callable[[Shape], Expr]
"""The update of a parameter of some shape, as a network."""
Over = Literal["whole", "rows", "columns", "once"]
SIZES: Mapping[Over, Callable[[Shape], Expr]] = MappingProxyType(
    {
        "whole": lambda shape: Mul(*shape),
        "rows": lambda shape: Mul(*shape[:-1]),
        "columns": lambda shape: Mul(*shape[:-2], shape[-1]),
        "once": lambda shape: S.One,
    }
)
"""Elements of a state by the parameter's shape: as many, without the last axis, without the last but one, or one."""


@dataclass(frozen=True)
class State:
    """What is kept of each parameter: its name as in the library cited, over which axes, in which format.

    Without a format it is in that of the moments, which a precision says. Tensors of under ``smallest`` elements are
    kept in float32.
    """

    name: str
    over: Over = "whole"
    form: NumberFormat | None = None
    smallest: int = 0

    def elements(self, shape: Shape) -> Expr:
        """Numbers that are kept of a parameter of this shape."""
        return SIZES[self.over](shape)

    def bytes(self, shape: Shape, moments: NumberFormat) -> Expr:
        """Bytes that are kept of a parameter of this shape, scales of blocks among them."""
        kept = self.elements(shape)
        own = (self.form or moments).bytes_of(kept)
        if self.smallest == 0:
            return own
        return Piecewise((FP32.bytes_of(kept), kept < self.smallest), (own, True))


FITS: Mapping[str, Callable[[Tensor], bool]] = MappingProxyType(
    {
        "hidden matrices": lambda tensor: tensor.in_hidden_matmul and tensor.is_matrix,
        "matrices": lambda tensor: tensor.is_matrix,
        "all": lambda tensor: True,
    }
)
"""Which parameters a rule is for."""


@dataclass(frozen=True)
class Rule:
    """What is kept of the parameters that it is for, and how they are updated."""

    states: tuple[State, ...]
    step: Step
    of: str = "all"


@dataclass(frozen=True)
class Optimizer:
    """An optimiser: of its rules, the first that fits a parameter is the parameter's; ``citation`` says whose it is."""

    name: str
    title: str
    citation: str
    rules: tuple[Rule, ...]

    def rule(self, tensor: Tensor) -> Rule:
        """The rule of a parameter."""
        return next(rule for rule in self.rules if FITS[rule.of](tensor))


@dataclass(frozen=True)
class Kept:
    """A value that training keeps: its name, what it belongs to, its format, elements and bytes in closed form.

    ``per`` says whether it grows with each parameter, or is there once for a tensor, such as a counter, or a model.
    """

    name: str
    part: str
    form: NumberFormat
    elements: Expr
    bytes: Expr
    per: Literal["parameter", "tensor", "model"] = "parameter"


def elementwise(*updates: tuple[str, str, Expr]) -> Step:
    """Updates, each a name, a sentence and the formula over its operands: in place of axes it says how far they reach.

    ``[whole]`` are all axes of the parameter, the last two of them ``row`` and ``column``; ``[rows]`` and ``[columns]``
    leave one of these out, ``[batch]`` both, ``[once]`` all.

    >>> from sympy.abc import g, m
    >>> sum_of = elementwise(("sum", "m[whole] g[whole] -> m_new[whole]", m + g))
    >>> flops(sum_of((Integer(3), Integer(5))), "all-operations")
    15 FLOP (all-operations)
    """

    def step(shape: Shape) -> Expr:
        axes = [*(f"axis{number}" for number in range(len(shape) - 2)), "row", "column"][-len(shape) :] if shape else []
        sizes = dict(zip(axes, shape, strict=True))
        return Add(*(_update(name, _over_axes(sentence, axes), formula, sizes) for name, sentence, formula in updates))

    return step


def _over_axes(sentence: str, axes: list[str]) -> str:
    reach = {"whole": axes, "rows": axes[:-1], "columns": axes[:-2] + axes[-1:], "batch": axes[:-2], "once": []}
    for word, named in reach.items():
        sentence = sentence.replace(f"[{word}]", f"[{' '.join(named)}]")
    return sentence


def _update(name: str, sentence: str, formula: Expr, sizes: dict[str, Expr]) -> Elementwise:
    parsed = parse(sentence)
    known = {each.name: each for each in formula.free_symbols}
    operands = tuple(known[tensor.name] for tensor in parsed.operands)
    inside = {axis: sizes[axis] for axis in parsed.axes}
    return Elementwise(name, sentence, inside, "optimizer", formula=Lambda(operands, formula))


def optimizer(given: str | Optimizer) -> Optimizer:
    """An optimiser by its name, or itself.

    >>> optimizer("adamw").title
    'AdamW'

    Raises `UnknownName`.
    """
    from symflops.training.optimizers_known import known

    return known(given)


def states(network: Expr, given: str | Optimizer, moments: object = FP32) -> tuple[Kept, ...]:
    """What an optimiser keeps of a network's trained parameters, by state; ``moments`` is the format of its moments.

    Raises `UnknownName`, and `NotLinearError` for what is no network.
    """
    chosen, form = optimizer(given), number_format(moments)
    found: dict[State, list[Tensor]] = {}
    for tensor in trained(network):
        for state in chosen.rule(tensor).states:
            found.setdefault(state, []).append(tensor)
    return tuple(_kept(state, of, form) for state, of in sorted(found.items(), key=_counters_first))


def _counters_first(item: tuple[State, list[Tensor]]) -> bool:
    return item[0].over != "once"


def _kept(state: State, of: list[Tensor], moments: NumberFormat) -> Kept:
    elements = expand(Add(*(each.copies * state.elements(each.shape) for each in of)))
    held = expand(Add(*(each.copies * state.bytes(each.shape, moments) for each in of)))
    per: Literal["parameter", "tensor"] = "tensor" if state.over == "once" else "parameter"
    return Kept(state.name, "optimizer", state.form or moments, elements, held, per)


def trained(network: Expr) -> tuple[Tensor, ...]:
    """The parameters that are owned and trained."""
    return tuple(each for each in tensors(network) if each.trained and each.copies != 0)


def update_network(network: Expr, given: str | Optimizer) -> Expr:
    """One step of an optimiser as a network: each trained parameter's update, times its copies.

    Raises as `states`.
    """
    chosen = optimizer(given)
    parts = (each.copies * _place(each, chosen.rule(each).step(each.shape)) for each in trained(network))
    return Add(*parts, Integer(0))


def _place(tensor: Tensor, update: Expr) -> Expr:
    return Block(f"{tensor.path}.{tensor.name}", update) if update != 0 else update


def step_flops(network: Expr, given: str | Optimizer, convention: str | Convention = ALL_OPERATIONS) -> Total:
    """The work of one step of an optimiser, priced by a convention; one that prices matmuls alone sees only those.

    Raises `UnknownName`, and `NotLinearError` for what is no network.
    """
    return flops(update_network(network, given), convention)
