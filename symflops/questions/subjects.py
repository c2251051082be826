"""What a question is about: a network with sizes or without, and its work by what it is for.

>>> gpt2 = subject("gpt2")
>>> gpt2.name, gpt2.length(None), work(gpt2, TORCH).feedforward
('gpt2', 1024, 4*d_ff*d_model*n_batch*n_layer*n_seq)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from sympy import Add, Basic, Expr, Rational, S, cancel, expand, fraction

from symflops.architectures import Architecture, architecture
from symflops.architectures.fields import positive_integer
from symflops.conventions import TORCH, Convention
from symflops.derivation import reading_position
from symflops.errors import SizeError
from symflops.measures import NOT_N, priced
from symflops.networks import Use, uses
from symflops.notation import n_batch, n_seq, symbol
from symflops.render.document import readable

CORE = frozenset({"scores", "bias", "softcap", "softmax", "mix"})
"""Roles of the core of attention, where they run over pairs of a query and a key."""
FEEDFORWARD = frozenset({"feedforward", "router"})
"""Roles of the feed-forward layer, experts and their router among them, besides the activations in the same block."""
TOKENS = n_batch * n_seq
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "qkv": "queries, keys, values",
        "project": "projection",
        "position": "embedding",
        **dict.fromkeys(("norm", "residual", "rotary", "softcap", "activation"), "norms and the rest"),
    }
)
"""What the work of some roles is called in a picture; of others it is called as the role."""


@dataclass(frozen=True)
class Subject:
    """A network, and the sizes that make it a model; none for a network in symbols.

    ``divides`` are pairs of sizes of which the first divides the second.
    """

    name: str
    network: Expr
    sizes: Mapping[str, int]
    divides: tuple[tuple[str, str], ...] = ()

    def at(self, form: Basic, **more: int) -> Basic:
        """A closed form at the sizes, exactly; one sequence unless ``more`` says otherwise."""
        known = {"n_batch": 1, **self.sizes, **more}
        return form.subs({symbol(name): size for name, size in known.items()})

    def value(self, form: Basic, length: int | None = None) -> Basic | None:
        """As `at`, of a length in tokens where one is given; None where sizes are open or it divides by nothing."""
        found = self.at(form, **({} if length is None else {"n_seq": length}))
        return None if found.free_symbols or found.has(S.ComplexInfinity, S.NaN) else found

    def length(self, given: int | None) -> int | None:
        """A number of tokens in a sequence: as given, else the model's whole context; None for a network in symbols."""
        if given is not None:
            return positive_integer("n_seq", given)
        if self.sizes and "n_ctx" not in self.sizes:
            raise SizeError(f"{self.name} names no context; give n_seq")
        return self.sizes.get("n_ctx")


Given: TypeAlias = "str | Path | Expr | Architecture | Mapping[str, Any] | Subject"
"""A model by name, config or value, or a network."""


def subject(given: Given) -> Subject:
    """The subject of a question; itself where it is one.

    Raises what `architecture` raises for a name or config, `NotLinearError` for an expression that is no network.
    """
    if isinstance(given, Subject):
        return given
    if isinstance(given, Expr):
        uses(given)
        return Subject("network", given, MappingProxyType({}))
    model = given if isinstance(given, Architecture) else architecture(given)
    own_width = "d_head" in {each.name for each in model.network.free_symbols}
    heads = () if own_width else (("n_head", "d_model"),)
    return Subject(model.name, model.network, model.sizes, (*model.family.divides, *heads))


@dataclass(frozen=True)
class Work:
    """The forward work of all layers: the core of attention, the feed-forward, and whatever is not the core."""

    core: Expr
    feedforward: Expr
    others: Expr


def work(of: Subject, chosen: Convention) -> Work:
    """The work of the layers under a convention; embeddings, logits and what else runs once are not in it."""
    inside = in_layers(of.network)
    feedforward = is_feedforward(inside)

    def total(belongs: Callable[[Use], bool]) -> Expr:
        return expand(Add(*(priced(use, chosen, "forward") for use in inside if belongs(use))))

    return Work(total(is_core), total(feedforward), total(lambda use: not is_core(use)))


def in_layers(network: Expr) -> tuple[Use, ...]:
    """The operations that run once for each layer; in a network without a number of layers, all but embeddings."""
    inside = tuple(use for use in uses(network) if use.operation.role not in NOT_N)
    layered = tuple(use for use in inside if any(size.name.startswith("n_layer") for size in use.runs.free_symbols))
    return layered or inside


def is_core(use: Use) -> bool:
    """Whether an operation belongs to the core of attention."""
    return use.operation.mask is not None and use.operation.role in CORE


def is_feedforward(among: tuple[Use, ...]) -> Callable[[Use], bool]:
    """Whether an operation belongs to a feed-forward layer; an activation does that stands beside its matmuls."""
    blocks = {_block(use) for use in among if use.operation.role in FEEDFORWARD}

    def belongs(use: Use) -> bool:
        role = use.operation.role
        return role in FEEDFORWARD or (role == "activation" and _block(use) in blocks)

    return belongs


def _block(use: Use) -> str:
    return use.path.rpartition("/")[0]


def groups(of: Subject, chosen: Convention = TORCH) -> dict[str, Expr]:
    """The forward work for one token by what it is for, in reading order, without what costs nothing or is left out."""
    every = sorted(uses(of.network), key=reading_position)
    feedforward = is_feedforward(tuple(every))
    parts: dict[str, list[Expr]] = {}
    for use in every:
        parts.setdefault(_group(use, feedforward), []).append(priced(use, chosen, "forward", chosen.left_out))
    found = {name: expand(Add(*terms) / TOKENS) for name, terms in parts.items()}
    return {name: form for name, form in found.items() if form != 0}


def _group(use: Use, feedforward: Callable[[Use], bool]) -> str:
    role = use.operation.role
    if is_core(use):
        return "scores and mix"
    if feedforward(use) and role != "router":
        return "feed-forward" if use.copies == use.active else "experts"
    return GROUPS.get(role, role or "unnamed")


def title(what: str, of: Subject, chosen: Convention) -> str:
    """The title of a reply."""
    return f"{of.name}: {what} (convention {chosen.name})"


def ratio(part: Expr, whole: Expr) -> Expr:
    """A part as a fraction of the whole, in lowest terms, numerator and denominator in short forms.

    >>> from symflops.notation import d_ff, d_model
    >>> ratio(4 * d_ff * d_model, 4 * d_ff * d_model + 8 * d_model**2)
    d_ff/(d_ff + 2*d_model)
    """
    above, below = fraction(cancel(part / whole))
    if below.could_extract_minus_sign():
        above, below = -above, -below
    return readable(above) / readable(below)


def exact_number(name: str, given: Any) -> Rational:
    """A positive number without rounding.

    >>> exact_number("factor", Fraction(3, 2))
    3/2

    Raises `SizeError` for anything else, a float too.
    """
    if isinstance(given, bool) or not isinstance(given, int | Fraction | Rational) or given <= 0:
        raise SizeError(f"{name} is {given!r}; give a positive exact number, such as 2 or Fraction(3, 2)")
    return Rational(given)
