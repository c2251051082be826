"""What is known from elsewhere: closed forms derived from the unmodified code of families, loops, printed formulas.

>>> from symflops.laws.catalogue.subjects import model
>>> [instance.subject for instance in by_code("llama", model("llama")) if not instance.holds]
[]
>>> [instance.subject for instance in by_code("llama", model("mixtral")) if not instance.holds][:2]
['params of the code of llama', 'N of the code of llama']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from sympy import Expr, expand

from symflops.architectures import FAMILIES, Architecture
from symflops.architectures.corresponding import corresponding
from symflops.architectures.fields import completed
from symflops.certified import Entry, certified
from symflops.conventions import TORCH
from symflops.expressions import expression
from symflops.laws.catalogue.subjects import model
from symflops.laws.law import Instance
from symflops.measures import flops, params, params_without
from symflops.proved import FORMS, Code, meanings

_LONGEST = 100_000
BY_HAND: Mapping[str, Callable[[Expr], Expr]] = {
    "params": params,
    "N": params_without,
    "C_forward": lambda whole: flops(whole, TORCH).expr,
    "C_backward": lambda whole: flops(whole, TORCH, "backward").expr,
}


@cache
def _entry(family: str, attention: str = "eager") -> Entry | None:
    """The record of a family's code with plain attention, or with torch's fused one."""
    mine = (each for each in certified().entries if each.family == family and each.attention == attention)
    return next(mine, None)


@cache
def code_form(family: str, form: str, attention: str = "eager") -> Expr:
    """A closed form of a family's code, in the sizes of the record; zero where there is none."""
    entry = _entry(family, attention)
    return expand(expression((entry.forms[form] if entry else "") or "0*n_seq", _LONGEST))


@cache
def _sizes(family: str) -> Mapping[Expr, Expr]:
    """The sizes of the notation in those of the record."""
    entry, config = _entry(family), completed({"model_type": family})
    code = Code(meanings(entry.dimensions if entry else {}), config)
    return corresponding(model(family).table, code, model(family).network.free_symbols)


def in_code(family: str, form: Expr) -> Expr:
    """A closed form in the sizes of the record."""
    return expand(form.xreplace(dict(_sizes(family))))


def by_code(family: str, of: Architecture) -> Iterator[Instance]:
    """Parameters, with and without tables, and FLOPs of both passes are those that the family's code gives."""
    if family in FAMILIES and _entry(family) is not None:
        for form in FORMS:
            mine, code = in_code(family, BY_HAND[form](of.network)), code_form(family, form)
            equal = bool(mine == code or expand(mine - code) == 0)
            yield Instance(f"{form} of the code of {family}", equal, "oracle", str(mine), str(code))
