"""Sizes drawn inside a domain: small ones to run a model at, and random ones to certify a closed form with.

>>> from sympy import Eq, Mod
>>> from symflops.notation import n_head, n_kv_head
>>> draw({"n_head": (2, 9), "n_kv_head": (2, 9)}, (Eq(Mod(n_head, n_kv_head), 0),), random.Random(1))
{'n_head': 9, 'n_kv_head': 3}
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from sympy import Eq, GreaterThan, LessThan, Mod
from sympy.core.relational import Relational, StrictGreaterThan, StrictLessThan
from sympy.logic.boolalg import Boolean

from symflops.errors import SymflopsError
from symflops.notation import symbol

Domain = tuple[Boolean, ...]
Ranges = Mapping[str, tuple[int, int]]
_TRIES = 2000
_ABOVE = (0, 2)


class EmptyDomain(SymflopsError):
    """No sizes were found that satisfy all conditions."""


def holds(condition: Boolean, sizes: Mapping[str, int]) -> bool:
    """Whether sizes satisfy a condition; one on other sizes is none on these."""
    found = condition.subs({symbol(name): size for name, size in sizes.items()})
    return bool(found == True) or bool(found.free_symbols)  # noqa: E712


def draw(ranges: Ranges, domain: Domain, source: random.Random) -> dict[str, int]:
    """Random sizes in these ranges, moved into the domain where that takes little.

    Raises `EmptyDomain` where none are found.
    """
    for _ in range(_TRIES):
        sizes = {name: source.randint(*span) for name, span in ranges.items()}
        for condition in (*domain, *domain):
            _mend(condition, sizes, ranges, source)
        if all(holds(condition, sizes) for condition in domain):
            return sizes
    raise EmptyDomain(f"no random sizes lie in the domain {', '.join(map(str, domain))}")


def multiples(domain: Domain) -> dict[str, str]:
    """What divides a size: the first size of which the domain says so.

    >>> from sympy import Eq, Mod
    >>> from symflops.notation import d_head, n_head, n_kv_head
    >>> multiples((Eq(Mod(n_head, n_kv_head), 0), Eq(Mod(d_head, 8), 0)))
    {'n_head': 'n_kv_head'}
    """
    found: dict[str, str] = {}
    for each in domain:
        remainder = each.args[0] if isinstance(each, Eq) else None
        if isinstance(remainder, Mod) and all(part.is_Symbol for part in remainder.args):
            whole, part = (size.name for size in remainder.args)
            if part not in found:
                found.setdefault(whole, part)
    return found


def distinct(
    sizes: Mapping[str, int], apart: Collection[str], domain: Domain, numbers: Collection[str] = ()
) -> dict[str, int]:
    """The same sizes, but different ones for the names of ``apart``, inside the domain; quotients differ too.

    They are at least 2, but for ``numbers``, which are never symbols.

    >>> distinct({"n_type": 2, "n_shared": 2, "n_layer": 2}, ("n_type", "n_shared"), ())
    {'n_type': 2, 'n_shared': 3, 'n_layer': 2}
    """
    found, divisors = dict(sizes), multiples(domain)

    def marks(name: str) -> set[int]:
        divisor = found.get(divisors.get(name, ""), 1)
        return {found[name], found[name] // divisor}

    for number, name in enumerate(apart):
        least = 1 if name in numbers else _LEAST
        taken = set().union(*(marks(other) for other in list(apart)[:number]))
        while taken & marks(name) or min(marks(name)) < least or not _fits(name, found, domain):
            if found[name] > _LARGEST:
                raise EmptyDomain(f"no size for {name} apart from the others in {', '.join(map(str, domain))}")
            found[name] += 1
    return found


_LEAST = 2
_LARGEST = 10_000


def _fits(name: str, sizes: Mapping[str, int], domain: Domain) -> bool:
    return all(holds(each, sizes) for each in domain if symbol(name) in each.free_symbols)


def _mend(condition: Boolean, sizes: dict[str, int], ranges: Ranges, source: random.Random) -> None:
    """Move one size so that a condition holds: a multiple of what must divide it, or as large as it must be."""
    if holds(condition, sizes) or not isinstance(condition, Relational):
        return
    left, right = condition.args
    values = {symbol(name): size for name, size in sizes.items()}
    if isinstance(left, Mod) and left.args[0].is_Symbol and ranges[left.args[0].name][1] > ranges[left.args[0].name][0]:
        sizes[left.args[0].name] = int(left.args[1].subs(values)) * source.randint(1, 4)
    elif isinstance(condition, LessThan | StrictLessThan) and right.is_Symbol:
        sizes[right.name] = int(left.subs(values)) + source.randint(*_ABOVE)
    elif isinstance(condition, GreaterThan | StrictGreaterThan) and left.is_Symbol:
        sizes[left.name] = int(right.subs(values)) + source.randint(*_ABOVE)
