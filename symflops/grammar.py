"""The grammar of formulas that text from outside is read by, and what a formula then is: a small tree.

A parser by recursive descent over this grammar alone, so that nothing of a user's text is ever run:

    sum     = product (("+" | "-") product)*
    product = sign (("*" | "/") sign)*
    sign    = "-" sign | power
    power   = atom ("**" sign)?
    atom    = number | name | function "(" sum ("," sum)* ")" | "(" sum ")"

``^`` is read as ``**``, ``−`` as ``-``, ``×`` and ``·`` as ``*``. Numbers may have decimals and an exponent, and are
exact fractions; names may have dots, such as ``model.params``.

>>> parse("2*d**3")
Chain(first=Number(value=Fraction(2, 1)), rest=(('*', Power(base=Name(name='d'), exponent=Number(value=...))),))
>>> sorted(names(parse("ceil(8*d/3/256)*256 + model.params")))
['d', 'model.params']
>>> parse("system(1)")
Traceback (most recent call last):
symflops.grammar.FormulaError: 'system(1)' is no formula: unknown function 'system'; functions are abs, ceil, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from symflops.errors import SymflopsError

FUNCTIONS = ("abs", "ceil", "exp", "floor", "log", "log10", "log2", "max", "min", "round", "sqrt")
"""What may be called, each with one argument but for ``max`` and ``min``."""
_TOKEN = re.compile(
    r"\s*(?:([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|(\*\*|[-+*/(),]))",
    re.ASCII,
)
_SPELLINGS = str.maketrans({"^": "**", "−": "-", "×": "*", "·": "*"})
_DEEPEST, _MOST_DIGITS, _LARGEST_EXPONENT = 40, 120, 400


class FormulaError(SymflopsError):
    """Text that is no formula of the grammar, or a formula that has no value."""


@dataclass(frozen=True)
class Number:
    """An exact number."""

    value: Fraction


@dataclass(frozen=True)
class Name:
    """Something that has to be given."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function of `FUNCTIONS` with its arguments."""

    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True)
class Chain:
    """A sum or a product: what comes first, and each next part with its operator, ``+ -`` or ``* /``."""

    first: Tree
    rest: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True)
class Power:
    """A base and its exponent."""

    base: Tree
    exponent: Tree


Tree: TypeAlias = Number | Name | Call | Chain | Power


def parts(tree: Tree) -> tuple[Tree, ...]:
    """The formulas that a formula is made of."""
    match tree:
        case Call(arguments=arguments):
            return arguments
        case Chain(first=first, rest=rest):
            return (first, *(each for _, each in rest))
        case Power(base=base, exponent=exponent):
            return (base, exponent)
    return ()


def names(tree: Tree) -> frozenset[str]:
    """Every name in a formula."""
    return frozenset({tree.name}) if isinstance(tree, Name) else frozenset().union(*map(names, parts(tree)))


def parse(text: str, longest: int = 2000) -> Tree:
    """The formula that a text of at most ``longest`` characters says.

    Raises `FormulaError` for what is not in the grammar, is too long or nested too deep.
    """
    if len(text) > longest:
        raise FormulaError(f"{text[:20]!r}... is no formula: it is longer than {longest} characters; write it shorter")
    parser = _Parser(text, _tokens(text))
    tree = parser.sum(0)
    if parser.rest:
        raise parser.refused(f"unexpected {parser.rest[0]!r}")
    return tree


def _tokens(text: str) -> list[str]:
    found, place, spelt = [], 0, text.translate(_SPELLINGS)
    while spelt[place:].strip():
        match = _TOKEN.match(spelt, place)
        if match is None:
            raise FormulaError(f"{text!r} is no formula: unexpected {spelt[place:].strip()[:20]!r}; {ALLOWED}")
        found.append(match.group().strip())
        place = match.end()
    return found


ALLOWED = f"a formula is made of names, numbers, + - * / ** ( ) and {', '.join(FUNCTIONS)}"


class _Parser:
    """The tokens that are left of one text."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self.text, self.rest = text, tokens

    def refused(self, why: str) -> FormulaError:
        return FormulaError(f"{self.text!r} is no formula: {why}; {ALLOWED}")

    def take(self, *allowed: str) -> str:
        """The next token, if it is one of these."""
        return self.rest.pop(0) if self.rest and self.rest[0] in allowed else ""

    def sum(self, depth: int) -> Tree:
        return self.chain("+-", self.product, depth)

    def product(self, depth: int) -> Tree:
        return self.chain("*/", self.sign, depth)

    def chain(self, operators: str, part: Callable[[int], Tree], depth: int) -> Tree:
        first, rest = part(depth), []
        while operator := self.take(*operators):
            rest.append((operator, part(depth)))
        return Chain(first, tuple(rest)) if rest else first

    def sign(self, depth: int) -> Tree:
        if depth > _DEEPEST:
            raise self.refused(f"it nests over {_DEEPEST} deep")
        if self.take("-"):
            return Chain(Number(Fraction(0)), (("-", self.sign(depth + 1)),))
        base = self.atom(depth + 1)
        return Power(base, self.sign(depth + 1)) if self.take("**") else base

    def atom(self, depth: int) -> Tree:
        if not self.rest:
            raise self.refused("it ends too early" if self.text.strip() else "it is empty")
        first = self.rest.pop(0)
        if first[0].isdigit() or first[0] == ".":
            return Number(self.number(first))
        if first == "(":
            inside = self.sum(depth + 1)
            self.close()
            return inside
        if not (first[0].isalpha() or first[0] == "_"):
            raise self.refused(f"unexpected {first!r}")
        return self.call(first, depth + 1) if self.take("(") else Name(first)

    def call(self, function: str, depth: int) -> Tree:
        if function not in FUNCTIONS:
            raise self.refused(f"unknown function {function!r}; functions are {', '.join(FUNCTIONS)}")
        arguments = [self.sum(depth)]
        while self.take(","):
            arguments.append(self.sum(depth))
        self.close()
        if len(arguments) != 1 and function not in ("max", "min"):
            raise self.refused(f"{function} takes one argument, not {len(arguments)}")
        return Call(function, tuple(arguments))

    def close(self) -> None:
        if not self.take(")"):
            raise self.refused("a parenthesis is not closed")

    def number(self, digits: str) -> Fraction:
        mantissa, _, exponent = digits.lower().partition("e")
        if len(mantissa) > _MOST_DIGITS or len(exponent) > 5 or abs(int(exponent or 0)) > _LARGEST_EXPONENT:
            raise self.refused(f"a number has over {_MOST_DIGITS} digits or an exponent over {_LARGEST_EXPONENT}")
        return Fraction(digits)
