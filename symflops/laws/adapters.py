"""How someone's cost function is called with a case, and what of its answer is the number.

>>> def flops(num_layers, hidden_size, seq_len=1, vocab_size=0):
...     return {"total": 72 * num_layers * hidden_size**2 + 6 * hidden_size * vocab_size}
>>> mine = adapter(flops, "per=token d_ff=4*d_model families=gpt2", result="total")
>>> mine.arguments
{'num_layers': 'n_layer', 'hidden_size': 'd_model', 'seq_len': 'n_seq', 'vocab_size': 'n_vocab'}
>>> from symflops.architectures import architecture
>>> cost(flops, mine).of(Case(architecture("gpt2")))
741192192
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any

from sympy import Expr

from symflops.architectures import presets
from symflops.architectures.fields import completed
from symflops.architectures.names import TABLE
from symflops.arithmetic import value
from symflops.errors import SymflopsError
from symflops.grammar import Tree, names, parse
from symflops.laws.claiming import Where, read_claims
from symflops.laws.cost import Case, Claims, Cost, CostError
from symflops.laws.drawing import sizes_of
from symflops.notation import TERMS, symbol

Function = Callable[..., Any]


class NotAsked(CostError):
    """A case that a cost function does not claim to be for; no law counts it."""


class Fields(dict[str, Any]):
    """The fields of a config, as a dict and as attributes, as configs of transformers have them."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"the config has no field {name!r}")
        return self[name]


@dataclass(frozen=True)
class Adapter:
    """What each argument of a cost function is given, which part of its result is the number, what it claims.

    An argument is given ``config`` (fields by their Hugging Face names, as a dict with attributes), ``case``,
    ``model`` (an `Architecture`), ``name`` (of a model that symflops knows), or a formula of sizes (``n_layer``,
    ``n_head*d_head``). ``result`` is a key, a position or an attribute. ``scale`` is what one of the number is worth,
    such as 10**12 for TFLOPs. ``where`` says for which cases the function is: sizes by formulas, fields by values.
    """

    arguments: Mapping[str, str]
    claims: Claims = field(default_factory=Claims)
    where: Where = field(default_factory=dict)
    result: str | int = ""
    scale: int | Fraction = 1

    @property
    def named(self) -> bool:
        """Whether the function is told a name, so that models have the sizes that they are published with."""
        return "name" in self.arguments.values()


ALIASES: Mapping[str, str] = {
    **{alias: size.name for alias, size in TABLE.items() if size.is_Symbol},
    **{name: name for name in TERMS},
    **dict.fromkeys(("seq_len", "seq_length", "seqlen", "sequence_length", "seq", "max_seq_length"), "n_seq"),
    **dict.fromkeys(("batch_size", "batch", "global_batch_size", "micro_batch_size", "bsz"), "n_batch"),
    **dict.fromkeys(("config", "cfg", "hf_config", "model_config", "fields"), "config"),
    **dict.fromkeys(("model_name", "name", "model_id"), "name"),
    **{"case": "case", "model": "model", "architecture": "model"},
}
"""What an argument is given by its name, where nobody says."""
GIVEN = ("config", "case", "model", "name")


def adapter(
    function: Function,
    claims: str | Claims | None = None,
    arguments: Mapping[str, str] | None = None,
    result: str | int = "",
    scale: int | Fraction = 1,
) -> Adapter:
    """The adapter of a function: its arguments by their names, unless ``arguments`` says what each is given.

    Claims are those given, else the function's own attribute ``claims``, else the defaults. Sizes that the function is
    not told follow from the others where they can (``d_head = d_model/n_head``): it is asked of such models alone.
    Raises `CostError` for an argument that nobody can name, and where the words of claims do not fit.
    """
    meant = getattr(function, "claims", None) if claims is None else claims
    said, where = read_claims(meant) if isinstance(meant, str) else (meant or Claims(), {})
    given = _arguments(function, arguments or {})
    return Adapter(given, said, {**_following(given, where, said), **where}, result, scale)


def _arguments(function: Function, said: Mapping[str, str]) -> dict[str, str]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise CostError(f"{_name(function)} does not say what it is called with; say what each argument is") from None
    unknown = [name for name in said if name not in parameters and not _takes_any(function)]
    if unknown:
        raise CostError(f"{_name(function)} has no argument {unknown[0]!r}; it has {', '.join(parameters) or 'none'}")
    found = {name: said.get(name, ALIASES.get(name, "")) for name in parameters if _open(parameters[name], name, said)}
    lacking = [name for name, what in found.items() if not what]
    if lacking:
        raise CostError(
            f"{_name(function)} takes {lacking[0]!r}, which is no size by that name; say what it is given, such as "
            f"{lacking[0]}=d_ff or {lacking[0]}=config"
        )
    for what in (*found.values(), *said.values()):
        _given(what)
    return {**found, **{name: what for name, what in said.items() if name not in parameters}}


def _takes_any(function: Function) -> bool:
    kinds = {each.kind for each in inspect.signature(function).parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


def _open(parameter: inspect.Parameter, name: str, said: Mapping[str, str]) -> bool:
    """Whether an argument is to be given something: one with a default and an unknown name keeps its default."""
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return False
    return parameter.default is inspect.Parameter.empty or name in said or bool(ALIASES.get(name))


def _given(what: str) -> Tree | str:
    """What an argument is given: a word of `GIVEN`, or a formula of sizes. Raises `CostError` for anything else."""
    if what in GIVEN:
        return what
    tree = parse(what)
    strangers = sorted(names(tree) - TERMS.keys())
    if strangers:
        raise CostError(f"an argument is {', '.join(GIVEN)} or a formula of sizes; {strangers[0]!r} is no size")
    return tree


DEFAULTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "d_head": ("d_model/n_head", frozenset({"qkv", "scores", "mix", "project"})),
    "n_kv_head": ("n_head", frozenset({"qkv"})),
    "d_ff": ("4*d_model", frozenset({"feedforward"})),
}
"""What sizes follow from where nobody gives them, and the roles whose cost they change."""


def _following(arguments: Mapping[str, str], where: Where, claims: Claims) -> dict[str, str]:
    """What sizes have to be that a function called with sizes is not told, and that what it counts depends on."""
    if any(what in GIVEN for what in arguments.values()):
        return {}
    told = {name for what in arguments.values() for name in names(parse(what))} | where.keys()
    free = {size for family in claims.families for size in sizes_of(family)} - told
    return {size: rule for size, (rule, roles) in DEFAULTS.items() if size in free and roles & claims.counts}


def _name(function: Function) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def cost(function: Function, how: Adapter) -> Cost:
    """A cost that laws can be asked of."""
    return Cost(_name(function), lambda case: _called(function, how, case), how.claims)


def _called(function: Function, how: Adapter, case: Case) -> Any:
    if not inside(how.where, case):
        raise NotAsked(f"{case} is none of the models that the function is for")
    given = {name: _argument(what, case) for name, what in how.arguments.items()}
    positional = [given.pop(name) for name in _positional(function) if name in given]
    return _scaled(_part(function(*positional, **given), how.result), how.scale)


def _positional(function: Function) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_ONLY]


def inside(where: Where, case: Case) -> bool:
    """Whether a case is one of those that a function is for; sizes that the model does not have are no matter."""
    for name, wanted in where.items():
        if name in TERMS:
            if name in case.sizes and not _fits(wanted, name, case.sizes):
                return False
        elif case.model.config.get(name) != wanted:
            return False
    return True


def _fits(formula: str, name: str, sizes: Mapping[str, int]) -> bool:
    return not names(parse(formula)) - sizes.keys() and sized(formula, sizes) == sizes[name]


def sized(formula: str, sizes: Mapping[str, int]) -> Fraction:
    """A formula of sizes at numbers for them.

    >>> sized("d_model/n_head", {"d_model": 6, "n_head": 4})
    Fraction(3, 2)
    """
    return Fraction(value(parse(formula), {name: Fraction(size) for name, size in sizes.items()}))


def _argument(what: str, case: Case) -> Any:
    if what == "case":
        return case
    if what == "model":
        return case.model
    if what == "name":
        return _preset(case)
    if what == "config":
        return _fields(case)
    try:
        found = sized(what, case.sizes)
    except SymflopsError as error:
        raise NotAsked(f"{case} has no {what}: {error}") from None
    return int(found) if found.denominator == 1 else found


def _fields(case: Case) -> Fields:
    """The config as transformers has it, without what only symflops writes into it.

    Raises `NotAsked` for a size that its class has no field for, and that does not follow from the others.
    """
    known, model = completed({"model_type": case.model.family.name}), case.model
    for size, field_ in model.table.items():
        if field_.name in model.config and field_.name not in known and not _follows(case, size):
            raise NotAsked(f"a config of {model.family.name} has no field {field_.name!r}")
    filled = {model.table[size].name: case.sizes[size] for size in FILLED if size in model.table}
    config = {name: value for name, value in model.config.items() if name in known or name not in TABLE}
    return _deep({name: filled.get(name, value) if value is None else value for name, value in config.items()})


def _follows(case: Case, size: str) -> bool:
    """Whether a size is what it would be if nobody said."""
    rule = case.model.table[size].absent
    return isinstance(rule, Expr) and bool(
        rule.subs({symbol(name): known for name, known in case.sizes.items()}) == case.sizes[size]
    )


FILLED = ("n_kv_head", "d_head")
"""Sizes that the config classes of transformers fill in themselves where they are not given."""


def _deep(config: Mapping[str, Any]) -> Fields:
    return Fields({name: _deep(part) if isinstance(part, Mapping) else part for name, part in config.items()})


def _preset(case: Case) -> str:
    found = presets().get(case.model.name)
    same = found is not None and json.dumps(completed(found["config"])) == json.dumps(dict(case.model.config))
    if not same:
        raise NotAsked(f"{case} is no model with a name")
    return case.model.name


def _part(result: Any, key: str | int) -> Any:
    if key == "":
        if isinstance(result, Mapping | tuple | list):
            keys = result if isinstance(result, Mapping) else range(len(result))
            raise CostError(f"the result has several numbers; choose one of {', '.join(map(str, keys))}")
        return result
    if isinstance(result, Mapping):
        return result[key]
    return result[int(key)] if isinstance(result, tuple | list) else getattr(result, str(key))


def _scaled(number: Any, scale: int | Fraction) -> Any:
    """The number times what one of it is worth; a float as the simple fraction near it, if there is one.

    >>> _scaled(0.1 + 0.2, 1), _scaled(1.5e-12, 10**12)
    (Fraction(3, 10), Fraction(3, 2))
    """
    if not isinstance(number, float):
        return number if scale == 1 else Fraction(number) * scale
    if not isfinite(number):
        return number
    exactly = Fraction(number) * scale
    simple = exactly.limit_denominator(1000)
    return simple if abs(simple - exactly) <= abs(exactly) / 10**13 else exactly
