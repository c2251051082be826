"""A chain of steps from one closed form to the next, each checked by machine when it is made.

>>> from symflops.notation import d_model, n_layer
>>> chain = start("N", 8 * n_layer * d_model**2 + 4 * n_layer * d_model**2, "sum of the table")
>>> chain = rewrite(chain, 12 * n_layer * d_model**2, "like terms collected")
>>> rewrite(chain, 11 * n_layer * d_model**2, "a slip")
Traceback (most recent call last):
symflops.steps.WrongStep: N: 11*d_model**2*n_layer does not follow from 12*d_model**2*n_layer (a slip); they differ ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Expr, S, Symbol, factor

from symflops.errors import SymflopsError
from symflops.proof import equal, residual


class WrongStep(SymflopsError):
    """A step of a derivation that does not follow."""


@dataclass(frozen=True)
class Step:
    """One line of a chain: ``quantity = expression``, why, and what was dropped if it is an approximation.

    ``terms`` is the same expression written in named quantities, such as 2*N, for the reader.
    """

    quantity: str
    expression: Expr
    why: str
    dropped: Expr = S.Zero
    terms: Expr | None = None

    def written(self, terms: Expr, **names: Expr) -> Step:
        """The step with ``terms``, where ``names`` says what each named quantity stands for.

        Raises `WrongStep` unless they are the step's expression.
        """
        meant = terms.subs({Symbol(name): value for name, value in names.items()})
        if not equal(meant, self.expression):
            raise WrongStep(f"{self.quantity}: {terms} is not {self.expression} with {names}")
        return replace(self, terms=terms)

    @property
    def share(self) -> Expr:
        """How large what was dropped is, as a fraction of what stays; 0 where nothing was."""
        return S.Zero if self.dropped == 0 else share(self.dropped, self.expression)

    def as_json(self) -> dict[str, Any]:
        """Plain values, expressions as text in the ASCII notation; what is not there is left out."""
        terms = {} if self.terms is None else {"terms": str(self.terms)}
        dropped = {} if self.dropped == 0 else {"dropped": str(self.dropped), "share": str(self.share)}
        return {"quantity": self.quantity, "expression": str(self.expression), "why": self.why, **terms, **dropped}


def start(quantity: str, expression: Expr, why: str) -> tuple[Step, ...]:
    """A chain of one step."""
    return (Step(quantity, expression, why),)


def rewrite(chain: tuple[Step, ...], expression: Expr, why: str) -> tuple[Step, ...]:
    """The same thing written otherwise.

    Raises `WrongStep` unless it equals the last step for all sizes.
    """
    last = chain[-1]
    if not equal(last.expression, expression):
        difference = residual(expression, last.expression)
        raise WrongStep(
            f"{last.quantity}: {expression} does not follow from {last.expression} ({why}); they differ by {difference}"
        )
    return (*chain, Step(last.quantity, expression, why))


def specialise(chain: tuple[Step, ...], sizes: Mapping[Expr, Expr], expression: Expr, why: str) -> tuple[Step, ...]:
    """The last step where some sizes are others, such as d_ff = 4 d_model.

    Raises `WrongStep` unless that gives the expression.
    """
    last = chain[-1]
    special = (*chain[:-1], replace(last, expression=last.expression.subs(sizes)))
    return (*chain, rewrite(special, expression, why)[-1])


def drop(chain: tuple[Step, ...], dropped: Expr, expression: Expr, why: str) -> tuple[Step, ...]:
    """The last step without a term; the term is kept with the step, so that its size can be shown.

    Raises `WrongStep` unless what is left is the expression.
    """
    last = chain[-1]
    reduced = (replace(last, expression=last.expression - dropped),)
    return (*chain, replace(rewrite(reduced, expression, why)[-1], dropped=dropped))


def share(part: Expr, whole: Expr) -> Expr:
    """A part as a fraction of the whole, in lowest terms.

    >>> from symflops.notation import n_ctx
    >>> share(2 * n_ctx, 24 * n_ctx**2)
    1/(12*n_ctx)
    """
    return factor(part / whole)
