"""Amounts with their prices: the parameters of an operation, and its work under a price list that choices change.

>>> from symflops.identify.choices import Option, Priced
>>> from symflops.networks import uses
>>> from symflops.operations import Contraction
>>> [up] = uses(Contraction("up", "x[seq d] weight[d f] -> y[seq f]", {"seq": 5, "d": 2, "f": 3}))
>>> from symflops.identify.space import TRAINING
>>> [(int(price), amount) for price, amount in work_of(up, (Option("macs", "", Priced("macs")), TRAINING))]
[(1, 30), (1, 30), (1, 30)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sympy import Expr

from symflops.arithmetic import fraction
from symflops.conventions import CONVENTIONS, Convention
from symflops.elementwise import Elementwise
from symflops.identify.choices import Option, Passes, Priced, Pricing
from symflops.measures import use_work
from symflops.networks import Use

Terms = tuple[tuple[Fraction, Expr], ...]
"""Amounts with their prices."""


def params_of(use: Use) -> Terms:
    """The parameters of one use."""
    counts = (use.copies * each.count for each in use.operation.parameters)
    return tuple((Fraction(1), each) for each in counts if each != 0)


def price_list(options: Sequence[Option]) -> tuple[Convention, Mapping[str, Fraction]]:
    """The convention with what other options change of it, and the shares of roles."""
    effects = [each.effect for each in options]
    base = next(CONVENTIONS[each.convention] for each in effects if isinstance(each, Priced))
    changes = [each for each in effects if isinstance(each, Pricing)]
    lines = tuple(line for each in changes for line in each.prices)
    counted = frozenset().union(*(each.counted for each in changes))
    pairs: Any = next((each.pairs for each in changes if each.pairs), base.pairs)
    shares = {role: share for each in changes for role, share in each.shares.items()}
    return replace(base, prices=lines + base.prices, pairs=pairs, left_out=base.left_out - counted), shares


def work_of(use: Use, options: Sequence[Option]) -> Terms:
    """The priced amounts of one use, as `measures.priced` adds them up."""
    prices, shares = price_list(options)
    passes = next(each.effect.passes for each in options if isinstance(each.effect, Passes))
    if use.operation.role in prices.left_out:
        return ()
    factors = dict.fromkeys(passes, shares.get(use.operation.role, Fraction(1)))
    if prices.backward == "twice" and "input_gradient" in passes:
        factors = {name: factors[name] * times for name, times in _TWICE.items() if name in passes}
    elif isinstance(use.operation, Elementwise) and not prices.prices_steps:
        factors.pop("input_gradient", None)  # not derived for a price list without such lines
    return tuple(_priced(use, prices, factors))


_TWICE = {"forward": 3, "recompute": 1}
"""How often each pass counts where gradients are said to be twice the forward pass."""


def _priced(use: Use, prices: Convention, factors: Mapping[str, Fraction]) -> Iterator[tuple[Fraction, Expr]]:
    for kind, pass_, amount in use_work(use, tuple(factors)):
        price = prices.price(kind, pass_, use.operation.role)
        if price and amount != 0:
            yield fraction(price) * factors[pass_], prices.count_pairs(amount)
