"""The calibration of a device: fits of the samples of a record, by kernel and by kind.

Every kernel that was timed often enough has a fit of its own, forward and backward: matmuls and attention latency, peak
and bandwidth, with what tiles, waves and blocks on the diagonal waste; all else, which only moves, latency and bytes. A
kernel without one takes the fit of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from typing import Literal

from symflops.timing.fitted import Fit, FitError
from symflops.timing.fitting import fit, fit_constant, fit_side, fit_sum, misfit
from symflops.timing.recognised import CAUSAL
from symflops.timing.records import Record
from symflops.timing.samples import LAYER, MODEL, PHASES, Phase, Sample
from symflops.timing.tiles import Blocks, Tiles

Kind = Literal["matmul", "attention", "moves"]
PROCESSORS = "processors"
"""What a record's versions call the number of processors of a device that computes in tiles."""
_SIDES, _BLOCKS = (64, 128, 256), (64, 128, 256, 512)
_BETTER = 0.9
"""Tiles or blocks are taken where they leave at most this share of the error."""


@dataclass(frozen=True)
class Waste:
    """What kernels compute beyond their closed form: ``tiles`` of matmuls, ``blocks`` of causal attention, or None."""

    tiles: Tiles | None = None
    blocks: Blocks | None = None

    def widened(self, sample: Sample) -> Sample:
        """A sample with the FLOPs that are computed."""
        return replace(sample, flops=round(sample.flops * self._of(sample)))

    def _of(self, sample: Sample) -> Fraction:
        if sample.is_core:
            skips = sample.kernel.endswith(CAUSAL)
            return self.blocks.waste(sample.products) if self.blocks and skips else Fraction(1)
        return Fraction(1) if self.tiles is None else self.tiles.waste(sample.products)


@dataclass(frozen=True)
class Calibration:
    """Fits by phase and by kernel or kind, of one device at one number format.

    ``waste`` is what they compute beyond their closed form. ``notes`` say what the samples did not settle.
    """

    device: str
    dtype: str
    fits: Mapping[tuple[str, Phase], Fit]
    waste: Waste = field(default_factory=Waste)
    notes: tuple[str, ...] = ()
    kernels: Mapping[str, Kind] = field(default_factory=dict)

    def fit(self, kernel: str, kind: Kind, phase: Phase) -> Fit:
        """The fit of a kernel, else of its kind; of a backward pass that was not timed, the forward's.

        Raises `FitError` where there is none.
        """
        for key in product((kernel, kind), dict.fromkeys((phase, PHASES[0]))):
            if key in self.fits:
                return self.fits[key]
        known = ", ".join(sorted({*self.kernels.values()}))
        raise FitError(f"{self.device}: nothing of kind {kind} was timed; calibrated: {known}")

    def need(self, device: str, dtype: str) -> None:
        """Raises `FitError` for another device or format than it is of."""
        if (device, dtype) != (self.device, self.dtype):
            given = f"the calibration is of {self.device}, {self.dtype}, and what is timed of {device}, {dtype}"
            raise FitError(f"{given}; calibrate by a record of the same")

    def seconds(self, sample: Sample) -> float:
        """The predicted time of what a sample ran."""
        wide = self.waste.widened(sample)
        return self.fit(sample.kernel, kind_of(sample), sample.phase).seconds(wide.flops, wide.bytes)


def calibrate(record: Record) -> Calibration:
    """The fits of a record. What the samples of a kind do not settle is noted and left out.

    Where the record says how many processors a device has, tiles are fitted too. Matmuls that tell no bandwidth borrow
    that of what only moves. Raises `FitError` where nothing is left.
    """
    parts = [each for each in record.samples if each.operation not in (LAYER, MODEL) and (each.flops or each.bytes)]
    single = [replace(each, kernel=each.of_model[1]) for each in parts]
    waste = _waste(single, record.versions.get(PROCESSORS))
    kinds = {each.kernel: kind_of(each) for each in single}
    found = _fitted(Calibration(record.device, record.dtype, {}, waste, (), kinds), list(map(waste.widened, single)))
    if not found.fits:
        said = "; ".join(found.notes) or "no samples"
        raise FitError(f"nothing in the record of {record.device} can be fitted: {said}")
    return found


def kind_of(sample: Sample) -> Kind:
    """What kind of kernel a sample ran: a whole core is attention, and one without FLOPs moves."""
    if sample.is_core:
        return "attention"
    return "matmul" if sample.flops else "moves"


def _fitted(bare: Calibration, samples: Sequence[Sample]) -> Calibration:
    fits: dict[tuple[str, Phase], Fit] = {}
    notes = []
    for (kind, way), phase in product(_WAYS.items(), PHASES):
        of_kind = [each for each in samples if each.phase == phase and bare.kernels[each.kernel] == kind]
        try:
            fits[kind, phase] = way(of_kind)
        except FitError as error:
            notes.append(f"{kind}, {phase}: {error}")
            fits |= _borrowed(of_kind, phase, fits.get(("moves", phase))) if kind == "matmul" else {}
        fits |= {(kernel, phase): own for kernel, own in _by_kernel(of_kind, way)}
    return replace(bare, fits=fits, notes=tuple(notes))


def _by_kernel(samples: Sequence[Sample], way: Callable[[Iterable[Sample]], Fit]) -> Iterator[tuple[str, Fit]]:
    """The kernels whose samples settle a fit of their own."""
    for kernel in dict.fromkeys(each.kernel for each in samples):
        with suppress(FitError):
            yield kernel, way([each for each in samples if each.kernel == kernel])


def _borrowed(samples: Sequence[Sample], phase: Phase, moves: Fit | None) -> dict[tuple[str, Phase], Fit]:
    """Of matmuls that do not tell a bandwidth: their own latency and peak, with the bandwidth of what only moves."""
    if moves is None:
        return {}
    with suppress(FitError):
        return {("matmul", phase): replace(fit_side(samples, "flops"), bandwidth=moves.bandwidth)}
    return {}


def _first(*ways: Callable[[Iterable[Sample]], Fit]) -> Callable[[Iterable[Sample]], Fit]:
    """The first way that samples settle. What the first says is raised where none does."""

    def way(samples: Iterable[Sample]) -> Fit:
        given, refused = list(samples), []
        for each in ways:
            try:
                return each(given)
            except FitError as error:
                refused.append(error)
        raise refused[0]

    return way


def _closer(samples: Iterable[Sample]) -> Fit:
    """Of both ways to join computing and moving the one with less error. Raises `FitError` where neither is settled."""
    given, found = list(samples), []
    for way in (fit, fit_sum):
        with suppress(FitError):
            found.append(way(given))
    return min(found, key=lambda each: each.error) if found else fit(given)


_WAYS: Mapping[Kind, Callable[[Iterable[Sample]], Fit]] = {
    "moves": _first(lambda samples: fit_side(samples, "bytes"), fit_constant),
    "attention": _first(_closer, lambda samples: fit_side(samples, "flops")),
    "matmul": _closer,
}
"""How each kind is fitted; what others borrow from comes first."""


def _waste(samples: Sequence[Sample], processors: str | None) -> Waste:
    """What explains forward matmuls, and cores, better than nothing: tiles need a number of processors."""
    forward = [each for each in samples if each.phase == "forward"]
    matmuls = [each for each in forward if kind_of(each) == "matmul"]
    cores = [each for each in forward if each.is_core and each.kernel.endswith(CAUSAL)]
    sides = product(_SIDES, _SIDES) if processors else ()
    tiles = (Waste(tiles=Tiles(*each, int(processors or 0))) for each in sides)
    blocks = (Waste(blocks=Blocks(each)) for each in _BLOCKS)
    return Waste(_better(matmuls, tiles).tiles, _better(cores, blocks).blocks)


def _better(samples: Sequence[Sample], ways: Iterable[Waste]) -> Waste:
    """Of some ways to waste the one that leaves the least misfit, unless it is about as much without any."""
    left: dict[Waste, float] = {}
    for waste in (Waste(), *ways):
        with suppress(FitError):
            left[waste] = misfit(map(waste.widened, samples))
    best = min(left, key=lambda waste: left[waste], default=Waste())
    return best if left and left[best] < _BETTER * left[Waste()] else Waste()
