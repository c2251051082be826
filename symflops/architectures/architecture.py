"""A model: a network in symbols, and the sizes that make it this model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sympy import Expr, Integer

from symflops.architectures.families import FAMILIES
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, completed, fields_of, overridden, positive_integer, resolve
from symflops.architectures.presets import preset, presets
from symflops.architectures.runs import Run
from symflops.conventions import TORCH, Convention
from symflops.errors import ConfigError, SizeError, UnknownName
from symflops.measures import Phase, active_params, flops, params, params_without
from symflops.notation import TERMS, symbol
from symflops.totals import Total

Attention = Literal["eager", "flash"]
_MEASURES: Mapping[str, Callable[[Expr], Expr]] = MappingProxyType(
    {"all": params, "non_embedding": params_without, "active": active_params}
)


@dataclass(frozen=True)
class Architecture:
    """A network in symbols with its sizes. `architecture` makes one.

    ``config`` holds the fields it was read from; ``source`` says where they come from; ``attention`` is how the core
    runs: ``eager``, or ``flash``, which computes the scores again in the backward pass.
    """

    name: str
    family: Family
    config: Config = field(repr=False)
    source: str
    sizes: Mapping[str, int]
    attention: Attention = "eager"

    def __reduce__(self) -> tuple[Any, ...]:
        return _build, (self.name, dict(self.config), self.source, self.attention)

    @cached_property
    def network(self) -> Expr:
        """The operations, in symbols."""
        return self.at_run(Run(attention=self.attention))

    def at_run(self, run: Run) -> Expr:
        """The operations of some tokens of each sequence, such as one decode step, in symbols; see `runs`."""
        return self.family.compose(self.config, run)

    def of_length(self, n_seq: int) -> Expr:
        """The operations of whole sequences of so many tokens: in n_seq, unless the code fills up whole chunks."""
        if all(number != "n_seq" for _, number in self.family.divides):
            return self.network
        return self.at_run(Run(Integer(n_seq), Integer(n_seq), self.attention))

    @property
    def context(self) -> int:
        """The tokens of a whole context. Raises `SizeError` where there is no such limit."""
        if "n_ctx" not in self.sizes:
            raise SizeError(f"{self.name} has no context of a fixed length; say how many tokens with n_seq")
        return self.sizes["n_ctx"]

    @property
    def table(self) -> Mapping[str, Field]:
        """The config field of every size that the network has."""
        return needed(fields_of(self.config, self.family.fields), self.network)

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
        length = self.context if n_seq is None else positive_integer("n_seq", n_seq)
        total = flops(self.of_length(length), convention, phase)
        return Total(self.at(total.expr, n_batch=n_batch, n_seq=length), total.convention)

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
        _refuse_rests(self.family, inside)
        return expression.subs({symbol(name): value for name, value in inside.items()})

    def with_sizes(self, **sizes: int) -> Architecture:
        """The same architecture at other sizes; sizes that follow from them (such as d_ff = 4 d_model) follow.

        >>> architecture("gpt2").with_sizes(n_layer=96).params()
        719821056
        """
        return _build(self.name, overridden(self.table, self.config, sizes), self.source, self.attention)


def architecture(given: str | Path | Config | Any, attention: Attention = "eager") -> Architecture:
    """A model by name (``gpt2``, ``llama3-8b``), from a config.json or its folder, from its dict, or its object.

    Raises `UnknownName` for a name that is none (with the nearest) or a family that symflops does not know,
    `ConfigError` for a config that cannot be read, `SizeError` for sizes that do not fit.
    """
    if isinstance(given, Mapping):
        return _build(str(given.get("model_type", "config")), given, "config", attention)
    if hasattr(given, "to_dict"):
        return architecture(given.to_dict(), attention)
    if _is_path(given):
        return _build(str(given), _read(Path(given)), str(given), attention)
    name, entry = preset(str(given))
    return _build(name, entry["config"], entry["source"], attention)


def _is_path(given: Any) -> bool:
    if isinstance(given, Path):
        return True
    text = str(given)
    if text.endswith(".json") or "/" in text or "\\" in text:
        return True
    return text != "" and text not in presets() and Path(text).exists()


def _read(path: Path) -> Config:
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is no JSON file: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{file} holds a {type(config).__name__}, not the fields of a config")
    return config


def _build(name: str, config: Config, source: str, attention: Attention) -> Architecture:
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ConfigError(f"the config names no model_type; known families: {', '.join(FAMILIES)}")
    if model_type not in FAMILIES:
        raise UnknownName("model_type", model_type, FAMILIES)
    family, whole = FAMILIES[model_type], completed(config)
    model = Architecture(name, family, whole, source, MappingProxyType({}), attention)
    sizes = resolve(model.table, whole)
    _refuse_rests(family, sizes)
    return replace(model, sizes=MappingProxyType(sizes))


def _refuse_rests(family: Family, sizes: Mapping[str, int]) -> None:
    """Refuse sizes of which one does not divide another, where both are known."""
    for divisor, number in family.divides:
        if {divisor, number} <= sizes.keys() and sizes[number] % sizes[divisor]:
            raise SizeError(f"{divisor} = {sizes[divisor]} does not divide {number} = {sizes[number]}")


def needed(table: Mapping[str, Field], network: Expr) -> dict[str, Field]:
    """The sizes of a network, those that they follow from, context and width of heads, in the notation's order."""
    wanted = {each.name for each in network.free_symbols} | {"n_ctx"}
    wanted |= {"d_head"} if "n_head" in wanted else set()
    while True:
        rules = (table[name].absent for name in wanted & table.keys())
        inside = {each.name for rule in rules if isinstance(rule, Expr) for each in rule.free_symbols}
        if inside <= wanted:
            return {name: table[name] for name in TERMS if name in wanted and name in table}
        wanted |= inside
