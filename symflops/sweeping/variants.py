"""A model whose sizes vary: its network, how its other sizes follow, and which points of a grid are no model.

Sizes of a grid stay symbols. Where the network itself, or a rule that is code, reads the config field of a size, as a
count of layers of a kind may, there is a variant for each of its values; which fields are read is watched.

>>> from symflops.architectures import architecture
>>> found = variant(architecture("gpt2"), frozenset({"d_model", "n_head"}), {})
>>> found.settled["d_ff"], found.derived, [each[0] for each in found.conditions]
(4*d_model, {'d_head': d_model/n_head}, ['d_head = d_model/n_head is whole'])
>>> found.structural
frozenset()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sympy import Expr, Integer, Max, Mod, Poly, PolynomialError, floor

from symflops.architectures import Architecture
from symflops.architectures.fields import overridden, said, size_of
from symflops.architectures.reading import at_most
from symflops.notation import symbol

Said: TypeAlias = "tuple[str, Expr, str]"
"""A condition in words, what it compares with zero, and how."""
SEQ, CONTEXT = "n_seq", "n_ctx"


class Watched(Mapping[str, Any]):
    """A config that notes the path of each field that is read, or asked for in vain.

    >>> read = set()
    >>> Watched({"text_config": {"hidden_size": 8}}, read)["text_config"]["hidden_size"], read
    (8, {'text_config.hidden_size'})
    """

    def __init__(self, config: Mapping[str, Any], read: set[str], inside: str = "") -> None:
        self._config, self._read, self._inside = config, read, inside

    def __getitem__(self, name: str) -> Any:
        path, found = f"{self._inside}{name}", self._config.get(name)
        if isinstance(found, Mapping):
            return Watched(found, self._read, f"{path}.")
        self._read.add(path)
        return self._config[name]

    def __contains__(self, name: object) -> bool:
        self._read.add(f"{self._inside}{name}")
        return name in self._config

    def __iter__(self) -> Iterator[str]:
        return iter(self._config)

    def __len__(self) -> int:
        return len(self._config)


@dataclass(frozen=True)
class Variant:
    """A model with some sizes open.

    ``settled`` are sizes that are numbers or polynomials in open ones; ``derived`` those that are quotients of them;
    ``fixed`` what the values of structural sizes are. ``read`` are the config's fields that were read so far.
    """

    model: Architecture
    open: frozenset[str]
    fixed: Mapping[str, int]
    settled: Mapping[str, Expr]
    derived: Mapping[str, Expr]
    conditions: tuple[Said, ...]
    read: set[str]

    @property
    def structural(self) -> frozenset[str]:
        """The open sizes that the network was found to depend on otherwise than by its symbols."""
        table = self.model.table
        paths = {name: (table[name].name, *table[name].also) for name in self.open & table.keys()}
        found = {name for name, held in paths.items() if any(self._was_read(path) for path in held)}
        return frozenset(found | self._lengths())

    def _was_read(self, path: str) -> bool:
        """Whether a field was read, or the part of the config that it would be in, which there is none of."""
        return path in self.read or path.rpartition(".")[0] in self.read

    def _lengths(self) -> frozenset[str]:
        """Sizes by which the code fills up sequences: at each length, another network."""
        divisors = {divisor for divisor, number in self.model.family.divides if number == SEQ}
        return self.open & (divisors | {SEQ if SEQ in self.open else CONTEXT}) if divisors else frozenset()

    @property
    def seq(self) -> int | None:
        """The length of sequences where the network is another at each length."""
        if not any(number == SEQ for _, number in self.model.family.divides) or SEQ in self.open:
            return None
        length = self.settled[SEQ]
        return int(length) if length.is_Integer else None

    def at(self, form: Expr) -> Expr:
        """A closed form in the open sizes and the derived ones."""
        return form.xreplace({symbol(name): value for name, value in self.settled.items()})


def variant(model: Architecture, swept: frozenset[str], fixed: Mapping[str, int]) -> Variant:
    """The model with the sizes in ``swept`` open, but for those that are ``fixed``.

    Raises `UnknownName` or `ConfigError` for a size that the model does not have or that follows from others, and as
    `architecture` does for sizes that do not fit.
    """
    own = {name: size for name, size in fixed.items() if name in model.table}
    plain = replace(model, config=overridden(model.table, model.config, own)) if own else model
    read: set[str] = set()
    watched = replace(plain, config=Watched(plain.config, read))
    vars(watched)["table"] = table = plain.table
    open_ = swept - fixed.keys()
    raw = {**said({name: field for name, field in table.items() if name not in open_}, watched.config), **fixed}
    settled, derived = _followed(raw, open_)
    settled = {"n_batch": Integer(1), **_length(plain, raw, settled, derived, open_), **settled}
    settled = {name: value for name, value in settled.items() if name not in open_}
    sizes = {name: int(value) for name, value in settled.items() if value.is_Integer}
    conditions = tuple(_conditions(watched, table.keys() | open_, settled, derived))
    return Variant(_sized(watched, sizes), open_, fixed, settled, derived, conditions, read)


def _sized(model: Architecture, sizes: Mapping[str, int]) -> Architecture:
    whole = replace(model, sizes=sizes)
    vars(whole)["table"] = vars(model)["table"]
    return whole


def _length(
    model: Architecture,
    raw: Mapping[str, Any],
    settled: Mapping[str, Expr],
    derived: Mapping[str, Expr],
    open_: frozenset[str],
) -> dict[str, Expr]:
    """The tokens of a sequence, where they are not swept over: a whole context."""
    if SEQ in open_ or SEQ in raw:
        return {}
    if CONTEXT in open_ or CONTEXT in derived:
        return {SEQ: symbol(CONTEXT)}
    return {SEQ: settled[CONTEXT] if CONTEXT in settled else Integer(model.context)}


def _followed(raw: Mapping[str, Any], open_: frozenset[str]) -> tuple[dict[str, Expr], dict[str, Expr]]:
    """Sizes as numbers or polynomials in open ones, and those that are quotients."""
    known = {
        symbol(name): each if isinstance(each, Expr) else Integer(size_of(name, each, {})) for name, each in raw.items()
    }
    settled: dict[str, Expr] = {}
    derived: dict[str, Expr] = {}
    for name in raw:
        form = known[symbol(name)]
        while form.free_symbols & known.keys():
            form = form.xreplace(known)
        if not form.free_symbols:
            settled[name] = Integer(
                size_of(f"{name} = {known[symbol(name)]}" if form != known[symbol(name)] else name, form, {})
            )
        else:
            (settled if _is_polynomial(form) else derived)[name] = form
    return settled, derived


def _is_polynomial(form: Expr) -> bool:
    try:
        return bool(Poly(form, *form.free_symbols).domain.is_ZZ)
    except PolynomialError:
        return False


def clamped(rule: Expr) -> Expr:
    """A derived size at every point, also where it is none: whole, and at least 1."""
    return Max(1, floor(rule))


def _conditions(
    model: Architecture, names: frozenset[str] | set[str], settled: Mapping[str, Expr], derived: Mapping[str, Expr]
) -> Iterator[Said]:
    """What every model of the family meets, as `architecture` asks it."""
    for name, rule in derived.items():
        yield f"{name} = {rule} is whole", rule - clamped(rule), "=="
    for name, form in settled.items():
        if form.is_positive is None:
            yield f"{name} = {form} is positive", form, ">"
    for divisor, number in model.family.divides:
        if {divisor, number} <= names and number != SEQ:
            yield f"{divisor} divides {number}", Mod(symbol(number), symbol(divisor)), "=="
    for less, more in at_most(names):
        yield f"{less} is at most {more}", symbol(more) - symbol(less), ">="


def check_names(model: Architecture, sizes: Mapping[str, int]) -> None:
    """Raises `UnknownName` or `ConfigError` for a size that the model does not have, or that follows from others."""
    for name, size in sizes.items():
        overridden(model.table, model.config, {name: size})


def check_lengths(model: Architecture, lengths: tuple[int, ...]) -> None:
    """Raises `SizeError` for a length that a model cannot have, as one of images."""
    for each in lengths:
        model.length(each)
