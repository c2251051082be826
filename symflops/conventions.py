"""Price lists. Work is counted first, by kind, pass and role; a convention then says what counts, and for how much.

Nothing that authors disagree about is a flag anywhere: a multiply-accumulate as one or two, masked pairs counted or
not, embedding and logits in or out, softmax for 1, 3 or 5 are all lines of a `Convention`, each with its source.

>>> KAPLAN.price("mac", "forward", "scores"), KAPLAN.price("mac", "forward", "mix")
(2, 0)
>>> convention("chinchilla").price("element", "forward", "softmax")
3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sympy import Expr, Rational

from symflops.errors import UnknownName
from symflops.masks import AttendedPairs

ANY = "*"
ELEMENTARY = ("add", "mul", "div", "exp", "erf", "tanh", "log", "sin", "cos", "sqrt", "compare", "bias_add")
"""The kinds of elementary operation that formulas and biases break down to."""


@dataclass(frozen=True)
class Price:
    """One line of a price list; ``*`` stands for any. The first line that fits is the price."""

    kind: str
    price: int | Fraction
    role: str = ANY
    pass_: str = ANY

    def fits(self, kind: str, pass_: str, role: str) -> bool:
        """Whether this line is about that work."""
        return self.kind in (ANY, kind) and self.pass_ in (ANY, pass_) and self.role in (ANY, role)


@dataclass(frozen=True)
class Convention:
    """What an author counts: prices, how attended pairs are counted, which roles the totals leave out.

    ``backward`` is the gradients' own work, or twice the forward pass where the author says so without deriving it.
    ``domain`` says for which networks and questions the convention was made; ``citation`` where it is stated.
    """

    name: str
    title: str
    citation: str
    domain: str
    prices: tuple[Price, ...]
    unit: Literal["FLOP", "MAC"] = "FLOP"
    pairs: Literal["dense", "exact", "uncounted"] = "dense"
    left_out: frozenset[str] = frozenset()
    backward: Literal["gradients", "twice"] = "gradients"

    def price(self, kind: str, pass_: str, role: str) -> Rational:
        """The price of one unit of that work; what no line names is not counted under this convention."""
        for line in self.prices:
            if line.fits(kind, pass_, role):
                return Rational(line.price)
        return Rational(0)

    @property
    def prices_steps(self) -> bool:
        """Whether any elementary operation of a formula has a price; where none has, no gradient of one is needed."""
        return any(line.price and line.kind in (ANY, *ELEMENTARY) for line in self.prices)

    def count_pairs(self, amount: Expr) -> Expr:
        """An amount of work with its attended pairs counted this convention's way."""
        if self.pairs == "uncounted":
            return amount
        found = amount.atoms(AttendedPairs)
        return amount.xreplace({each: each.dense if self.pairs == "dense" else each.doit() for each in found})


_EMBEDDINGS = frozenset({"embedding", "position", "logits"})
_MATMUL = (Price("mac", 2),)

KAPLAN = Convention(
    name="kaplan",
    title="Kaplan et al. 2020, Table 1",
    citation="Kaplan et al., Scaling Laws for Neural Language Models, 2020, arXiv:2001.08361, Table 1 and section 2.1",
    domain="decoder with plain attention and feed-forward; totals leave out embedding and de-embedding",
    # The table prints 4*d_model for Embed and does not derive it; 2 per element looked up in its two tables gives it.
    prices=(Price("mac", 0, role="mix"), Price("mac", 2), Price("lookup", 2)),
    left_out=_EMBEDDINGS,
    backward="twice",
)
CHINCHILLA = Convention(
    name="chinchilla",
    title="Chinchilla, appendix F",
    citation="Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, arXiv:2203.15556, appendix F",
    domain="decoder with plain attention; an embedding is a one-hot matmul, softmax 3 per score, backward 2 x forward",
    prices=(
        Price("one_hot_mac", 2, role="embedding", pass_="forward"),
        Price("element", 3, role="softmax", pass_="forward"),
        Price("mac", 2),
    ),
    backward="twice",
)
PALM = Convention(
    name="palm",
    title="PaLM, appendix B (model FLOPs utilisation)",
    citation="Chowdhery et al., PaLM, 2022, arXiv:2204.02311, appendix B",
    domain="decoder with as many FLOPs as 2 per parameter and token plus attention; training only triples it",
    # 2N: every parameter is charged for every token, norm weights too; a tied de-embedding is paid as the embedding.
    prices=(
        Price("parameter", 2, pass_="forward"),
        Price("mac", 2, role="scores"),
        Price("mac", 2, role="mix"),
    ),
    backward="twice",
)
MEGATRON = Convention(
    name="megatron",
    title="Megatron-LM (PTD-P), appendix",
    citation="Narayanan et al., Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, 2021, "
    "arXiv:2104.04473, section 5.1, equation 3, and appendix",
    domain="decoder with plain attention; matmuls of layers and logits, recomputed layers charged again",
    prices=_MATMUL,
)
TORCH = Convention(
    name="torch",
    title="what PyTorch dispatches",
    citation="torch.utils.flop_counter, PyTorch 2.13: 2 for each multiply-accumulate of a matmul, nothing for the rest",
    domain="any network; every matmul as executed: masked pairs and recomputation are paid",
    prices=_MATMUL,
)
MACS = Convention(
    name="macs",
    title="multiply-accumulates",
    citation="the count of fvcore, ptflops and thop: one multiply-accumulate is 1",
    domain="any network; every matmul as executed",
    prices=(Price("mac", 1),),
    unit="MAC",
)
EXACT = Convention(
    name="exact",
    title="matmuls over attended pairs",
    citation="symflops: 2 for each multiply-accumulate that the mask lets through; recomputation is no model work",
    domain="any network whose masks are declared",
    prices=(Price("mac", 0, pass_="recompute"), Price("mac", 2)),
    pairs="exact",
)
RUN = Convention(
    name="run",
    title="matmuls that run, over attended pairs",
    citation="symflops: as `exact`, and what is computed again is paid, because it takes time",
    domain="any network whose masks are declared",
    prices=_MATMUL,
    pairs="exact",
)
"""What a device has to compute where kernels leave masked pairs out; no author's, and so not among `CONVENTIONS`."""
ALL_OPERATIONS = Convention(
    name="all-operations",
    title="every arithmetic operation",
    citation="symflops: 2 for a multiply-accumulate, 1 for each elementary operation of a step's formula and gradient",
    domain="any network whose masks and formulas are declared; lookups and copies are no arithmetic",
    prices=(Price(ANY, 0, pass_="recompute"), Price("mac", 2), *(Price(kind, 1) for kind in ELEMENTARY)),
    pairs="exact",
)

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {each.name: each for each in (KAPLAN, CHINCHILLA, PALM, MEGATRON, TORCH, MACS, EXACT, ALL_OPERATIONS)}
)
"""Every convention that is shipped, by name."""


def convention(given: str | Convention) -> Convention:
    """A convention by its name, or itself.

    >>> convention("palm").unit
    'FLOP'

    Raises `UnknownName`.
    """
    if isinstance(given, Convention):
        return given
    if given not in CONVENTIONS:
        raise UnknownName("convention", given, CONVENTIONS)
    return CONVENTIONS[given]
