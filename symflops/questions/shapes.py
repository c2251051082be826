"""Depth or width: at equal parameters and a given context, which number of layers costs least.

The shape is the model's own: every width keeps its proportion to d_model, and heads keep their width, so that their
number follows. At equal N a deeper model is narrower. Then the matmuls with weights cost the same, the core of
attention grows with the square root of the depth, and the logits shrink with it.

>>> found = depth_or_width("gpt2", 1024)
>>> found.cost.form
2*sqrt(3)*sqrt(N)*sqrt(n_layer)*n_seq/3 + sqrt(3)*sqrt(N)*n_vocab/(3*sqrt(n_layer)) + 2*N
>>> found.cheapest.form, found.cheapest.value
(n_vocab/(2*n_seq), 50257/2048)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

from sympy import Expr, Poly, Rational, Symbol, collect, expand, factor, sqrt

from symflops.architectures.names import KINDS
from symflops.conventions import TORCH, Convention, convention
from symflops.errors import SizeError
from symflops.evaluate import compiled
from symflops.measures import flops, params_without
from symflops.notation import d_model, n_layer, n_seq, n_vocab, symbol
from symflops.questions.answers import Answer, Case, Reply, exact, shown
from symflops.questions.subjects import TOKENS, Given, Subject, ratio, subject, title, work
from symflops.render.document import Table

WIDTHS = ("d_attn", "d_ff", "d_expert", "d_shared", "d_inner", "n_head", "n_kv_head", "r_q", "r_kv", "r_dt")
"""Sizes that keep their proportion to d_model; a single key and value head (multi-query) stays single."""
N = Symbol("N")
_NEAR = Rational(1, 50)
_ROWS = 9


@dataclass(frozen=True)
class Choice:
    """One depth and width, with its exact N and work for one token.

    ``difference`` is how far N is from the model's, as a share; ``equal`` the work less that of the parameters beyond
    the model's N, or with what is missing; ``attention`` the share of attention's core in the work.
    """

    n_layer: int
    d_model: int
    N: int
    flops: Rational
    difference: Rational
    equal: Rational
    attention: Rational


@dataclass(frozen=True, repr=False)
class DepthOrWidth(Reply):
    """The work for one token by the number of layers at equal N, attention's part, the depth that costs least.

    ``choices`` are whole numbers near the model's N; ``best`` costs least of all such choices when each is held at
    equal N.
    """

    cost: Answer
    attention: Answer
    cheapest: Answer
    choices: tuple[Choice, ...]
    best: Choice

    @property
    def more(self) -> tuple[Table, ...]:
        head = ("n_layer", "d_model", "N", "off by", "for one token", "at equal N", "attention", "")
        return (Table("", head, tuple(self._row(each) for each in self.choices)),)

    def _row(self, each: Choice) -> tuple[str, ...]:
        off, attention = (f"{float(100 * value):.2f}%" for value in (each.difference, each.attention))
        works = shown(each.flops), shown(each.equal)
        mark = "costs least" if each == self.best else ""
        return str(each.n_layer), str(each.d_model), f"{each.N:,}", off, *works, attention, mark

    def as_json(self) -> dict[str, Any]:
        choices = [
            {"n_layer": each.n_layer, "d_model": each.d_model, "N": each.N, "per_token": exact(each.flops)}
            for each in self.choices
        ]
        best = {"n_layer": self.best.n_layer, "d_model": self.best.d_model}
        return {**super().as_json(), "choices": choices, "best": best}


def depth_or_width(given: Given, length: int | None = None, under: str | Convention = TORCH) -> DepthOrWidth:
    """At equal N, the forward work for one token by the number of layers, for sequences of ``length`` tokens.

    The closed forms are approximate in two ways: they drop from N what is not quadratic in d_model, and take any number
    for a width. The remarks say how much that is; the choices are exact. Raises `SizeError` for a network without
    sizes or without n_layer and d_model.
    """
    of, chosen = subject(given), convention(under)
    tokens = of.length(length)
    if tokens is None or not {"n_layer", "d_model"} <= of.sizes.keys():
        raise SizeError(f"{of.name}: depth or width needs a model with sizes, n_layer and d_model among them")
    shape = _Shape(of, _proportions(of))
    parameters = shape.form(params_without(of.network))
    cost = shape.form(flops(of.network, chosen).expr / TOKENS)
    core = shape.form(work(of, chosen).core / TOKENS)
    quadratic, price = _quadratic(parameters, cost, of)
    every = shape.choices(parameters, cost, core, tokens, price)
    best = min(every, key=lambda each: each.equal)
    width, n = sqrt(N / quadratic), of.at(parameters)
    at = f"for one token, at n_layer = {of.sizes['n_layer']}"
    return DepthOrWidth(
        title(f"depth or width at n_seq = {tokens:,}", of, chosen),
        _remarks(expand(parameters - quadratic * d_model**2), width, n, of, f"{price} {chosen.unit}s"),
        _answer(f"C_forward {at}", _by_depth(cost, quadratic), n, of, tokens),
        _answer(f"C_forward of attention {at}", _by_depth(core, quadratic), n, of, tokens),
        _cheapest(cost, quadratic, of, tokens),
        _thinned(every, best, of.sizes["d_model"]),
        best,
    )


def _remarks(dropped: Expr, width: Expr, n: Expr, of: Subject, price: str) -> tuple[str, ...]:
    share = float(100 * of.at(dropped) / n)
    return (
        f"The closed forms drop {dropped} of N, which is {share:.3g}% at the model's sizes, and take d_model = {width} "
        f"as if every number were a width.",
        f"The table is exact; at equal N, a parameter more or less than the model's counts {price}, and all else is "
        f"left as it is. Of all widths, each at the depth nearest to N and within {100 * _NEAR}% of it, none costs "
        f"less than the best.",
    )


def _proportions(of: Subject) -> dict[Symbol, Expr]:
    sizes, inside = of.sizes, {each.name for each in of.network.free_symbols}
    wide = [name for name in WIDTHS if name in inside and not (name == "n_kv_head" and sizes[name] == 1)]
    kinds = [name for name in KINDS.values() if name in inside]
    return {
        **{symbol(name): Rational(sizes[name], sizes["d_model"]) * d_model for name in wide},
        **{symbol(name): Rational(sizes[name], sizes["n_layer"]) * n_layer for name in kinds},
    }


@dataclass(frozen=True)
class _Shape:
    of: Subject
    proportions: dict[Symbol, Expr]

    def form(self, expression: Expr) -> Expr:
        """A closed form in n_layer, d_model, n_seq and n_vocab alone."""
        open_ = {n_layer, d_model, n_seq, n_vocab}
        fixed = {symbol(name): size for name, size in {"n_batch": 1, **self.of.sizes}.items()}
        kept = {size: value for size, value in fixed.items() if size not in open_ and size not in self.proportions}
        return expand(expression.subs(self.proportions, simultaneous=True).subs(kept))

    def _step(self, of: Symbol) -> int:
        """What d_model, or n_layer, has to be a multiple of."""
        return lcm(*(int((each / of).q) for each in self.proportions.values() if each.has(of)))

    def choices(self, parameters: Expr, cost: Expr, core: Expr, tokens: int, price: Rational) -> tuple[Choice, ...]:
        """For each width from a quarter to four times the model's, the depth that comes near its N, if one does."""
        sizes, step = self.of.sizes, self._step(d_model)
        here = {n_seq: tokens, n_vocab: sizes.get("n_vocab", 1)}
        count, works, part = (compiled(each.subs(here), ("n_layer", "d_model")) for each in (parameters, cost, core))
        goal = int(count(sizes["n_layer"], sizes["d_model"]))
        found = []
        for width in range(-(-sizes["d_model"] // (4 * step)) * step, 4 * sizes["d_model"] + 1, step):
            depth = self._depth(count, goal, width)
            n, whole, core_ = (Rational(each(depth, width)) for each in (count, works, part))
            if abs(n - goal) <= _NEAR * goal:
                equal = whole - price * (n - goal)
                found.append(Choice(depth, width, int(n), whole, n / goal - 1, equal, core_ / whole))
        return tuple(found)

    def _depth(self, count: Any, goal: int, width: int) -> int:
        """The number of layers that comes closest to the goal; N is linear in it."""
        step = self._step(n_layer)
        layers = Rational(count(2 * step, width) - count(step, width))
        least = step * (self.of.sizes.get("n_layer_dense", 0) // step + 1)
        return max(least, step * int(1 + round((goal - count(step, width)) / layers)))


def _quadratic(parameters: Expr, cost: Expr, of: Subject) -> tuple[Expr, Rational]:
    """What stands before d_model**2 in N, and the work for one token of one parameter of it."""
    of_n, of_cost = (Poly(each, d_model) for each in (parameters, cost))
    if of_n.degree() != 2 or of_cost.degree() > 2:
        raise SizeError(f"{of.name}: N and work do not grow with d_model**2, so that depth and width are no choice")
    square = of_n.coeff_monomial(d_model**2)
    return square, Rational(of.at(of_cost.coeff_monomial(d_model**2) / square))


def _by_depth(form: Expr, quadratic: Expr) -> Expr:
    """A closed form in n_layer at equal N, sorted by powers of the width or, where that is one, of n_layer."""
    width = sqrt(N / quadratic)
    if not (quadratic / n_layer).has(n_layer):
        return collect(expand(form.subs(d_model, width)), (sqrt(n_layer), 1 / sqrt(n_layer)), func=factor)
    square, linear, rest = (factor(Poly(form, d_model).coeff_monomial(d_model**power)) for power in (2, 1, 0))
    return factor(square / quadratic) * N + linear * width + rest


def _answer(quantity: str, form: Expr, n: Expr, of: Subject, tokens: int) -> Answer:
    return Answer(quantity, (Case(form),), of.value(form.subs(N, n), tokens))


def _cheapest(cost: Expr, quadratic: Expr, of: Subject, tokens: int | None) -> Answer:
    """Where p*sqrt(n_layer) + q/sqrt(n_layer), what the linear terms are at equal N, is least: at q/p."""
    quantity = "n_layer that costs least"
    powers = Poly(cost, d_model)
    linear, constant, square = (powers.coeff_monomial(d_model**power) for power in (1, 0, 2))
    simple = not (
        constant.has(n_layer) or (square / quadratic).cancel().has(n_layer) or quadratic.subs(n_layer, 0) != 0
    )
    if not simple or powers.degree() > 2 or Poly(linear, n_layer).degree() > 1:
        return Answer(quantity, note="no closed form; the best of the choices is exact")
    growing, shrinking = (Poly(linear, n_layer).coeff_monomial(n_layer**power) for power in (1, 0))
    if growing == 0 or shrinking == 0:
        return Answer(quantity, note="the fewer the better" if shrinking == 0 else "the more the better")
    form = ratio(shrinking, growing)
    return Answer(quantity, (Case(form),), of.value(form, tokens))


def _thinned(every: tuple[Choice, ...], best: Choice, width: int) -> tuple[Choice, ...]:
    """Some of the choices, their widths about a quarter of an octave apart, the model's and the best among them."""
    octaves = [width * 2 ** ((place - _ROWS // 2) / 4) for place in range(_ROWS)]
    kept = {min(every, key=lambda each, goal=goal: abs(each.d_model - goal)) for goal in octaves}  # type: ignore[misc]
    return tuple(each for each in every if each in kept or each == best)
