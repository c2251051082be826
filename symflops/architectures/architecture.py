"""A model: a network in symbols, and the sizes that make it this model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from sympy import Expr, Integer

from symflops.architectures.composing import composed, symbols_of
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, defaults, fields_of, overridden, positive_integer
from symflops.architectures.runs import Run, chunk
from symflops.conventions import TORCH, Convention
from symflops.errors import NoDecoding, SizeError, UnknownName
from symflops.measures import Phase, active_params, flops, params, params_without
from symflops.networks import each_step
from symflops.notation import TERMS, n_new, n_query, n_seq, symbol
from symflops.serving import cache_bytes, sum_over_steps
from symflops.totals import Total

Attention = Literal["eager", "flash", "absorbed"]
_MEASURES: Mapping[str, Callable[[Expr], Expr]] = MappingProxyType(
    {"all": params, "non_embedding": params_without, "active": active_params}
)


@dataclass(frozen=True)
class Architecture:
    """A network in symbols with its sizes. `architecture` makes one.

    ``config`` holds the fields it was read from; ``source`` says where they come from; ``attention`` is how the core
    runs: ``eager``, or ``flash``, which computes the scores again in the backward pass, or, of latent attention,
    ``absorbed``.
    """

    name: str
    family: Family
    config: Config = field(repr=False)
    source: str
    sizes: Mapping[str, int]
    attention: Attention = "eager"

    def __reduce__(self) -> tuple[Any, ...]:
        return _builder(), (self.name, dict(self.config), self.source, self.attention)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of the figures: they are of the known class, whichever the config names."""
        known, named = defaults()[self.family.name]["class"], self.config.get("architectures") or []
        if not named or known in named:
            return ()
        return (f"the config is of {', '.join(map(str, named))}; the figures are those of {known}",)

    @cached_property
    def network(self) -> Expr:
        """The operations, in symbols."""
        return self.at_run(Run(attention=self.attention))

    def at_run(self, run: Run) -> Expr:
        """The operations of some tokens of each sequence, such as one decode step, in symbols; see `runs`."""
        return composed(self.family, self.config, run)

    def of_length(self, n_seq: int) -> Expr:
        """The operations of whole sequences of so many tokens: in n_seq, unless the code fills up the last chunk."""
        chunks = (self.sizes.get(divisor, 1) for divisor, number in self.family.divides if number == "n_seq")
        if not any(n_seq % size for size in chunks):
            return self.network
        return self.at_run(Run(Integer(n_seq), Integer(n_seq), self.attention))

    @property
    def context(self) -> int:
        """The tokens of a whole context. Raises `SizeError` where there is no such limit."""
        if "n_ctx" not in self.sizes:
            raise SizeError(f"{self.name} has no context of a fixed length; say how many tokens with n_seq")
        return self.sizes["n_ctx"]

    def length(self, n_seq: int | None = None) -> int:
        """Tokens of a sequence: as given, else the whole context.

        Raises `SizeError` where there is no context, and for another length where a model reads images alone.
        """
        length = self.context if n_seq is None else positive_integer("n_seq", n_seq)
        if length != self.sizes.get("n_ctx", length) and symbol("n_seq") not in self.network.free_symbols:
            raise SizeError(f"an image of {self.name} is a sequence of {self.context} tokens, not {length}")
        return length

    @cached_property
    def table(self) -> Mapping[str, Field]:
        """The config field of every size that the network has."""
        return needed(fields_of(self.config, self.family.fields), self.network)

    @cached_property
    def step(self) -> Expr:
        """The operations of n_query tokens after n_past whose keys and values are cached: decoding, or a chunk."""
        return each_step(self.at_run(chunk(attention=self.attention)))

    def params(self, which: Literal["all", "non_embedding", "active"] = "all") -> int:
        """The exact count of parameters, every distinct one once.

        ``non_embedding`` is Kaplan's N (no token and position tables, no de-embedding); ``active`` those that serve one
        token. Raises `UnknownName` for another word.
        """
        if which not in _MEASURES:
            raise UnknownName("kind of parameters", which, _MEASURES)
        return int(self.at(_MEASURES[which](self.network)))

    def flops(
        self, n_batch: int = 1, n_seq: int | None = None, convention: str | Convention = TORCH, phase: Phase = "forward"
    ) -> Total:
        """The exact work of a batch of sequences (by default of the whole context), as a total that knows its unit.

        Raises `SizeError` for sizes that are no positive integers, `UnknownName` for an unknown convention.
        """
        length = self.length(n_seq)
        total = flops(self.of_length(length), convention, phase)
        return Total(self.at(total.expr, n_batch=n_batch, n_seq=length), total.convention)

    def step_flops(self, n_batch: int, n_past: int, n_query: int = 1, convention: str | Convention = TORCH) -> Total:
        """The exact work of ``n_query`` tokens of each sequence after ``n_past`` cached ones.

        One is a step of decoding; several are a chunk of a prefill, or a guess that is verified.
        """
        total, lengths = flops(self.step, convention), {"n_past": n_past, "n_query": n_query, "n_seq": n_past}
        return Total(self.at(total.expr, n_batch=n_batch, **lengths), total.convention)

    def generation_flops(self, n_batch: int, n_seq: int, n_new: int, convention: str | Convention = TORCH) -> Total:
        """The exact work of generating ``n_new`` tokens after a prompt of ``n_seq``: see `generation`."""
        total = generation(self, convention, self.of_length(positive_integer("n_seq", n_seq)))
        return Total(self.at(total.expr, n_batch=n_batch, n_seq=n_seq, n_new=n_new), total.convention)

    def cache_bytes(self, n_batch: int = 1, n_seq: int | None = None, element_size: int = 2) -> int:
        """Bytes that decoding keeps of ``n_seq`` tokens (by default the whole context) of each sequence.

        A model that does not decode, such as an encoder, keeps nothing: 0.
        """
        try:
            step = self.at_run(Run(Integer(1), symbol("n_seq"), self.attention))
        except NoDecoding:
            return 0
        kept = cache_bytes(step, element_size)
        fixed = symbol("n_seq") not in kept.free_symbols
        return int(self.at(kept, n_batch=n_batch, n_seq=n_seq or (1 if fixed else self.context)))

    def _repr_markdown_(self) -> str:
        sizes = ", ".join(f"`{name}` = {size:,}" for name, size in self.sizes.items())
        counts = f"{self.params():,} parameters, {self.params('non_embedding'):,} without embeddings"
        return f"**{self.name}** ({self.family.name}): {counts}  \n{sizes}  \n{self.source}"

    def at(self, expression: Expr, **more: int) -> Expr:
        """A closed form at this model's sizes, exactly; ``more`` sizes are n_batch, n_seq and such.

        Raises `SizeError` where a size of the form does not divide another that it has to.
        """
        values = {**self.sizes, **{name: positive_integer(name, value) for name, value in more.items()}}
        inside = {name: value for name, value in values.items() if symbol(name) in expression.free_symbols}
        for divisor, number in self.family.divides:
            if {divisor, number} <= inside.keys() and inside[number] % inside[divisor]:
                raise SizeError(f"{divisor} = {inside[divisor]} does not divide {number} = {inside[number]}")
        return expression.xreplace({symbol(name): Integer(value) for name, value in inside.items()})

    def with_sizes(self, **sizes: int) -> Architecture:
        """The same architecture at other sizes; sizes that follow from them (such as d_ff = 4 d_model) follow.

        >>> from symflops import architecture
        >>> architecture("gpt2").with_sizes(n_layer=96).params()
        719821056
        """
        return _builder()(self.name, overridden(self.table, self.config, sizes), self.source, self.attention)


def needed(table: Mapping[str, Field], network: Expr) -> dict[str, Field]:
    """The sizes of a network, those that they follow from, context and width of heads, in the notation's order."""
    wanted = {each.name for each in symbols_of(network)} | {"n_ctx"}
    wanted |= {"d_head"} if "n_head" in wanted else set()
    while True:
        rules = (table[name].absent for name in wanted & table.keys())
        inside = {each.name for rule in rules if isinstance(rule, Expr) for each in rule.free_symbols}
        if inside <= wanted:
            return {name: table[name] for name in TERMS if name in wanted and name in table}
        wanted |= inside


def _builder() -> Callable[..., Architecture]:
    """What makes an architecture of a config: asked for late, because it makes what this file declares."""
    from symflops.architectures.reading import build

    return build


def generation(model: Architecture, convention: str | Convention = TORCH, whole: Expr | None = None) -> Total:
    """The forward work of n_new tokens after a prompt of n_seq, in closed form.

    ``whole`` is the prompt's network, where that is not the model's in symbols (`Architecture.of_length`).
    The prompt's pass gives the first of them, and each other takes a step over a cache that has grown by one token.
    """
    prompt = flops(model.network if whole is None else whole, convention)
    steps = sum_over_steps(model.step.subs(n_query, 1), convention, first=n_seq, steps=n_new - 1)
    return prompt + steps
