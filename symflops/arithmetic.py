"""What a formula of the grammar is worth: an exact number where there is one, 50 digits where not, or an expression.

>>> from symflops.grammar import parse
>>> value(parse("6*70e9*15e12/(1024*0.5*989.5e12*86400)"), {})
Fraction(...)
>>> from symflops.notation import symbol
>>> as_expression(parse("2*d_model*n_vocab + 1/2"), symbol)
2*d_model*n_vocab + 1/2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

import sympy
from mpmath import mp
from sympy import Add, Expr, Mul, Rational

from symflops.grammar import Call, Chain, FormulaError, Name, Number, Power, Tree, parts

Value: TypeAlias = Fraction | mp.mpf
"""An exact number, or one that is irrational to `DIGITS` digits."""
DIGITS = 50
_MOST_BITS, _HIGHEST_DEGREE = 20_000, 24
_CONTEXT = mp.clone()
_CONTEXT.dps = DIGITS


def value(tree: Tree, given: Mapping[str, Value]) -> Value:
    """The number that a formula is, with a number for each of its names.

    Raises `FormulaError` for a name that is not given, a division by zero, and numbers too large to write.
    """
    match tree:
        case Number(value=number):
            return number
        case Name(name=name):
            if name not in given:
                raise FormulaError(f"{name!r} is not given")
            return given[name]
        case Call(function=function, arguments=arguments):
            return _FUNCTIONS[function](*(value(each, given) for each in arguments))
        case Power(base=base, exponent=exponent):
            return _power(value(base, given), value(exponent, given))
        case Chain(first=first, rest=rest):
            found = value(first, given)
            for operator, each in rest:
                found = _OPERATORS[operator](found, value(each, given))
            return found


def _together(left: Value, right: Value) -> tuple[Value, Value]:
    """Both of one type: a fraction beside an irrational number becomes one of 50 digits."""
    if isinstance(left, Fraction) == isinstance(right, Fraction):
        return left, right
    return inexact(left), inexact(right)


def inexact(number: Value) -> mp.mpf:
    """The same number to 50 digits.

    >>> float(inexact(Fraction(1, 4)))
    0.25
    """
    return _CONTEXT.mpf(number.numerator) / number.denominator if isinstance(number, Fraction) else number


def at_most(left: Value, right: Value) -> bool:
    """Whether one number is no larger than another.

    >>> at_most(Fraction(1, 3), inexact(Fraction(1, 2)))
    True
    """
    one, other = _together(left, right)
    return bool(one <= other)


def _checked(number: Value) -> Value:
    if isinstance(number, Fraction) and number.numerator.bit_length() + number.denominator.bit_length() > _MOST_BITS:
        raise FormulaError(f"a number of over {_MOST_BITS} bits is too large to write")
    return number


def _add(left: Value, right: Value) -> Value:
    left, right = _together(left, right)
    return left + right


def subtract(left: Value, right: Value) -> Value:
    """A difference, exact where both are."""
    left, right = _together(left, right)
    return left - right


def _multiply(left: Value, right: Value) -> Value:
    left, right = _together(left, right)
    return _checked(left * right)


def divide(left: Value, right: Value) -> Value:
    """A quotient, exact where both are. Raises `FormulaError` for a division by zero."""
    if right == 0:
        raise FormulaError("it divides by zero")
    left, right = _together(left, right)
    return _checked(left / right)


def _power(base: Value, exponent: Value) -> Value:
    if base == 0 and exponent <= 0:
        raise FormulaError("it raises zero to a power that is not positive")
    size = abs(float(_CONTEXT.log(abs(inexact(base)), 2))) if base else 0
    if size * abs(float(exponent)) > _MOST_BITS:
        raise FormulaError(f"a number of over {_MOST_BITS} bits is too large to write")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        return base**exponent.numerator
    if base < 0:
        raise FormulaError("it raises a negative number to a power that is no integer")
    return _CONTEXT.power(inexact(base), inexact(exponent))


_OPERATORS: Mapping[str, Callable[[Value, Value], Value]] = {
    "+": _add,
    "-": subtract,
    "*": _multiply,
    "/": divide,
}


def _logarithm(base: int) -> Callable[[Value], Value]:
    def found(number: Value) -> Value:
        if number <= 0:
            raise FormulaError("it takes the logarithm of a number that is not positive")
        return _CONTEXT.log(inexact(number), base) if base else _CONTEXT.log(inexact(number))

    return found


def _exponential(number: Value) -> Value:
    if abs(number) > _MOST_BITS / 2:
        raise FormulaError(f"a number of over {_MOST_BITS} bits is too large to write")
    return _CONTEXT.exp(inexact(number))


def _root(number: Value) -> Value:
    root = sympy.sqrt(Rational(number)) if isinstance(number, Fraction) and number.numerator < 2**60 else None
    if root is not None and root.is_Rational:
        return fraction(root)
    return _power(number, Fraction(1, 2))


def _floor(number: Value) -> Fraction:
    return Fraction(int(_CONTEXT.floor(number)) if not isinstance(number, Fraction) else number.__floor__())


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "abs": abs,
    "ceil": lambda number: -_floor(-number),
    "exp": _exponential,
    "floor": _floor,
    "log": _logarithm(0),
    "log10": _logarithm(10),
    "log2": _logarithm(2),
    "max": lambda *numbers: max(numbers),
    "min": lambda *numbers: min(numbers),
    "round": lambda number: _floor(_add(number, Fraction(1, 2))),
    "sqrt": _root,
}


def as_expression(tree: Tree, resolve: Callable[[str], Expr]) -> Expr:
    """The closed form that a formula is, with an expression for each of its names.

    Raises `FormulaError` for a degree over 24, and what ``resolve`` raises for a name.
    """
    if _degree(tree) > _HIGHEST_DEGREE:
        raise FormulaError(f"a formula of a degree over {_HIGHEST_DEGREE} is no cost; write it lower")
    return _expression(tree, resolve)


def _expression(tree: Tree, resolve: Callable[[str], Expr]) -> Expr:
    match tree:
        case Number(value=number):
            return Rational(number.numerator, number.denominator)
        case Name(name=name):
            return resolve(name)
        case Call(function=function, arguments=arguments):
            return _SYMBOLIC[function](*(_expression(each, resolve) for each in arguments))
        case Power(base=base, exponent=exponent):
            return _raised(_expression(base, resolve), _expression(exponent, resolve))
        case Chain(first=first, rest=rest):
            joined = [_joined(operator, _expression(each, resolve)) for operator, each in rest]
            whole = Add if rest[0][0] in "+-" else Mul
            return whole(_expression(first, resolve), *joined)


def _joined(operator: str, right: Expr) -> Expr:
    """What is added for ``- right``, and multiplied by for ``/ right``."""
    if operator == "/" and right == 0:
        raise FormulaError("it divides by zero")
    return -right if operator == "-" else 1 / right if operator == "/" else right


def _raised(base: Expr, exponent: Expr) -> Expr:
    if not (base.is_number and exponent.is_number):
        return base**exponent
    number = _power(_fraction(base), _fraction(exponent))
    return Rational(number.numerator, number.denominator) if isinstance(number, Fraction) else base**exponent


def fraction(number: Expr) -> Fraction:
    """A rational number of sympy's as a fraction.

    >>> fraction(Rational(6, 4))
    Fraction(3, 2)
    """
    return Fraction(int(number.p), int(number.q))


def _fraction(number: Expr) -> Value:
    return fraction(number) if number.is_Rational else _CONTEXT.mpf(str(number.evalf(DIGITS)))


_SYMBOLIC: Mapping[str, Callable[..., Expr]] = {
    "abs": sympy.Abs,
    "ceil": sympy.ceiling,
    "exp": sympy.exp,
    "floor": sympy.floor,
    "log": sympy.log,
    "log10": lambda number: sympy.log(number, 10),
    "log2": lambda number: sympy.log(number, 2),
    "max": sympy.Max,
    "min": sympy.Min,
    "round": lambda number: sympy.floor(number + Rational(1, 2)),
    "sqrt": sympy.sqrt,
}


def _degree(tree: Tree) -> float:
    """A bound of the degree in all names together."""
    match tree:
        case Name():
            return 1
        case Power(base=base, exponent=Number(value=exponent)):
            return _degree(base) * max(1, float(abs(exponent)))
        case Chain(rest=((("*" | "/"), _), *_)):
            return sum(map(_degree, parts(tree)))
    return max(map(_degree, parts(tree)), default=0)
