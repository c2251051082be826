"""The parameters of a network, tensor by tensor: what optimisers and precisions go by.

>>> from symflops.layers.linear import linear
>>> from symflops.notation import d_ff, d_model, n_layer
>>> [tensor] = tensors(n_layer * linear("up", d_model, d_ff, "feedforward"))
>>> tensor.shape, tensor.copies, tensor.trained
((d_model, d_ff), n_layer, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sympy import Add, Expr, Integer, Mul, S

from symflops.measures import NOT_N
from symflops.networks import Use, uses
from symflops.operations import Contraction, Operation, Parameter

Shape: TypeAlias = tuple[Expr, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter of an operation: its place and shape, how many of it are stored, and whether it is trained.

    ``lent`` counts those that another operation owns and this one reads, such as a tied matrix of logits: each once.
    """

    path: str
    name: str
    shape: Shape
    copies: Expr
    lent: Expr
    trained: bool
    operation: Operation

    @property
    def elements(self) -> Expr:
        """Elements of one."""
        return Mul(*self.shape)

    @property
    def in_matmul(self) -> bool:
        """Whether a matmul reads it, as its weight or bias."""
        return isinstance(self.operation, Contraction)

    @property
    def in_hidden_matmul(self) -> bool:
        """Whether it is the weight of a matmul other than that of the logits."""
        return self.in_matmul and self.name == "weight" and self.operation.role not in NOT_N

    @property
    def is_matrix(self) -> bool:
        """Whether it has two axes or more."""
        return len(self.shape) > 1


def tensors(network: Expr) -> tuple[Tensor, ...]:
    """Every parameter of a network once for each place it stands in.

    Raises `NotLinearError` for what is no network.
    """
    found = [use for use in uses(network) if use.operation.parameters]
    owned = {use.operation for use in found if use.copies != 0}
    return tuple(
        _tensor(use, each, Integer(use.operation not in owned)) for use in found for each in use.operation.parameters
    )


def _tensor(use: Use, each: Parameter, lent: Expr) -> Tensor:
    trained = each.name not in use.operation.constants
    return Tensor(use.path, each.name, each.shape, use.copies, lent, trained, use.operation)


def count(found: tuple[Tensor, ...]) -> Expr:
    """How many tensors there are."""
    return Add(*(each.copies for each in found), S.Zero)
