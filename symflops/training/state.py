"""Model state: what training keeps from step to step of a network's parameters, gradients and optimiser, in bytes.

>>> from symflops import architecture
>>> found = model_state("gpt2", "adam", "mixed-bf16")
>>> [(kept.name, kept.form.name, kept.elements == found.N) for kept in found.kept][:3]
[('parameter', 'bf16', True), ('gradient', 'bf16', True), ('main parameter', 'fp32', True)]
>>> found.per_parameter, found.counters, found.steps()[1].terms
(16, 48*n_layer + 16, 16*N + 48*n_layer + 16)
>>> model_state("gpt2", "sgd", "fp32").at_sizes
995518464
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import Add, Expr, S, Symbol, cancel, expand

from symflops.architectures import Architecture, architecture
from symflops.derivation import Page
from symflops.documents import Block, Cell, Document, Heading, Prose, Steps, Table, prose
from symflops.errors import SizeError
from symflops.layers.linear import linear
from symflops.measures import params, trainable_params
from symflops.nodes import Node
from symflops.notation import d_ff, d_model
from symflops.steps import Step, start
from symflops.training.optimizers import Kept, Optimizer, optimizer, states
from symflops.training.precision import Precision, precision

_PARTS = ("parameters", "gradients", "optimizer")


@dataclass(frozen=True)
class ModelState(Page):
    """What is kept, value by value, of a network or a model under an optimiser and a precision."""

    name: str
    network: Expr
    optimizer: Optimizer
    precision: Precision
    model: Architecture | None = None

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """The values: parameters, gradients, the optimiser's."""
        held = (each.kept(self.network) for each in self.precision.held)
        own = states(self.network, self.optimizer, self.precision.moments)
        found = [each for each in (*held, *own) if each.elements != 0]
        return tuple(sorted(found, key=lambda each: _PARTS.index(each.part)))

    @property
    def N(self) -> Expr:
        """The parameters, in closed form."""
        return params(self.network)

    @property
    def bytes(self) -> Expr:
        """All bytes, in closed form."""
        return self.bytes_of(*_PARTS)

    def bytes_of(self, *parts: str) -> Expr:
        """The bytes of some parts, of ``parameters``, ``gradients`` and ``optimizer``, in closed form."""
        return expand(Add(*(each.bytes for each in self.kept if each.part in parts), S.Zero))

    @property
    def counters(self) -> Expr:
        """The bytes of numbers that are kept once for a tensor or a model, as torch's counters of steps, not in N."""
        return expand(Add(*(each.bytes for each in self.kept if each.per != "parameter"), S.Zero))

    @property
    def per_parameter(self) -> Expr:
        """Bytes for each parameter, `counters` left out: a number, or a closed form where it depends on shapes.

        >>> [model_state("llama3-8b", "adam", name).per_parameter for name in ("fp32", "mixed-fp16-both-gradients")]
        [16, 20]
        """
        return cancel((self.bytes - self.counters) / self.N)

    @property
    def at_sizes(self) -> int:
        """All bytes at the model's sizes. Raises `SizeError` where it is of a network without sizes."""
        if self.model is None:
            raise SizeError(f"{self.name} has no sizes; substitute them in its bytes, or ask of a model")
        return int(self.model.at(self.bytes))

    def steps(self) -> tuple[Step, ...]:
        """The bytes, as they follow: value by value, then in the parameters N, or those trained."""
        first = start("bytes", self.bytes, " + ".join(each.name for each in self.kept))[0]
        terms = {str(name): form for form, name in self._names()}
        return first, Step("bytes", self.bytes, "like terms collected").written(self._in_names(self.kept), **terms)

    def document(self) -> Document:
        """Tables and steps as a page."""
        return Document(f"Model state of {self.name}", tuple(self._blocks()), self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values, expressions as text in the ASCII notation."""
        numbers = {} if self.model is None else {"bytes_at_sizes": self.at_sizes, "sizes": dict(self.model.sizes)}
        return {
            "name": self.name,
            "optimizer": self.optimizer.name,
            "precision": self.precision.name,
            "kept": [self._kept_json(each) for each in self.kept],
            "bytes": str(self.bytes),
            "per_parameter": str(self.per_parameter),
            "counters": str(self.counters),
            "steps": [step.as_json() for step in self.steps()],
            **numbers,
        }

    def _kept_json(self, each: Kept) -> dict[str, Any]:
        numbers = {} if self.model is None else {"bytes_at_sizes": int(self._at(each.bytes))}
        said = {"name": each.name, "part": each.part, "format": each.form.name}
        return {**said, "elements": str(each.elements), "bytes": str(each.bytes), **numbers}

    def _blocks(self) -> Iterable[Block]:
        yield Prose(f"{self.optimizer.title}: {self.optimizer.citation}.")
        yield Prose(f"{self.precision.title}: {self.precision.citation}.")
        yield self._table()
        yield prose(*self._each_parameter())
        yield Heading("Steps, each checked by machine")
        yield Steps(self.steps())

    def _each_parameter(self) -> tuple[str | Expr, ...]:
        names = [(name, f" are {form}") for form, name in self._names()]
        said: list[str | Expr] = ["Bytes for each parameter, what is kept once for a tensor or model left out: "]
        scaling = tuple(each for each in self.kept if each.per == "parameter")
        said += [expand(self._in_names(scaling) / Symbol("N")), ". "]
        for number, (name, form) in enumerate(names):
            said += [" " if number else "", name, form, ("", " of them trained")[number], "."]
        return tuple(said)

    def _table(self) -> Table:
        rows = tuple(
            (each.name, each.part, each.form.name, self._named(each.elements), *self._bytes(each.bytes))
            for each in self.kept
        )
        head = ("Value", "Part", "Format", "Elements", "Bytes")
        shown = self._in_names(self.kept)
        total = ("Total", "", "", "", shown, *self._bytes(self.bytes)[1:])
        return Table("", head if self.model is None else (*head, f"at {self.model.name}'s sizes"), rows, total)

    def _bytes(self, form: Expr) -> tuple[Cell, ...]:
        shown = self._named(form)
        return (shown,) if self.model is None else (shown, f"{int(self._at(form)):,}")

    def _at(self, form: Expr) -> Expr:
        return form if self.model is None else self.model.at(form)

    def _names(self) -> tuple[tuple[Expr, Symbol], ...]:
        """The parameters, and those that are trained where these are others."""
        owned, trained = self.N, trainable_params(self.network)
        names = ((owned, Symbol("N")), (trained, Symbol("N_trained")))
        return names[:1] if owned == trained else names

    def _named(self, form: Expr) -> Expr:
        """A multiple of the parameters as that."""
        for whole, name in self._names():
            times = cancel(form / whole) if whole != 0 else form
            if times.is_Rational:
                return times * name
        return form

    def _in_names(self, some: Iterable[Kept]) -> Expr:
        """The bytes of some values, in the parameters where they are a multiple of these."""
        return Add(*(self._named(each.bytes) if self._is_named(each) else expand(each.bytes) for each in some))

    def _is_named(self, each: Kept) -> bool:
        return any(each.elements == whole for whole, _ in self._names()) and self._named(each.bytes) != each.bytes


def matrix_state(optimiser: str | Optimizer = "adamw", scheme: str | Precision = "fp32") -> ModelState:
    """The state of a matrix in a hidden layer: for each parameter a number, or a closed form in its shape.

    >>> matrix_state("adamw", "mixed-bf16").per_parameter, matrix_state("lion", "bf16").per_parameter
    (16, 6)
    """
    return model_state(linear("weight", d_model, d_ff, "feedforward"), optimiser, scheme)


def model_state(
    given: str | Architecture | Expr | Any, optimiser: str | Optimizer = "adamw", scheme: str | Precision = "fp32"
) -> ModelState:
    """The state of a model by its name, config or architecture, or of a network.

    Raises `UnknownName` for an unknown model, optimiser or precision, `NotLinearError` for what is no network.
    """
    chosen, how = optimizer(optimiser), precision(scheme)
    if isinstance(given, Expr) and (given.has(Node) or given == 0):
        return ModelState(f"a network: {chosen.name}, {how.name}", given, chosen, how)
    model = given if isinstance(given, Architecture) else architecture(given)
    return ModelState(f"{model.name}: {chosen.name}, {how.name}", model.network, chosen, how, model)
