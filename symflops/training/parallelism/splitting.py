"""Which axis of an operation tensor parallelism splits, and what becomes of the operation on one device.

Only a matmul's role has to be said (Shoeybi et al. 2019, arXiv:1909.08053, section 3): projections to heads and to the
hidden layer by their results, those back by what they sum over, tables by their rows. Heads, hidden units and words of
the vocabulary are split wherever they are an axis. Whether a parameter is split, and whether a result is a partial sum
or an input is shared, follow from the sentence.

>>> from symflops.architectures import architecture
>>> from symflops.networks import uses
>>> found = {use.operation.name: use.operation for use in uses(architecture("gpt2").network)}
>>> [(name, split_axis(found[name])) for name in ("qkv", "scores", "project", "act", "down", "token", "norm_final")]
[('qkv', 'd_out'), ('scores', 'kv_head'), ('project', 'd_in'), ('act', 'd_ff'), ('down', 'd_in'), ('token', 'row'),
 ('norm_final', None)]
>>> is_partial_sum(found["project"]), shares_input(found["qkv"])
(True, True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, Tuple

from symflops.errors import SymflopsError
from symflops.notation import n_batch
from symflops.operations import Operation


class NotSplit(SymflopsError):
    """An operation that nobody has said how to split among devices."""


@dataclass(frozen=True)
class Rule:
    """A role, perhaps of some operations by name, and the axis that is split; None where all devices do the same."""

    role: str
    axis: str | None
    names: frozenset[str] = frozenset()

    def fits(self, operation: Operation) -> bool:
        """Whether an operation is of this kind."""
        return operation.role == self.role and (not self.names or operation.name in self.names)


RULES = (
    Rule("embedding", "row", frozenset({"token"})),
    # Latents are made whole on each device; what leads from them to the heads is split.
    Rule("qkv", None, frozenset({"q_down", "kv_down"})),
    Rule("qkv", "d_out"),
    Rule("project", "d_in"),
    Rule("feedforward", None, frozenset({"shared_gate"})),
    Rule("feedforward", "d_in", frozenset({"down"})),
    Rule("feedforward", "d_out"),
    Rule("logits", "d_out"),
)
"""How matmuls and tables are split; the first that fits counts."""
PARALLEL_AXES = ("kv_head", "head", "d_ff", "n_vocab")
"""Axes that are split wherever they stand."""
UNDECLARED = frozenset({"state space", "scan", "convolution"})
"""Roles that have no rule here."""


def split_axis(operation: Operation) -> str | None:
    """The axis that tensor parallelism splits, or None where every device does all of it.

    Raises `NotSplit` for an operation of a state space model, for which no rule is declared.
    """
    if operation.role in UNDECLARED:
        known = "attention, feed-forward layers, embeddings and logits"
        raise NotSplit(f"operation {operation.name} of role {operation.role!r} has no rule to be split; {known} have")
    for rule in RULES:
        if rule.fits(operation):
            return rule.axis
    found = next((axis for axis in PARALLEL_AXES if axis in operation.sizes), None)
    return found or ("batch" if _heads_in_batch(operation) else None)


def _heads_in_batch(operation: Operation) -> bool:
    """A norm over each head takes heads as so many more sequences."""
    return operation.role == "norm" and operation.sizes.get("batch", n_batch) != n_batch


def is_partial_sum(operation: Operation) -> bool:
    """Whether devices that split it each get a part of a sum: the split axis is summed over."""
    axis = split_axis(operation)
    return axis is not None and bool(operation.parameters) and axis not in operation.sentence.result.axes


def shares_input(operation: Operation) -> bool:
    """Whether devices that split it all read one whole input, whose gradient is then a sum over devices.

    An input that is split itself, such as the hidden layer's, is no such; nor is one that needs no gradient.
    """
    axis = split_axis(operation)
    inputs = [each for each in operation.sentence.factors if not each.is_parameter]
    whole = all(axis not in each.axes and each.name not in operation.constants for each in inputs)
    return bool(operation.parameters and inputs) and axis in operation.sentence.result.axes and whole


def is_split(operation: Operation, parameter: str) -> bool:
    """Whether a parameter is split: it has the split axis."""
    axis = split_axis(operation)
    [tensor] = [each for each in operation.sentence.parameters if each.name == parameter]
    return axis in tensor.axes


def divided(operation: Operation, by: Mapping[str, Expr]) -> Operation:
    """The operation with some axes divided.

    >>> from symflops.operations import Contraction
    >>> up = Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 6})
    >>> divided(up, {"f": 3}).sizes
    {'d': 2, 'f': 2, 'seq': 5}
    """
    table = Tuple(*(Tuple(axis, size / by.get(axis.name, 1)) for axis, size in operation.args[2]))
    found: Operation = operation.func(*operation.args[:2], table, *operation.args[3:])
    return found
