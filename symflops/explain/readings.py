"""What a closed form is in words: it is compared with what the algebra says of the same operations, and proved equal.

A reading is a basis (the matmuls, half of the pairs, every parameter), a number of times, and a shape that the source
took the layers to have. Nothing is told but what `equal` decides.

>>> from symflops.explain.sides import place
>>> from symflops.notation import d_model, n_layer, n_seq
>>> gpt2 = place("gpt2")
>>> core = gpt2.by_role["scores"] + gpt2.by_role["mix"]
>>> reading(12 * n_layer * n_seq * d_model, core, "training")
'the matmuls over all pairs'
>>> reading(6 * n_layer * n_seq * d_model, core, "training")
'the matmuls over half of all pairs, or QK^T alone over all pairs'
>>> reading(5 * n_layer * n_seq**2, core, "training")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product

from sympy import Add, Expr, Integer, Rational, S, expand, primerange

from symflops.arithmetic import fraction
from symflops.conventions import ALL_OPERATIONS, EXACT, TORCH, Convention, Price
from symflops.explain.quantities import QUANTITIES, TOKENS
from symflops.measures import Phase, priced
from symflops.networks import Use
from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head
from symflops.proof import equal

Uses = tuple[Use, ...]


def _list(name: str, *prices: Price) -> Convention:
    return Convention(name, name, "symflops", "readings", prices, backward="twice")


_ONE_HOT = _list("one-hot", Price("one_hot_mac", 2, pass_="forward"))
_LOOKUP = _list("lookup", Price("lookup", 2, pass_="forward"))
_ELEMENT = _list("element", Price("element", 1, pass_="forward"))


def _total(those: Uses, chosen: Convention, phase: Phase) -> Expr:
    return expand(Add(*(priced(use, chosen, phase) for use in those)) / TOKENS)


def _quantity(name: str) -> Callable[[Uses, Phase], Expr]:
    times = {"forward": 2, "training": 6}
    return lambda those, phase: expand(times[phase] * Add(*(QUANTITIES[name][1](use) for use in those)))


def _dense(those: Uses, phase: Phase) -> Expr:
    return _total(those, TORCH, phase)


def _masked(those: Uses) -> bool:
    return any(use.operation.mask is not None for use in those)


@dataclass(frozen=True)
class Basis:
    """A way to count some operations, in words, and what it comes to.

    A ``shaped`` one may be of layers of other sizes; ``beside`` another it is told as well.
    """

    words: str
    form: Callable[[Uses, Phase], Expr]
    applies: Callable[[Uses], bool] = lambda those: True
    shaped: bool = False
    beside: bool = False


def _only(role: str) -> Callable[[Uses, Phase], Expr]:
    return lambda those, phase: _dense(tuple(use for use in those if use.operation.role == role), phase)


def _mixed(those: Uses) -> bool:
    return len({use.operation.role for use in those}) > 1


BASES = (
    Basis("the matmuls", _dense, lambda those: not _masked(those), shaped=True),
    Basis("the matmuls over all pairs", _dense, _masked, shaped=True),
    Basis("the matmuls over half of all pairs", lambda those, phase: _dense(those, phase) / 2, _masked, shaped=True),
    Basis(
        "the matmuls over the pairs that the mask lets through",
        lambda those, phase: _total(those, EXACT, phase),
        _masked,
    ),
    Basis("QK^T alone over all pairs", _only("scores"), lambda those: _masked(those) and _mixed(those), beside=True),
    Basis(
        "the table as a matmul with one-hot rows",
        lambda those, phase: _total(those, _ONE_HOT, phase),
        lambda those: {use.operation.role for use in those} == {"embedding"},
    ),
    Basis(
        "the matmuls, and the table as one more, with one-hot rows",
        lambda those, phase: _dense(those, phase) + _total(those, _ONE_HOT, phase),
        _mixed,
    ),
    Basis("every parameter they own, for every token", _quantity("params")),
    Basis("every parameter they own, those of experts that a token does not pass among them", _quantity("stored")),
    Basis("every parameter they use, for every token", _quantity("used")),
    Basis(
        "every arithmetic operation, of the gradient too",
        lambda those, phase: _total(those, ALL_OPERATIONS, phase),
    ),
    Basis("the elements looked up", lambda those, phase: _total(those, _LOOKUP, phase)),
)
"""What a form is compared with, in this order; each is 2 for a multiply-accumulate or a parameter and forward pass."""
TIMES: Mapping[Fraction, str] = {
    Fraction(1): "",
    Fraction(4, 3): ", and the forward pass once more (recomputation)",
    Fraction(1, 3): ", in the forward pass alone",
    Fraction(2): ", twice",
}
"""How often a basis is counted."""
SHAPES: tuple[tuple[Mapping[Expr, Expr], str], ...] = (
    ({}, ""),
    ({d_head: d_model / n_head}, "d_model written for n_head*d_head"),
    ({n_kv_head: n_head}, "as many heads of keys and values as of queries"),
)
_LAYERS: tuple[tuple[Mapping[Expr, Expr], str], ...] = (
    ({}, ""),
    ({d_ff: 4 * d_model}, "d_ff = 4*d_model"),
    ({d_ff: 2 * d_ff / 3}, "two matrices in the feed-forward layer where it has three"),
    ({d_ff: 8 * d_model / 3}, "two matrices of the width 4*d_model in the feed-forward layer"),
    ({d_ff: 3 * d_ff / 2}, "three matrices in the feed-forward layer where it has two"),
)


def reading(form: Expr, those: Uses, phase: Phase, unit: str = "FLOP") -> str | None:
    """What a form is of these operations, in words, proved by expansion; None where it is nothing that is known here.

    ``unit`` is that of the form: a multiply-accumulate is two FLOPs.
    """
    if form == 0:
        return "nothing"
    doubled, told = (2 * form, ", one for each multiply-accumulate") if unit == "MAC" else (form, "")
    plain = list(_plainly(doubled, those, phase))
    beside = [f", or {words}" for basis, words in plain[1:] if basis.beside and words == basis.words]
    other = chain(*(each(doubled, those, phase) for each in (_by_element, _shaped)))
    found = plain[0][1] if plain else next(other, None)
    return None if found is None else "".join([found, *beside, told])


def _plainly(form: Expr, those: Uses, phase: Phase) -> Iterator[tuple[Basis, str]]:
    for basis in BASES:
        if basis.applies(those) and (told := _times(form, basis.form(those, phase))) is not None:
            yield basis, basis.words + told


def _by_element(form: Expr, those: Uses, phase: Phase) -> Iterator[str]:
    times = multiple(form, _total(those, _ELEMENT, phase))
    if times is not None and times.denominator == 1 and times > 0:
        yield f"{times} for each element of the result"


def _shaped(form: Expr, those: Uses, phase: Phase) -> Iterator[str]:
    for basis in BASES:
        if not (basis.shaped and basis.applies(those)):
            continue
        own = basis.form(those, phase)
        for sizes, words in _shapes(own):
            if (told := _times(form, own.subs(sizes, simultaneous=True))) is not None:
                yield f"{basis.words}{told}, with {' and '.join(words)}"


def _shapes(own: Expr) -> Iterator[tuple[Mapping[Expr, Expr], list[str]]]:
    """The shapes that a source may have meant, of those that change this form; the least change first."""
    kinds = [[({}, ""), each] for each in SHAPES[1:]] + [list(_LAYERS)]
    chosen = [
        ({size: other for sizes, _ in each for size, other in sizes.items()}, [words for _, words in each if words])
        for each in product(*kinds)
    ]
    for sizes, words in sorted(chosen, key=lambda each: len(each[1])):
        if words and sizes.keys() <= own.free_symbols:
            yield sizes, words


def _times(form: Expr, basis: Expr) -> str | None:
    found = multiple(form, basis)
    return None if found is None else TIMES.get(found)


def multiple(form: Expr, basis: Expr) -> Fraction | None:
    """How often a form holds another, as an exact number for all sizes; None where it is no multiple of it.

    >>> from symflops.notation import d_model, n_vocab
    >>> multiple(12 * d_model * n_vocab, 9 * d_model * n_vocab), multiple(d_model * n_vocab, d_model + n_vocab)
    (Fraction(4, 3), None)
    """
    if basis == 0:
        return None
    sizes = sorted(form.free_symbols | basis.free_symbols, key=str)
    at = dict(zip(sizes, map(Integer, primerange(11, 10**4)), strict=False))
    found = S(form.xreplace(at).doit()) / S(basis.xreplace(at).doit())
    if not isinstance(found, Rational) or not equal(form, found * basis):
        return None
    return fraction(found)
