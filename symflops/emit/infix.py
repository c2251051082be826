"""Programs as infix formulas with temporaries: what Python, NumPy and JavaScript print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from symflops.emit.program import Node, Op, Program
from symflops.errors import SizeError
from symflops.notation import TERMS

_SUM, _PRODUCT, _ATOM = 1, 2, 3
_DEEPEST = 24
"""How deep a formula may nest before a temporary is named: parsers have limits, and so have readers."""

_PRECEDENCE: Mapping[str, tuple[int, int, int]] = {
    "add": (_SUM, _SUM, _SUM),
    "sub": (_SUM, _SUM, _PRODUCT),
    "mul": (_PRODUCT, _PRODUCT, _ATOM),
    "floordiv": (_PRODUCT, _PRODUCT, _ATOM),
}
"""How tightly the operation binds, and how tightly its operands must."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a language writes integers and operations; a template that repeats an operand gets it as a name."""

    templates: Mapping[Op, str]
    integer: Callable[[int], str] = str
    calls: frozenset[Op] = frozenset({"max", "min", "less"})


@dataclass(frozen=True, slots=True)
class Listing:
    """Temporaries in order, then the numerator and the denominator."""

    steps: tuple[tuple[str, str], ...]
    numerator: str
    denominator: str


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    binding: int = _ATOM
    depth: int = 0


def listing(program: Program, style: Style, *, named_ends: bool = False) -> Listing:
    """A program as text: values used once stand in line, others are named.

    `named_ends` names the numerator and the denominator too, for a last line that reads them twice.

    >>> from sympy import Symbol
    >>> from symflops.emit.lowering import lower
    >>> n = Symbol("n", positive=True, integer=True)
    >>> listing(lower(n * (n + 1) / 2), Style({"add": "{} + {}", "mul": "{} * {}"}))
    Listing(steps=(), numerator='n * (n + 1)', denominator='2')
    """
    named = _named(program, style)
    ends = (program.numerator, program.denominator)
    if named_ends:
        named |= {place for place in ends if program.nodes[place].operands}
    names = temporaries(program)
    steps: list[tuple[str, str]] = []
    texts: list[_Text] = []
    for place, node in enumerate(program.nodes):
        text = _text(program, node, texts, style)
        if place in named or text.depth > _DEEPEST:
            steps.append((next(names), text.text))
            text = _Text(steps[-1][0])
        texts.append(text)
    return Listing(tuple(steps), texts[ends[0]].text, _bound(texts[ends[1]], _ATOM))


def _named(program: Program, style: Style) -> set[int]:
    """The operations whose value is written more than once."""
    uses = Counter(place for node in program.nodes for place in _written(node, style))
    uses.update((program.numerator, program.denominator))
    return {place for place, times in uses.items() if times > 1 and program.nodes[place].operands}


def _written(node: Node, style: Style) -> list[int]:
    template = style.templates.get(node.op, "")
    return [place for mark, place in zip("01", node.operands, strict=False) for _ in range(_times(template, mark))]


def _times(template: str, mark: str) -> int:
    return template.count("{" + mark + "}") or 1


def _text(program: Program, node: Node, texts: Sequence[_Text], style: Style) -> _Text:
    if node.op == "size":
        return _Text(program.arguments[node.left])
    if node.op == "integer":
        return _Text(style.integer(node.left) if node.left >= 0 else f"({style.integer(node.left)})")
    left, right = texts[node.left], texts[node.right]
    depth = 1 + max(left.depth, right.depth)
    if node.op in style.calls:
        return _Text(style.templates[node.op].format(left.text, right.text), _ATOM, depth)
    binding, of_left, of_right = _PRECEDENCE[node.op]
    return _Text(style.templates[node.op].format(_bound(left, of_left), _bound(right, of_right)), binding, depth)


def _bound(text: _Text, tightly: int) -> str:
    return text.text if text.binding >= tightly else f"({text.text})"


def temporaries(program: Program) -> Iterator[str]:
    """Names t0, t1, ... that no argument has."""
    stem = "t"
    while any(name.startswith(stem) and name[len(stem) :].isdigit() for name in program.arguments):
        stem += "_"
    return map(f"{stem}{{}}".format, count())


def meanings(program: Program) -> list[tuple[str, str]]:
    """Each argument with its meaning and unit in the notation."""
    return [(name, _meaning(name)) for name in program.arguments]


def _meaning(name: str) -> str:
    term = TERMS.get(name)
    return f"{term.meaning}, in {term.unit}" if term else "a positive integer"


def check_names(program: Program, name: str, reserved: frozenset[str], language: str) -> None:
    """Raises `SizeError` where a name cannot be used in the language."""
    for given in (name, *program.arguments):
        if not (given.isidentifier() and given.isascii()) or given in reserved:
            raise SizeError(f"{given!r} cannot be a name in {language}; give an ASCII identifier that is not reserved")
    if name in program.arguments:
        raise SizeError(f"the function cannot have the name of its argument {name!r}; give another name")
