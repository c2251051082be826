"""A model at the points of a grid, timed into one record: what calibrations, laws and plots are made from.

>>> from symflops.architectures import architecture
>>> from symflops.tracing.timing.places import place
>>> small = architecture("gpt2", "flash").with_sizes(d_model=32, n_head=4, n_vocab=50)
>>> points = [Point(small, 1, 8, ("up",)), Point(small, 1, 16, ("up",))]
>>> record = timed(points, place("cpu", "fp32"), Often(1))
>>> [(each.sizes["n_seq"], each.phase) for each in record.samples if each.operation == "Feedforward/up"]
[(8, 'forward'), (8, 'backward'), (16, 'forward'), (16, 'backward')]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from symflops.architectures import Architecture
from symflops.errors import SizeError, SymflopsError
from symflops.timing.laws import ceilings
from symflops.timing.recognised import CAUSAL
from symflops.timing.records import INTERRUPTED, Record
from symflops.timing.roof import Roof
from symflops.timing.samples import COPY, MODEL, PEAK, WHOLE, Phase, Sample
from symflops.timing.tasks import Task, named, tasks, unmasked
from symflops.tracing.timing.inputs import refuse
from symflops.tracing.timing.peaks import measured
from symflops.tracing.timing.places import Place
from symflops.tracing.timing.reference import WrongKernel
from symflops.tracing.timing.running import NOBODY, Keep, Others, Stage, again, empty, noted, run

Key = tuple[str, tuple[tuple[str, int], ...]]
Ways = tuple[Callable[[Record, Task, Place, int], Record], "Callable[[Record, Point, Place, int], Record]"]
"""How an operation of a round, and what else is timed of a point, are added to a record."""
Also = Callable[[Architecture, Sequence[Task], Place, int, int, int], Iterable[Sample]]
"""What is timed besides the operations: nothing, or the whole model."""


def nothing(model: Architecture, every: Sequence[Task], where: Place, repeat: int, *at: int) -> Iterable[Sample]:
    """Only the operations."""
    return ()


@dataclass(frozen=True)
class Point:
    """A model at numbers for its sizes, and how many tokens it reads; ``operations`` by name, all where none is given.

    ``also`` is `whole` where the layer, the model and the optimiser are timed too.
    """

    model: Architecture
    n_batch: int
    n_seq: int
    operations: tuple[str, ...] = ()
    also: Also = nothing

    def __str__(self) -> str:
        return f"{self.model.name}, {self.n_batch} x {self.n_seq} tokens"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is run: the operations, and of each masked attention core its twin without a mask."""
        asked = named(tasks(self.model, self.n_batch, self.n_seq), self.operations)
        return (*asked, *(unmasked(task) for task in asked if task.is_core and task.left_out == CAUSAL))

    def samples(self, where: Place, repeat: int, others: Others) -> Iterator[Sample]:
        """What is timed besides, with what others predict of the whole model."""
        every, at = tasks(self.model, self.n_batch, self.n_seq), (self.n_batch, self.n_seq)
        said: Mapping[Phase, Mapping[str, float]] = {}
        for sample in self.also(self.model, every, where, repeat, *at):
            said = said or others.model(self.model, *at)
            told = said.get(sample.phase, {}) if sample.operation == MODEL else {}
            yield replace(sample, estimates=told)


def nobody(where: Place, roof: Roof) -> Others:
    """Nobody else is asked for a time."""
    return NOBODY


def points(
    model: Architecture, sizes: Iterable[Mapping[str, int]], operations: tuple[str, ...] = (), also: Also = nothing
) -> tuple[Point, ...]:
    """A model at each of some sizes; those that are no model are left out where others are.

    Raises `SizeError` where none is a model, `UnknownName` for an operation or a size that it does not have.
    """
    found, refused = [], []
    for each in sizes:
        at = {"n_batch": 1, **each}
        n_batch, n_seq = at.pop("n_batch"), at.pop("n_seq", None)
        try:
            changed = model.with_sizes(**at) if at else model
            point = Point(changed, n_batch, changed.length(n_seq), operations, also)
            tuple(point.tasks)
        except SizeError as error:
            refused.append(error)
        else:
            found.append(point)
    if not found:
        raise refused[0]
    return tuple(found)


def keys(points: Iterable[Point]) -> frozenset[Key]:
    """What `part` takes for the samples of some points."""
    operations = {_key(task.path, task.symbols) for point in points for task in point.tasks}
    sizes = ({**each.model.sizes, "n_batch": each.n_batch, "n_seq": each.n_seq} for each in points)
    return frozenset(operations | {_key("", each) for each in sizes})


def part(record: Record, wanted: frozenset[Key]) -> Record:
    """The samples of some points, and the peaks, of a record of more: what was timed together drifts together."""

    def kept(of: Sample) -> bool:
        return of.operation in (PEAK, COPY) or _key("" if of.operation in WHOLE else of.operation, of.sizes) in wanted

    return replace(record, samples=tuple(filter(kept, record.samples)))


def _key(path: str, sizes: Mapping[str, int]) -> Key:
    return path, tuple(sorted(sizes.items()))


@dataclass(frozen=True)
class Often:
    """How often each kernel runs: ``rounds`` over all of them, with ``repeat`` runs in each.

    What disturbs a machine for a while disturbs one round of several, and not the median of all.
    """

    repeat: int
    rounds: int = 1


def timed(
    points: Sequence[Point],
    where: Place,
    often: Often,
    keep: Keep = lambda record: None,
    stage: Stage = lambda what, done, of: None,
    ask: Callable[[Place, Roof], Others] = nobody,
) -> Record:
    """One record of all points, and of the peaks of the place first; ``keep`` gets it after each operation.

    ``ask`` makes from the measured peaks who else predicts each time.

    An interruption ends it with what there is, and says so in its notes. Points that memory does not hold are named in
    the notes where there are several. Raises `SymflopsError` where nothing is left.
    """
    jobs, done = _fitting(points, where), 0
    begun = empty(where, often.repeat * often.rounds)
    record = begun = replace(begun, notes=(*begun.notes, *jobs.refused))
    try:
        for record, what in _parts(begun, jobs, where, often, ask):
            stage(what, done, 1 + (len(jobs.each) + len(jobs.points)) * often.rounds)
            done += 1
            keep(record)
    except KeyboardInterrupt:
        if not record.samples:
            raise SymflopsError("interrupted before anything was timed") from None
        said = f"{INTERRUPTED} after {min(done - 1, len(jobs.each))} of {len(jobs.each)} operations"
        record = replace(record, notes=(*record.notes, said))
    record = replace(record, notes=(*record.notes, where.note("after")))
    keep(record)
    return record


def _parts(
    record: Record, jobs: _Jobs, where: Place, often: Often, ask: Callable[[Place, Roof], Others]
) -> Iterator[tuple[Record, str]]:
    """The record after each part of the work, and what that was."""
    for sample in measured(where, often.repeat):
        record = record.with_sample(sample)
    yield record, "peaks"
    others = ask(where, ceilings(record))
    first: Ways = (partial(run, others=others), partial(_whole, others=others))
    later: Ways = (again, _whole)
    for number, (operation, whole) in enumerate([first, *[later] * (often.rounds - 1)], start=1):
        told = f"round {number}, " if often.rounds > 1 else ""
        for point, task in jobs.each:
            record = _going_on(record, partial(operation, record, task, where, often.repeat), point, jobs)
            yield record, f"{told}{point}: {task.path}"
        for point in jobs.points:
            record = _going_on(record, partial(whole, record, point, where, often.repeat), point, jobs)
            yield record, f"{told}{point}: whole"


def _whole(record: Record, point: Point, where: Place, repeat: int, others: Others = NOBODY) -> Record:
    """The record with what else is timed of a point: new, or more runs of it."""
    known = {each.key for each in record.samples}
    for sample in point.samples(where, repeat, others):
        record = record.with_more(sample) if sample.key in known else record.with_sample(sample)
    return record


def _going_on(record: Record, step: Callable[[], Record], point: Point, jobs: _Jobs) -> Record:
    """What a step makes of a record; of several points one that finds no memory is noted and left out."""
    try:
        return step()
    except SymflopsError as error:
        if isinstance(error, WrongKernel) or len(jobs.points) == 1:
            raise
        return noted(record, f"{point} was left out: {error}")


@dataclass(frozen=True)
class _Jobs:
    points: tuple[Point, ...]
    each: tuple[tuple[Point, Task], ...]
    refused: tuple[str, ...]


def _fitting(points: Sequence[Point], where: Place) -> _Jobs:
    """The points that memory holds, and why others were left out. Raises `SymflopsError` where none is left."""
    kept, refused = [], []
    each: dict[object, tuple[Point, Task]] = {}
    for point in points:
        try:
            for task in point.tasks:
                refuse(task, where)
        except SymflopsError as error:
            refused.append(error)
            continue
        kept.append(point)
        # An operation that a size does not reach is the same at several points.
        each |= {(task.path, type(task.mask), *task.symbols.items()): (point, task) for task in point.tasks}
    if not kept:
        raise refused[0]
    return _Jobs(tuple(kept), tuple(each.values()), tuple(map(str, refused)))
