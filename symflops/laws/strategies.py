"""Hypothesis strategies: sizes, masks, declarations, operations, networks, models of every family, cases, set-ups.

Whatever is drawn shrinks to the smallest that is valid: one layer, one head, one token.

>>> from hypothesis import find
>>> smallest = find(cases(["llama"]), lambda case: case.sizes["n_layer"] > 1)
>>> smallest.sizes["n_layer"], smallest.sizes["n_head"], smallest.sizes["n_seq"]
(2, 1, 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from sympy import Expr, Integer, Lambda, Symbol, exp

from symflops.architectures import Architecture, architecture, presets
from symflops.elementwise import Elementwise
from symflops.errors import SymflopsError
from symflops.formulas import Largest, Total
from symflops.laws.claiming import Where
from symflops.laws.conditions import conditioned
from symflops.laws.cost import Case
from symflops.laws.drawing import VALUES, known_families
from symflops.laws.drawing import sized as model_of
from symflops.masks import AttendedPairs, Causal, CausalTopLeft, Full, Prefix, SlidingWindow
from symflops.measures import PASSES, Phase
from symflops.networks import Block, Recomputed, Routed, Tied
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_layer, n_seq, n_vocab, n_window
from symflops.operations import Contraction, Lookup, Operation

SIZES = st.integers(1, 4)
"""Sizes of axes."""
LENGTHS = st.integers(1, 8)
"""Lengths of sequences."""
MASKS: tuple[type[AttendedPairs], ...] = (Full, Causal, CausalTopLeft, SlidingWindow, Prefix)
SYMBOLS = (n_layer, d_model, d_ff, n_vocab, n_head, d_head, n_batch, n_seq, n_window)


@st.composite
def masks(draw: DrawFn, within_domain: bool = False) -> AttendedPairs:
    """Any mask at small sizes, windows and prefixes longer than the sequence among them."""
    kind = draw(st.sampled_from(MASKS))
    n_query, n_key = draw(LENGTHS), draw(LENGTHS)
    if within_domain:
        n_query, n_key = sorted((n_query, n_key))
    most = n_key if within_domain and kind is Prefix else 10
    return kind(n_query, n_key, *(draw(st.integers(1, most)) for _ in kind.extra))


@dataclass(frozen=True)
class Einsum:
    """A declaration of two factors: their axes, the result's, and the size of each axis."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    result: tuple[str, ...]
    sizes: dict[str, int]

    @property
    def sentence(self) -> str:
        """As symflops reads it; the second factor is a parameter."""
        left, right, result = (" ".join(axes) for axes in (self.left, self.right, self.result))
        return f"x[{left}] weight[{right}] -> y[{result}]"

    @property
    def letters(self) -> str:
        """As torch.einsum reads it."""
        return f"{''.join(self.left)},{''.join(self.right)}->{''.join(self.result)}"


@st.composite
def einsums(draw: DrawFn) -> Einsum:
    """Each axis is contracted (left, right), kept of one factor, or of both (a batch axis); in any order."""
    places = draw(st.lists(st.sampled_from(["lr", "lo", "ro", "lro"]), min_size=1, max_size=4))
    axes = dict(zip("abcd", places, strict=False))
    of = {part: draw(st.permutations([axis for axis in axes if part in axes[axis]])) for part in "lro"}
    return Einsum(tuple(of["l"]), tuple(of["r"]), tuple(of["o"]), {axis: draw(SIZES) for axis in axes})


def up(name: str = "up") -> Contraction:
    """A linear layer with a bias."""
    sizes = {"seq": n_seq, "d": d_model, "f": d_ff}
    return Contraction(name, "x[seq d] weight[d f] + bias[f] -> y[seq f]", sizes, "feedforward")


def token() -> Lookup:
    """A token table."""
    sizes = {"vocab": n_vocab, "d": d_model, "batch": n_batch, "seq": n_seq}
    return Lookup("token", "weight[vocab d] -> x[batch seq d]", sizes, "embedding")


_HEADS = {"head": n_head, "d": d_head}
_CAUSAL, _WINDOW = Causal(n_seq, n_seq), SlidingWindow(n_seq, n_seq, n_window)


def scores(mask: AttendedPairs = _CAUSAL, name: str = "scores") -> Contraction:
    """QK^T over the attended pairs."""
    return Contraction(name, "q[head query d] k[head key d] -> s[head query key]", _HEADS, "scores", mask)


def softmax(mask: AttendedPairs = _CAUSAL) -> Elementwise:
    """A softmax over the attended keys."""
    x = Symbol("x", real=True)
    weight = exp(x - Largest(x, "key"))
    formula = Lambda(x, weight / Total(weight, "key"))
    sentence = "x[head query key] -> w[head query key]"
    return Elementwise("softmax", sentence, _HEADS, "softmax", mask, formula=formula)


OPERATIONS: tuple[Operation, ...] = (up(), up("down"), token(), scores(), scores(_WINDOW, "windowed"), softmax())


def _wrapped(inner: SearchStrategy[Expr]) -> SearchStrategy[Expr]:
    factors = st.sampled_from([Integer(2), Integer(3), n_layer, n_layer * n_head, n_layer - 1])
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(factors, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(st.sampled_from(["left", "right"]), inner).map(lambda pair: Block(*pair)),
        inner.map(Tied),
        inner.map(Recomputed),
        inner.map(lambda body: Routed(8, 2, body)),
    )


operations: SearchStrategy[Operation] = st.sampled_from(OPERATIONS)
networks: SearchStrategy[Expr] = st.recursive(operations, _wrapped, max_leaves=4)
assignments: SearchStrategy[dict[Symbol, int]] = st.fixed_dictionaries({each: st.integers(1, 6) for each in SYMBOLS})


@st.composite
def architectures(draw: DrawFn, families: Sequence[str] = (), where: Where | None = None) -> Architecture:
    """Small models of some families, or of all; ``where`` says what their sizes and fields have to be."""
    family = draw(st.sampled_from(known_families(families)))
    try:
        return conditioned(model_of(family, lambda name, values: draw(st.sampled_from(values))), where or {})
    except SymflopsError:
        reject()


@st.composite
def cases(draw: DrawFn, families: Sequence[str] = (), where: Where | None = None, named: bool = False) -> Case:
    """Models with a batch and a length; of ``named`` ones, the published models of the families, at their sizes."""
    models = published_models(families) if named else architectures(families, where)
    return Case(draw(models), draw(st.sampled_from(VALUES["n_batch"])), draw(st.sampled_from(VALUES["n_seq"])))


def published_models(families: Iterable[str]) -> SearchStrategy[Architecture]:
    """The models that symflops knows by name, of some families."""
    names = [name for name, entry in presets().items() if entry["config"]["model_type"] in families]
    return st.sampled_from(names).map(architecture)


@dataclass(frozen=True)
class Setup:
    """How a network is trained: the phase that is counted, and what of it is recomputed in the backward pass."""

    phase: Phase
    recompute: Literal["nothing", "everything"]

    def of(self, network: Expr) -> Expr:
        """The network as it is then run."""
        return Recomputed(network) if self.recompute == "everything" else network


setups: SearchStrategy[Setup] = st.builds(
    Setup, st.sampled_from(tuple(PASSES)), st.sampled_from(("nothing", "everything"))
)
"""Set-ups of training."""

__all__ = [
    "LENGTHS", "MASKS", "OPERATIONS", "SIZES", "SYMBOLS", "Einsum", "Setup",
    "architectures", "assignments", "cases", "einsums", "masks", "networks", "operations",
    "published_models", "scores", "setups", "softmax", "token", "up",
]  # fmt: skip
