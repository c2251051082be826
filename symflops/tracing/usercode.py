"""Whose code a factory runs: the namespaces of the functions and classes that it reaches, outside of libraries.

A user's module may be in none of Python's tables, and its helpers in other files: they are found from the function.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

Namespace = dict[str, Any]
_LIBRARIES = frozenset({"torch", "transformers", "numpy", "sympy", "symflops"}) | sys.stdlib_module_names
_INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("purelib", "platlib")})


def namespaces(function: Callable[..., Any]) -> list[Namespace]:
    """The globals of a function's file, of the user's files that it imports, and of installed modules' layers in them.

    >>> [each["__name__"].rpartition(".")[2] for each in namespaces(partial(namespaces))]
    ['usercode']
    """
    found: dict[int, Namespace] = {id(each): each for each in _of(function)}
    waiting = list(found.values())
    while waiting:
        for each in _reached(waiting.pop()):
            if id(each) not in found:
                found[id(each)] = each
                if not _is_installed(each):
                    waiting.append(each)
    return list(found.values())


def of_layers(module: nn.Module) -> list[Namespace]:
    """The globals of the files in which a module's layers are written, without torch's own."""
    classes = dict.fromkeys(each for layer in module.modules() for each in type(layer).__mro__)
    return list({id(each): each for layer in classes for each in _of(layer) if not _is_library(each)}.values())


def _reached(namespace: Namespace) -> Iterator[Namespace]:
    """The namespaces that a namespace's values come from: of installed modules only those of layers."""
    for value in list(namespace.values()):
        for each in _of(value):
            layer = isinstance(value, type) and issubclass(value, nn.Module)
            if not _is_library(each) and (layer or not _is_installed(each)):
                yield each


def _of(value: Any) -> Iterable[Namespace]:
    """The namespaces in which a function, class, module or callable object was written."""
    if isinstance(value, partial):
        return _of(value.func)
    if isinstance(value, MethodType):
        return _of(value.__func__)
    if isinstance(value, FunctionType):
        return (_of(value.__wrapped__) if hasattr(value, "__wrapped__") else []) or [value.__globals__]
    if isinstance(value, ModuleType):
        return [vars(value)]
    if isinstance(value, type):
        return [each.__globals__ for each in vars(value).values() if isinstance(each, FunctionType)]
    call = vars(type(value)).get("__call__")
    return [call.__globals__] if isinstance(call, FunctionType) else []


def _is_library(namespace: Namespace) -> bool:
    return str(namespace.get("__name__", "")).partition(".")[0] in _LIBRARIES


def _is_installed(namespace: Namespace) -> bool:
    file = namespace.get("__file__")
    return not file or any(Path(file).is_relative_to(folder) for folder in _INSTALLED)
