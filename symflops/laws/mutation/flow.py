"""What flows through a network: each step reads what another wrote, learns where it can, and runs as often as it.

Asked of a mutant where it holds of the family as declared.

>>> from symflops.laws.catalogue.subjects import network
>>> [instance.subject for instance in flows("llama", network("llama")) if not instance.holds]
[]
>>> [instance.subject for instance in flows("llama", network("gpt2")) if not instance.holds][:1]
['llama: scores read all queries and keys']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from sympy import Add, Expr, Mul, expand

from symflops.conventions import EXACT
from symflops.laws.catalogue.subjects import network
from symflops.laws.law import Instance, same
from symflops.networks import Use, uses
from symflops.notation import d_conv
from symflops.operations import Contraction

FIXED = frozenset({"cos", "sin", "frequency", "cap", "slope", "shift", "correction"})
"""Operands that are no function of a parameter: angles, caps, slopes and buffers."""
_UNREACHED = frozenset({"pooler", "correct"})
"""What no loss reaches: a pooler beside the head, and a correction that a routing is chosen by."""
_DATA = frozenset({"patch", "conv1"})
"""What reads images and sound, which need no gradient."""
_IN = frozenset({"q", "k", "v", "qkv", "q_down", "kv_down", "gate", "up", "gate_up", "router", "logits", "project_in"})
_OUT = frozenset({"project", "down", "project_out", "combine"})
"""Matmuls that read the residual stream, and that write to it."""


def _read(use: Use, operand: str = "") -> Expr:
    """Elements of the operands that are no parameters, or of one of them, of all runs."""
    mine = (each for each in use.operation.sentence.operands if not each.is_parameter)
    wanted = (each for each in mine if operand in ("", each.name))
    return use.runs * Add(*(use.operation.numel(each) for each in wanted))


def _written(use: Use) -> Expr:
    return use.runs * use.operation.elements_written


def _sum(whole: Expr, of: Callable[[Use], Expr], role: str, *names: str) -> Expr:
    mine = (use for use in uses(whole) if use.operation.role == role)
    return expand(Add(*(of(use) for use in mine if not names or use.operation.name in names)))


def _hidden(whole: Expr) -> tuple[Expr, Expr]:
    """What the activation reads, against what the matmuls before it write."""
    mine = [use for use in uses(whole) if "Feedforward" in use.path]
    before = (use for use in mine if use.operation.role == "feedforward" and use.operation.name in _IN)
    acts = (use for use in mine if use.operation.role == "activation" and use.operation.name == "act")
    return expand(Add(*map(_read, acts))), expand(Add(*map(_written, before)))


def _multiplied_back(whole: Expr) -> tuple[Expr, Expr]:
    """What the activation gives, against what the matmuls after it read."""
    mine = [use for use in uses(whole) if "Feedforward" in use.path]
    acts = (use for use in mine if use.operation.role == "activation" and use.operation.name == "act")
    after = (use for use in mine if use.operation.role == "feedforward" and use.operation.name == "down")
    return expand(Add(*map(_written, acts))), expand(Add(*map(_read, after)))


def _streams(whole: Expr) -> Iterator[tuple[Use, Expr]]:
    """What is read of the residual stream and written to it, each time it runs."""
    for use in uses(whole):
        name, operation = use.operation.name, use.operation
        on_stream, matmul = name.startswith(("add", "norm_")), isinstance(operation, Contraction)
        if on_stream or (name in _IN and matmul):
            yield use, operation.numel(operation.sentence.operands[0])
        if on_stream or (name in _OUT and matmul):
            yield use, operation.elements_written


def _stream(whole: Expr) -> tuple[Expr, Expr]:
    """All that is read of the stream and written to it is as wide as the stream is."""
    found = [expand(elements) for _, elements in _streams(whole)]
    widest = max(found, key=found.count)
    return Add(*found), len(found) * widest


def _projected(whole: Expr) -> tuple[Expr, Expr]:
    """What attentions give, against what is projected back."""
    return _sum(whole, _written, "mix"), _sum(whole, _read, "project", "project")


SAME: Mapping[str, Callable[[Expr], tuple[Expr, Expr]]] = {
    "a softmax reads the scores": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "softmax"), _sum(whole, _written, "scores")),
    "a mix reads the softmax": lambda whole: (
        _sum(whole, lambda use: _read(use, "weights"), "mix"), _sum(whole, _written, "softmax")),
    "a bias is added to all scores": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "bias", "bias"), _sum(whole, _written, "scores")),
    "a cap is put on all scores and logits": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "softcap"),
        _sum(whole, _written, "scores") + _sum(whole, _written, "logits")),
    "scores read all queries and keys": lambda whole: (
        _sum(whole, _read, "scores"), _sum(whole, _written, "qkv", "q", "k")),
    "a mix reads all values": lambda whole: (
        _sum(whole, lambda use: _read(use, "v"), "mix"), _sum(whole, _written, "qkv", "v")),
    "scores and mix read one matmul": lambda whole: (
        _sum(whole, _read, "scores") + _sum(whole, lambda use: _read(use, "v"), "mix"),
        _sum(whole, _written, "qkv", "qkv")),
    "a mix is projected back": _projected,
    "a softmax sees the pairs of the scores": lambda whole: (
        _sum(whole, _pairs, "softmax"), _sum(whole, _pairs, "scores")),
    "a bias is added to the pairs of the scores": lambda whole: (
        _sum(whole, _pairs, "bias", "bias"), _biased_pairs(whole)),
    "a head's rotation is of query heads": lambda whole: (
        _heads(whole, "q"), _per_run(whole, "scores", "kv_head", "group")),
    "a key's rotation is of key heads": lambda whole: (_heads(whole, "k"), _per_run(whole, "scores", "kv_head")),
    "a state space is gated": lambda whole: (
        _sum(whole, _written, "activation", "gate"), _sum(whole, _read, "project", "project_out")),
    "a convolution is activated": lambda whole: (
        _within(whole, "Convolution", lambda use: use.runs * d_conv * use.operation.sizes["d_ff"], "act"),
        _within(whole, "Convolution", lambda use: use.runs * use.operation.parameters[0].count, "convolution")),
    "a scan sums what is inside chunks": lambda whole: (
        _within(whole, "Scan", lambda use: _read(use, "inside"), "combine"),
        _within(whole, "Scan", _written, "inside")),
    "a scan sums what comes from outside": lambda whole: (
        _within(whole, "Scan", lambda use: _read(use, "outside"), "combine"),
        _within(whole, "Scan", _written, "outside")),
    "a head is activated": lambda whole: (
        _within(whole, "Head", _read, "act"), _within(whole, "Head", _written, "transform")),
    "a projection is brought to unit length": lambda whole: (
        _within(whole, "Projection", _read, "unit_length"), _within(whole, "Projection", _written, "projection")),
    "positions of a text are those of its tokens": lambda whole: (
        _within(whole, "Text", _written, "position"), _within(whole, "Text", _written, "token")),
    "rotary queries and keys are all of them": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "rotary", "q", "k"), _sum(whole, _written, "qkv", "q", "k")),
    "rotary queries are rotated as keys are": lambda whole: (
        _sum(whole, lambda use: _read(use, "cos"), "rotary", "q"),
        _sum(whole, lambda use: _read(use, "cos"), "rotary", "k")),
    "cosines are as many as sines": lambda whole: (
        _sum(whole, lambda use: _read(use) + _written(use), "rotary", "cos"),
        _sum(whole, lambda use: _read(use) + _written(use), "rotary", "sin")),
    "a rotation takes twice the angles": lambda whole: (
        _once(whole, "rotary", "q", "cos"), 2 * _sum(whole, _written, "rotary", "cos")),
    "an activation reads what is made for it": _hidden,
    "an activation is multiplied back": _multiplied_back,
    "an activation is as wide as what it reads": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "activation"), _sum(whole, _written, "activation")),
    "an attention is added each time that it runs": lambda whole: (
        _sum(whole, _read, "residual", "add_attention", "add_cross", "add_mixer"),
        2 * _sum(whole, _written, "project")),
    "a feed-forward layer is added each time that it runs": lambda whole: (
        _sum(whole, _read, "residual", "add_feedforward"), 2 * _sum(whole, _written, "feedforward", "down")),
    "feed-forward layers are added as often as attentions": lambda whole: (
        _sum(whole, _read, "residual", "add_feedforward"), _sum(whole, _read, "residual", "add_attention")),
    "experts are summed as often as they are added": lambda whole: (
        2 * _sum(whole, _written, "residual", "combine"), _sum(whole, _read, "residual", "add_feedforward")),
    "experts are summed over all that are active": lambda whole: (
        _sum(whole, lambda use: _read(use, "x"), "residual", "combine"), _experts(whole)),
    "a stream is as wide everywhere": _stream,
    "a norm is as long as its stream": lambda whole: (_sum(whole, _read, "norm"), _sum(whole, _written, "norm")),
    "an attention is normed as often as it is added": lambda whole: (
        _sum(whole, _written, "norm", "norm_attention"), _sum(whole, _written, "residual", "add_attention")),
    "a feed-forward layer is normed as often as it is added": lambda whole: (
        _sum(whole, _written, "norm", "norm_feedforward"), _sum(whole, _written, "residual", "add_feedforward")),
    "logits read the last norm": lambda whole: (
        _sum(whole, _written, "norm", "norm_final"), _sum(whole, _read, "logits")),
    "norms of queries and keys are over all of them": lambda whole: (
        _sum(whole, _written, "norm", "q_norm", "k_norm"), _sum(whole, _written, "qkv", "q", "k")),
    "a router's scores are all weighed": lambda whole: (
        _sum(whole, _written, "router", "router"), _sum(whole, _written, "router", "softmax", "sigmoid")),
    "logits are of all tokens that are looked up": lambda whole: (
        _sum(whole, _read, "logits"), _sum(whole, _written, "embedding")),
    "positions are of all tokens": lambda whole: (
        _sum(whole, _written, "position"), _sum(whole, _written, "embedding")),
}  # fmt: skip
"""What is read, and what is written for it, in elements of all runs."""


def _experts(whole: Expr) -> Expr:
    """What routed experts write."""
    mine = (use for use in uses(whole) if "Experts" in use.path and use.operation.name == "down")
    return expand(Add(*map(_written, mine)))


def _sources(whole: Expr) -> Iterator[tuple[str, Expr, bool]]:
    """Every operand that is no parameter, its elements, and whether something writes as many."""
    found = {expand(use.operation.elements_written) for use in uses(whole)}
    for use in uses(whole):
        for operand in use.operation.sentence.operands:
            if not operand.is_parameter:
                elements = expand(use.operation.numel(operand))
                yield f"{use.path}: {operand.name}", elements, elements in found


@cache
def _written_somewhere(family: str) -> frozenset[str]:
    return frozenset(about for about, _, known in _sources(network(family)) if known)


def _within(whole: Expr, part: str, of: Callable[[Use], Expr], name: str) -> Expr:
    """A sum over the operations of a name in the parts of one."""
    mine = (use for use in uses(whole) if part in use.path and use.operation.name == name)
    return expand(Add(*map(of, mine)))


def _pairs(use: Use) -> Expr:
    """Elements of the result that the mask lets through."""
    return use.runs * EXACT.count_pairs(use.operation.forward_work["element", "forward"])


def _biased_pairs(whole: Expr) -> Expr:
    """The pairs of the scores that stand beside a bias."""
    places = {_part(use) for use in uses(whole) if use.operation.role == "bias"}
    return expand(Add(*(_pairs(use) for use in uses(whole) if use.operation.role == "scores" and _part(use) in places)))


def _part(use: Use) -> str:
    return use.path.rpartition("/")[0]


def _heads(whole: Expr, name: str) -> Expr:
    """How many heads are rotated, in all layouts that there are."""
    mine = (use.operation for use in uses(whole) if use.operation.role == "rotary" and use.operation.name == name)
    return Add(*{each.sizes["head"] for each in mine if "head" in each.sizes})


def _per_run(whole: Expr, role: str, *axes: str) -> Expr:
    """The product of some sizes of the operations of a role, in all layouts that there are."""
    mine = (use.operation.sizes for use in uses(whole) if use.operation.role == role)
    return Add(*{Mul(*(sizes[axis] for axis in axes)) for sizes in mine if set(axes) <= sizes.keys()})


def _alike(whole: Expr) -> Mapping[str, frozenset[Expr]]:
    """How often the operations of each part run."""
    parts: dict[str, set[Expr]] = {}
    for use in uses(whole):
        parts.setdefault(_part(use), set()).add(expand(use.runs))
    return {part: frozenset(each) for part, each in parts.items() if part}


@cache
def _run_alike(family: str) -> frozenset[str]:
    return frozenset(part for part, runs in _alike(network(family)).items() if len(runs) == 1)


def _once(whole: Expr, role: str, name: str, operand: str) -> Expr:
    """Elements of an operand each time that it is read."""
    mine = [use for use in uses(whole) if use.operation.role == role and use.operation.name == name]
    found = {_read(use, operand) / use.runs for use in mine}
    return Add(*found)


@cache
def _about(family: str, relation: str) -> bool:
    """Whether both sides are something of the family as declared, and the same."""
    left, right = SAME[relation](network(family))
    return bool(left != 0 and expand(left - right) == 0)


def flows(family: str, whole: Expr) -> Iterator[Instance]:
    """What is read is what was written; gradients; nothing runs again."""
    for relation, sides in SAME.items():
        if _about(family, relation):
            yield same(f"{family}: {relation}", *sides(whole))
    for about, elements, known in _sources(whole):
        if about in _written_somewhere(family):
            yield Instance(f"{family}: {about} is written somewhere", known, "oracle", str(elements))
    for part, runs in _alike(whole).items():
        if part in _run_alike(family):
            yield Instance(f"{family}: {part} runs as a whole", len(runs) == 1, "oracle", ", ".join(map(str, runs)))
    yield from _learning(family, whole)
    again = [use.path for use in uses(whole) if use.reruns != 0]
    yield Instance(f"{family}: without checkpoints nothing runs again", not again, "oracle", ", ".join(again))


def _learning(family: str, whole: Expr) -> Iterator[Instance]:
    for use in uses(whole):
        found, expected = use.operation.constants, _fixed(family, use)
        told = (f"no gradient of {', '.join(sorted(each)) or 'none'}" for each in (found, expected))
        yield Instance(f"{family}: {use.path}", found == expected, "oracle", *told)


def _fixed(family: str, use: Use) -> frozenset[str]:
    """The operands of an operation that can have no gradient."""
    names = {each.name for each in use.operation.sentence.operands}
    fixed = (names & FIXED) - _LEARNED.get(family, frozenset()) | (
        {"position"} & names if "frequency" in names else set()
    )
    if use.operation.name in _DATA:
        fixed |= {"x"}
    if use.operation.name in _UNREACHED or use.path in _BESIDE.get(family, ()):
        fixed |= names
    return frozenset(fixed)


_BESIDE: Mapping[str, tuple[str, ...]] = {"vit": ("Pooler/act",), "whisper": ("Encoder: Embed/position",)}
"""Operations of a family beside what its loss reaches, and tables that are not learned."""
_LEARNED: Mapping[str, frozenset[str]] = {"t5": frozenset({"slope"})}
"""Operands of a family that others have fixed: T5 learns its biases of scores."""
