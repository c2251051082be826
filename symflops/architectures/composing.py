"""Networks in symbols, made once for all configs that do not differ in what their family reads of them.

Most fields are sizes, which a network has as symbols: of a thousand small models few have networks of their own.

>>> from symflops.architectures import FAMILIES
>>> from symflops.architectures.fields import completed
>>> of_layers = lambda layers: composed(
...     FAMILIES["gpt2"], completed({"model_type": "gpt2", "n_layer": layers}), Run())
>>> of_layers(2) is of_layers(3)
True
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from sympy import Expr, Symbol

from symflops.architectures.family import Family
from symflops.architectures.fields import Config
from symflops.architectures.runs import Run

_MOST, _ABSENT = 256, object()
_Made = tuple[Mapping[str, Any], Expr]
_KEPT: OrderedDict[tuple[Callable[..., Expr], Run], list[_Made]] = OrderedDict()
"""By family and run: what was read of a config, and the network that was made of it; the last used come last."""


class _Read(Mapping[str, Any]):
    """A config that notes what is read of it, also that a field is not there."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self.read[name] = self.config.get(name, _ABSENT)
        return self.config[name]

    def __iter__(self) -> Iterator[str]:
        self.read |= self.config
        return iter(self.config)

    def __len__(self) -> int:
        self.read |= self.config
        return len(self.config)


@lru_cache(maxsize=_MOST)
def symbols_of(network: Expr) -> frozenset[Symbol]:
    """The sizes of a network; sympy gathers them anew each time."""
    return frozenset(each for each in network.free_symbols if isinstance(each, Symbol))


def composed(family: Family, config: Config, run: Run) -> Expr:
    """The network of a config in symbols. Raises what the family does for a config that it cannot read."""
    made = _KEPT.setdefault((family.compose, run), [])
    _KEPT.move_to_end((family.compose, run))
    for read, network in made:
        if all(config.get(name, _ABSENT) == value for name, value in read.items()):
            return network
    noting = _Read(config)
    network = family.compose(noting, run)
    made[:] = [(noting.read, network), *made[: _MOST - 1]]
    if len(_KEPT) > _MOST:
        _KEPT.popitem(last=False)
    return network
