"""One side of an explanation: what a convention or a published formula counts for one token, in cells of some roles.

>>> gpt2 = place("gpt2")
>>> [(sorted(cell.roles), cell.form) for cell in side("litgpt").cells(gpt2, "training") if len(cell.roles) > 1]
[(['mix', 'scores'], 12*d_model*n_layer*n_seq)]
>>> side("litgbt")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown convention or formula 'litgbt'; did you mean 'litgpt'? (known: all-operations, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from sympy import Add, Expr, expand

from symflops.architectures import Architecture, architecture
from symflops.architectures.fields import ABSENT
from symflops.conventions import CONVENTIONS, Convention
from symflops.derivation import READING_ORDER, reading_position
from symflops.errors import UnknownName
from symflops.explain.published import ExplainError, Formula, FormulaTerm, published, read_formula, written
from symflops.explain.quantities import QUANTITIES, TOKENS
from symflops.measures import Phase, priced
from symflops.networks import Use, uses
from symflops.notation import d_attn, d_head, n_batch, n_head, n_kv_head, n_seq, symbol
from symflops.questions.subjects import Given, Subject, subject

Source: TypeAlias = "str | Path | Convention | Formula"
_FOLLOWS: Mapping[Expr, Expr] = MappingProxyType(
    {d_attn: n_head * d_head, n_kv_head: ABSENT["n_kv_head"], d_head: ABSENT["d_head"]}
)
"""What a size is that a network does not have, in sizes that it may have."""


@dataclass(frozen=True)
class Place:
    """The architecture of an explanation: its operations by role, in reading order, and its values."""

    name: str
    network: Expr
    by_role: Mapping[str, tuple[Use, ...]]
    sizes: Mapping[str, int]
    value: Callable[[Expr, int], Expr]
    length: int | None

    @property
    def roles(self) -> tuple[str, ...]:
        """Its roles, in reading order."""
        return tuple(self.by_role)

    @property
    def tied(self) -> bool:
        """Whether the logits are made with a table that something else owns."""
        return any(use.copies == 0 and use.operation.parameters for use in self.by_role.get("logits", ()))

    def resolve(self, form: Expr, source: str) -> Expr:
        """A formula in sizes that the network has: such as d_head = d_model/n_head where heads share the width.

        Raises `ExplainError` for a size that the network does not have and that does not follow from those it has.
        """
        known = {*self.network.free_symbols, n_seq, n_batch}
        while missing := form.free_symbols - known:
            rules = {each: _FOLLOWS[each] for each in missing if each in _FOLLOWS and not self._own(each)}
            kept = {each for each in missing if self._own(each)}
            if not rules and missing - kept:
                names = ", ".join(sorted(map(str, missing - kept)))
                raise ExplainError(
                    f"{source} is a formula in {names}, which {self.name} has not; its sizes are "
                    f"{', '.join(sorted(map(str, self.network.free_symbols)))}"
                )
            known |= kept
            form = form.xreplace(rules)
        return form

    def _own(self, size: Expr) -> bool:
        """Whether the config has a size of its own that the network is not written in, as with latent attention."""
        return size == d_head and size.name in self.sizes and symbol("d_nope") in self.network.free_symbols


def place(given: Given, n_seq_given: int | None = None) -> Place:
    """The architecture, and how many tokens its sequences have: by default its whole context.

    Raises what `architecture` raises.
    """
    if isinstance(given, Subject | Expr):
        found = subject(given)
        length = found.length(n_seq_given)
        return Place(found.name, found.network, _by_role(found.network), found.sizes, _at(found), length)
    model = given if isinstance(given, Architecture) else architecture(given)
    length = model.length(n_seq_given)
    return Place(model.name, model.network, _by_role(model.network), model.sizes, _value(model), length)


def _at(found: Subject) -> Callable[[Expr, int], Expr]:
    return lambda form, length: found.at(form, n_seq=length)


def _value(model: Architecture) -> Callable[[Expr, int], Expr]:
    return lambda form, length: model.at(form, n_batch=1, n_seq=length).doit()


def _by_role(network: Expr) -> Mapping[str, tuple[Use, ...]]:
    found: dict[str, list[Use]] = {}
    for use in sorted(uses(network), key=reading_position):
        found.setdefault(use.operation.role, []).append(use)
    order = {role: number for number, role in enumerate(READING_ORDER)}
    return {role: tuple(found[role]) for role in sorted(found, key=lambda role: (order.get(role, len(order)), role))}


@dataclass(frozen=True)
class Cell:
    """What a side counts for the operations of some roles, for one token."""

    roles: frozenset[str]
    form: Expr


@dataclass(frozen=True)
class Side:
    """A convention or a formula, and what it counts."""

    name: str
    title: str
    citation: str
    unit: str
    recompute: str
    notes: str
    cells: Callable[[Place, Phase], tuple[Cell, ...]]


def side(given: Source) -> Side:
    """A convention or a formula by its name, the paper whose own it is, its file, or its value.

    Raises `UnknownName` with the nearest, and `ExplainError` for a file that holds no formula.
    """
    if isinstance(given, Convention):
        return _of_convention(given)
    if isinstance(given, Formula):
        return _of_formula(given)
    if isinstance(given, Path) or str(given).endswith((".yaml", ".yml")):
        return _of_formula(read_formula(Path(given)))
    if given in CONVENTIONS:
        return _of_convention(CONVENTIONS[given])
    of_sources = {each.source: each for each in published().values() if each.source}
    known = {**of_sources, **published()}
    if given not in known:
        raise UnknownName("convention or formula", given, [*CONVENTIONS, *known])
    return _of_formula(known[given])


def sides() -> tuple[Side, ...]:
    """Every convention and every formula that is shipped."""
    return (*map(_of_convention, CONVENTIONS.values()), *map(_of_formula, published().values()))


def _of_convention(chosen: Convention) -> Side:
    def cells(where: Place, phase: Phase) -> tuple[Cell, ...]:
        def counted(those: tuple[Use, ...]) -> Expr:
            return expand(Add(*(priced(use, chosen, phase, chosen.left_out) for use in those)) / TOKENS)

        return tuple(Cell(frozenset({role}), counted(those)) for role, those in where.by_role.items())

    return Side(chosen.name, chosen.title, chosen.citation, chosen.unit, "nothing", f"Domain: {chosen.domain}.", cells)


def _of_formula(found: Formula) -> Side:
    def cells(where: Place, phase: Phase) -> tuple[Cell, ...]:
        if phase not in found.phases:
            stated = " and ".join(found.phases)
            raise ExplainError(f"{found.name} states {stated} FLOPs and not {phase}; ask for one that both state")
        return tuple(cell for term in found.terms for cell in _term_cells(found, term, where, phase))

    return Side(found.name, found.title, found.citation, "FLOP", found.recompute, found.notes, cells)


def _term_cells(found: Formula, term: FormulaTerm, where: Place, phase: Phase) -> Iterator[Cell]:
    roles = term.roles.among(where.roles)
    if not term.apart:
        if lacking := [each for each in term.roles.named if each not in where.roles and not term.roles.all_but]:
            raise ExplainError(
                f"{found.name} counts {', '.join(term.roles.named)}, and {where.name} has no operation of the role "
                f"{', '.join(lacking)}; its roles are {', '.join(where.roles)}"
            )
        yield Cell(frozenset(roles), _form(found, written(term, found.notation, {}), where, phase))
        return
    for role in roles:
        own = [_of_one(found, term, use) for use in where.by_role[role]]
        yield Cell(frozenset({role}), _form(found, Add(*own), where, phase))


def _of_one(found: Formula, term: FormulaTerm, use: Use) -> Expr:
    return written(term, found.notation, {name: quantity(use) for name, (_, quantity) in QUANTITIES.items()})


def _form(found: Formula, form: Expr, where: Place, phase: Phase) -> Expr:
    return expand(where.resolve(found.per_token(form, phase), found.name))
