"""All that is private to torch about symbolic sizes: the environment that makes, watches and reads them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import sympy
import torch
from sympy import Expr
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.utils._sympy import functions as torch_functions

from symflops.notation import symbol

_HERE: Final = (str(Path(torch.__file__).parent), str(Path(sympy.__file__).parent), str(Path(__file__).parent.parent))


@dataclass(frozen=True)
class Evaluated:
    """A symbolic number that code turned into a concrete one: the expression, its value, and where."""

    expression: Expr
    value: Expr
    where: str


class _Watching(ShapeEnv):
    """Takes down every number that is asked for by value. A question that is answered by a guard stays in `guards`."""

    def __init__(self) -> None:
        # With zero and one special, sizes range from 2: torch then knows without a guard that nothing broadcasts.
        super().__init__(duck_shape=False, specialize_zero_one=True)
        self.evaluated: list[Evaluated] = []
        self.unguarded: list[Any] = []

    def evaluate_expr(self, orig_expr: Any, hint: Any = None, *args: Any, **kwargs: Any) -> Any:
        symbolic = bool(orig_expr.free_symbols)
        answer = super().evaluate_expr(orig_expr, hint, *args, **kwargs)
        if symbolic and not getattr(answer, "is_Boolean", isinstance(answer, bool)):
            self.evaluated.append(Evaluated(orig_expr, answer, _where()))
        elif symbolic and ShapeEnv._suppress_guards_tls():
            self.unguarded.append(orig_expr if answer else sympy.Not(orig_expr))
        return answer

    def _maybe_guard_rel(self, expr: Any) -> None:  # type: ignore[override]
        """A size that was asked for by value is taken down as lost, and stays a symbol all the same."""
        if not (isinstance(expr, sympy.Eq) and (expr.lhs.is_number or expr.rhs.is_number)):
            super()._maybe_guard_rel(expr)


class SymbolicSizes:
    """Symbols of the notation as integers that PyTorch computes with.

    ``hints`` gives each symbol a value of at least 2, which answers the questions that code asks of it; different
    values keep sizes apart. `values` are the integers for a model's code, `mode` allocates nothing. ``multiples`` maps
    a size to another one, or to a number, that divides it: it is then that times a quotient, and nothing is rounded.
    """

    def __init__(self, hints: Mapping[str, int], multiples: Mapping[str, int | str] = MappingProxyType({})) -> None:
        self._environment = _Watching()
        self._readable: dict[Expr, Expr] = {}
        self._known: dict[Expr, Expr] = {}
        self._quotients: list[Expr] = []
        self.values: dict[str, Any] = {
            name: self._make(name, symbol(name), hint) for name, hint in hints.items() if name not in multiples
        }
        for name, divisor in multiples.items():
            self.values[name] = self._multiple(name, divisor, hints)
        self.mode = FakeTensorMode(shape_env=self._environment, allow_non_fake_inputs=True)
        # Looking up an operator's result costs more here than computing it: keys are sympy expressions.
        self.mode.cache_enabled = False

    def _multiple(self, name: str, divisor: int | str, hints: Mapping[str, int]) -> Any:
        """A size as what divides it times a quotient."""
        by, number, meaning = (
            (divisor, divisor, divisor)
            if isinstance(divisor, int)
            else (self.values[divisor], hints[divisor], symbol(divisor))
        )
        self._quotients.append(symbol(name) / meaning)
        return by * self._make(f"{name}_by_{divisor}", self._quotients[-1], hints[name] // number)

    def _make(self, name: str, meaning: Expr, hint: int) -> torch.SymInt:
        source = ConstantSource(name)
        raw: Any = self._environment.create_symbol(
            hint, source=source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None
        )
        self._readable[raw] = meaning
        made: torch.SymInt = self._environment.create_symintnode(raw, hint=hint, source=source)  # type: ignore
        return made

    def closed_form(self, value: Any) -> Expr:
        """A size as an expression in the notation's symbols; numbers are themselves."""
        raw = value.node.expr if isinstance(value, torch.SymInt | torch.SymFloat) else sympy.Integer(value)
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = self.read(raw)
        return found

    def read(self, raw: Any) -> Any:
        """torch's expression, number or condition in plain sympy over the notation's symbols."""
        if raw in self._readable:
            return self._readable[raw]
        if raw.is_Float:
            return sympy.Rational(Fraction(float(raw)).limit_denominator(10**6))
        if not raw.args:
            return raw
        return _plain(raw.func)(*map(self.read, raw.args))

    @property
    def evaluated(self) -> tuple[Evaluated, ...]:
        """What was turned into a number, in order."""
        found = [Evaluated(self.read(each.expression), each.value, each.where) for each in self._environment.evaluated]
        return tuple(dict.fromkeys(found))

    @property
    def merged(self) -> tuple[tuple[Expr, Expr], ...]:
        """Symbols that the environment replaced by another expression, and that expression."""
        pairs = self._environment.replacements.items()
        return tuple((self.read(old), self.read(new)) for old, new in pairs if old in self._readable)

    @property
    def guards(self) -> tuple[Any, ...]:
        """Every condition that code was told holds, in order; a quotient counts from 2, so nobody had to ask of 1."""
        asked = [each.expr for each in self._environment.guards] + self._environment.unguarded
        apart = [sympy.Ne(each, 1) for each in self._quotients]
        return tuple(dict.fromkeys([*map(self.read, asked), *apart]))


def _largest(*values: Any) -> Any:
    """Strides are made of Max(1, size), and a sum or product of sizes is at least 1."""
    above = [sympy.expand(each) for each in values if each != 1]
    return above[0] if len(above) == 1 and above[0].is_positive and above[0].is_integer else sympy.Max(*values)


_F = torch_functions
_PLAIN: Final[dict[Any, Callable[..., Any]]] = {
    _F.FloorDiv: lambda a, b: sympy.floor(a / b),
    _F.CleanDiv: lambda a, b: sympy.floor(a / b),
    _F.CeilDiv: lambda a, b: sympy.ceiling(a / b),
    _F.IntTrueDiv: lambda a, b: a / b,
    _F.FloatTrueDiv: lambda a, b: a / b,
    _F.ToFloat: lambda a: a,
    _F.Identity: lambda a: a,
    _F.Mod: sympy.Mod,
    _F.PythonMod: sympy.Mod,
    _F.ModularIndexing: lambda a, b, c: sympy.Mod(sympy.floor(a / b), c),
    _F.PowByNatural: sympy.Pow,
    _F.FloatPow: sympy.Pow,
    _F.TruncToInt: sympy.floor,  # sizes are positive
    _F.TruncToFloat: sympy.floor,
    _F.FloorToInt: sympy.floor,
    _F.CeilToInt: sympy.ceiling,
    _F.Max: _largest,
    _F.Min: sympy.Min,
    _F.OpaqueUnaryFn_sqrt: sympy.sqrt,
    _F.OpaqueUnaryFn_log: sympy.log,
    _F.OpaqueUnaryFn_exp: sympy.exp,
}


def _plain(function: Any) -> Callable[..., Any]:
    found: Callable[..., Any] = _PLAIN.get(function, function)
    return found


def _where() -> str:
    """File and line of the model's code that is running: the innermost frame that is neither torch's nor ours."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_HERE) and not name.startswith("<"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "<unknown>"
