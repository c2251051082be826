"""Networks as they are trained when memory is short: what the backward pass computes again, layer by layer.

>>> from symflops.architectures import architecture
>>> from symflops.measures import flops
>>> from symflops.networks import uses
>>> whole = architecture("gpt2").network
>>> [use.path for use in uses(recomputed(whole, "full")) if use.reruns == 0]
['Embed/add', 'Embed/position', 'Embed/token', 'norm_final', 'De-embed/logits']
>>> [use.path for use in uses(recomputed(whole, "selective")) if use.reruns != 0]
['Attention: Mask/mix', 'Attention: Mask/scores', 'Attention: Mask/softmax']
"""

from __future__ import annotations

from functools import lru_cache

from sympy import Add, Expr, Mul

from symflops.laws.cost import Recompute
from symflops.measures import NOT_N
from symflops.networks import Recomputed, Wrapper
from symflops.operations import Operation

CORE = frozenset({"scores", "softmax", "mix"})
"""The roles of an attention's core, which selective recomputation runs again."""
OUTSIDE = NOT_N | {"patch", "class", "head"}
"""The roles of what stands before the layers and after them."""


@lru_cache(maxsize=512)
def recomputed(network: Expr, what: Recompute) -> Expr:
    """The network with what is recomputed wrapped as such: all layers, or the core of each attention.

    Layers are what there is a number of: what stands once (embedding, last norm, logits) is not run again. Full is by
    Chen et al. 2016, arXiv:1604.06174; selective by Korthikanti et al. 2022, arXiv:2205.05198, section 5.
    """
    if what == "full":
        return _layers(network)
    if what == "selective":
        core: Expr = network.replace(lambda each: isinstance(each, Operation) and each.role in CORE, Recomputed)
        return core
    return network


def _layers(network: Expr) -> Expr:
    if isinstance(network, Add):
        return Add(*map(_layers, network.args))
    if isinstance(network, Mul) and any(each.name.startswith("n_layer") for each in _factors(network)):
        return Recomputed(network)
    if isinstance(network, Wrapper):
        return network.func(*network.args[:-1], _layers(network.body))
    return network


def _factors(product: Mul) -> set[Expr]:
    return {symbol for factor in product.args if not factor.has(Operation) for symbol in factor.free_symbols}


def runs_again(role: str, what: Recompute) -> bool:
    """Whether the operations of a role that hold weights, or are over pairs, run again."""
    return (what == "full" and role not in OUTSIDE) or (what == "selective" and role in CORE)
