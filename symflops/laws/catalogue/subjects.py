"""What the laws are asked of: every family's network in symbols, made once, and which families have what.

>>> network("llama") is network("llama")
True
>>> [name for name in families(grouped, without=among(mixture)) if name < "gemma"]
['cohere', 'bamba', 'falcon_h1']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from sympy import Expr, Mul

from symflops.architectures import FAMILIES, Architecture
from symflops.architectures.architecture import Attention
from symflops.architectures.fields import completed
from symflops.errors import NoDecoding
from symflops.laws.law import Instance
from symflops.networks import Once, Routed, uses
from symflops.notation import d_head, d_rope, n_batch, n_chunk, n_kv_head, n_seq, n_state, n_window, r_kv
from symflops.operations import Contraction, Lookup, Operation

Has = Callable[[str], bool]
"""Whether a family has something, by its name."""
Core = Callable[[str, Expr], Iterable[Instance]]
"""What a law says of one network, by its name."""
OfModel = Callable[[str, Architecture], Iterable[Instance]]
"""What a law says of one model, by its name."""


@cache
def model(family: str, attention: Attention = "eager") -> Architecture:
    """A family as a bare config makes it, in symbols: it has no sizes."""
    return Architecture(family, FAMILIES[family], completed({"model_type": family}), "a bare config", {}, attention)


def network(family: str, attention: Attention = "eager") -> Expr:
    """The network of a family, in symbols."""
    return model(family, attention).network


def operations(whole: Expr) -> tuple[Operation, ...]:
    """The distinct operations of a network."""
    return tuple(dict.fromkeys(use.operation for use in uses(whole)))


def matmuls(whole: Expr) -> tuple[Contraction, ...]:
    """Those that multiply by a weight of their own."""
    return tuple(each for each in operations(whole) if isinstance(each, Contraction) and each.parameters)


@cache
def attends(family: str) -> bool:
    """Whether it has an attention."""
    return any(each.mask is not None for each in operations(network(family)))


@cache
def steps(family: str) -> bool:
    """Whether there is a step of decoding."""
    try:
        return bool(model(family).step != 0)
    except NoDecoding:
        return False


@cache
def decodes(family: str) -> bool:
    """Whether it decodes with a cache, one token after the other, all of it in each step."""
    return steps(family) and not network(family).has(Once)


@cache
def scans(family: str) -> bool:
    """Whether states are carried from chunk to chunk, each with all before it, as transformers' Mamba-2 does."""
    return n_chunk in network(family).free_symbols


@cache
def crosses(family: str) -> bool:
    """Whether a decoder stands beside an encoder, which runs once."""
    return steps(family) and bool(network(family).has(Once))


@cache
def recurrent(family: str) -> bool:
    """Whether layers carry a state of a fixed size from token to token."""
    return n_state in network(family).free_symbols


@cache
def windowed(family: str) -> bool:
    """Whether some layers see a window."""
    return n_window in network(family).free_symbols


@cache
def grouped(family: str) -> bool:
    """Whether keys and values have a number of heads of their own."""
    return n_kv_head in network(family).free_symbols


@cache
def mixture(family: str) -> bool:
    """Whether tokens are routed to experts."""
    return bool(network(family).has(Routed))


@cache
def own_heads(family: str) -> bool:
    """Whether the width of a head is a size of its own, whatever the model's."""
    sizes = network(family).free_symbols
    return attends(family) and d_head in sizes and d_rope not in sizes


@cache
def one_stream(family: str) -> bool:
    """Whether every matmul by a weight is over all n_batch*n_seq tokens."""
    return all({each.sizes["seq"]} == {n_seq} for each in matmuls(network(family)) if "seq" in each.sizes)


@cache
def unfrozen(family: str) -> bool:
    """Whether every operand of a matmul has its gradient."""
    return not any(each.constants for each in operations(network(family)) if isinstance(each, Contraction))


@cache
def looks_tokens_up(family: str) -> bool:
    """Whether every table is looked up for each sequence, and none once for a batch, or for pairs of tokens."""
    tables = (each for each in operations(network(family)) if isinstance(each, Lookup))
    return all(n_batch in each.forward_work["lookup", "forward"].free_symbols for each in tables)


@cache
def latent(family: str) -> bool:
    """Whether keys and values come through latents of a rank."""
    return r_kv in network(family).free_symbols


@cache
def plain_stream(family: str) -> bool:
    """Whether every matmul by a weight meets each token once, and has both its gradients."""
    return unfrozen(family) and all(_vectors(each) == n_batch * n_seq for each in matmuls(network(family)))


@cache
def biased_experts(family: str) -> bool:
    """Whether every expert stores a bias of its own."""
    inside = (use.operation for routed in network(family).atoms(Routed) for use in uses(routed))
    return any(each.name == "bias" for operation in inside for each in operation.parameters)


def _vectors(operation: Operation) -> Expr:
    """How many vectors meet the weight of a matmul."""
    weights = [each.count for each in operation.parameters if each.name == "weight"]
    return operation.forward_work["mac", "forward"] / Mul(*weights)


def among(*has: Has) -> Has:
    """Families that have all of these."""
    return lambda family: all(each(family) for each in has)


def few(family: str) -> bool:
    """One family of each kind, for what takes long."""
    return family in ("gpt2", "llama", "gemma2", "mixtral", "deepseek_v3", "bert", "t5", "vit", "mamba")


def families(*has: Has, without: Has | None = None) -> Iterator[str]:
    """The names of the families that have all of these, and not another."""
    return (name for name in FAMILIES if among(*has)(name) and not (without and without(name)))


@dataclass(frozen=True)
class Families:
    """A law shown of families: what it says ``of`` the model of one, and which ones it is about.

    Called, it is shown of all of them.
    """

    of: OfModel
    has: tuple[Has, ...] = ()
    without: Has | None = None

    def __call__(self) -> Iterator[Instance]:
        for name in families(*self.has, without=self.without):
            yield from self.of(name, model(name))

    def about(self, family: str) -> bool:
        """Whether the law is about a family, by its name."""
        return among(*self.has)(family) and not (self.without and self.without(family))


def over(core: Core, *has: Has, without: Has | None = None) -> Families:
    """What a law says of the network of every such family."""
    return Families(lambda name, of: core(name, of.network), has, without)
