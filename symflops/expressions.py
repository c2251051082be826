"""What a user writes for a size: names of the notation and integers, joined by ``+ - * / **`` and parentheses.

A parser by recursive descent over this grammar alone, so that nothing of a user's text is ever run:

    sum     = product (("+" | "-") product)*
    product = power (("*" | "/") power)*
    power   = atom ("**" integer)?
    atom    = name | integer | "(" sum ")"

>>> expression("4*d_model"), expression("n_head * (d_nope + d_rope)")
(4*d_model, n_head*(d_nope + d_rope))
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sympy import Expr, Integer

from symflops.errors import SymflopsError
from symflops.notation import symbol

_TOKEN = re.compile(r"\s*(?:([A-Za-z_]\w*)|([0-9]+)|(\*\*|[-+*/()]))", re.ASCII)
_LONGEST, _DEEPEST, _MOST_DIGITS, _HIGHEST = 200, 20, 18, 8
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
    if len(text) > longest:
        raise ExpressionError(f"{text[:20]!r}... is no size: it is longer than {longest} characters; write it shorter")
    value, rest = _sum(_tokens(text), text, 0)
    if rest:
        raise _refused(text, f"unexpected {rest[0]!r}")
    if value.is_number and not value.is_positive:
        raise _refused(text, f"it is {value}, and a size is positive")
    return value


def _refused(text: str, why: str) -> ExpressionError:
    return ExpressionError(f"{text!r} is no size: {why}; a size is made of {_ALLOWED}")


def _tokens(text: str) -> tuple[str, ...]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise _refused(text, f"unexpected {text[place:].strip()!r}")
        found.append(match.group().strip())
        place = match.end()
    return tuple(found)


def _sum(tokens: Sequence[str], text: str, depth: int) -> tuple[Expr, Sequence[str]]:
    value, rest = _product(tokens, text, depth)
    while rest and rest[0] in ("+", "-"):
        sign = rest[0]
        term, rest = _product(rest[1:], text, depth)
        value = value + term if sign == "+" else value - term
    return value, rest


def _product(tokens: Sequence[str], text: str, depth: int) -> tuple[Expr, Sequence[str]]:
    value, rest = _power(tokens, text, depth)
    while rest and rest[0] in ("*", "/"):
        sign = rest[0]
        factor, rest = _power(rest[1:], text, depth)
        if sign == "/" and factor == 0:
            raise _refused(text, "it divides by zero")
        value = value * factor if sign == "*" else value / factor
    return value, rest


def _power(tokens: Sequence[str], text: str, depth: int) -> tuple[Expr, Sequence[str]]:
    base, rest = _atom(tokens, text, depth)
    if not rest or rest[0] != "**":
        return base, rest
    exponent = rest[1] if len(rest) > 1 else "nothing"
    if not (exponent.isdigit() and len(exponent) == 1 and 1 <= int(exponent) <= _HIGHEST):
        raise _refused(text, f"an exponent is {exponent}, and must be an integer from 1 to {_HIGHEST}")
    return base ** int(exponent), rest[2:]


def _atom(tokens: Sequence[str], text: str, depth: int) -> tuple[Expr, Sequence[str]]:
    if not tokens:
        raise _refused(text, "it ends too early" if text.strip() else "it is empty")
    first, rest = tokens[0], tokens[1:]
    if first.isdigit():
        if len(first) > _MOST_DIGITS:
            raise _refused(text, f"an integer has over {_MOST_DIGITS} digits")
        return Integer(int(first)), rest
    if first == "(":
        if depth == _DEEPEST:
            raise _refused(text, f"parentheses nest over {_DEEPEST} deep")
        value, rest = _sum(rest, text, depth + 1)
        if not rest or rest[0] != ")":
            raise _refused(text, "a parenthesis is not closed")
        return value, rest[1:]
    if not (first[0].isalpha() or first[0] == "_"):
        raise _refused(text, f"unexpected {first!r}")
    return symbol(first), rest
