"""The code's closed forms against a network written by hand: the same for all sizes, or where they differ.

Both sides are polynomials in sizes. What a size of the hand-written network is in the trace's symbols follows from the
config field that holds it: one side says which field that is, the other what the field means.

>>> from symflops.notation import d_ff, d_model
>>> line = Line("up, forward", "h.*.up", 2 * d_ff * d_model, d_ff * d_model, d_ff * d_model, False)
>>> Comparison("gpt2", (line,)).evidence, str(line.residual)
('refuted', 'd_ff*d_model')
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sympy import Add, Expr, Integer, Mul, S, expand

from symflops.architectures import FAMILIES, Architecture, architecture
from symflops.architectures.architecture import Attention
from symflops.architectures.corresponding import corresponding, foreign
from symflops.architectures.fields import completed
from symflops.measures import NOT_N
from symflops.networks import uses
from symflops.proof import equal, residual
from symflops.render.document import Block, Cell, Code, Prose, Table, readable
from symflops.tracing.costs import ROOT, reading_order
from symflops.tracing.merging import macs
from symflops.tracing.places import PHASES, closed_forms, label

if TYPE_CHECKING:
    from symflops.tracing.trace import Trace

Forms = Mapping[str, Expr]
"""Closed forms by module path."""
Shapes = Mapping[tuple[Expr, ...], Expr]
"""Of the tensors of one name, how many have which sizes, in any order of axes."""

_MOST_SHOWN = 2


@dataclass(frozen=True)
class Line:
    """One comparison: what, at which module (a total: at which ones it differs), both sides and what is left over."""

    what: str
    module: str
    code: Cell
    hand: Cell
    residual: Expr
    equal: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values, expressions as text."""
        sides = {name: str(getattr(self, name)) for name in ("code", "hand", "residual")}
        return {"what": self.what, "module": self.module, **sides, "equal": self.equal}


@dataclass(frozen=True)
class Comparison:
    """A trace against a network written by hand, line by line.

    ``foreign`` are sizes that only the network has, and the config fields that its family reads them from.
    """

    name: str
    lines: tuple[Line, ...]
    foreign: Mapping[str, str] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether all lines are proved."""
        return all(line.equal for line in self.lines)

    @property
    def evidence(self) -> str:
        """``proved`` where every difference expands to nothing, so for all sizes; else ``refuted``."""
        return "proved" if self.equal else "refuted"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        lines = [line.as_json() for line in self.lines]
        return {"name": self.name, "equal": self.equal, "evidence": self.evidence, "lines": lines}

    def blocks(self) -> Iterator[Block]:
        """The same for a reader: what differs, with the residual, and what is proved."""
        apart = [line for line in self.lines if not line.equal]
        proved = [line for line in self.lines if line.equal]
        yield Prose(
            f"against {self.name}, written by hand: {len(proved)} of {len(self.lines)} comparisons are equal for all "
            f"sizes (parameters tensor by tensor, FLOPs module by module, both passes); evidence: {self.evidence}"
        )
        if self.foreign:
            named = ", ".join(f"{size} (read from {name!r})" for size, name in self.foreign.items())
            yield Prose(f"sizes that the code does not have: {named}; if it has one, say where with --map FIELD=SIZE")
        if apart:
            head = ("what", "at", "by the code", "by hand", "residual")
            rows = ((each.what, _at(each.module), each.code, each.hand, each.residual) for each in apart)
            yield Table("where they differ", head, tuple(rows))
        if proved:
            yield Table("what is proved equal", ("what", "at", "closed form"), tuple(map(_proved, proved)))


def _at(modules: str) -> Cell:
    """Where a difference is; of a total with many, each has a line of its own."""
    count = modules.count(", ") + 1
    return Code(modules) if count <= _MOST_SHOWN else f"{count} modules, below"


def _proved(line: Line) -> tuple[Cell, Cell, Cell]:
    """What is equal, and the form of it, unless it is one of the totals, which are shown by themselves."""
    return line.what, Code(line.module), line.code if line.module else "as above"


def runs_fused(kernels: Iterable[Any]) -> bool:
    """Whether attention ran as a fused operator, among records or entries with an ``operator``."""
    return any("attention" in each.operator for each in kernels)


def opposite(found: Trace, name: str) -> Architecture:
    """The network written by hand that a name means: a family's for the config of the trace, a preset's or a file's.

    Its attention runs as the code's does: fused where a fused operator ran. Raises what `architecture` raises.
    """
    core: Attention = "flash" if runs_fused(found.merged.records) else "eager"
    if name not in FAMILIES:
        return architecture(name, core)
    config = completed({**found.config, "model_type": name})
    return Architecture(name, FAMILIES[name], config, "the traced config", {}, core)


def against(found: Trace, model: Architecture) -> Comparison:
    """Compare a trace with a network written by hand: totals, every kind of tensor, every module's own work."""
    sizes = corresponding(model.table, found, model.network.free_symbols)

    def here(form: Expr) -> Expr:
        return expand((S.Zero + form).xreplace(sizes))

    by_hand, named = closed_forms(model)
    lines = [*_tensors(_code_tensors(found), _hand_tensors(model, here), _stacked(model))]
    totals = [
        _total("params", found.params, _code_params(found), _hand_params(model, here)),
        _total("N", found.N, _code_params(found, NOT_N), _hand_params(model, here, NOT_N)),
    ]
    for phase in PHASES:
        code = _code_work(found, ("forward",) if phase == "forward" else ("backward", "recompute"))
        hand = {path: here(Add(*forms)) for (each, path), forms in by_hand.items() if each == phase}
        totals.append(_total(f"C_{phase}", getattr(found, f"C_{phase}"), code, hand))
        lines += (
            _line(f"{label(named.get(path, []))}, {phase}", path, code.get(path, S.Zero), hand.get(path, S.Zero))
            for path in _paths(hand, code)
        )
    place = {path or ROOT: number for number, path in enumerate(reading_order(found.merged))}
    ordered = sorted(lines, key=lambda line: place.get(line.module, len(place)))
    return Comparison(model.name, (*totals, *ordered), foreign(model.table, found, sizes))


def _paths(first: Forms, second: Forms) -> list[str]:
    """The module paths at which either side has anything."""
    return [path for path in dict.fromkeys([*first, *second]) if first.get(path, 0) != 0 or second.get(path, 0) != 0]


def _line(what: str, module: str, code: Expr, hand: Expr) -> Line:
    return Line(what, module, readable(code), readable(hand), residual(code, hand), equal(code, hand))


def _total(what: str, claimed: Expr, code: Forms, hand: Forms) -> Line:
    """A total as the trace claims it; where it differs, the modules that carry the difference."""
    carriers = [path for path in _paths(hand, code) if not equal(code.get(path, S.Zero), hand.get(path, S.Zero))]
    return _line(what, ", ".join(carriers), claimed, Add(*hand.values()))


def _code_work(found: Trace, phases: tuple[str, ...]) -> Forms:
    forms: dict[str, list[Expr]] = defaultdict(list)
    for record, times in found.merged.records.items():
        if record.phase in phases:
            forms[record.module or ROOT].append(2 * times * macs(record))
    return {path: expand(Add(*each)) for path, each in forms.items()}


def _code_params(found: Trace, without: frozenset[str] = frozenset()) -> Forms:
    forms: dict[str, list[Expr]] = defaultdict(list)
    for use in uses(found.network):
        if use.operation.role not in without:
            counts = (use.copies * parameter.count for parameter in use.operation.parameters)
            forms[use.path.rpartition("/")[0]].extend(counts)
    return {path: expand(Add(*each)) for path, each in forms.items()}


def _hand_params(model: Architecture, here: Callable[[Expr], Expr], without: frozenset[str] = frozenset()) -> Forms:
    forms: dict[str, list[Expr]] = defaultdict(list)
    for use in uses(model.network):
        for parameter in use.operation.parameters if use.operation.role not in without else ():
            module, _ = model.family.place(use).tensor(parameter.name)
            forms[module].append(use.copies * parameter.count)
    return {path: here(Add(*each)) for path, each in forms.items()}


def _code_tensors(found: Trace) -> dict[tuple[str, str], Shapes]:
    owned = (
        ((each.module or ROOT, each.name), tuple(Integer(1) * size for size in each.shape), copies)
        for each, copies in found.merged.parameters.items()
    )
    return _tallied(owned, expand)


def _hand_tensors(model: Architecture, here: Callable[[Expr], Expr]) -> dict[tuple[str, str], Shapes]:
    places = [(use, model.family.place(use)) for use in uses(model.network)]
    owned = (
        (place.tensor(parameter.name), parameter.shape, use.copies)
        for use, place in places
        for parameter in use.operation.parameters
    )
    return _tallied(owned, here)


def _tallied(
    owned: Iterable[tuple[tuple[str, str], tuple[Expr, ...], Expr]], here: Callable[[Expr], Expr]
) -> dict[tuple[str, str], Shapes]:
    found: dict[tuple[str, str], dict[tuple[Expr, ...], Expr]] = defaultdict(lambda: defaultdict(lambda: S.Zero))
    for name, shape, copies in owned:
        if copies != 0:
            found[name][tuple(sorted(map(here, shape), key=str))] += here(copies)
    return dict(found)


def _stacked(model: Architecture) -> set[tuple[str, str]]:
    """Tensors that hold many of a network's, such as those of all experts: their elements are compared."""
    places = [model.family.place(use) for use in uses(model.network)]
    return {place.tensor(name) for place in places for name in place.tensors}


def _tensors(
    code: Mapping[tuple[str, str], Shapes], hand: Mapping[tuple[str, str], Shapes], stacked: set[tuple[str, str]]
) -> Iterator[Line]:
    for module, name in dict.fromkeys([*hand, *code]):
        ours, theirs = code.get((module, name), {}), hand.get((module, name), {})
        left = residual(_elements(ours), _elements(theirs))
        same = ours.keys() == theirs.keys() and all(equal(ours[shape], theirs[shape]) for shape in ours)
        same = same or ((module, name) in stacked and left == 0)
        yield Line(f"tensor {name}", module, _described(ours), _described(theirs), left, same)


def _elements(shapes: Shapes) -> Expr:
    return Add(*(copies * Mul(*shape) for shape, copies in shapes.items()))


def _described(shapes: Shapes) -> str:
    """``n_layer of d_ff x d_model``.

    >>> from symflops.notation import d_ff, d_model, n_layer
    >>> _described({(d_ff, d_model): n_layer}), _described({})
    ('n_layer of d_ff x d_model', 'none')
    """
    kinds = (f"{copies} of {' x '.join(map(str, shape))}" for shape, copies in shapes.items())
    return " and ".join(kinds) or "none"
