"""Symbolic numbers put into text, such as a model that prints its size: text says what the hint is, no symbol is lost.

>>> import torch
>>> with numbers_in_text():
...     hasattr(torch.SymInt, "__format__")
True
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Final

import torch

_REMAINDER: Final = dis.opmap["BINARY_OP"]
_SIGNS: Final = ("%", "%=")


@contextmanager
def numbers_in_text() -> Iterator[None]:
    """A scope in which `f"{size:,}"` and `"%.1f" % size` format a symbolic number's hint and ask nothing of it.

    Anything else that wants a number of a symbolic one is as before, and is taken down.
    """
    with ExitStack() as stack:
        for kind, conversions in ((torch.SymInt, ("__int__", "__index__")), (torch.SymFloat, ("__float__", "__int__"))):
            stack.enter_context(_method(kind, "__format__", _formatted))
            for name in conversions:
                stack.enter_context(_method(kind, name, _unless_text(getattr(kind, name), name)))
        yield


def _formatted(value: Any, form: str) -> str:
    return format(_hint(value), form) if form else str(value)


def _unless_text(plain: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    kind = float if name == "__float__" else int

    def convert(value: Any) -> Any:
        return kind(_hint(value)) if _formats(sys._getframe(1)) else plain(value)

    return convert


def _formats(frame: FrameType) -> bool:
    """Whether a frame is at a `%` right now. Numbers are not converted for that: theirs has a method of its own."""
    code, place = frame.f_code.co_code, frame.f_lasti
    if place < 0 or code[place] != _REMAINDER:
        return False
    return dis._nb_ops[code[place + 1]][1] in _SIGNS  # type: ignore[attr-defined]


def _hint(value: Any) -> Any:
    hint = value.node.hint
    return 0 if hint is None else hint


@contextmanager
def _method(kind: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    before = vars(kind).get(name)
    setattr(kind, name, method)
    try:
        yield
    finally:
        if before is None:
            delattr(kind, name)
        else:
            setattr(kind, name, before)
