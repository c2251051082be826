"""Closed forms of what a module does, from running its unmodified code on symbols for sizes.

>>> from torch import nn
>>> def build(size):
...     layer = nn.Linear(size["d_model"], size["d_ff"], bias=False)
...     return layer, torch.empty(size["n_batch"], size["d_model"]), torch.Tensor.sum
>>> traced = symbolic_forward(build, {"d_model": 5, "d_ff": 7, "n_batch": 3})
>>> traced.run.records[0].sizes, traced.run.parameters[0].shape, traced.specialised
((n_batch, d_model, d_ff), (d_ff, d_model), ())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from sympy import Eq, Expr, Integer, Mod
from torch import Tensor, nn

from symflops.errors import SizeError
from symflops.notation import symbol
from symflops.tracing.domain import Domain, domain
from symflops.tracing.internals.fake_kernels import Routing
from symflops.tracing.internals.shape_env import Evaluated, SymbolicSizes
from symflops.tracing.internals.symbolic_scope import MODEL_CODE, loaded, symbolic_scope
from symflops.tracing.recorder import record, record_forward
from symflops.tracing.records import Item, Run, Size

Each = TypeVar("Each", bound=Item)
Multiples = Mapping[str, str]
Loss = Callable[[Any], Tensor]
Build = Callable[[Mapping[str, Any]], tuple[nn.Module, object, Loss]]
"""From sizes by name, integers or symbolic ones, to a module, its inputs and the scalar loss of its output."""


@dataclass(frozen=True)
class Specialised:
    """A place where code turned symbolic sizes into a number: what follows holds for that number alone.

    ``symbols`` are the names of the sizes in ``expression``, which had the ``value``; ``where`` is file and line.
    """

    symbols: tuple[str, ...]
    expression: Expr
    value: Expr
    where: str

    def __str__(self) -> str:
        return f"{self.expression} became {self.value} at {self.where}"


@dataclass(frozen=True)
class Traced:
    """A run over the symbols of the notation, and where its expressions hold.

    ``specialised`` lists each loss of a symbol (nothing is lost where it is empty); ``absent`` the names of sizes that
    no record, parameter or saved tensor depends on. ``domain`` is what the code asked of sizes, reduced.
    """

    run: Run
    specialised: tuple[Specialised, ...]
    absent: tuple[str, ...]
    domain: Domain

    @property
    def lost(self) -> tuple[str, ...]:
        """The names of the sizes on which the run may depend in more ways than its expressions show."""
        return tuple(dict.fromkeys(name for each in self.specialised for name in each.symbols))


def symbolic_run(
    build: Build,
    sizes: Mapping[str, int],
    numbers: Mapping[str, int] = MappingProxyType({}),
    multiples: Multiples = MappingProxyType({}),
    code: tuple[str, ...] = MODEL_CODE,
) -> Traced:
    """A forward and a backward pass over symbols, of the module as the builder leaves it (in eval mode, or not).

    ``sizes`` maps names of the notation to hints, different values of at least 2, which answer what code asks of a
    size; ``numbers`` are sizes that stay numbers; ``multiples`` says of a size which other one divides it, and then
    the run holds where that is so. ``code`` are the beginnings of the names of modules in which `int`
    keeps symbols. Raises `SizeError` for hints that will not do, `UnknownName` for a name that the notation lacks;
    errors of the model pass through.
    """
    return _traced(build, _Given(sizes, numbers, multiples), code, record)


def symbolic_forward(
    build: Build,
    sizes: Mapping[str, int],
    numbers: Mapping[str, int] = MappingProxyType({}),
    multiples: Multiples = MappingProxyType({}),
    code: tuple[str, ...] = MODEL_CODE,
) -> Traced:
    """As `symbolic_run`, the forward pass alone."""
    return _traced(build, _Given(sizes, numbers, multiples), code, _forward)


def _forward(module: nn.Module, inputs: object, loss: Loss, convert: Callable[[Any], Any]) -> Run:
    return record_forward(module, inputs, convert=convert)


def set_fields(config: Any, **fields: Any) -> Any:
    """Write a config's fields past their validation, which refuses a symbolic integer; gives the config back.

    >>> class Config:
    ...     hidden_size = 4
    >>> set_fields(Config(), hidden_size="any").hidden_size
    'any'
    """
    names = getattr(type(config), "attribute_map", {})
    config.__dict__.update({names.get(name, name): value for name, value in fields.items()})
    return config


@dataclass(frozen=True)
class _Given:
    """What the sizes of a run are: hints of symbols, numbers, and which size is a multiple of which."""

    hints: Mapping[str, int]
    numbers: Mapping[str, int]
    multiples: Multiples

    @property
    def divisors(self) -> dict[str, int | str]:
        """What divides the sizes that are symbols: another symbol, or a number."""
        known = {**dict.fromkeys(self.hints, None), **self.numbers}
        found = {name: known[by] or by for name, by in self.multiples.items() if name in self.hints and by in known}
        return {name: by for name, by in found.items() if by != 1}


def _traced(build: Build, given: _Given, code: tuple[str, ...], run_of: Callable[..., Run]) -> Traced:
    _check_hints(given.hints)
    code = (*code, getattr(build, "__module__", None) or MODEL_CODE[0])
    before = loaded(code)
    sizes, run = _run(build, given, code, run_of)
    if loaded(code) != before:  # The builder imported model code, which has to be there before its `int` is replaced.
        sizes, run = _run(build, given, code, run_of)
    divisors = {symbol(name): symbol(by) if isinstance(by, str) else Integer(by) for name, by in given.divisors.items()}
    found = domain(sizes.guards, divisors)
    resolved = _resolved(run, found)
    present = {each.name for size in _every_size(resolved) for each in getattr(size, "free_symbols", ())}
    absent = tuple(name for name in given.hints if name not in present)
    return Traced(resolved, _specialised(sizes, found), absent, found)


def _run(build: Build, given: _Given, code: tuple[str, ...], run_of: Callable[..., Run]) -> tuple[SymbolicSizes, Run]:
    sizes = SymbolicSizes(given.hints, given.divisors)
    every = {**given.numbers, **sizes.values}
    with symbolic_scope(code, Routing.of(every)), sizes.mode:
        module, inputs, loss = build(every)
        return sizes, run_of(module, inputs, loss, convert=sizes.closed_form)


def _check_hints(hints: Mapping[str, int]) -> None:
    small = [name for name, hint in hints.items() if isinstance(hint, bool) or not isinstance(hint, int) or hint < 2]
    if small:
        raise SizeError(f"the hint for {small[0]} is {hints[small[0]]!r}; it must be an integer of at least 2")
    if len(set(hints.values())) < len(hints):
        raise SizeError(f"hints must differ from one another, or two sizes are taken for one: {dict(hints)}")


def _specialised(sizes: SymbolicSizes, found: Domain) -> tuple[Specialised, ...]:
    """What became a number, without what is that number at all sizes, such as floor((4*n - 1)/n) = 3."""
    lost = [each for each in sizes.evaluated if not found.implies(Eq(each.expression, each.value))]
    known = {each.expression for each in lost}
    equal = [*sizes.merged, *((each.lhs, each.rhs) for each in found.conditions if _fixes(each))]
    lost += [Evaluated(old, new, "a comparison that came out equal") for old, new in equal if old not in known]
    return tuple(dict.fromkeys(map(_place, lost)))


def _fixes(condition: Any) -> bool:
    """Whether a condition holds for single values of its sizes, and not for all multiples of something."""
    return isinstance(condition, Eq) and condition.rhs.is_number and not condition.has(Mod)


def _place(each: Evaluated) -> Specialised:
    names = tuple(sorted(size.name for size in each.expression.free_symbols))
    return Specialised(names, each.expression, each.value, each.where)


def _resolved(run: Run, found: Domain) -> Run:
    known: dict[Any, Expr] = {}

    def one(size: Size) -> Size:
        if size not in known:
            known[size] = found.resolve(size)
        return known[size]

    def resized(item: Each) -> Each:
        return item.at(tuple(map(one, item.values)))

    return Run(
        records=tuple(resized(each) for each in run.records),
        parameters=tuple(resized(each) for each in run.parameters),
        saved=tuple(resized(each) for each in run.saved),
        calls=tuple(resized(each) for each in run.calls),
    )


def _every_size(run: Run) -> list[Size]:
    items: tuple[Item, ...] = (*run.records, *run.parameters, *run.saved)
    return [size for each in items for size in each.values]


__all__ = [
    "Build", "Loss", "Specialised", "Traced", "set_fields", "symbolic_forward", "symbolic_run",
]  # fmt: skip
_ = torch  # the doctest's
