"""From samples of a device to the time of any network: a calibration, and what it predicts.

Three kinds of kernels have a fit of their own, forward and backward: matmuls (latency, peak, bandwidth, and what tiles
and waves waste), attention's core (latency and FLOPs), and all else, which only moves (latency and bytes). One kernel
runs after the other; nothing is fused but the core of an architecture whose attention is flash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from statistics import median
from typing import Literal

from sympy import Add, Expr

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import TORCH
from symflops.derivation import reading_position
from symflops.measures import priced
from symflops.networks import Use, uses
from symflops.operations import Contraction, Operation
from symflops.timing.executed import EXECUTED
from symflops.timing.fitted import Fit, FitError
from symflops.timing.fitting import fit, fit_side, misfit
from symflops.timing.samples import Phase, Record, Sample
from symflops.timing.tiles import Tiles, shapes, shapes_of
from symflops.training.formats_known import number_format

Kind = Literal["matmul", "attention", "moves"]
CORE = "core"
"""The operation of a sample that is a whole attention core, maybe after the path of where it stands."""
_SIDES = (64, 128, 256)
_BETTER = 0.9
"""Tiles are taken where they leave at most this share of the error."""


@dataclass(frozen=True)
class Calibration:
    """Fits by kind and phase of one device at one number format; ``tiles`` where they explain the matmuls better."""

    device: str
    dtype: str
    fits: Mapping[tuple[Kind, Phase], Fit]
    tiles: Tiles | None
    operations: Mapping[str, Operation]
    notes: tuple[str, ...] = ()

    def fit(self, kind: Kind, phase: Phase) -> Fit:
        """A fit; of a backward pass that was not timed, the forward's. Raises `FitError` where neither was."""
        found = self.fits.get((kind, phase)) or self.fits.get((kind, "forward"))
        if found is None:
            known = ", ".join(sorted({each for each, _ in self.fits}))
            raise FitError(f"{self.device}: nothing of kind {kind} was timed; calibrated: {known}")
        return found

    def seconds(self, sample: Sample) -> float:
        """The predicted time of what a sample ran."""
        flops = sample.flops * float(_waste(sample, self.tiles, self.operations))
        return self.fit(kind_of(sample, self.operations), sample.phase).seconds(flops, sample.bytes)


@dataclass(frozen=True)
class Row:
    """One operation of a network, all its runs together: FLOPs, bytes and predicted seconds, of a phase."""

    path: str
    kind: Kind
    phase: Phase
    runs: Fraction
    flops: Fraction
    bytes: Fraction
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """The rows of a network, forward and backward. ``step`` is both, without the optimiser."""

    rows: tuple[Row, ...]
    layers: int

    def of(self, phase: Phase) -> float:
        """Seconds of a phase."""
        return sum(row.seconds for row in self.rows if row.phase == phase)

    @property
    def step(self) -> float:
        """Seconds of forward and backward."""
        return sum(map(self.of, _BOTH))

    @property
    def layer(self) -> float:
        """Seconds of forward and backward of a layer, the mean of all: what runs once for each layer or more."""
        return sum(row.seconds for row in self.rows if row.runs >= self.layers) / self.layers


@dataclass(frozen=True)
class Accuracy:
    """|predicted / measured - 1| over some samples: the median and the worst."""

    median: float
    worst: float
    points: int


def calibrate(record: Record, network: Expr, processors: int | None = None) -> Calibration:
    """The fits of a record whose samples are of a network's operations, by name or by path.

    ``processors`` of the device lets tiles be fitted. A kind that the samples do not settle is noted and left out;
    matmuls that tell no bandwidth borrow that of what only moves.
    Raises `FitError` where nothing is left.
    """
    products = [use for use in uses(network) if isinstance(use.operation, Contraction)]
    known = {name: use.operation for use in products for name in (use.operation.name, use.path)}
    bare = Calibration(record.device, record.dtype, {}, None, known)
    found = _fitted(replace(bare, tiles=_tiles(record, known, processors)), record)
    if not found.fits:
        said = "; ".join(found.notes) or "no samples"
        raise FitError(f"nothing in the record of {record.device} can be fitted: {said}")
    return found


def _tiles(record: Record, known: Mapping[str, Operation], processors: int | None) -> Tiles | None:
    """The tiles that leave the least misfit of forward matmuls, unless it is about as much without any."""
    samples = [each for each in record.samples if each.phase == "forward" and kind_of(each, known) == "matmul"]
    left: dict[Tiles | None, float] = {}
    for tiles in [None, *(Tiles(*sides, processors) for sides in product(_SIDES, _SIDES) if processors)]:
        with suppress(FitError):
            left[tiles] = misfit([_widened(each, tiles, known) for each in samples])
    best = min(left, key=lambda tiles: left[tiles], default=None)
    return best if None not in left or left[best] < _BETTER * left[None] else None


def _fitted(bare: Calibration, record: Record) -> Calibration:
    fits: dict[tuple[Kind, Phase], Fit] = {}
    notes = []
    for (kind, way), phase in product(_WAYS.items(), _BOTH):
        of_kind = [each for each in record.samples if each.phase == phase and kind_of(each, bare.operations) == kind]
        wide = [_widened(each, bare.tiles, bare.operations) for each in of_kind]
        try:
            fits[kind, phase] = way(wide)
        except FitError as error:
            notes.append(f"{kind}, {phase}: {error}")
            fits |= _borrowed(wide, phase, fits.get(("moves", phase))) if kind == "matmul" else {}
    return replace(bare, fits=fits, notes=tuple(notes))


def _borrowed(samples: list[Sample], phase: Phase, moves: Fit | None) -> dict[tuple[Kind, Phase], Fit]:
    """Of matmuls that do not tell a bandwidth: their own latency and peak, with the bandwidth of what only moves."""
    if moves is None:
        return {}
    with suppress(FitError):
        return {("matmul", phase): replace(fit_side(samples, "flops"), bandwidth=moves.bandwidth)}
    return {}


_BOTH: tuple[Phase, ...] = ("forward", "backward")
_WAYS: Mapping[Kind, Callable[[Iterable[Sample]], Fit]] = {
    "moves": lambda samples: fit_side(samples, "bytes"),
    "attention": lambda samples: fit_side(samples, "flops"),
    "matmul": fit,
}
"""How each kind is fitted; what others borrow from comes first."""


def kind_of(sample: Sample, known: Mapping[str, Operation]) -> Kind:
    """What kind of kernel a sample ran: one without FLOPs moves; one over pairs is attention."""
    if not sample.flops:
        return "moves"
    of = known.get(sample.operation)
    return (
        "attention"
        if sample.operation.rpartition("/")[2] == CORE or (of is not None and of.mask is not None)
        else "matmul"
    )


def _waste(sample: Sample, tiles: Tiles | None, known: Mapping[str, Operation]) -> Fraction:
    of = {name: each for name, each in known.items() if isinstance(each, Contraction) and each.mask is None}
    return Fraction(1) if tiles is None else tiles.waste(shapes_of(sample, of))


def _widened(sample: Sample, tiles: Tiles | None, known: Mapping[str, Operation]) -> Sample:
    """A sample with the FLOPs that its tiles compute."""
    return replace(sample, flops=round(sample.flops * _waste(sample, tiles, known)))


def accuracy(samples: Iterable[Sample], predicted: Callable[[Sample], float]) -> Accuracy:
    """How far predictions are off on samples. Raises `FitError` for no samples."""
    off = [abs(predicted(each) / each.median - 1) for each in samples]
    if not off:
        raise FitError("no samples to judge a prediction by; give samples of other sizes than the calibration's")
    return Accuracy(median(off), max(off), len(off))


def predict(calibration: Calibration, model: Architecture, **sizes: int) -> Prediction:
    """The time of each operation of a model at sizes, forward and backward.

    Raises `FitError` for a kind that was not timed, `SizeError` for sizes that do not divide.
    """
    ordered = sorted(uses(model.network), key=reading_position)
    rows = (_row(calibration, model, use, phase, sizes) for use in ordered for phase in _BOTH)
    return Prediction(tuple(row for row in rows if row is not None), model.sizes.get("n_layer", 1))


def _row(by: Calibration, model: Architecture, use: Use, phase: Phase, sizes: dict[str, int]) -> Row | None:
    of = use.operation
    under = EXECUTED if of.mask is not None and model.attention == "flash" else TORCH
    runs, flops, moved = (
        _at(model, form, sizes) for form in (use.runs, priced(use, under, phase), use.runs * moved_elements(use, phase))
    )
    inside = of.mask is not None and not isinstance(of, Contraction) and model.attention == "flash"
    if inside or not runs or not (flops or moved):
        return None
    kind: Kind = "moves" if not flops else "matmul" if of.mask is None else "attention"
    bytes_ = moved * number_format(by.dtype).bytes
    numbers = {axis: int(_at(model, size, sizes)) for axis, size in of.sizes.items()}
    wasted = isinstance(of, Contraction) and kind == "matmul" and by.tiles is not None
    waste = by.tiles.waste(shapes(of, phase, numbers)) if wasted and by.tiles else Fraction(1)
    once = by.fit(kind, phase).seconds(float(flops / runs * waste), float(bytes_ / runs))
    return Row(use.path, kind, phase, runs, flops, bytes_, float(runs) * once)


def moved_elements(use: Use, phase: Phase) -> Expr:
    """Elements that one run reads and writes, each once.

    Backward reads the result's gradient, what was kept and the parameters, and writes a gradient for each operand that
    needs one.
    """
    of = use.operation
    if phase == "forward":
        return of.elements_read + of.elements_written
    wanted = [each for each in of.sentence.operands if each.name not in of.constants]
    if not wanted:
        return Add()
    parameters = (each.count for each in of.parameters)
    kept = (size for _, size in of.saved)
    return Add(of.elements_written, *kept, *parameters, *(of.numel(each) for each in wanted))


def _at(model: Architecture, form: Expr, sizes: dict[str, int]) -> Fraction:
    found = model.at(Add(form), **sizes)
    return fraction(found)
