"""What is timed: operations of a model at concrete sizes, with the FLOPs and bytes that their closed forms say.

>>> from symflops.architectures import architecture
>>> [up] = [each for each in tasks(architecture("gpt2"), 2, 16) if each.path == "Feedforward/up"]
>>> up.sizes["d_out"], up.flops("forward") == 2 * 2 * 16 * 768 * 3072, up.symbols["n_seq"]
(3072, True, 16)
>>> up.flops("backward") // up.flops("forward"), up.runs
(2, 12)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, prod

from sympy import Add, Expr, S, factor_terms

from symflops.architectures import Architecture
from symflops.conventions import RUN, TORCH, Convention
from symflops.declarations import Tensor
from symflops.derivation import reading_position
from symflops.elementwise import Elementwise
from symflops.errors import UnknownName
from symflops.masks import AttendedPairs, Causal, Full
from symflops.measures import priced
from symflops.networks import Use, uses
from symflops.operations import Contraction, Lookup, Operation
from symflops.timing.recognised import CAUSAL, MASKED
from symflops.timing.routed import by_expert
from symflops.timing.samples import CORE, MASKED_CORE, Phase, Product
from symflops.timing.tiles import products

INDEX_BYTES = 8
"""Bytes of the integer that picks a row: torch's default."""


@dataclass(frozen=True)
class Operand:
    """A tensor that a kernel reads: its shape, whether it gets a gradient, and, of an index, below what it stays."""

    tensor: Tensor
    shape: tuple[int, ...]
    wanted: bool
    below: int | None = None

    def bytes(self, element: Fraction) -> Fraction:
        """Bytes, with ``element`` of them for each number that is no index."""
        return prod(self.shape) * (element if self.below is None else Fraction(INDEX_BYTES))


@dataclass(frozen=True, eq=False)
class Task:
    """One kernel's work: an operation, or the several of an attention core, with numbers for sizes.

    ``symbols`` are the values of what the closed forms have symbols for; ``runs`` how often a network does it;
    ``symbolic`` are the same uses before numbers stood for their sizes, with how often each runs.
    """

    path: str
    uses: tuple[Use, ...]
    symbols: Mapping[str, int]
    runs: int
    symbolic: tuple[Use, ...] = ()

    @property
    def operation(self) -> Operation:
        """The operation; of a core its scores."""
        return self.uses[0].operation

    @property
    def is_core(self) -> bool:
        """Whether it is a whole attention core."""
        return len(self.uses) > 1

    @property
    def mask(self) -> AttendedPairs | None:
        """Which pairs are attended to."""
        return self.operation.mask

    @property
    def left_out(self) -> str:
        """How the name of a core's kernel ends, by what becomes of masked pairs: see `CAUSAL`."""
        return "" if type(self.mask) is Full else CAUSAL if skipped(self.mask) else MASKED

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each axis."""
        return {axis: int(size) for use in self.uses for axis, size in use.operation.sizes.items()}

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What the kernel reads, in the order of the declaration; of a core queries, keys and values."""
        if self.is_core:
            mix = self.uses[-1].operation.sentence.operands[1]
            return tuple(self._operand(each) for each in (*self.operation.sentence.operands, mix))
        found = tuple(self._operand(each) for each in self.operation.sentence.operands)
        return (*found, self._index) if isinstance(self.operation, Lookup) else found

    @property
    def result(self) -> Operand:
        """What it writes."""
        return self._operand(self.uses[-1].operation.sentence.result)

    @property
    def _index(self) -> Operand:
        [table] = self.operation.sentence.operands
        picked = tuple(axis for axis in self.operation.sentence.result.axes if axis not in table.axes)
        rows = self.sizes[table.axes[0]]
        return Operand(Tensor("index", picked), tuple(self.sizes[axis] for axis in picked), False, rows)

    def _operand(self, tensor: Tensor) -> Operand:
        shape = tuple(self.sizes[axis] for axis in tensor.axes)
        return Operand(tensor, shape, tensor.name not in self.operation.constants)

    def flops(self, phase: Phase) -> int:
        """FLOPs of the matmuls as executed: 2 for each multiply-accumulate.

        A core leaves masked pairs out where kernels know its mask by name; under one that is a tensor they skip none.
        """
        return self.work(phase, self.executed)

    @property
    def executed(self) -> Convention:
        """What its kernel executes, as a price list."""
        return RUN if self.is_core and skipped(self.mask) else TORCH

    def form(self, phase: Phase) -> Expr:
        """The closed form of `flops`.

        >>> from symflops.architectures import architecture
        >>> [core] = named(tasks(architecture("gpt2", "flash"), 1, 8), ["core"])
        >>> core.form("forward")
        2*d_model*n_batch*n_seq*(n_seq + 1)
        """
        return factor_terms(Add(*(priced(use, self.executed, phase) / use.runs for use in self.symbolic)))

    def share(self, layers: int) -> Fraction:
        """How often one of so many layers does it, the mean of all; 0 of what a network does once, however deep."""
        in_layers = any(use.runs.free_symbols for use in self.symbolic)
        return Fraction(self.runs, layers) if in_layers else Fraction(0)

    def work(self, phase: Phase, under: Convention) -> int:
        """What a convention counts of it, once."""
        return int(Add(*(priced(use, under, phase) for use in self.uses)))

    def products(self, phase: Phase) -> tuple[Product, ...]:
        """The matrix products of a contraction by itself; of a core that of queries by keys; none of all else."""
        of = self.operation
        if not isinstance(of, Contraction):
            return ()
        if not self.is_core:
            return products(of, phase)
        [one], queries = products(of, "forward"), self.sizes["query"]
        return (Product(one.batch * one.rows // queries, queries, one.columns, one.depth),)

    def has(self, phase: Phase) -> bool:
        """Whether there is something to do: no operand may need a gradient."""
        return phase == "forward" or any(each.wanted for each in self.operands)

    def bytes(self, phase: Phase, element: Fraction) -> int:
        """Bytes moved if everything is read once and written once.

        Backward: the result's gradient, what was kept and the parameters are read, and the gradients written.
        """
        if phase == "forward":
            return ceil(sum((each.bytes(element) for each in (*self._read, self.result)), Fraction(0)))
        written = sum((each.bytes(element) for each in self.operands if each.wanted), Fraction(0))
        return ceil(self.result.bytes(element) + self.kept(element) + written)

    @property
    def _read(self) -> tuple[Operand, ...]:
        """Of a table only the picked rows, which are as many as the result has."""
        return (self._index, self.result) if isinstance(self.operation, Lookup) else self.operands

    def kept(self, element: Fraction) -> Fraction:
        """Bytes that the backward pass reads besides the result's gradient: what was saved, and the weights."""
        if self.is_core:
            return sum((each.bytes(element) for each in (*self.operands, self.result)), Fraction(0))
        if isinstance(self.operation, Lookup):
            return self._index.bytes(element)
        weights = sum(prod(each.shape) for each in self.operands if each.tensor.name == "weight")
        return (weights + sum(int(size) for _, size in self.operation.saved)) * element


def tasks(model: Architecture, n_batch: int = 1, n_seq: int | None = None) -> tuple[Task, ...]:
    """The operations of a model at its sizes, in reading order; experts together, and nothing that it never runs.

    Where the model's attention is ``flash``, a core of scores, plain softmax and mix is one task. Raises `SizeError`
    for sizes that do not divide.
    """
    length = model.length(n_seq)
    at = {"n_batch": n_batch, "n_seq": length}
    every = sorted(uses(model.of_length(length)), key=reading_position)
    found = [each for use in every if (each := _task(model, by_expert(use, model, at), at)).runs]
    return _together(_with_cores(found) if model.attention == "flash" else found)


def _together(found: Iterable[Task]) -> tuple[Task, ...]:
    """Tasks of one place and one size as one that runs as often as they do together, such as under two masks."""
    known: dict[tuple[object, ...], Task] = {}
    for task in found:
        key = (task.path, tuple(sorted(task.sizes.items())))
        runs = task.runs + (known[key].runs if key in known else 0)
        known[key] = replace(task, runs=runs)
    return tuple(known.values())


def named(every: Sequence[Task], names: Iterable[str]) -> tuple[Task, ...]:
    """The tasks of some names: whole paths, last parts, or roles such as ``qkv``; all where no name is given.

    Raises `UnknownName`.
    """
    wanted = tuple(names)
    known = {each: _names(each) for each in every}
    for name in wanted:
        if not any(name in of for of in known.values()):
            raise UnknownName("operation", name, {task.path for task in every})
    return tuple(task for task, of in known.items() if not wanted or of & set(wanted))


def _names(task: Task) -> frozenset[str]:
    return frozenset({task.path, task.path.rpartition("/")[2], task.operation.role})


def _task(model: Architecture, use: Use, at: Mapping[str, int]) -> Task:
    """A use once, in numbers; a recomputed one does not run again by itself."""
    symbols = {each.name for size in use.operation.sizes.values() for each in size.free_symbols}
    values = {name: size for name, size in {**model.sizes, **at}.items() if name in symbols}
    once = Use(model.at(use.operation, **at), use.path)
    symbolic = Use(use.operation, use.path, runs=use.runs)
    return Task(use.path, (once,), dict(sorted(values.items())), int(model.at(S.Zero + use.runs, **at)), (symbolic,))


def _with_cores(found: Sequence[Task]) -> Iterable[Task]:
    """The tasks, with each attention core that one kernel can do as one."""
    places: dict[tuple[str, AttendedPairs | None], list[Task]] = {}
    for task in found:
        places.setdefault(_place(task), []).append(task)
    cores = {(block, mask): _core(block, [*of, *places.get((block, None), ())]) for (block, mask), of in places.items()}
    for task in found:
        core = cores[_place(task)]
        if core is None:
            yield task
        elif task.operation.role == "scores":
            yield core


def _place(task: Task) -> tuple[str, AttendedPairs | None]:
    """The block of a task, and under which of its masks it is."""
    return task.path.rpartition("/")[0], task.mask


def _core(block: str, members: Sequence[Task]) -> Task | None:
    """The core of a block under a mask, where it is scores, a plain softmax and mix."""
    by_role = {task.operation.role: task for task in members}
    if len(members) != 3 or list(by_role) != ["scores", "softmax", "mix"]:
        return None
    if not isinstance(by_role["softmax"].operation, Elementwise) or by_role["softmax"].operation.sentence.parameters:
        return None
    parts = [by_role[role] for role in ("scores", "softmax", "mix")]
    symbols = {name: size for task in members for name, size in task.symbols.items()}
    name = CORE if skipped(parts[0].mask) else MASKED_CORE
    fused, symbolic = (_again(of) for of in zip(*((each.uses[0], each.symbolic[0]) for each in parts), strict=True))
    return Task(f"{block}/{name}", fused, dict(sorted(symbols.items())), members[0].runs, symbolic)


def _again(parts: Iterable[Use]) -> tuple[Use, ...]:
    """Scores, softmax and mix, the first two of which the backward pass computes again."""
    scores, softmax, mix = parts
    return (replace(scores, reruns=scores.runs), replace(softmax, reruns=softmax.runs), mix)


def unmasked(task: Task) -> Task:
    """The same core without a mask, the twin of one that leaves masked pairs out.

    >>> from symflops.architectures import architecture
    >>> [core] = named(tasks(architecture("gpt2", "flash"), 1, 8), ["core"])
    >>> core.mask, unmasked(core).mask, core.flops("forward") / unmasked(core).flops("forward")
    (Causal(8, 8), Full(8, 8), 0.5625)
    """
    return replace(task, uses=_full(task.uses), symbolic=_full(task.symbolic))


def _full(of: tuple[Use, ...]) -> tuple[Use, ...]:
    masks = {each.operation.mask: Full(*each.operation.mask.args[:2]) for each in of if each.operation.mask}
    return tuple(replace(each, operation=each.operation.xreplace(masks)) for each in of)


def skipped(mask: AttendedPairs | None) -> bool:
    """Whether kernels leave all its masked pairs out: of none, or of causal ones with as many queries as keys."""
    return type(mask) is Full or (isinstance(mask, Causal) and not mask.extra and mask.n_query == mask.n_key)
