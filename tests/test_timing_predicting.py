"""A planted device is found again from its times, and predicts sizes that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from symflops.architectures import architecture
from symflops.networks import uses
from symflops.operations import Contraction
from symflops.timing.fitted import FitError
from symflops.timing.predicting import accuracy, calibrate, predict
from symflops.timing.samples import Phase, Record, Sample
from symflops.timing.tiles import Shape, Tiles, shapes

MODEL = architecture("gpt2")
LATENCY, PEAK, BANDWIDTH, CORE_PEAK = 4e-6, 6e14, 2.5e12, 3e14
TILES = Tiles(128, 256, 132)
UP = next(each.operation for each in uses(MODEL.network) if each.path == "Feedforward/up")
SMALL, LARGE = (8, 64, 256), (1024, 2048, 4096, 12288)


def samples(lengths: tuple[int, ...], tiles: Tiles | None, noise: float = 0.01) -> Iterator[Sample]:
    """A device with a known latency, peaks and bandwidth, and maybe tiles."""
    draw = np.random.default_rng(0)
    assert isinstance(UP, Contraction)
    for phase, times in (("forward", 1), ("backward", 2)):
        of: Phase = "forward" if phase == "forward" else "backward"
        for n in lengths:
            scatter = float(np.exp(noise * draw.normal()))
            for d in (768, 2048, 12288):
                axes = {axis: 1 for axis in UP.sizes} | {"seq": n, "d_in": d, "d_out": 4 * d}
                flops, moved = times * 8 * n * d * d, times * 2 * (5 * n * d + 4 * d * d)
                waste = float(tiles.waste(shapes(UP, of, axes))) if tiles else 1.0
                seconds = LATENCY + max(flops * waste / PEAK, moved / BANDWIDTH)
                yield Sample("Feedforward/up", "matmul", of, axes, flops, moved, (seconds * scatter,))
            flops = times * 4 * n * n * 768
            yield Sample(
                "Attention: Mask/core",
                "flash",
                of,
                {"n_seq": n},
                flops,
                8 * n,
                ((LATENCY + flops / CORE_PEAK) * scatter,),
            )
            moved = times * 4 * 768 * n
            yield Sample("act", "gelu", of, {"n_seq": n}, 0, moved, ((LATENCY + moved / BANDWIDTH) * scatter,))


def record(of: Iterator[Sample]) -> Record:
    return Record("planted", {}, "2026-01-31", "bf16", (), tuple(of))


def test_the_axes_that_the_samples_name_are_those_of_the_operation() -> None:
    assert {"seq", "d_in", "d_out"} <= set(UP.sizes)


def test_shapes_follow_from_axes_and_from_symbols() -> None:
    assert isinstance(UP, Contraction)
    by_symbol = {"n_batch": 2, "n_seq": 16, "d_model": 768, "d_ff": 3072}
    [forward] = shapes(UP, "forward", by_symbol)
    assert (forward.batch, forward.rows, forward.columns, forward.depth) == (1, 32, 3072, 768)
    assert shapes(UP, "backward", by_symbol) == (Shape(1, 32, 768, 3072), Shape(1, 768, 3072, 32))
    assert shapes(UP, "forward", {"n_batch": 2}) == ()


@pytest.mark.parametrize("tiles", [None, TILES])
def test_other_sizes_are_predicted(tiles: Tiles | None) -> None:
    found = calibrate(record(samples((*SMALL, *LARGE), tiles)), MODEL.network, processors=132)
    held_out = list(samples((16, 700, 3000, 9000), tiles, 0.0))
    assert (found.tiles is None) == (tiles is None)
    assert accuracy(held_out, found.seconds).median < 0.05
    assert accuracy(held_out, lambda sample: 2 * found.seconds(sample)).median > 0.9


def test_tiles_predict_what_a_fit_without_them_does_not() -> None:
    planted = record(samples((*SMALL, *LARGE), TILES))
    held_out = [each for each in samples((150, 300, 700, 1100), TILES, 0.0) if each.operation == "Feedforward/up"]
    with_tiles, without = (calibrate(planted, MODEL.network, given) for given in (132, None))
    assert accuracy(held_out, with_tiles.seconds).median < 0.5 * accuracy(held_out, without.seconds).median


def test_matmuls_that_tell_no_bandwidth_borrow_it() -> None:
    found = calibrate(record(samples((2048, 4096, 8192, 16384), None)), MODEL.network)
    assert [note.split(":")[0] for note in found.notes] == ["matmul, forward", "matmul, backward"]
    borrowed = found.fit("matmul", "forward")
    assert borrowed.peak is not None and borrowed.peak.holds(PEAK)
    assert borrowed.bandwidth == found.fit("moves", "forward").bandwidth


def test_a_network_takes_the_sum_of_its_operations() -> None:
    found = calibrate(record(samples((*SMALL, *LARGE), None, 0.0)), MODEL.network)
    said = predict(found, MODEL, n_batch=2, n_seq=1024)
    [up] = [row for row in said.rows if row.path == "Feedforward/up" and row.phase == "forward"]
    flops, moved = 2 * 2 * 1024 * 768 * 3072, 2 * (2 * 1024 * (768 + 3072) + 768 * 3072 + 3072)
    assert (up.flops, up.bytes, up.runs) == (12 * flops, 12 * moved, 12)
    assert up.seconds == pytest.approx(12 * (LATENCY + max(flops / PEAK, moved / BANDWIDTH)), rel=0.01)
    assert said.of("forward") + said.of("backward") == pytest.approx(said.step)
    assert 0 < 12 * said.layer < said.step


def test_what_was_not_timed_is_noted_and_refused() -> None:
    only = record(each for each in samples((*SMALL, *LARGE), None) if each.operation == "Feedforward/up")
    found = calibrate(only, MODEL.network)
    assert [note.split(":")[0] for note in found.notes] == [
        f"{kind}, {phase}" for kind in ("moves", "attention") for phase in ("forward", "backward")
    ]
    with pytest.raises(FitError, match="nothing of kind moves was timed; calibrated: matmul"):
        predict(found, MODEL, n_batch=1, n_seq=64)
    with pytest.raises(FitError, match="nothing in the record of planted can be fitted"):
        calibrate(record(iter(())), MODEL.network)
    with pytest.raises(FitError, match="no samples to judge"):
        accuracy([], found.seconds)


@pytest.mark.parametrize("rows", [1, 100, 128, 129, 5000])
def test_waste_is_what_a_count_of_tiles_says(rows: int) -> None:
    shape = Shape(3, rows, 700, 64)
    tiles = sum(1 for _ in range(3) for _ in range(0, rows, 128) for _ in range(0, 700, 256))
    slots = 0
    while slots < tiles:
        slots += 132
    assert TILES.waste([shape]) * 3 * rows * 700 == slots * 128 * 256
