"""Conditions of several runs as one: numbers in them that follow the numbers of the runs become sizes again.

>>> from sympy import Eq, Mod
>>> from symflops.notation import n_head
>>> runs = [({"n_kv_head": kv}, (Eq(Mod(n_head, kv), 0),)) for kv in (2, 3, 5, 7)]
>>> common(runs)
((Eq(Mod(n_head, n_kv_head), 0),), 0)
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sympy import Integer, Rational

from symflops.tracing.interpolation import Interpolation, MorePoints

_HOLE = "#"


def common(runs: Sequence[tuple[Mapping[str, int], tuple[Any, ...]]]) -> tuple[tuple[Any, ...], int]:
    """The conditions that all runs have, over sizes, and of how many others no formula was found."""
    interpolation = Interpolation([numbers for numbers, _ in runs])
    seen = [dict(_slots(conditions)) for _, conditions in runs]
    found: dict[Any, None] = {}
    unexplained = 0
    for template, ordinal in dict.fromkeys(slot for each in seen for slot in each):
        columns = zip(*(each.get((template, ordinal), ()) for each in seen), strict=False)
        everywhere = all((template, ordinal) in each for each in seen)
        try:
            holes = iter([interpolation.polynomial(column) for column in columns] if everywhere else ())
            found[_filled(template, holes)] = None
        except (MorePoints, StopIteration):
            unexplained += 1
    return tuple(found), unexplained


def _slots(conditions: Sequence[Any]) -> Iterator[tuple[tuple[Any, int], tuple[Integer, ...]]]:
    """Conditions by their form, and which of that form, with the numbers in them."""
    alike: Tally[Any] = Tally()
    for each in conditions:
        numbers: list[Integer] = []
        template = _template(each, numbers)
        yield (template, alike[template]), tuple(numbers)
        alike[template] += 1


def _template(node: Any, numbers: list[Integer]) -> Any:
    if isinstance(node, Rational):
        numbers += [Integer(node.p), Integer(node.q)]
        return _HOLE
    return (node.func, *(_template(each, numbers) for each in node.args)) if node.args else node


def _filled(template: Any, numbers: Iterator[Any]) -> Any:
    if isinstance(template, str) and template == _HOLE:
        return next(numbers) / next(numbers)
    return template[0](*(_filled(each, numbers) for each in template[1:])) if isinstance(template, tuple) else template
