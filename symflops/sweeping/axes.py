"""What a sweep runs over: ranges of sizes, shares, devices, each an axis of a grid; several that vary together are one.

>>> axis("d_model", "768:1024:128").columns
{'d_model': (768, 896, 1024)}
>>> axis("seq", "1024:8192:*2").numbers
{'n_seq': (1024, 2048, 4096, 8192)}
>>> axis("mfu", [0.3, 0.4]).numbers
{'MFU': (Fraction(3, 10), Fraction(2, 5))}
>>> axis("device", "a100, h100").numbers["memory"]
(80000000000, 80000000000)
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import lcm
from typing import Any, TypeAlias

from symflops.arithmetic import value
from symflops.errors import SizeError, SymflopsError, UnknownName
from symflops.grammar import parse
from symflops.plans.quantities import MFU
from symflops.sweeping.figures import FIGURES
from symflops.training.hardware import Device, DeviceError
from symflops.training.hardware import device as device_of

Number: TypeAlias = int | Fraction
Values: TypeAlias = "str | int | float | Fraction | Iterable[Any]"
ALIASES: Mapping[str, str] = {
    "batch": "n_batch", "seq": "n_seq", "tokens": "n_token", "count": "n_device", "mfu": MFU.name,
    "data": "n_data", "tensor": "n_tensor", "micro": "n_micro",
}  # fmt: skip
"""What sizes are called in short."""
DEVICE = "device"
SHARES = frozenset({MFU.name})
"""Numbers in (0, 1]."""
SOME_LAYERS = "n_layer_"
"""How sizes begin that count layers of a kind, of which there may be none."""
MOST_VALUES = 10**7
"""Values that one axis may have."""


@dataclass(frozen=True)
class Axis:
    """Values that vary together: ``columns`` as they are shown, and ``numbers`` by the name of the size they are.

    A number is None where no source names a device's figure.
    """

    columns: Mapping[str, tuple[Number | str, ...]]
    numbers: Mapping[str, tuple[Number | None, ...]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def scale(self, name: str) -> int:
        """The integer by which every number of a size becomes whole."""
        return lcm(*{each.denominator for each in self.known(name)})

    def known(self, name: str) -> tuple[Number, ...]:
        """The numbers of a size. Raises `DeviceError` where a device has no such figure."""
        for label, number in zip(next(iter(self.columns.values())), self.numbers[name], strict=True):
            if number is None:
                raise DeviceError(f"no source here names the {name} of {label}; leave it out of the sweep")
        return tuple(each for each in self.numbers[name] if each is not None)

    def one(self, place: int) -> Axis:
        """The axis of a single of its values."""
        return Axis({name: (values[place],) for name, values in self.columns.items()},
                    {name: (values[place],) for name, values in self.numbers.items()})  # fmt: skip


def axis(name: str, given: Values, form: str = "bf16") -> Axis:
    """An axis of a name and its values: text such as ``12,24`` or ``768:12288:128``, a number, or numbers.

    A range has its end where a step meets it; ``1024:8192:*2`` doubles. A float counts as the decimal that it prints
    as. ``device`` takes devices by name, whose peak is that of a ``form``. Raises `SizeError` for what is no positive
    number, no values, or one twice; `UnknownName` for an unknown device.
    """
    if name == DEVICE:
        return _devices(given, form)
    size = ALIASES.get(name, name)
    whole = size not in SHARES and size not in FIGURES
    values = tuple(islice(_numbers(name, given), MOST_VALUES + 1))
    if not 0 < len(values) <= MOST_VALUES:
        what = "no values" if not values else f"more than {MOST_VALUES:,} values"
        raise SizeError(f"{name} has {what}; give some, such as {name}=12,24 or {name}=8:1024:8")
    if len(set(values)) < len(values):
        raise SizeError(f"{name} has a value twice; give each once")
    for each in values:
        if not (each == 0 and size.startswith(SOME_LAYERS)):
            _refuse(name, each, whole, size in SHARES)
    return Axis({name: values}, {size: values})


def _refuse(name: str, number: Number, whole: bool, share: bool) -> None:
    if number <= 0 or (whole and not isinstance(number, int)):
        kind = "a positive integer" if whole else "a positive number"
        raise SizeError(f"{name} has the value {number}; give {kind}, such as {'96' if whole else '0.4'}")
    if share and number > 1:
        raise SizeError(f"{name} has the value {float(number):g}; give shares of the peak in (0, 1], such as 0.4")


def _devices(given: Values, form: str) -> Axis:
    names: Iterable[Any] = _words(given) if isinstance(given, str) else [given] if isinstance(given, Device) else given  # type: ignore[assignment]
    found = {each.name: each for each in map(device_of, names)}
    if not found:
        raise SizeError("device has no values; give some, such as device=a100,h100")
    figures = {name: tuple(figure.of(each, form) for each in found.values()) for name, figure in FIGURES.items()}
    return Axis({DEVICE: tuple(found)}, figures)


def _words(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _numbers(name: str, given: Values) -> Iterator[Number]:
    if isinstance(given, str):
        for word in _words(given):
            yield from _spread(name, word) if ":" in word else (_number(name, word),)
    elif isinstance(given, Iterable):
        yield from (_number(name, each) for each in given)
    else:
        yield _number(name, given)


def _spread(name: str, text: str) -> Iterator[Number]:
    """The numbers of a range, its end among them where a step meets it."""
    ends = text.split(":")
    times = len(ends) == 3 and ends[2].startswith("*")
    try:
        first, last, step = (_number(name, each.lstrip("*")) for each in (*ends, "1")[:3])
    except ValueError:
        raise SizeError(f"{name} has the range {text!r}; write FIRST:LAST:STEP, such as 768:12288:128") from None
    if len(ends) > 3 or step <= (1 if times else 0) or (times and first <= 0):
        raise SizeError(f"{name} has the range {text!r}; write FIRST:LAST:STEP, such as 768:12288:128 or 1:64:*2")
    while first <= last:
        yield first
        first = _whole(Fraction(first * step if times else first + step))


def _number(name: str, given: Any) -> Number:
    """A number exactly; a float as the decimal that it prints as."""
    try:
        if isinstance(given, str):
            found = value(parse(given), {})
            return _whole(Fraction(found)) if isinstance(found, Fraction) else _no_number(name, given)
        if isinstance(given, bool):
            return _no_number(name, given)
        if isinstance(given, Fraction):
            return _whole(given)
        return (
            _whole(Fraction(repr(float(given))))
            if hasattr(given, "is_integer") and not _index(given)
            else operator.index(given)
        )
    except (SymflopsError, TypeError, ValueError):
        return _no_number(name, given)


def _index(given: Any) -> bool:
    return hasattr(given, "__index__")


def _no_number(name: str, given: Any) -> Number:
    shown = given if isinstance(given, str | int | float) else f"of type {type(given).__name__}"
    shown = shown if len(str(shown)) <= 40 else f"{str(shown)[:37]}..."
    raise SizeError(f"{name} has the value {shown!r}; give numbers, such as {name}=12,24 or {name}=8:1024:8")


def _whole(number: Fraction) -> Number:
    return int(number) if number.denominator == 1 else number


def axes(over: Mapping[str, Values], zipped: Sequence[Sequence[str]] = (), form: str = "bf16") -> tuple[Axis, ...]:
    """The axes of a grid in the order given, of those that are zipped one in place of the first.

    >>> [len(each) for each in axes({"n_layer": [1, 2], "seq": 8, "d_model": [64, 96]}, [["n_layer", "d_model"]])]
    [2, 1]

    Raises `SizeError` for a size that is given twice, `UnknownName` for a zipped name that is none of them, and
    `SizeError` for zipped lists that are not of one length.
    """
    found = {name: axis(name, values, form) for name, values in over.items()}
    _refuse_twice(found)
    for names in zipped:
        _refuse_unzippable(names, found)
        first, *rest = names
        parts = [found[first], *(found.pop(name) for name in rest)]
        found[first] = _together(parts)
    return tuple(found.values())


def _together(parts: Sequence[Axis]) -> Axis:
    columns = {name: values for part in parts for name, values in part.columns.items()}
    return Axis(columns, {name: values for part in parts for name, values in part.numbers.items()})


def _refuse_twice(found: Mapping[str, Axis]) -> None:
    seen: dict[str, str] = {}
    for name, each in found.items():
        for size in each.numbers:
            if size in seen:
                raise SizeError(f"{seen[size]} and {name} both give {size}; give one of them")
            seen[size] = name


def _refuse_unzippable(names: Sequence[str], found: Mapping[str, Axis]) -> None:
    for name in names:
        if name not in found:
            raise UnknownName("name to zip", name, found)
    lengths = {name: len(found[name]) for name in names}
    if len(set(lengths.values())) != 1 or len(lengths) < max(2, len(names)):
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SizeError(f"zipped lists are of one length, two names at least, each once; these have: {said}")
