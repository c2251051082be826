"""What decoding keeps and what it costs: the cache, and sums over steps while it grows.

>>> from symflops.masks import Causal
>>> from symflops.notation import d_head, n_past
>>> from symflops.operations import Contraction
>>> sentence = "q[head query d] k[head key d] -> scores[head query key]"
>>> scores = Contraction("scores", sentence, {"head": 8, "d": d_head}, "scores", Causal(1, n_past + 1))
>>> cache_elements(scores)
8*d_head*n_past + 8*d_head
>>> sum_over_steps(scores, "exact", first=0, steps=4).expr, sum([16 * d_head * keys for keys in (1, 2, 3, 4)])
(160*d_head, 160*d_head)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sympy import Add, Expr, Mul, Symbol, expand, summation, sympify

from symflops.conventions import EXACT, Convention, convention
from symflops.declarations import Tensor
from symflops.errors import SizeError
from symflops.masks import AttendedPairs, Causal, SlidingWindow
from symflops.measures import flops
from symflops.networks import each_step, uses
from symflops.notation import n_past
from symflops.operations import Operation
from symflops.totals import Total


def cache_elements(network: Expr) -> Expr:
    """Elements that are kept between the steps of decoding: keys and values, latents, states, for whole sequences.

    They are the operands with an axis ``key`` and none ``query``, and those called ``state``; one that several
    operations of a block read is kept once. A window keeps no more than it is long. An encoder, whose mask is no causal
    one, keeps nothing of itself.
    """
    rest = each_step(network)
    crossing = rest != network
    kept: dict[Any, Expr] = {}
    for use in uses(rest):
        operation, block = use.operation, use.path.rpartition("/")[0]
        for tensor in operation.sentence.operands:
            if _is_kept(operation, tensor, crossing):
                kept.setdefault(
                    (block, tensor, operation.args[2], operation.mask), use.runs * _elements(operation, tensor)
                )
    return expand(Add(*kept.values()))


def _is_kept(operation: Operation, tensor: Tensor, crossing: bool) -> bool:
    if tensor.name == "state":
        return True
    if "key" not in tensor.axes or "query" in tensor.axes or tensor.is_parameter:
        return False
    return tensor.name not in operation.constants and (crossing or isinstance(operation.mask, Causal))


def _elements(operation: Operation, tensor: Tensor) -> Expr:
    reach = {"key": operation.mask.reach} if operation.mask is not None else {}
    return Mul(*({**operation.sizes, **reach}[axis] for axis in tensor.axes))


def cache_bytes(network: Expr, element_size: int | Expr = 2) -> Expr:
    """Bytes of the cache, with ``element_size`` bytes for each element; 2 is bfloat16."""
    return expand(cache_elements(network) * element_size)


def sum_over_steps(
    step: Expr, given: str | Convention = EXACT, first: Any = 0, steps: Any = 1, growing: Symbol = n_past
) -> Total:
    """The forward work of a step, summed while ``growing`` runs over ``first, first + 1, …`` for so many ``steps``.

    The sum is a closed form in the sizes, exact for all of them: polynomials are summed as such, and the pairs of one
    query after the other under a bottom-right mask are those of all queries under the same mask.
    Raises `SizeError` for a step whose pairs grow otherwise.
    """
    chosen = convention(given)
    start, count = sympify(first, strict=True), sympify(steps, strict=True)
    uncounted = flops(step, replace(chosen, pairs="uncounted")).expr
    terms = [_summed(term, growing, start, count, chosen) for term in Add.make_args(expand(uncounted))]
    return Total(expand(Add(*terms)), chosen)


def _summed(term: Expr, growing: Symbol, start: Expr, count: Expr, chosen: Convention) -> Expr:
    pairs = [each for each in term.atoms(AttendedPairs) if each.has(growing)]
    if not pairs or chosen.pairs == "dense":
        return _polynomial(chosen.count_pairs(term), growing, start, count)
    (mask,) = pairs
    last = mask.n_key.subs(growing, start + count - 1)
    one_more_key = expand(mask.n_key.subs(growing, growing + 1) - mask.n_key) == 1
    rest = term / mask
    if mask.n_query != 1 or not one_more_key or type(mask) not in (Causal, SlidingWindow) or rest.has(growing):
        raise SizeError(f"the pairs {mask} of a step do not grow by one key for one query; sum the steps one by one")
    return rest * mask.func(count, last, *mask.args[2:]).doit()


def _polynomial(term: Expr, growing: Symbol, start: Expr, count: Expr) -> Expr:
    if not term.has(growing):
        return term * count
    return summation(term.subs(growing, start + growing), (growing, 0, count - 1))
