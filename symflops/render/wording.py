"""What every format says in the same words: parts of a name, formulas inside a sentence, why a step follows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from symflops.documents import Code, Piece
from symflops.notation import TERMS
from symflops.steps import Step

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
NONE = "none"
"""What an empty list of facts says."""
_TERM = re.compile(r"(\w)_\{\\mathrm\{(.+)\}\}")
_NAME = re.compile(r"([^\W\d_]+)(?:_(\w+)|(\d+))?")
# An ASCII formula inside a sentence: a name of the notation, and what is joined to it by operators.
_FORMULA = re.compile(
    r"[\w*/+()^.]*\b(?:" + "|".join(map(re.escape, TERMS)) + r")\b[\w*/+()^.]*(?: [+-] [\w*/+()^]*[\w)])*"
)


def printable(text: str) -> str:
    """Text without what no page may hold: control characters, which a terminal obeys and XML forbids.

    >>> printable("a\\x1b[31m\\nb")
    'a[31m\\nb'
    """
    return _CONTROL.sub("", text)


def name_parts(name: str) -> tuple[str, str]:
    """The letter or word of a name, and what stands below it.

    >>> name_parts("n_layer_dense"), name_parts("C_forward"), name_parts("x1"), name_parts("a<b")
    (('n', 'dense layer'), ('C', 'forward'), ('x', '1'), ('a<b', ''))
    """
    known = _TERM.fullmatch(TERMS[name].latex) if name in TERMS else None
    if known is not None:
        return known[1], known[2]
    match = _NAME.fullmatch(name)
    return (name, "") if match is None else (match[1], (match[2] or match[3] or "").replace("_", " "))


def is_symbol(quantity: str) -> bool:
    """Whether a quantity is named by a symbol, such as C_forward, and not in words."""
    return quantity.isidentifier()


def spelled(text: str) -> Iterator[str | Code]:
    """A sentence in parts: words, and each ASCII formula in them as code.

    >>> list(spelled("5% of (d_model*n_ctx)."))
    ['5% of ', Code(text='(d_model*n_ctx)'), '.']
    >>> list(spelled("takes (n_ctx additions)"))
    ['takes (', Code(text='n_ctx'), ' additions)']
    """
    end = 0
    for match in _FORMULA.finditer(text):
        first, last = _trimmed(text, match.start(), match.end())
        yield from (part for part in (text[end:first], Code(text[first:last])) if part)
        end = last
    if text[end:]:
        yield text[end:]


def _trimmed(text: str, first: int, last: int) -> tuple[int, int]:
    """Without the sentence's full stop and without brackets that close or open elsewhere."""
    while text[last - 1] in ".+*/^":
        last -= 1
    open_, closed = (text.count(each, first, last) for each in "()")
    while open_ > closed and text[first] == "(":
        first, open_ = first + 1, open_ - 1
    while closed > open_ and text[last - 1] == ")":
        last, closed = last - 1, closed - 1
    return first, last


def chains(steps: tuple[Step, ...]) -> Iterator[tuple[str, Step]]:
    """Each step with the name of its quantity, which is empty where it is that of the step before."""
    before = ""
    for step in steps:
        yield ("" if step.quantity == before else step.quantity), step
        before = step.quantity


def reason(step: Step) -> tuple[Piece, ...]:
    """Why a step follows, and what was dropped with its size."""
    if step.dropped == 0:
        return (step.why,)
    rest = (" of ", step.terms) if step.terms is not None else (" of the rest",)
    return (step.why, "; dropped: ", step.dropped, ", which is ", step.share, *rest)
