"""The calibration of a device: fits of the samples of a record, by kernel and by kind.

Every kernel that was timed often enough has a fit of its own, forward and backward: matmuls latency, peak and
bandwidth, with what tiles and waves waste; attention's core latency and FLOPs; all else, which only moves, latency and
bytes. A kernel without one takes the fit of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

from symflops.timing.fitted import Fit, FitError
from symflops.timing.fitting import fit, fit_side, misfit
from symflops.timing.samples import PHASES, WHOLE, Phase, Record, Sample
from symflops.timing.tiles import Tiles

Kind = Literal["matmul", "attention", "moves"]
PROCESSORS = "processors"
"""What a record's versions call the number of processors of a device that computes in tiles."""
_SIDES = (64, 128, 256)
_BETTER = 0.9
"""Tiles are taken where they leave at most this share of the error."""


@dataclass(frozen=True)
class Calibration:
    """Fits by phase and by kernel or kind, of one device at one number format; ``tiles`` where they explain matmuls.

    ``notes`` say what the samples did not settle.
    """

    device: str
    dtype: str
    fits: Mapping[tuple[str, Phase], Fit]
    tiles: Tiles | None = None
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

    def seconds(self, sample: Sample) -> float:
        """The predicted time of what a sample ran."""
        flops = sample.flops * float(_waste(sample, self.tiles))
        return self.fit(sample.kernel, kind_of(sample), sample.phase).seconds(flops, sample.bytes)


def calibrate(record: Record) -> Calibration:
    """The fits of a record. What the samples of a kind do not settle is noted and left out.

    Where the record says how many processors a device has, tiles are fitted too. Matmuls that tell no bandwidth borrow
    that of what only moves. Raises `FitError` where nothing is left.
    """
    single = [each for each in record.samples if each.operation not in WHOLE and (each.flops or each.bytes)]
    tiles = _tiles(single, record.versions.get(PROCESSORS))
    kinds = {each.kernel: kind_of(each) for each in single}
    bare = Calibration(record.device, record.dtype, {}, tiles, (), kinds)
    found = _fitted(bare, [replace(each, flops=round(each.flops * _waste(each, tiles))) for each in single])
    if not found.fits:
        said = "; ".join(found.notes) or "no samples"
        raise FitError(f"nothing in the record of {record.device} can be fitted: {said}")
    return found


def kind_of(sample: Sample) -> Kind:
    """What kind of kernel a sample ran: one without FLOPs moves; one that is no matrix product is attention."""
    if sample.products:
        return "matmul"
    return "attention" if sample.flops else "moves"


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


_WAYS: Mapping[Kind, Callable[[Iterable[Sample]], Fit]] = {
    "moves": lambda samples: fit_side(samples, "bytes"),
    "attention": lambda samples: fit_side(samples, "flops"),
    "matmul": fit,
}
"""How each kind is fitted; what others borrow from comes first."""


def _tiles(samples: Iterable[Sample], processors: str | None) -> Tiles | None:
    """The tiles that leave the least misfit of forward matmuls, unless it is about as much without any."""
    if processors is None:
        return None
    of = [each for each in samples if each.phase == "forward" and kind_of(each) == "matmul"]
    left: dict[Tiles | None, float] = {}
    for tiles in [None, *(Tiles(*sides, int(processors)) for sides in product(_SIDES, _SIDES))]:
        with suppress(FitError):
            left[tiles] = misfit([replace(each, flops=round(each.flops * _waste(each, tiles))) for each in of])
    best = min(left, key=lambda tiles: left[tiles], default=None)
    return best if None not in left or left[best] < _BETTER * left[None] else None


def _waste(sample: Sample, tiles: Tiles | None) -> float:
    return 1.0 if tiles is None else float(tiles.waste(sample.products))
