"""From a network to its closed forms: a table of its operations, a chain of checked steps, and what is said of them.

>>> from symflops.networks import Block
>>> from symflops.notation import d_ff, d_model, n_batch, n_layer, n_seq
>>> from symflops.operations import Contraction
>>> sizes = {"batch": n_batch, "seq": n_seq, "d": d_model, "f": d_ff}
>>> up = Contraction("up", "x[batch seq d] weight[d f] -> y[batch seq f]", sizes, role="feedforward")
>>> found = derive_network("up", "An up projection", "none", n_layer * Block("Feedforward", up), "torch")
>>> found.N, found.C_forward
(d_ff*d_model*n_layer, 2*d_ff*d_model*n_layer)
>>> [type(block).__name__ for block in found.document().blocks]
['Prose', 'Heading', 'Table', 'Heading', 'Steps']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Add, Eq, Expr, Symbol, factor

from symflops.conventions import Convention, convention
from symflops.documents import Block, Cell, Document, Heading, Prose, Remarks, Section, Steps, Table
from symflops.documents import as_json as block_json
from symflops.measures import flops, flops_of_all, params, params_without
from symflops.networks import Use, blocks, uses
from symflops.notation import n_batch, n_seq
from symflops.steps import Step, WrongStep, drop, rewrite, share, specialise, start

__all__ = [
    "Derivation", "Note", "Page", "Row", "Section", "Step", "Study", "WrongStep", "derive_network", "drop",
    "reading_position", "rewrite", "share", "specialise", "start", "table",
]  # fmt: skip

READING_ORDER = (
    "embedding", "position", "rotary", "qkv", "scores", "softmax", "mix", "state space", "convolution", "scan",
    "project", "router", "feedforward", "activation", "residual", "norm", "logits",
)  # fmt: skip
"""The order in which a table lists what a network does, by role."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a named part of the network, its parameters, and its work for one token."""

    name: str
    params: Expr
    flops: Expr


@dataclass(frozen=True)
class Note:
    """A remark of the engine on one row, with the closed forms it rests on."""

    about: str
    text: str
    forms: Mapping[str, Expr]


class Page:
    """What has a document, and shows itself by it."""

    def document(self) -> Document:
        """The page as a value that every format prints."""
        raise NotImplementedError

    def show(self, form: str = "text") -> str:
        """The page as text, markdown, latex, html or json.

        Raises `UnknownName` for another format.
        """
        from symflops.render import render_document

        return render_document(self.document(), form)

    def latex(self) -> str:
        """A LaTeX document that compiles as it stands."""
        return self.show("latex")

    def _repr_html_(self) -> str:
        return self.show("html")


@dataclass(frozen=True)
class Study(Page):
    """A source that is about no single network: its sections, in order.

    >>> study = Study("rules", "Rules of thumb", "none", (Section("Training", (Prose("Six for each parameter."),)),))
    >>> print(study.show())
    Rules of thumb
    <BLANKLINE>
    none.
    <BLANKLINE>
    Training
    --------
    <BLANKLINE>
    Six for each parameter.
    """

    name: str
    title: str
    citation: str
    sections: tuple[Section, ...]

    def document(self) -> Document:
        """The citation and the sections as a page."""
        sections = (block for section in self.sections for block in section.shown())
        return Document(self.title, (Prose(f"{self.citation}."), *sections), self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values, expressions as text in the ASCII notation."""
        return {
            "name": self.name,
            "title": self.title,
            "citation": self.citation,
            "sections": [section.as_json() for section in self.sections],
        }


@dataclass(frozen=True)
class Derivation(Page):
    """A network's table, N and C_forward for one token, the steps that lead there, sections and remarks.

    ``opening`` stands before the table, ``sections`` between the steps and the remarks.
    """

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
    sections: tuple[Section, ...] = ()
    opening: tuple[Block, ...] = ()

    @property
    def C_terms(self) -> Expr:
        """C_forward as the paper writes it: 2*N and what is left over."""
        return 2 * Symbol("N") + factor(self.C_forward - 2 * self.N)

    def document(self) -> Document:
        """The whole page: the table of operations, the steps, the sections, the remarks."""
        return Document(self.title, tuple(self._blocks()), self.as_json())

    def _blocks(self) -> Iterator[Block]:
        yield Prose(f"{self.citation}. {self._counted()}")
        yield from self.opening
        yield Heading("Operations")
        yield self._table()
        yield Heading("Steps, each checked by machine")
        yield Steps(self.steps)
        for section in self.sections:
            yield from section.shown()
        if self.notes:
            yield Heading("On the printed table")
            yield Remarks(tuple((note.about, note.text) for note in self.notes))

    def _counted(self) -> str:
        """What the table counts."""
        chosen = self.convention
        left_out = f"; the total leaves out {', '.join(sorted(chosen.left_out))}" if chosen.left_out else ""
        return f"Convention {chosen.name}: {chosen.title}, in {chosen.unit}s{left_out}; N leaves out embeddings."

    def _table(self) -> Table:
        def owned(params: Expr) -> Cell:
            return "-" if params == 0 else params

        total = Eq(Symbol("N"), self.N, evaluate=False), Eq(Symbol("C_forward"), self.C_terms, evaluate=False)
        head = ("Operation", "Parameters", f"{self.convention.unit}s per token")
        return Table("", head, tuple((row.name, owned(row.params), row.flops) for row in self.rows), ("Total", *total))

    def as_json(self) -> dict[str, Any]:
        """Plain values, expressions as text in the ASCII notation."""
        opening = {"opening": [block_json(block) for block in self.opening]} if self.opening else {}
        return {
            "name": self.name,
            "title": self.title,
            "citation": self.citation,
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "per": "token",
            "operations": [{"name": row.name, "params": str(row.params), "flops": str(row.flops)} for row in self.rows],
            "N": str(self.N),
            "C_forward": str(self.C_forward),
            "steps": [step.as_json() for step in self.steps],
            "notes": [f"{note.about}: {note.text}" for note in self.notes],
            "sections": [section.as_json() for section in self.sections],
            **opening,
        }


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
