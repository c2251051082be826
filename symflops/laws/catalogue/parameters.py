"""What is stored: tied tables, positions, shapes of layers, published counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from sympy import Expr, Rational

from symflops.architectures import Architecture
from symflops.errors import ConfigError
from symflops.laws.catalogue.asking import configured, of_flops, of_params, steps, tested
from symflops.laws.catalogue.predicted import at, kinds, owned, passed
from symflops.laws.catalogue.subjects import Families, model, over
from symflops.laws.cost import Case, Claims, Cost
from symflops.laws.law import Instance, Law, same
from symflops.layers.feedforward import gated_feedforward, plain_feedforward
from symflops.layers.linear import NO_BIAS
from symflops.measures import flops, params
from symflops.networks import uses
from symflops.notation import d_ff, d_model, n_ctx, n_layer, n_vocab

_TIE = "tie_word_embeddings"
_LAYER = frozenset({"qkv", "project", "feedforward"})
PLAIN = ("gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "mpt")
"""Families of multi-head attention and a plain feed-forward layer."""


@cache
def both_ways(family: str) -> tuple[Expr, Expr] | None:
    """A family's network with its logits tied to the token table, and apart; None where it has no such choice."""
    return ways_of(model(family))


def ways_of(of: Architecture) -> tuple[Expr, Expr] | None:
    """The same of a model."""
    try:
        tied, apart = (replace(of, config={**of.config, _TIE: tie}).network for tie in (True, False))
    except ConfigError:
        return None
    return (tied, apart) if tied != apart else None


def tying_stores(name: str, tied: Expr, apart: Expr) -> Iterator[Instance]:
    """A tied table is stored once."""
    yield same(name, params(apart) - params(tied), n_vocab * d_model)


def tying_works(name: str, tied: Expr, apart: Expr) -> Iterator[Instance]:
    """A tied table multiplies all the same."""
    yield same(name, flops(apart, "torch", "training").expr, flops(tied, "torch", "training").expr)


def _tied(case: Case) -> tuple[Case, Case] | None:
    if both_ways(case.model.family.name) is None:
        return None
    ways = [configured(case, {**case.model.config, _TIE: tie}) for tie in (True, False)]
    return (ways[0], ways[1]) if ways[0] is not None and ways[1] is not None else None


def ask_tying_stores(cost: Cost, case: Case) -> Iterator[Instance]:
    """One table less, where logits are counted; a bias that logits have apart is not counted with them tied."""
    if ways := _tied(case):
        tied, apart = (at(owned(way.model.network, cost.claims.counts), way) for way in ways)
        yield tested(cost, case, cost.of(ways[1]) - cost.of(ways[0]), apart - tied, "logits apart against tied")


def ask_tying_works(cost: Cost, case: Case) -> Iterator[Instance]:
    """The same work."""
    if ways := _tied(case):
        yield tested(cost, case, cost.of(ways[1]), cost.of(ways[0]), "logits apart against tied")


def rows(name: str, whole: Expr) -> Iterator[Instance]:
    """Each position of a learned table is one row; rotary and fixed positions store nothing."""
    tables = [each for each in _operations(whole) if each.role == "position" and n_ctx in params(each).free_symbols]
    yield same(name, params(whole).diff(n_ctx), len(tables) * d_model)


def _operations(whole: Expr) -> tuple[Expr, ...]:
    return tuple(use.operation for use in uses(whole))


def ask_rows(cost: Cost, case: Case) -> Iterator[Instance]:
    """Another row where positions are counted, else nothing."""
    for less, more in _contexts(case):
        expected = at(owned(more.model.network, cost.claims.counts), more) - at(
            owned(less.model.network, cost.claims.counts), less
        )
        yield tested(cost, case, cost.of(more) - cost.of(less), expected, "n_ctx and one more")


def context_is_free(name: str, whole: Expr) -> Iterator[Instance]:
    """How long a context may be costs no work: how long a sequence is does."""
    form = flops(whole, "torch", "training").expr
    yield Instance(name, n_ctx not in form.free_symbols, "proved", str(form), "without n_ctx")


def ask_context_is_free(cost: Cost, case: Case) -> Iterator[Instance]:
    """The same work with another context."""
    for less, more in _contexts(case):
        yield tested(cost, case, cost.of(more), cost.of(less), "n_ctx and one more")


def _contexts(case: Case) -> Iterator[tuple[Case, Case]]:
    pair = steps(case, "n_ctx", 1, 2)
    if len(pair) == 2:
        yield pair[0], pair[1]


def twelve(name: str, whole: Expr) -> Iterator[Instance]:
    """Four squares of the width for attention, eight for a feed-forward layer of four times the width."""
    yield same(name, passed(whole, _LAYER).subs(d_ff, 4 * d_model), 12 * n_layer * d_model**2)


def two_thirds(gated: Expr, plain: Expr) -> Iterator[Instance]:
    """A gated layer of two thirds of the width stores and multiplies what a plain one does."""
    yield same("parameters", params(gated), params(plain))
    yield same("work", flops(gated, "torch", "training").expr, flops(plain, "torch", "training").expr)


def _both(core: Callable[[str, Expr, Expr], Iterator[Instance]]) -> Families:
    def both(name: str, of: Architecture) -> Iterator[Instance]:
        if ways := ways_of(of):
            yield from core(name, *ways)

    return Families(both)


def _two_thirds() -> Iterator[Instance]:
    gated = gated_feedforward("silu", NO_BIAS, Rational(2, 3) * d_ff)
    yield from two_thirds(gated, plain_feedforward("silu", NO_BIAS, d_ff))


def _looks_positions_up(claims: Claims) -> bool:
    return of_flops(claims) and not kinds(claims, frozenset({"position"})) & {"one_hot_mac", "parameter"}


LAWS: tuple[Law, ...] = (
    Law(
        "tying-stores-one-table",
        r"N_\mathrm{apart} - N_\mathrm{tied} = n_\mathrm{vocab}\,d_\mathrm{model}",
        "Tying the logits to the token table stores exactly that table less.",
        "Press and Wolf 2017, arXiv:1608.05859; torchinfo counts GPT-2's tied table twice",
        "all sizes",
        "families whose config can tie; parameters of any cost",
        _both(tying_stores),
        ask_tying_stores,
        of_params,
    ),
    Law(
        "tying-costs-no-work",
        r"C_\mathrm{apart} = C_\mathrm{tied}",
        "Tied or apart, the logits are the same matmul.",
        "Press and Wolf 2017, arXiv:1608.05859",
        "all sizes",
        "families whose config can tie; work of any cost",
        _both(tying_works),
        ask_tying_works,
        lambda claims: of_flops(claims) and "parameter" not in kinds(claims),
    ),
    Law(
        "positions-store-rows",
        r"\partial N / \partial n_\mathrm{ctx} = d_\mathrm{model}\ \text{for each learned table}",
        "Each position of a learned table is a row; other positions store nothing.",
        "Radford et al. 2018; Kaplan et al. 2020, Table 1: (n_vocab + n_ctx) d_model",
        "all sizes",
        "every family; parameters of any cost",
        over(rows),
        ask_rows,
        of_params,
    ),
    Law(
        "contexts-cost-no-work",
        r"\partial C / \partial n_\mathrm{ctx} = 0",
        "How long a context may be costs nothing; how long a sequence is does.",
        "work is done for tokens that are there",
        "all sizes",
        "every family; work of any cost that claims positions neither as matmuls nor as parameters",
        over(context_is_free, without=lambda family: family in ("clip",)),
        ask_context_is_free,
        _looks_positions_up,
    ),
    Law(
        "twelve-squares-a-layer",
        r"N_\mathrm{layer} = 12\,d_\mathrm{model}^2",
        "A layer with a feed-forward layer of four times its width has twelve squares of its width as weights.",
        "Kaplan et al. 2020, arXiv:2001.08361, section 2.1: N = 12 n_layer d_model^2",
        "d_ff = 4 d_model, d_attn = d_model",
        "families of multi-head attention and a plain feed-forward layer",
        over(twelve, lambda family: family in PLAIN),
    ),
    Law(
        "gated-at-two-thirds",
        r"N_\mathrm{gated}(\tfrac{2}{3} d) = N_\mathrm{plain}(d)",
        "A gated feed-forward layer of two thirds of the width costs what a plain one does.",
        "Shazeer 2020, arXiv:2002.05202, section 2",
        "widths divisible by three",
        "feed-forward layers without biases",
        _two_thirds,
    ),
)
