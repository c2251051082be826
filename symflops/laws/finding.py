"""What a cost function claims, found out: which phase, tokens, pairs, unit and roles give its numbers at a few cases.

>>> def flops(n_layer, d_model, d_ff, n_vocab, n_seq):
...     return 2 * n_layer * (4 * d_model**2 + 2 * d_model * d_ff + d_model * n_seq) + 2 * d_model * n_vocab
>>> found = find_claims(flops, adapter(flops, "families=gpt2"))
>>> found.fits[0].phase, found.fits[0].per, found.fits[0].pairs, sorted(found.fits[0].counts)
('forward', 'token', 'half', ['feedforward', 'logits', 'mix', 'project', 'qkv', 'scores'])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

from symflops.architectures import architecture, presets
from symflops.conventions import PALM
from symflops.derivation import Page
from symflops.documents import Block, Document, Prose, Table
from symflops.errors import SymflopsError
from symflops.laws.adapters import Adapter, NotAsked, adapter, cost
from symflops.laws.catalogue.predicted import LOOKUPS, predicted, tokens_of
from symflops.laws.catalogue.subjects import operations
from symflops.laws.claiming import CHOICES, Where, told
from symflops.laws.conditions import conditioned
from symflops.laws.cost import MATMULS, ROLES, Case, Claims, Cost, CostError
from symflops.laws.drawing import probe
from symflops.laws.recomputing import CORE, runs_again

Number = int | Fraction
_CASES, _TRIES = 4, 40
_SHOWN = 12


@dataclass(frozen=True)
class Fits(Page):
    """A cost function, and the claims that all of its numbers at some cases fulfil, the most usual first.

    Without any, ``nearest`` are claims with the number that they give at the first case, beside the function's.
    """

    name: str
    cases: tuple[Case, ...]
    fits: tuple[Claims, ...]
    where: Where
    nearest: tuple[tuple[Claims, Number, Number], ...] = ()

    def document(self) -> Document:
        """The page."""
        return Document(f"What {self.name} claims", tuple(self._blocks()), self.as_json())

    def _blocks(self) -> Iterator[Block]:
        yield Prose(f"Compared at {len(self.cases)} cases, the first of them {self.cases[0]}.")
        if self.fits:
            yield Prose(f"{len(self.fits)} claims give all of its numbers; the first are the most usual.")
            rows = tuple((told(each, self.where),) for each in self.fits[:_SHOWN])
            yield Table("Claims that fit, for --claims", ("claims",), rows)
            return
        yield Prose("No claims give all of its numbers. At the first case, the nearest are these.")
        near = tuple((told(each, self.where), str(said), str(own)) for each, said, own in self.nearest)
        yield Table("Nearest claims", ("claims", "their number", self.name), near)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        near = [{"claims": told(c, self.where), "number": str(n), "found": str(own)} for c, n, own in self.nearest]
        return {
            "function": self.name,
            "cases": [{"family": each.model.family.name, "sizes": each.sizes} for each in self.cases],
            "fits": [told(each, self.where) for each in self.fits],
            "nearest": near,
        }


def find_claims(function: Callable[..., Any], how: Adapter | None = None) -> Fits:
    """The claims about a quantity, of some families, that give the numbers of a function at cases of every family.

    Of those that give the same numbers everywhere (scores alone over all pairs, or scores and mix over half), all are
    found. Raises `CostError` where the function gives no number at any case.
    """
    using = how or adapter(function)
    asked = cost(function, using)
    found = tuple(_numbers(asked, using))
    if not found:
        raise CostError(f"{asked.name} gives no number at any case of {', '.join(using.claims.families)}")
    cases = tuple(case for case, _ in found)
    known: dict[tuple[int, Claims], Number] = {}
    tables = {each: [_by_role(each, case, known) for case in cases] for each in _shapes(using.claims)}
    fits = [
        replace(shape, counts=roles)
        for base, table in tables.items()
        for shape in _scaled(base)
        for roles in _subsets(table, [number / _worth(shape, case) for case, number in found])
    ]
    fits.sort(key=_departure)
    near = () if fits else _nearest(tables, *found[0])
    return Fits(asked.name, cases, tuple(fits), using.where, near)


def _numbers(asked: Cost, using: Adapter) -> Iterator[tuple[Case, Number]]:
    """The function's numbers at some cases of each family that it is for."""
    for family in using.claims.families:
        found = 0
        for index in range(_TRIES):
            case = _probe(family, index, using)
            number = None if case is None else _of(asked, case)
            if case is not None and number is not None:
                found += 1
                yield case, number
            if found == _CASES:
                break


def _probe(family: str, index: int, using: Adapter) -> Case | None:
    if using.named:
        names = [name for name, entry in presets().items() if entry["config"]["model_type"] == family]
        return Case(architecture(names[index]), 2, 7) if index < len(names) else None
    case = probe(family, index)
    try:
        return replace(case, model=conditioned(case.model, using.where))
    except SymflopsError:
        return None


def _of(asked: Cost, case: Case) -> Number | None:
    try:
        return asked.of(case)
    except NotAsked:
        return None


def _shapes(claims: Claims) -> Iterator[Claims]:
    """Every way to claim the quantity but for the roles, of which all are counted, for one token in FLOPs.

    Of conventions, that of the claims, and PaLM's charge for parameters where the claims name none.
    """
    if claims.quantity != "flops":
        yield replace(claims, counts=MATMULS if claims.quantity == "cache_bytes" else frozenset(ROLES))
        return
    usual = Claims().convention
    for chosen in (usual, PALM) if claims.convention == usual else (claims.convention,):
        counts = MATMULS | LOOKUPS if chosen == usual else frozenset(ROLES)
        for phase, recompute, pairs in product(CHOICES["phase"], CHOICES["recompute"], CHOICES["pairs"]):
            if (phase, recompute) == ("forward", "none") or phase != "forward":
                said: dict[str, Any] = {"phase": phase, "recompute": recompute, "pairs": pairs}
                yield replace(claims, counts=counts, convention=chosen, per="token", unit="FLOP", **said)


def _scaled(base: Claims) -> Iterator[Claims]:
    """The same for other numbers of tokens, in either unit."""
    if base.quantity != "flops":
        yield base
        return
    for per, unit in product(CHOICES["per"], CHOICES["unit"]):
        said: dict[str, Any] = {"per": per, "unit": unit}
        yield replace(base, **said)


def _worth(shape: Claims, case: Case) -> Fraction:
    """What a number is worth beside that of one token in FLOPs."""
    if shape.quantity != "flops":
        return Fraction(1)
    return Fraction(tokens_of(shape, case), 1 if shape.unit == "FLOP" else 2)


def _by_role(shape: Claims, case: Case, known: dict[tuple[int, Claims], Number]) -> Mapping[str, Number]:
    """What each role adds to the number at a case, if it is counted; kept in ``known`` for other shapes."""
    if shape.quantity == "cache_bytes":
        return {"": predicted(shape, case)}
    found: dict[str, Number] = {}
    inside = operations(case.model.network)
    paired = {each.role for each in inside if each.mask is not None}
    for role in sorted({each.role for each in inside} & shape.counts):
        alone = _of_role(shape, role, paired)
        if (id(case), alone) not in known:
            known[id(case), alone] = predicted(alone, case)
        found[role] = known[id(case), alone]
    return {role: number for role, number in found.items() if number}


def _of_role(shape: Claims, role: str, paired: Set[str]) -> Claims:
    """The claims of one role, in the same words where others say the same of it."""
    alone = replace(shape, counts=frozenset({role}))
    if role not in paired:
        alone = replace(alone, pairs="dense")
    if not runs_again(role, shape.recompute):
        return replace(alone, recompute="none")
    return replace(alone, recompute="selective") if role in CORE else alone


def _subsets(table: Sequence[Mapping[str, Number]], numbers: Sequence[Number]) -> Iterator[frozenset[str]]:
    """The sets of roles whose numbers sum to the function's at every case; roles that add nothing are left out."""
    roles = sorted({role for each in table for role in each})
    sums: dict[tuple[str, ...], Number] = {(): 0}
    for role in roles:
        sums |= {(*chosen, role): known + table[0].get(role, 0) for chosen, known in sums.items()}
    for chosen in sorted((chosen for chosen in sums if chosen and sums[chosen] == numbers[0]), key=len):
        if all(_sum(each, chosen) == number for each, number in zip(table, numbers, strict=True)):
            yield frozenset(chosen) - {""} or Claims().counts


def _sum(table: Mapping[str, Number], roles: Sequence[str]) -> Number:
    return sum((table.get(role, 0) for role in roles), Fraction(0))


def _departure(claims: Claims) -> tuple[int, int, int]:
    """How unusual claims are: those of one of two matmuls over pairs, of half a unit, of one pass of three."""
    usual = Claims()
    alone, other = len(claims.counts & {"scores", "mix"}) == 1, claims.convention != usual.convention
    lookups = 0 if other else len(claims.counts - usual.counts)
    odd = sum((alone, other, claims.phase == "backward", claims.unit == "MAC", claims.recompute != "none"))
    words = sum(getattr(claims, name) != getattr(usual, name) for name in ("unit", "per", "pairs"))
    return odd + lookups, words, -len(claims.counts)


def _nearest(
    tables: Mapping[Claims, Sequence[Mapping[str, Number]]], case: Case, number: Number
) -> tuple[tuple[Claims, Number, Number], ...]:
    """The claims whose number at the first case is nearest, with all roles or all but the logits."""
    found = [
        (replace(shape, counts=frozenset(roles)), _sum(table[0], roles) * _worth(shape, case))
        for base, table in tables.items()
        for shape in _scaled(base)
        for roles in (tuple(table[0]), tuple(set(table[0]) - {"embedding", "position"}))
    ]
    found.sort(key=lambda each: (abs(each[1] - number), _departure(each[0])))
    unique = dict.fromkeys((claims, said) for claims, said in found)
    return tuple((claims, said, number) for claims, said in list(unique)[:3])
