"""From what a run did to a network of the same operations as one written by hand.

>>> from symflops.measures import flops, params
>>> from symflops.tracing.records import Record, Run, Stored
>>> up = Record("h.0.up", "aten.addmm", "forward", "m k, k n -> m n", (2, 3, 5))
>>> owned = (Stored("h.0.up", "weight", (3, 5)), Stored("h.0.up", "bias", (5,)), Stored("h.0.norm", "weight", (3,)))
>>> network = lift(Run((up,), owned))
>>> params(network), flops(network, "torch").expr
(23, 60)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Add, Expr, Integer, Mul, expand

from symflops.networks import Block
from symflops.notation import n_batch, n_key, n_query, n_seq, n_vocab
from symflops.operations import Contraction, Lookup, Operation
from symflops.tracing.merging import Merged, macs, merged, merged_family, sizes
from symflops.tracing.records import Record, Run, Stored

_POSITIONS = re.compile(r"position|pos_?emb|\bwpe\b")
LENGTHS = frozenset({n_seq, n_query, n_key})
"""Sizes that tell the scores of an attention from other products."""


def lift(run: Run) -> Expr:
    """The network of one run, its numbered layers counted in numbers.

    Its parameters are the module's exactly, its forward work the run's. What ran backward is in the run; see
    `Merged.flops`.
    """
    return lift_merged(merged(run))


def lift_family(runs: Sequence[tuple[Mapping[str, int], Run]]) -> Expr:
    """The network of a family, from runs at several numbers of layers; see `merging.merged_family`."""
    return lift_merged(merged_family(runs))


def lift_merged(found: Merged) -> Expr:
    """The network of merged runs: a block for each module path, operations in it, each with its multiplicity."""
    owned: dict[str, dict[Stored, Expr]] = defaultdict(dict)
    for stored, copies in found.parameters.items():
        if copies != 0:
            owned[stored.module][stored] = copies
    tokens = _tokens(found)
    terms: list[tuple[str, Expr, Expr]] = []
    for path, records in _forward(found).items():
        terms.extend((path, operation, times) for operation, times in _contractions(records, owned[path]))
    for path, left in owned.items():
        terms.extend((path, operation, copies) for operation, copies in _holders(path, left, found, tokens))
    return Add(*(times * Block(path or "model", operation) for path, operation, times in terms))


def _forward(found: Merged) -> dict[str, dict[Record, Expr]]:
    by_path: dict[str, dict[Record, Expr]] = defaultdict(dict)
    for record, times in found.records.items():
        if record.phase == "forward" and times != 0 and macs(record) != 0:
            by_path[record.module][record] = times
    return by_path


def _tokens(found: Merged) -> Expr:
    """Tokens of a batch, where the run has both symbols; a parameter of an elementwise step serves each of them."""
    seen = {each for record in found.records for size in record.sizes for each in getattr(size, "free_symbols", ())}
    return Mul(*(each for each in (n_batch, n_seq, n_query) if each in seen))


def _contractions(records: Mapping[Record, Expr], owned: dict[Stored, Expr]) -> Iterator[tuple[Operation, Expr]]:
    """Operations for the records of one module. Parameters that one takes are taken out of ``owned``."""
    names: dict[str, int] = defaultdict(int)
    for record, times in records.items():
        taken = _take(record, times, owned)
        role = _role(record, taken is not None)
        short = role if role in ("scores", "mix") else record.operator.rpartition(".")[2]
        names[short] += 1
        name = short if names[short] == 1 else f"{short}_{names[short]}"
        yield Contraction(name, _sentence(record.spec, taken), sizes(record), role), times


@dataclass(frozen=True)
class _Taken:
    """Which operand of an einsum is a weight, and which axis a bias runs over, if there is one."""

    operand: int
    bias: str | None


def _take(record: Record, times: Expr, owned: dict[Stored, Expr]) -> _Taken | None:
    """The weight, and the bias, that a contraction uses: the module's own, as many of them as calls, of its sizes."""
    named = {each.name: each for each, copies in owned.items() if expand(copies - times) == 0}
    weight = named.get("weight")
    if weight is None:
        return None
    operands, _ = _axes(record.spec)
    size = sizes(record)
    fits = [number for number in (1, 0) if _same(Mul(*(size[a] for a in operands[number])), Mul(*weight.shape))]
    if not fits:
        return None
    bias = named.get("bias")
    axis = None if bias is None else _bias_axis(record, operands[fits[0]], bias)
    del owned[weight]
    if bias is not None and axis is not None:
        del owned[bias]
    return _Taken(fits[0], axis)


def _bias_axis(record: Record, weight: Sequence[str], bias: Stored) -> str | None:
    """The axis of weight and result that a bias of one axis has the size of; the result's last such axis."""
    _, result = _axes(record.spec)
    size = sizes(record)
    fits = [a for a in result if a in weight and len(bias.shape) == 1 and _same(size[a], Integer(1) * bias.shape[0])]
    return fits[-1] if fits else None


def _same(left: Expr, right: Expr) -> bool:
    return bool(expand(left - right) == 0)


def _axes(spec: str) -> tuple[list[list[str]], list[str]]:
    operands, _, result = spec.partition("->")
    return [operand.split() for operand in operands.split(",")], result.split()


def _sentence(spec: str, taken: _Taken | None) -> str:
    operands, result = _axes(spec)
    names = ["left", "right"]
    if taken is not None:
        names = ["x", "weight"] if taken.operand == 1 else ["weight", "x"]
    factors = " ".join(f"{name}[{' '.join(axes)}]" for name, axes in zip(names, operands, strict=True))
    bias = f" + bias[{taken.bias}]" if taken is not None and taken.bias else ""
    return f"{factors}{bias} -> y[{' '.join(result)}]"


def _role(record: Record, has_weight: bool) -> str:
    """What conventions price by, as far as the sizes tell: scores, mix, logits."""
    size = sizes(record)
    outward, inward = size.get("n", size.get("d_out")), size.get("k", size.get("d_in"))
    if outward == n_vocab:
        return "logits"
    if has_weight:
        return ""
    if "query" in size:
        return "scores" if record.spec.endswith("query key") else "mix"
    if outward in LENGTHS:
        return "scores"
    return "mix" if inward in LENGTHS else ""


def _holders(path: str, owned: Mapping[Stored, Expr], found: Merged, tokens: Expr) -> Iterator[tuple[Operation, Expr]]:
    """Operations that own what no contraction takes: tables, gains and biases of norms, parameters of other steps."""
    for stored, copies in owned.items():
        shape = {f"a{place}": Integer(1) * size for place, size in enumerate(stored.shape)}
        axes = " ".join(shape)
        known = {**shape, "token": tokens}
        role = _table_role(path, stored, found)
        if role and len(shape) == 2:
            yield Lookup("weight", f"weight[{axes}] -> x[token a1]", known, role), copies
        else:
            role = role or ("norm" if len(shape) == 1 else "")
            yield Operation(stored.name, f"x[token] weight[{axes}] -> y[token {axes}]", known, role), copies


def _table_role(path: str, stored: Stored, found: Merged) -> str:
    """What a table is for: one with a row for each token, one that is looked up, or one that is called so.

    A tied table of tokens may be looked up under another path than its own. Any other parameter is no table.
    """
    if len(stored.shape) == 2 and stored.shape[0] == n_vocab:
        return "embedding"
    named = _POSITIONS.search(f"{path.rpartition('.')[2]} {stored.name}")
    lookups = (call.module for call in found.calls if call.kind == "lookup" and "embedding" in call.operator)
    looked_up = len(stored.shape) == 2 and path in lookups
    return "position" if looked_up or named else ""
