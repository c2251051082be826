"""The scope in which unmodified code runs on symbolic sizes: what it patches in torch, `math` and model code.

Every patch is gone when the block ends, also with an exception, and from modules that were imported inside it.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from symflops.tracing.building import without_initialisers
from symflops.tracing.internals.fake_kernels import Routing, fake_kernels
from symflops.tracing.internals.symbolic_text import numbers_in_text

MODEL_CODE: Final = ("transformers.models.", "transformers.modeling_rope_utils", "transformers.pytorch_utils")
"""Modules whose name starts so get an `int` that keeps symbols; a builder's own module is added to them."""
_SYMBOLIC: Final = (torch.SymInt, torch.SymFloat)
_LAYERS: Final = "torch.nn.modules."
"""torch's own layers import initialisers by name, and some ask whether a size is an `int`."""
_ATTENTION: Final = "scaled_dot_product_attention"


class _Kept(type):
    """`int` for model code: a symbolic number stays one, whatever else is converted as always."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], torch.SymInt):
            return args[0]
        if args and isinstance(args[0], torch.SymFloat):
            return torch.sym_int(args[0])  # type: ignore[no-untyped-call]
        return int(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, int | torch.SymInt)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, int)


class _SymbolicInt(metaclass=_Kept):
    """Stands where model code says `int`."""


class _KeptFloat(type):
    """`float` for a user's code: a symbolic number stays one."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], _SYMBOLIC):
            return torch.sym_float(args[0])  # type: ignore[no-untyped-call]
        return float(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, float | torch.SymFloat)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, float)


class _SymbolicFloat(metaclass=_KeptFloat):
    """Stands where a user's code says `float`."""


def _length(value: Any) -> Any:
    """`len` for a user's code: of a tensor, the size of its first axis, a symbolic one too."""
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else len(value)


_BUILTINS: Final[Mapping[str, Any]] = {"int": _SymbolicInt, "float": _SymbolicFloat, "len": _length}
"""What stands for builtins in a user's code and in torch's layers."""


class _Integral(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, numbers.Integral | torch.SymInt)


class _Numbers:
    """Stands for the module `numbers` where torch asks whether a normalised shape is one integer."""

    class Integral(metaclass=_Integral):
        """Symbolic integers are integers."""


def _symbolic(plain: Callable[..., Any], symbolic: Callable[..., Any], value: Any, *args: Any, **kwargs: Any) -> Any:
    return (symbolic if isinstance(value, _SYMBOLIC) else plain)(value, *args, **kwargs)


def _scalar(value: Any, *, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
    """A tensor of one element that is not known: reading it back is an error, not a number."""
    whole = torch.int64 if isinstance(value, torch.SymInt) else torch.get_default_dtype()
    return torch.empty((), dtype=dtype or whole, **kwargs)


def _attention(plain: Callable[..., Tensor], *args: Any, scale: Any = None, **kwargs: Any) -> Tensor:
    """Fused attention wants its scale as a number; no size depends on which."""
    return plain(*args, scale=1.0 if isinstance(scale, _SYMBOLIC) else scale, **kwargs)


@contextmanager
def symbolic_scope(code: Iterable[str] = MODEL_CODE, routing: Routing | None = None) -> Iterator[None]:
    """A scope in which layers and configs take symbolic sizes, initialisers do nothing, and conversions keep symbols.

    `math.sqrt` of a symbol gives a symbolic float, `torch.tensor` a tensor without value; `int`, in loaded modules
    whose name starts with one of ``code``, a symbolic integer. What these do not reach is evaluated by torch, and
    that is taken down. ``routing`` says what data decides, see `fake_kernels`.
    """
    stubs = _stubs()
    originals = {id(stub): getattr(owner, name) for (owner, name), stub in stubs.items()}
    before = set(sys.modules)
    try:
        with ExitStack() as stack:
            replaced = {id(getattr(owner, name)): stub for (owner, name), stub in stubs.items()}
            stack.callback(_OPEN.reset, _OPEN.set(_Scope(stack, replaced, set())))
            stack.enter_context(without_initialisers())
            stack.enter_context(numbers_in_text())
            stack.enter_context(_global(torch.nn.modules.normalization, "numbers", _Numbers))
            stack.enter_context(fake_kernels(routing))
            stack.enter_context(_configs())
            for (owner, name), stub in stubs.items():
                stack.enter_context(_global(owner, name, stub))
            keep_symbols(vars(module) for module in loaded([_LAYERS]))
            for module in loaded(code):
                stack.enter_context(_global(module, "int", _SymbolicInt))
            yield
    finally:
        _mend(before, originals)


@dataclass(frozen=True)
class _Scope:
    """The scope that is open: what ends it, the stand-ins by what they stand for, and the namespaces that have them."""

    stack: ExitStack
    replaced: Mapping[int, Any]
    known: set[int]


_OPEN: ContextVar[_Scope | None] = ContextVar("symbolic scope", default=None)


def keep_symbols(namespaces: Iterable[dict[str, Any]]) -> None:
    """In these namespaces of a user's code conversions keep symbols until the scope that is open ends; else nothing.

    `int`, `float` and `len` are replaced, and what was imported by name from a module that the scope patches.

    >>> own = {}
    >>> with symbolic_scope():
    ...     keep_symbols([own])
    ...     sorted(own)
    ['float', 'int', 'len']
    >>> own
    {}
    """
    scope = _OPEN.get()
    if scope is None:
        return
    for each in namespaces:
        if id(each) not in scope.known:
            scope.known.add(id(each))
            named = {name: scope.replaced[id(value)] for name, value in each.items() if id(value) in scope.replaced}
            builtin = {name: value for name, value in _BUILTINS.items() if name not in each}
            for name, value in {**builtin, **named}.items():
                scope.stack.enter_context(_entry(each, name, value))


@contextmanager
def _entry(namespace: dict[str, Any], name: str, value: object) -> Iterator[None]:
    before = {name: namespace[name]} if name in namespace else {}
    namespace[name] = value
    try:
        yield
    finally:
        namespace.pop(name, None)
        namespace.update(before)


def _stubs() -> dict[tuple[Any, str], Any]:
    """What stands in for functions that code may import by name, each an object of its own."""
    names = [name for name in vars(torch.nn.init) if name.endswith("_") and not name.startswith("_")]
    return {
        (math, "sqrt"): partial(_symbolic, math.sqrt, torch.sym_sqrt),
        (torch, "tensor"): partial(_symbolic, torch.tensor, _scalar),
        (torch.nn.functional, _ATTENTION): partial(_attention, getattr(torch.nn.functional, _ATTENTION)),
        **{(torch.nn.init, name): partial(_untouched) for name in names},
    }


def _untouched(tensor: Any, *_: object, **__: object) -> Any:
    return tensor


def loaded(code: Iterable[str]) -> tuple[Any, ...]:
    """The loaded modules whose names start with one of ``code``."""
    starts = tuple(code)
    return tuple(module for name, module in sorted(sys.modules.items()) if name.startswith(starts) and module)


def _mend(before: set[str], originals: Mapping[int, Any]) -> None:
    """What was imported by name from a patched module, inside the scope, is set to what is there outside of it."""
    for name, module in list(sys.modules.items()):
        if name in before or module is None:
            continue
        for field, value in list(vars(module).items()):
            if id(value) in originals:
                setattr(module, field, originals[id(value)])


@contextmanager
def _global(module: Any, name: str, value: object) -> Iterator[None]:
    """A global of a module, which hides a builtin of that name, inside this block."""
    before = dict(vars(module))
    try:
        setattr(module, name, value)
        yield
    finally:
        if name in before:
            setattr(module, name, before[name])
        else:
            delattr(module, name)


@contextmanager
def _configs() -> Iterator[None]:
    """Strict dataclasses take a symbolic size for an integer."""
    library = sys.modules.get("huggingface_hub.dataclasses")
    if library is None:
        yield
        return
    strict = library.type_validator

    def lenient(name: str, value: Any, expected: Any) -> None:
        if not isinstance(value, _SYMBOLIC):
            strict(name, value, expected)

    with _global(library, "type_validator", lenient):
        yield
