"""What no symflops declaration is: operations, masks, conventions and models with one fault each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from sympy import Add, Expr, Integer

from symflops.conventions import EXACT, Convention
from symflops.laws.catalogue import (
    linearity,
)
from symflops.laws.catalogue.subjects import model, network
from symflops.layers.linear import linear
from symflops.layers.stream import Stream
from symflops.masks import Causal, CausalTopLeft, Prefix, SlidingWindow
from symflops.measures import flops
from symflops.networks import Block, Routed
from symflops.notation import (
    d_ff,
    d_head,
    d_model,
    n_expert,
    n_head,
    n_seq,
)  # fmt: skip
from symflops.operations import Contraction
from symflops.totals import Total

LLAMA, GPT2, MIXTRAL, BERT, VIT = (network(name) for name in ("llama", "gpt2", "mixtral", "bert", "vit"))


def stray(d_in: Expr, d_out: Expr, role: str = "project", **stream: Expr) -> Expr:
    """A matmul that no family has."""
    return linear("stray", d_in, d_out, role, stream=Stream(**stream))


class Twice(Contraction):
    """A matmul that multiplies everything twice."""

    @property
    def _volume(self) -> Expr:
        return 2 * super()._volume


class OneGradient(Contraction):
    """A matmul whose second gradient is forgotten."""

    def _gradients(self) -> Iterable[tuple[str, str, Expr]]:
        return list(super()._gradients())[:1]


class Shifted(Causal):
    """A causal mask that sees one key more."""

    @property
    def shift(self) -> Expr:
        return super().shift + 1


class Inward(SlidingWindow):
    """A window that lets through fewer pairs the longer it is, and never what it should."""

    def _exact(self) -> Expr:
        return self.dense - super()._exact() + 1


class Outward(Prefix):
    """A prefix whose queries see a key that is not there."""

    def _exact(self) -> Expr:
        return super()._exact() + self.n_query


class Flat(Convention):
    """A convention that never looks at its prices."""

    def price(self, kind: str, pass_: str, role: str) -> Any:
        return Integer(kind == "mac")


def operation(kind: type[Contraction]) -> Contraction:
    plain = linear("up", d_model, d_ff, "feedforward")
    return kind(*plain.args)


def all_run(whole: Expr, runs: Any = n_expert, stored: Any = n_expert) -> Expr:
    """Experts that are routed otherwise."""
    found: Expr = whole.replace(lambda each: isinstance(each, Routed), lambda each: Routed(stored, runs, each.body))
    return found


def as_model(family: str, step: Expr = Integer(0), more: Expr = Integer(0)) -> Any:  # noqa: B008
    """A model whose network and steps do not fit each other."""
    whole = model(family)
    return SimpleNamespace(step=whole.step + step, network=whole.network + more)


def split_masks() -> Expr:
    """Scores over causal pairs, a mix over other ones."""
    sizes = {"head": n_head, "d": d_head}
    scores = Contraction("scores", "q[head query d] k[head key d] -> s[head query key]", sizes, "scores",
                         Causal(n_seq, n_seq))  # fmt: skip
    mix = Contraction("mix", "w[head query key] v[head key d] -> y[head query d]", sizes, "mix",
                      CausalTopLeft(n_seq, n_seq))  # fmt: skip
    return Block("Attention", Add(scores, mix))


def only_forward(whole: Expr, convention: str, phase: Any) -> Total:
    return flops(whole, convention)


def squared(whole: Expr, convention: Convention) -> Total:
    return Total(flops(whole, convention).expr ** 2, EXACT)


def every(measure: Callable[[Expr], Expr]) -> dict[str, Callable[[Expr], Expr]]:
    return dict.fromkeys(linearity.MEASURES, measure)
