"""Tables of counted work: per module, operator and pass, with totals and groupings."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from symflops.tracing import internals


@dataclass(frozen=True, slots=True)
class Entry:
    """All calls of one operator by one module in one pass.

    `module` is the path in `named_modules()` ("" is the root, "<outside>" what ran in no module); `operator` is torch's
    name, "aten.mm"; `phase` is "forward", "backward" or "recompute" (forward work done again while a backward runs);
    `kind` is that of `Pricing`. `einsums` gives multiply-accumulates per einsum; `elements` counts all other work.
    """

    module: str
    operator: str
    phase: str
    kind: str
    calls: int
    einsums: tuple[tuple[str, int], ...]
    elements: int
    bytes_read: int
    bytes_written: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the einsums."""
        return sum(macs for _, macs in self.einsums)

    @property
    def flops(self) -> int:
        """Two per multiply-accumulate; elements are not in it."""
        return 2 * self.macs


@dataclass(frozen=True, slots=True)
class Count:
    """A table of entries, one for each (module, operator, phase). Totals are in units of 1, of bytes for traffic.

    >>> from torch import nn
    >>> from symflops.tracing import forward
    >>> import torch
    >>> count = forward(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.empty(2, 3))
    >>> count.macs, count.flops, count.elements
    (30, 60, 20)
    >>> {path: part.macs for path, part in count.by_module().items()}
    {'0': 30, '1': 0}
    """

    entries: tuple[Entry, ...]

    @property
    def macs(self) -> int:
        return sum(entry.macs for entry in self.entries)

    @property
    def flops(self) -> int:
        """Two per multiply-accumulate of an einsum. What an element costs is left to a convention."""
        return 2 * self.macs

    @property
    def elements(self) -> int:
        return sum(entry.elements for entry in self.entries)

    @property
    def bytes_read(self) -> int:
        return sum(entry.bytes_read for entry in self.entries)

    @property
    def bytes_written(self) -> int:
        return sum(entry.bytes_written for entry in self.entries)

    @property
    def calls(self) -> int:
        return sum(entry.calls for entry in self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def where(self, *, module: str = "*", operator: str = "*", phase: str = "*", kind: str = "*") -> Count:
        """The entries whose fields match shell patterns; `*` also runs across dots: "model.layers.*.mlp*"."""
        return Count(
            tuple(
                entry
                for entry in self.entries
                if fnmatch.fnmatchcase(entry.module, module)
                and fnmatch.fnmatchcase(entry.operator, operator)
                and fnmatch.fnmatchcase(entry.phase, phase)
                and fnmatch.fnmatchcase(entry.kind, kind)
            )
        )

    def under(self, module: str) -> Count:
        """What a module and everything inside it does."""
        return Count(tuple(entry for entry in self.entries if _within(entry.module, module)))

    def by_module(self) -> dict[str, Count]:
        """Own work of each module, without that of its children."""
        return self._grouped(lambda entry: entry.module)

    def by_pattern(self) -> dict[str, Count]:
        """As `by_module`, with the numbers in paths replaced by "*": all layers' modules of one name together.

        >>> import torch
        >>> from torch import nn
        >>> from symflops.tracing import forward
        >>> count = forward(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), torch.empty(2, 3))
        >>> {path: part.macs for path, part in count.by_pattern().items()}
        {'*': 36}
        """
        return self._grouped(lambda entry: re.sub(r"(?<![^.])\d+(?![^.])", "*", entry.module))

    def by_operator(self) -> dict[str, Count]:
        return self._grouped(lambda entry: entry.operator)

    def by_phase(self) -> dict[str, Count]:
        return self._grouped(lambda entry: entry.phase)

    def by_einsum(self) -> dict[str, int]:
        """Multiply-accumulates per einsum, over all modules and operators."""
        total: dict[str, int] = defaultdict(int)
        for entry in self.entries:
            for spec, macs in entry.einsums:
                total[spec] += macs
        return dict(total)

    def _grouped(self, key: Callable[[Entry], str]) -> dict[str, Count]:
        groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            groups[key(entry)].append(entry)
        return {name: Count(tuple(group)) for name, group in groups.items()}


def _within(path: str, module: str) -> bool:
    if path == internals.OUTSIDE:
        return False
    return not module or path == module or path.startswith(f"{module}.")
