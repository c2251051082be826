"""What a cost law is: a statement, how far it reaches, how it is established, and what it says of someone's function.

>>> from symflops.notation import n_seq
>>> causal = n_seq * (n_seq + 1) / 2
>>> law = Law("causal-at-most-dense", r"n(n+1)/2 \\le n^2", "A causal mask lets through no more pairs than there are.",
...     source="counting", domain="all sizes", scope="every causal mask",
...     show=lambda: [proved("pairs", causal <= n_seq**2)])
>>> [(instance.subject, instance.holds, instance.how) for instance in law.show()]
[('pairs', True, 'proved')]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sympy import Basic, Eq, Expr, GreaterThan, S
from sympy.core.relational import Relational

from symflops.proof import prove, residual

How = Literal["proved", "oracle", "tested"]
HOW: Mapping[How, str] = {
    "proved": "shown symbolically for all sizes of its domain",
    "oracle": "equal to a count by loops, or of a real module, at small sizes",
    "tested": "held at every configuration that was drawn at random",
}
"""How a law can be established, the strongest first."""


@dataclass(frozen=True)
class Instance:
    """A law asked of one thing: both sides, whether it holds, and how that is known.

    ``left`` and ``right`` are closed forms or numbers as text; ``detail`` is a certificate, a residual, or the smallest
    configuration that breaks it.
    """

    subject: str
    holds: bool
    how: How
    left: str = ""
    right: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Law:
    """A statement that every cost obeys, where it is asked.

    ``statement`` is LaTeX, ``prose`` a sentence; ``source`` the paper or identity behind it; ``domain`` the sizes it
    holds for, ``scope`` the operations, architectures, conventions and phases. ``show`` yields the law on symflops' own
    declarations, proved or compared with an oracle. ``ask`` yields it on a cost function at one configuration;
    ``asks`` says of what claims: a law is only asked of what claims it. ``by`` is how it is established where it is
    shown, by the weakest of its instances; a law that is only asked is tested.
    """

    name: str
    statement: str
    prose: str
    source: str
    domain: str
    scope: str
    show: Callable[[], Iterable[Instance]] | None = None
    ask: Callable[[Any, Any], Iterable[Instance]] | None = None
    asks: Callable[[Any], bool] | None = field(default=None, repr=False)
    by: How = "proved"

    @property
    def ways(self) -> str:
        """How it is established on symflops' own declarations, and whether it is tested of any cost function."""
        return " and ".join([*([self.by] if self.show else []), *(["tested"] if self.ask else [])])


def proved(subject: str, claim: Basic | bool, domain: Iterable[Basic] = ()) -> Instance:
    """An instance by `prove`: it holds only if a certificate was found.

    >>> from symflops.notation import n_head, n_kv_head
    >>> proved("heads", n_kv_head <= n_head).detail
    'counterexample: n_head = 1, n_kv_head = 2 make it 2 <= 1'
    """
    if not isinstance(claim, Relational):  # sympy has decided it by the signs of its symbols
        return Instance(subject, bool(claim), "proved", detail=f"{claim} for all sizes, by their signs")
    found = prove(claim, domain)
    left, right = (str(side) for side in claim.args)
    return Instance(subject, bool(found), "proved", left, right, repr(found))


def never_negative(subject: str, form: Expr) -> Instance:
    """An instance that a closed form is nowhere below zero, with a certificate also where its signs would do.

    >>> from symflops.notation import n_layer, n_seq
    >>> never_negative("pairs", n_seq**2 - n_seq).detail
    'proved: with n_seq = a + 1 and a >= 0 it says a**2 + a >= 0'
    >>> never_negative("none", -n_layer).holds
    False
    """
    return proved(subject, GreaterThan(form, S.Zero, evaluate=False))


def same(subject: str, left: Expr, right: Expr) -> Instance:
    """An instance that two closed forms are equal for all sizes; the residual, factored, where they are not.

    >>> from symflops.notation import n_layer
    >>> same("layers", 2 * n_layer + 1, 2 * n_layer).detail
    'what is left over: 1'
    """
    left, right = S.Zero + left, S.Zero + right
    rest = residual(left, right)
    equal = rest == 0 or Eq(left, right) == True  # noqa: E712
    return Instance(subject, equal, "proved", str(left), str(right), "" if equal else f"what is left over: {rest}")


def counted(subject: str, form: object, count: object) -> Instance:
    """An instance that a closed form at small sizes is what a loop, or a real module, counts.

    >>> counted("pairs of 3", 6, sum(query >= key for query in range(3) for key in range(3))).holds
    True
    """
    return Instance(subject, bool(form == count), "oracle", str(form), str(count))
