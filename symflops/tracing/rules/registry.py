"""The rules: every operator is priced, declared free with a reason, decomposed, or an error. Never a silent zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from symflops.errors import SymflopsError
from symflops.tracing import internals
from symflops.tracing.rules import traffic
from symflops.tracing.rules.work import Elements, Work, Works

Rule: TypeAlias = Callable[..., Works]
RuleT = TypeVar("RuleT", bound=Rule)


class UnpricedOperator(SymflopsError):
    """An operator that no rule prices and that does not decompose into priced ones.

    >>> raise UnpricedOperator("myns::fold", "model.layers.0")
    Traceback (most recent call last):
    symflops.tracing.rules.registry.UnpricedOperator: no rule prices operator 'myns::fold', called in module
    'model.layers.0'; register one with @symflops.tracing.rule("myns::fold"), or
    symflops.tracing.free("myns::fold", reason) if it costs nothing
    """

    def __init__(self, operator: str, module: str) -> None:
        super().__init__(
            f"no rule prices operator {operator!r}, called in module {module!r}; register one with "
            f'@symflops.tracing.rule("{operator}"), or symflops.tracing.free("{operator}", reason) if it costs nothing'
        )
        self.operator, self.module = operator, module


class DuplicateRule(SymflopsError):
    """A second rule for an operator that has one; `forget` the first if it is to be replaced.

    >>> rule("aten::mm")(lambda result, a, b: Elements(0))
    Traceback (most recent call last):
    symflops.tracing.rules.registry.DuplicateRule: operator 'aten::mm' has a rule already (contraction);
    symflops.tracing.forget("aten::mm") first if it is to be replaced
    """


@dataclass(frozen=True, slots=True)
class Pricing:
    """How calls of an operator are priced.

    `kind` says what sort of work it is: contraction, element, reduction, sort, random, lookup, scatter, copy, fill,
    communication, free or decomposed. `reason` says how that was decided. `works` gives the arithmetic of one call
    from (result, *args, **kwargs), or is None where there is none; `traffic` gives its bytes.
    """

    kind: str
    reason: str
    works: Rule | None
    traffic: traffic.Traffic


RULES: Final[dict[str, Pricing]] = {}
_RESOLVED: Final[dict[Any, Pricing]] = {}
_FREE: Final = ("free", None, traffic.nothing)
_DECOMPOSED: Final = Pricing("decomposed", "composite: the operators it is made of are priced", None, traffic.nothing)


def declare(operator: Any, pricing: Pricing) -> None:
    """Enter one pricing under an operator (`torch.ops.ns.op`, one overload of it, or the text "ns::op").

    Raises `DuplicateRule` when there is one already.
    """
    name = internals.qualified_name(operator)
    if name in RULES:
        raise DuplicateRule(
            f"operator {name!r} has a rule already ({RULES[name].kind}); "
            f'symflops.tracing.forget("{name}") first if it is to be replaced'
        )
    RULES[name] = pricing
    _RESOLVED.clear()


def rule(*operators: Any, kind: str = "contraction") -> Callable[[RuleT], RuleT]:
    """Decorate a function that gives the work of one call as einsums or elements.

    The function is called with the operator's result and then its arguments as dispatched: positional ones without
    trailing defaults, keyword-only ones by name. It must treat sizes as numbers only (they may be `torch.SymInt`).
    Raises `DuplicateRule` when an operator has one already.

    >>> from symflops.tracing.rules.work import Einsum
    >>> @rule("myns::scale_rows")
    ... def scale_rows(result, rows, weights):
    ...     return Einsum("row column, row -> row column", {"row": rows.shape[0], "column": rows.shape[1]})
    >>> forget("myns::scale_rows")
    """

    def register(function: RuleT) -> RuleT:
        for operator in operators:
            declare(operator, Pricing(kind, f"priced by {function.__name__}", function, traffic.everything))
        return function

    return register


def free(operator: Any, reason: str) -> None:
    """Declare that an operator costs nothing, and why. Raises `DuplicateRule` when it has a rule already.

    >>> free("myns::barrier", "orders streams, moves no data")
    >>> forget("myns::barrier")
    """
    kind, works, moves = _FREE
    declare(operator, Pricing(kind, reason, works, moves))


def forget(operator: Any) -> None:
    """Take an operator's rule back out. Raises `KeyError` when there is none."""
    del RULES[internals.qualified_name(operator)]
    _RESOLVED.clear()


def resolve(function: Any, module: str = "") -> Pricing:
    """The pricing of one dispatched operator overload, remembered after the first look-up.

    Looked for in this order: a rule for the overload, for the operator, for its functional form (`mul_` → `mul`,
    `_foreach_mul` → `mul`), then what torch itself declares: composite, view, copy of a view, pointwise, reduction.
    Raises `UnpricedOperator`, naming `module`, when nothing applies.

    >>> import torch
    >>> resolve(torch.ops.aten.relu_.default).kind, resolve(torch.ops.aten.transpose.int).kind
    ('element', 'free')
    """
    pricing = _RESOLVED.get(function)
    if pricing is None:
        pricing = _find(function)
        if pricing is None:
            raise UnpricedOperator(internals.names(function)[-1], module)
        _RESOLVED[function] = pricing
    return pricing


def price(function: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Work, ...]:
    """The arithmetic of one call of an operator, given its result.

    >>> import torch
    >>> a, b = torch.empty(2, 3, device="meta"), torch.empty(3, 5, device="meta")
    >>> [work.macs for work in price(torch.ops.aten.mm.default, a @ b, (a, b), {})]
    [30]
    """
    works = resolve(function).works
    if works is None:
        return ()
    found = works(result, *args, **kwargs)
    return found if isinstance(found, tuple) else (found,)


def _find(function: Any) -> Pricing | None:
    names = list(internals.names(function))
    for name in [*names, *map(_functional, names)]:
        if name in RULES:
            return RULES[name]
    return _derived(function)


def _functional(name: str) -> str:
    namespace, _, operator = name.partition("::")
    return f"{namespace}::{internals.functional(operator.partition('.')[0])}"


def elements_out(result: Any, *args: Any, **kwargs: Any) -> Elements:
    """One element of work per element of the (first) result, or of what was written where nothing is returned."""
    return Elements(_first_numel((args[0] if result is None else result,)))


def elements_in(result: Any, *args: Any, **kwargs: Any) -> Elements:
    """One element of work per element of the first tensor (or list of tensors) that is read."""
    return Elements(_first_numel(args))


def _first_numel(values: Iterable[Any]) -> int:
    """Elements of the first tensor; of a list's tensors all together; of a tuple's first (a result with statistics)."""
    for value in values:
        if isinstance(value, list):
            return sum(tensor.numel() for tensor in traffic.tensors(value))
        if isinstance(value, tuple):
            return _first_numel(value)
        if internals.is_tensor(value):
            return value.numel()  # type: ignore[no-any-return]
    return 0


def _derived(function: Any) -> Pricing | None:
    """What torch's own declarations say of an operator that no rule names."""
    traits = internals.traits(function)
    if "composite" in traits:
        return _DECOMPOSED
    if "view" in traits:
        return Pricing("free", "its schema says that the result is a view", None, traffic.nothing)
    if "view_copy" in traits:
        return Pricing("copy", "tagged as the copy of a view", None, traffic.everything)
    if "pointwise" in traits:
        return Pricing(
            "element", "tagged pointwise: one step per element of the result", elements_out, traffic.everything
        )
    if "reduction" in traits:
        return Pricing("reduction", "tagged reduction: one step per element read", elements_in, traffic.everything)
    return None
