"""Faults of conventions, line by line, and the printed formulas and closed forms that they must give.

>>> [mutant.what for mutant in of_conventions() if mutant.of == "macs"][:3]
['mac for 2, not 1', 'mac for 0, not 1', 'mac: no price']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from symflops.conventions import ANY, CONVENTIONS, ELEMENTARY, Convention, Price
from symflops.laws.mutation.mutant import Mutant

_OTHERS: Mapping[str, str] = {
    "mix": "scores", "embedding": "logits", "softmax": "scores", "scores": "softmax", "forward": "input_gradient",
    "recompute": "forward", "mac": "one_hot_mac", "one_hot_mac": "mac", "lookup": "element", "element": "lookup",
    "parameter": "element", ANY: "mac", **{kind: "element" for kind in ELEMENTARY},
}  # fmt: skip
"""What a word of a line is mistaken for."""
_PAIRS = ("dense", "exact", "uncounted")


def of_conventions() -> Iterator[Mutant]:
    """Mutants of every convention."""
    for name, given in CONVENTIONS.items():
        found = [*_lines(given), *_whole(given)]
        for what, wrong in found:
            if wrong != given:
                yield Mutant("price", name, "the price list", what, wrong)


def _lines(given: Convention) -> Iterator[tuple[str, Convention]]:
    for number, line in enumerate(given.prices):
        before, after = given.prices[:number], given.prices[number + 1 :]
        for what, other in _of_line(line):
            prices = (*before, *((other,) if other else ()), *after)
            yield f"{_told(line)}{what}", replace(given, prices=prices)


def _told(line: Price) -> str:
    about = [each for each in (line.role, line.pass_) if each != ANY]
    return f"{line.kind} of {' '.join(about)}" if about else line.kind


def _of_line(line: Price) -> Iterator[tuple[str, Price | None]]:
    for by in (1, -1):
        yield f" for {line.price + by}, not {line.price}", replace(line, price=line.price + by)
    yield ": no price", None
    yield f" is said of {_OTHERS[line.kind]}", replace(line, kind=_OTHERS[line.kind])
    for field in ("role", "pass_"):
        word = getattr(line, field)
        if word != ANY:
            other: dict[str, Any] = {field: _OTHERS[word]}
            yield f" is said of {_OTHERS[word]}", replace(line, **other)
            yield f" is said of any {field.strip('_')}", replace(line, **{**other, field: ANY})


def _whole(given: Convention) -> Iterator[tuple[str, Convention]]:
    for pairs in _PAIRS:
        yield f"{pairs} pairs, not {given.pairs}", replace(given, pairs=pairs)  # type: ignore[arg-type]
    other: Any = "gradients" if given.backward == "twice" else "twice"
    yield f"backward {other}, not {given.backward}", replace(given, backward=other)
    for role in ("embedding", "logits", "scores", "position"):
        place = "in" if role in given.left_out else "left out of"
        yield f"{role} is {place} its totals", replace(given, left_out=given.left_out ^ {role})
    yield "the last line comes first", replace(given, prices=(given.prices[-1], *given.prices[:-1]))
    yield "a lookup for 1", replace(given, prices=(*given.prices, Price("lookup", 1)))
