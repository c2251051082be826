"""What a user writes for a size: a formula of the grammar over names of the notation and integers.

>>> expression("4*d_model"), expression("n_head * (d_nope + d_rope)")
(4*d_model, n_head*(d_nope + d_rope))
"""

from __future__ import annotations

from sympy import Expr

from symflops.arithmetic import as_expression
from symflops.errors import SymflopsError
from symflops.grammar import Call, FormulaError, Number, Power, Tree, parse, parts
from symflops.notation import symbol

_LONGEST, _MOST_DIGITS, _HIGHEST = 200, 18, 8
_ALLOWED = "names of the notation, integers, + - * / ** and parentheses, such as 4*d_model"


class ExpressionError(SymflopsError):
    """Text that is no expression of the grammar."""


def expression(text: str, longest: int = _LONGEST) -> Expr:
    """The size that a text of at most ``longest`` characters says.

    Raises `ExpressionError` for what is not in the grammar, is too long or nested too deep, divides by zero or is no
    positive number, `UnknownName` for a name that the notation does not have.

    >>> expression("4*d_modle")
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown size 'd_modle'; did you mean 'd_model' ...
    >>> expression("__import__('os')")
    Traceback (most recent call last):
    symflops.expressions.ExpressionError: "__import__('os')" is no size: unexpected "'os')"; a size is made of ...
    """
    try:
        tree = parse(text, longest)
        if why := _foreign(tree):
            raise _refused(text, why)
        value = as_expression(tree, symbol)
    except FormulaError as error:
        reason = str(error).removeprefix(f"{text!r} is no formula: ").rpartition("; ")[0] or str(error)
        raise _refused(text, reason) from None
    if value.is_number and not value.is_positive:
        raise _refused(text, f"it is {value}, and a size is positive")
    return value


def _refused(text: str, why: str) -> ExpressionError:
    shown = text if len(text) <= _LONGEST else f"{text[:20]}..."
    return ExpressionError(f"{shown!r} is no size: {why}; a size is made of {_ALLOWED}")


def _foreign(tree: Tree) -> str:
    """What a formula has that a size has not: functions, decimals, other exponents than small integers."""
    match tree:
        case Call(function=function):
            return f"a size calls no {function}"
        case Number(value=number):
            whole = number.denominator == 1 and len(str(number.numerator)) <= _MOST_DIGITS
            return "" if whole else f"a number is an integer of at most {_MOST_DIGITS} digits"
        case Power(base=base, exponent=exponent):
            small = isinstance(exponent, Number) and exponent.value in range(1, _HIGHEST + 1)
            return _foreign(base) if small else f"an exponent must be an integer from 1 to {_HIGHEST}"
    return next(filter(None, map(_foreign, parts(tree))), "")
