"""From a network to its closed forms, as a table and a chain of steps, each checked by machine when it is made.

>>> from symflops.notation import d_model, n_layer
>>> chain = start("N", 8 * n_layer * d_model**2 + 4 * n_layer * d_model**2, "sum of the table")
>>> chain = rewrite(chain, 12 * n_layer * d_model**2, "like terms collected")
>>> rewrite(chain, 11 * n_layer * d_model**2, "a slip")
Traceback (most recent call last):
symflops.derivation.WrongStep: N: 11*d_model**2*n_layer does not follow from 12*d_model**2*n_layer (a slip); they ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sympy import Add, Expr, S, Symbol, factor

from symflops.conventions import Convention, convention
from symflops.errors import SymflopsError
from symflops.measures import flops, flops_of_all, params, params_without
from symflops.networks import Use, blocks, uses
from symflops.notation import n_batch, n_seq
from symflops.proof import equal, residual

READING_ORDER = (
    "embedding", "position", "rotary", "qkv", "scores", "softmax", "mix", "state space", "convolution", "scan",
    "project", "router", "feedforward", "activation", "residual", "norm", "logits",
)  # fmt: skip
"""The order in which a table lists what a network does, by role."""


class WrongStep(SymflopsError):
    """A step of a derivation that does not follow."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a named part of the network, its parameters, and its work for one token."""

    name: str
    params: Expr
    flops: Expr


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


@dataclass(frozen=True)
class Note:
    """A remark of the engine on one row, with the closed forms it rests on."""

    about: str
    text: str
    forms: Mapping[str, Expr]


@dataclass(frozen=True)
class Derivation:
    """A network's table, N and C_forward for one token, the steps that lead there, and remarks."""

    name: str
    title: str
    citation: str
    network: Expr
    convention: Convention
    rows: tuple[Row, ...]
    N: Expr
    C_forward: Expr
    steps: tuple[Step, ...]
    notes: tuple[Note, ...] = ()

    @property
    def C_terms(self) -> Expr:
        """C_forward as the paper writes it: 2*N and what is left over."""
        return 2 * Symbol("N") + factor(self.C_forward - 2 * self.N)

    def latex(self) -> str:
        """A document that compiles as it stands."""
        from symflops.render import render

        return render(self, "latex")

    def _repr_html_(self) -> str:
        from symflops.render import render

        return render(self, "html")


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
    """The last step where some sizes are others, such as d_ff = 4 d_model."""
    last = chain[-1]
    special = (*chain[:-1], replace(last, expression=last.expression.subs(sizes)))
    return (*chain, rewrite(special, expression, why)[-1])


def drop(chain: tuple[Step, ...], dropped: Expr, expression: Expr, why: str) -> tuple[Step, ...]:
    """The last step without a term; the term is kept with the step, so that its size can be shown."""
    last = chain[-1]
    reduced = (replace(last, expression=last.expression - dropped),)
    return (*chain, replace(rewrite(reduced, expression, why)[-1], dropped=dropped))


def table(network: Expr, chosen: Convention, tokens: Expr = n_batch * n_seq) -> tuple[Row, ...]:
    """A row for each named part of the network, in reading order: parameters, and work for one token."""
    named = sorted(blocks(network).items(), key=lambda item: min(map(reading_position, uses(item[1]))))
    return tuple(
        Row(name, factor(params(part)), factor(flops_of_all(part, chosen).expr / tokens)) for name, part in named
    )


def reading_position(use: Use) -> tuple[int, str]:
    """Where an operation stands in a table: by its role, then by name."""
    role = use.operation.role
    return READING_ORDER.index(role) if role in READING_ORDER else len(READING_ORDER), use.path


def derive_network(
    name: str, title: str, citation: str, network: Expr, given: str | Convention, tokens: Expr = n_batch * n_seq
) -> Derivation:
    """The derivation of any network: the table, its sums, and C_forward against 2 N."""
    chosen = convention(given)
    rows = table(network, chosen, tokens)
    n, c = factor(params_without(network)), factor(flops(network, chosen).expr / tokens)
    parts = blocks(network).values()  # a part may hold operations of both kinds of roles
    inside = Add(*(params_without(part) for part in parts))
    counted = Add(*(flops(part, chosen).expr / tokens for part in parts))
    steps = rewrite(start("N", inside, "sum of the rows, embeddings apart"), n, "factored")
    work = rewrite(start("C_forward", counted, "sum of the rows that count"), c, "factored")
    found = Derivation(name, title, citation, network, chosen, rows, n, c, ())
    work = rewrite(work, found.C_terms.subs(Symbol("N"), n), "against two for each parameter")
    work = (*work[:-1], work[-1].written(found.C_terms, N=n))
    return replace(found, steps=steps + work)


def share(part: Expr, whole: Expr) -> Expr:
    """A part as a fraction of the whole, in lowest terms.

    >>> from symflops.notation import n_ctx
    >>> share(2 * n_ctx, 24 * n_ctx**2)
    1/(12*n_ctx)
    """
    return factor(part / whole)
