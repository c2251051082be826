"""What a traced network costs under a convention, module by module in the order that the code runs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Expr, S, expand

from symflops.conventions import TORCH, Convention, convention
from symflops.measures import flops, priced
from symflops.networks import uses
from symflops.tracing.merging import Merged

if TYPE_CHECKING:
    from symflops.tracing.trace import Trace

Row = tuple[str, str, Expr]
ROOT = "model"
"""The block of what the outermost module does itself, whose path is empty."""
_SEEN = frozenset({"mac", "bias_add", "lookup", "one_hot_mac", "parameter"})
"""The kinds of work that a trace has: contractions, tables and parameters, no elementwise steps."""


@dataclass(frozen=True)
class Costs:
    """FLOPs (or MACs) of a batch under a convention; ``operations`` are module path, name and closed form, forward.

    ``notes`` say what the convention counts and a trace cannot know.
    """

    convention: Convention
    C_forward: Expr
    C_backward: Expr
    operations: tuple[tuple[str, str, Expr], ...]
    notes: tuple[str, ...]


def costs(found: Trace, given: str | Convention = TORCH) -> Costs:
    """The costs of a trace, priced by a convention; under ``torch`` they are those of what ran.

    Raises `UnknownName` for an unknown convention.
    """
    chosen = convention(given)
    if chosen == TORCH:
        return Costs(chosen, found.C_forward, found.C_backward, _ordered(found.operations(), found.merged), ())
    forward = flops(found.network, chosen).expr
    backward = expand(flops(found.network, chosen, "backward").expr + _done_otherwise(found, chosen))
    rows = _ordered(_priced_rows(found.network, chosen), found.merged)
    return Costs(chosen, forward, backward, rows, tuple(_unknown_to_a_trace(chosen)))


def _done_otherwise(found: Trace, chosen: Convention) -> Expr:
    """What ran backward beyond the gradients of all operands (scores computed again), or less, where that is priced."""
    if chosen.backward == "twice":
        return S.Zero
    again = found.C_backward - flops(found.network, TORCH, "backward").expr
    return again * chosen.price("mac", "recompute", "") / TORCH.price("mac", "recompute", "")


def _ordered(rows: Iterable[Row], found: Merged) -> tuple[Row, ...]:
    place = {path or ROOT: number for number, path in enumerate(reading_order(found))}
    return tuple(sorted(rows, key=lambda row: place.get(row[0] or ROOT, len(place))))


def _priced_rows(network: Expr, chosen: Convention) -> Iterator[Row]:
    for use in uses(network):
        price = priced(use, chosen, "forward")
        if price != 0:
            left_out = " (not in the totals)" if use.operation.role in chosen.left_out else ""
            yield use.path.rpartition("/")[0], use.operation.name + left_out, price


def _unknown_to_a_trace(chosen: Convention) -> Iterator[str]:
    kinds = sorted({line.kind for line in chosen.prices if line.price and line.kind not in _SEEN})
    if kinds:
        yield f"convention {chosen.name} also prices {', '.join(kinds)} of elementwise steps; a trace has none of them"
    if chosen.pairs == "exact":
        yield f"convention {chosen.name} counts attended pairs; a trace knows no masks, so all pairs are counted"


def reading_order(found: Merged) -> list[str]:
    """The module paths in the order that the code reaches them, as far as contractions and saved tensors tell.

    What does neither stands where its parameters are registered.
    """
    ran = (each.module for each in found.records if each.phase == "forward")
    order = list(dict.fromkeys(ran))
    for others in (found.saved, found.parameters):
        order = _inserted(order, list(dict.fromkeys(each.module for each in others)))
    return order


def _inserted(order: Sequence[str], others: Iterable[str]) -> list[str]:
    """An order with what only the other one has, each before what follows it there.

    >>> _inserted(["q", "o", "head"], ["norm", "q", "norm_2", "head", "last"])
    ['norm', 'q', 'o', 'norm_2', 'head', 'last']
    """
    result, following = list(order), len(order)
    for each in reversed(list(others)):
        if each not in result:
            result.insert(following, each)
        following = result.index(each)
    return result
