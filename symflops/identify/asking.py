"""The question itself: rows, what they count, on which network, and which sizes are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Expr, Integer

from symflops.architectures import Architecture
from symflops.errors import SizeError, SymflopsError, UnknownName
from symflops.identify import space
from symflops.identify.choices import Assignment, Option, Rule
from symflops.identify.counting import Quantity, dimensions_of, quantity
from symflops.identify.fits import Identified, ranked
from symflops.identify.known import steps
from symflops.identify.parts import decoder, of_network
from symflops.identify.rows import Row, size_name
from symflops.identify.search import Progress, Space, search
from symflops.notation import symbol

_SHAPE = ("n_layer", "d_model")


def ask(
    rows: Sequence[Row], named: str, unknown: Sequence[str], on: Architecture | None, per: str, progress: Progress
) -> Identified:
    """The answer of `identify`."""
    asked = quantity(named)
    names = [size_name(each) for each in unknown]
    _check(rows, names, on)
    given, searched = _on(rows, on), _space(asked, per, on, names)
    solved, stepped = _asked_sizes(names)
    found = search(given, asked, searched, solved, stepped, progress)
    found.missing.update(_stepped_through(names))
    return ranked(found, given, asked, searched, solved)


def _stepped_through(unknown: Sequence[str]) -> list[str]:
    if len(unknown) < 2:
        return []
    tried = steps(unknown[0])
    return [f"{unknown[0]} was tried at {len(tried)} usual values from {tried[0]:,} to {tried[-1]:,}, no others"]


def _check(rows: Sequence[Row], unknown: Sequence[str], on: Architecture | None) -> None:
    if not rows:
        raise SymflopsError("no rows: give a printed figure, or a table with a column of them")
    if len(unknown) > 2 or len(set(unknown)) < len(unknown):
        raise SizeError(f"{', '.join(unknown)} are asked for; one size can be solved for, or two different ones")
    for row in rows:
        if both := [each for each in unknown if each in row.sizes]:
            raise SizeError(f"{both[0]} is both given and asked for ({row.label}); leave one of them out")
        lacking = [] if on else [each for each in _SHAPE if each not in row.sizes and each not in unknown]
        if lacking:
            raise SizeError(f"{row.label} has no {' and no '.join(lacking)}; give each with --set SIZE=VALUE")


def _on(rows: Sequence[Row], on: Architecture | None) -> list[Row]:
    """Rows with all sizes of an architecture, in which their own count first."""
    if on is None:
        return list(rows)
    found = []
    for row in rows:
        _refuse_foreign(row, on)
        own = {name: row.sizes[name] for name, field in on.table.items() if name in row.sizes and field.name}
        model = on.with_sizes(**own) if own else on
        if model.network != on.network:
            raise SymflopsError(f"{row.label}: {on.name} has another network at these sizes; ask about each row apart")
        found.append(Row(row.label, row.figure, _followed(on, {**model.sizes, **row.sizes}, row)))
    return found


def _refuse_foreign(row: Row, on: Architecture) -> None:
    known = {*on.table, *(each.name for each in on.network.free_symbols), "n_seq", "n_ctx"}
    for name in row.sizes:
        if name not in known:
            raise UnknownName(f"size of {on.name}", name, known)


def _followed(on: Architecture, sizes: dict[str, int], row: Row) -> dict[str, int]:
    """Sizes that follow from others by a formula of the family, such as the positions of an image from its patches."""
    found = dict(sizes)
    for name, field in on.table.items():
        if name not in row.sizes and not field.name and isinstance(field.absent, Expr):
            found[name] = int(field.absent.xreplace({symbol(each): Integer(size) for each, size in sizes.items()}))
    return found


def _space(asked: Quantity, per: str, on: Architecture | None, unknown: Sequence[str]) -> Space:
    counted = dimensions_of(asked, per)
    if on is not None:
        linked = [each.roles for each in counted if each.roles]
        return Space(of_network(on.network, linked), counted)
    padding = () if "n_vocab" in unknown else (space.PADDING,)
    return Space(decoder(), (*space.PARTS, *space.SIZES, *padding, *counted))


def _asked_sizes(unknown: Sequence[str]) -> tuple[str | None, Sequence[Assignment]]:
    """The size that is solved for, and the values of the other."""
    if len(unknown) < 2:
        return (unknown[0] if unknown else None), ({},)
    name = unknown[0]
    return unknown[1], [{f"{name} tried": _value(name, each)} for each in steps(name)]


def _value(name: str, size: int) -> Option:
    return Option(str(size), f"{name} = {size}", Rule(name, str(size)))
