"""A planted device is found again from its times, and predicts sizes that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sympy import S

from symflops.architectures import architecture
from symflops.conventions import EXACT
from symflops.operations import Contraction
from symflops.timing.calibrating import Waste, calibrate
from symflops.timing.fitted import FitError
from symflops.timing.predicting import accuracy, predict
from symflops.timing.records import Record
from symflops.timing.samples import PHASES, Product, Sample
from symflops.timing.tasks import tasks
from symflops.timing.tiles import Blocks, Tiles, products

MODEL = architecture("gpt2", "flash")
LATENCY, PEAK, BANDWIDTH, CORE_PEAK = 4e-6, 6e14, 2.5e12, 3e14
TILES = Tiles(128, 256, 132)
SMALL, LARGE = (8, 64, 256), (1024, 2048, 4096, 12288)


def samples(lengths: tuple[int, ...], tiles: Tiles | None, noise: float = 0.01) -> Iterator[Sample]:
    """A device with a known latency, peaks and bandwidth, and maybe tiles."""
    draw = np.random.default_rng(0)
    for phase, times in zip(PHASES, (1, 2), strict=True):
        for n in lengths:
            scatter, sizes = float(np.exp(noise * draw.normal())), {"n_seq": n}
            for d in (768, 2048, 12288):
                made = up(n, d) if phase == "forward" else (Product(1, n, d, 4 * d), Product(1, d, 4 * d, n))
                flops, moved = times * 8 * n * d * d, times * 2 * (5 * n * d + 4 * d * d)
                waste = float(tiles.waste(made)) if tiles else 1.0
                seconds = LATENCY + max(flops * waste / PEAK, moved / BANDWIDTH)
                wide = {**sizes, "d_model": d, "d_ff": 4 * d}
                yield Sample("Feedforward/up", "addmm", phase, wide, flops, moved, (seconds * scatter,), made)
            flops = times * 2 * n * n * 768
            core = (LATENCY + flops / CORE_PEAK) * scatter
            yield Sample(
                "Attention: Mask/core", "flash causal", phase, sizes, flops, 8 * n, (core,), (Product(12, n, n, 64),)
            )
            moved = times * 4 * 768 * n
            seconds = (LATENCY + moved / BANDWIDTH) * scatter
            yield Sample("act", "gelu", phase, sizes, 0, moved, (seconds,))


def up(n: int, d: int) -> tuple[Product, ...]:
    return (Product(1, n, 4 * d, d),)


def record(of: Iterator[Sample], **versions: str) -> Record:
    return Record("planted", versions, "2026-01-31", "bf16", (), tuple(of))


def test_the_products_of_a_task_are_those_of_its_operands() -> None:
    [task] = [each for each in tasks(MODEL, 2, 16) if each.path == "Feedforward/up"]
    assert isinstance(task.operation, Contraction)
    assert task.products("forward") == products(task.operation, "forward") == (Product(1, 32, 3072, 768),)
    assert task.products("backward") == (Product(1, 32, 768, 3072), Product(1, 768, 3072, 32))
    assert all(2 * each.batch * each.rows * each.columns * each.depth * len(task.products(phase)) == task.flops(phase)
               for phase in PHASES for each in task.products(phase))  # fmt: skip
    of_cores = [each.products(phase) for each in tasks(MODEL, 2, 16) for phase in PHASES if each.is_core]
    assert of_cores == [(Product(24, 16, 16, 64),)] * 2


@pytest.mark.parametrize("name", ["gpt2", "llama3-8b", "gemma2-2b", "mixtral-8x7b", "deepseek-v3"])
def test_the_closed_form_of_a_task_is_its_flops(name: str) -> None:
    """Those of experts together, of windows, and of scores that nothing computes again, too."""
    model = architecture(name, "flash")
    for task in tasks(model, 1, 256):
        for phase in filter(task.has, PHASES):
            assert model.at(S.Zero + task.form(phase), n_batch=1, n_seq=256) == task.flops(phase), (task.path, phase)


@pytest.mark.parametrize("layers", [1, 2, 12])
def test_a_layer_is_what_one_more_layer_adds(layers: int) -> None:
    one, two = (MODEL.with_sizes(n_layer=number) for number in (layers, layers + 1))
    shares = sum(task.share(layers) * task.work("forward", EXACT) for task in tasks(one, 1, 64))
    assert shares == two.flops(1, 64, EXACT).expr - one.flops(1, 64, EXACT).expr
    found = calibrate(record(samples((*SMALL, *LARGE), None, 0.0)))
    less, more = (predict(found, each, 1, 64) for each in (one, two))
    assert less.layer("forward") == pytest.approx(more.of("forward") - less.of("forward"))


def test_cores_that_compute_whole_blocks_are_told_by_their_times() -> None:
    """Of a length that is one block, all pairs are computed; of long ones, those below the diagonal."""
    for side in (128, 512):
        blocks = Blocks(side)
        cores = []
        for n in (64, 128, 256, 512, 1024, 2048, 4096, 8192):
            [flops, made] = [4 * 64 * 12 * n * (n + 1) // 2, (Product(12, n, n, 64),)]
            pairs = sum(min(side, n - at) * min(n, at + side) for at in range(0, n, side))
            seconds = LATENCY + 4 * 64 * 12 * pairs / CORE_PEAK
            cores.append(Sample("core", "flash causal", "forward", {"n_seq": n}, flops, 8 * n, (seconds,), made))
            assert float(blocks.waste(made)) == pytest.approx(2 * pairs / (n * (n + 1)))
        found = calibrate(record(iter(cores)))
        assert found.waste == Waste(blocks=blocks)
        assert accuracy(cores, found.seconds).worst < 0.02


@pytest.mark.parametrize("tiles", [None, TILES])
def test_other_sizes_are_predicted(tiles: Tiles | None) -> None:
    found = calibrate(record(samples((*SMALL, *LARGE), tiles), processors="132"))
    held_out = list(samples((16, 700, 3000, 9000), tiles, 0.0))
    assert (found.waste.tiles is None) == (tiles is None)
    assert accuracy(held_out, found.seconds).median < 0.05
    assert accuracy(held_out, lambda sample: 2 * found.seconds(sample)).median > 0.9


def test_tiles_predict_what_a_fit_without_them_does_not() -> None:
    planted = [record(samples((*SMALL, *LARGE), TILES), **said) for said in ({"processors": "132"}, {})]
    held_out = [each for each in samples((150, 300, 700, 1100), TILES, 0.0) if each.operation == "Feedforward/up"]
    with_tiles, without = map(calibrate, planted)
    assert accuracy(held_out, with_tiles.seconds).median < 0.5 * accuracy(held_out, without.seconds).median


def test_matmuls_that_tell_no_bandwidth_borrow_it() -> None:
    found = calibrate(record(samples((2048, 4096, 8192, 16384), None)))
    assert [note.split(":")[0] for note in found.notes] == ["matmul, forward", "matmul, backward"]
    borrowed = found.fit("addmm", "matmul", "forward")
    assert borrowed.peak is not None and borrowed.peak.holds(PEAK)
    assert borrowed.bandwidth == found.fit("gelu", "moves", "forward").bandwidth


def test_a_network_takes_the_sum_of_its_operations() -> None:
    found = calibrate(record(samples((*SMALL, *LARGE), None, 0.0)))
    said = predict(found, MODEL, n_batch=2, n_seq=1024)
    [up] = [row for row in said.rows if row.path == "Feedforward/up" and row.phase == "forward"]
    flops, moved = 2 * 2 * 1024 * 768 * 3072, 2 * (2 * 1024 * (768 + 3072) + 768 * 3072 + 3072)
    assert (up.flops, up.bytes, up.runs, up.kernel) == (flops, moved, 12, "addmm")
    assert up.seconds == pytest.approx(LATENCY + max(flops / PEAK, moved / BANDWIDTH), rel=0.01)
    assert said.of("forward") + said.of("backward") + said.optimizer.seconds == pytest.approx(said.step)
    assert said.optimizer.seconds == pytest.approx(LATENCY + 7 * 2 * MODEL.params() / BANDWIDTH, rel=0.01)
    assert 0 < 12 * said.layer("forward") < said.of("forward")


def test_a_kernel_with_samples_enough_has_a_fit_of_its_own() -> None:
    slow = (replace(each, kernel="layer_norm", seconds=tuple(10 * one for one in each.seconds))
            for each in samples((*SMALL, *LARGE), None) if each.kernel == "gelu")  # fmt: skip
    found = calibrate(record(iter((*samples((*SMALL, *LARGE), None), *slow))))
    bandwidths = {name: found.fit(name, "moves", "forward").bandwidth for name in ("gelu", "layer_norm", "silu")}
    fast, tenth, pooled = (each.value if each else 0 for each in bandwidths.values())
    assert fast == pytest.approx(10 * tenth, rel=0.05) and tenth < pooled < fast


def test_what_was_not_timed_is_noted_and_refused() -> None:
    only = record(each for each in samples((*SMALL, *LARGE), None) if each.operation == "Feedforward/up")
    found = calibrate(only)
    assert [note.split(":")[0] for note in found.notes] == [
        f"{kind}, {phase}" for kind in ("moves", "attention") for phase in ("forward", "backward")
    ]
    with pytest.raises(FitError, match="nothing of kind moves was timed; calibrated: matmul"):
        predict(found, MODEL, n_batch=1, n_seq=64)
    with pytest.raises(FitError, match="nothing in the record of planted can be fitted"):
        calibrate(record(iter(())))
    with pytest.raises(FitError, match="no samples to judge"):
        accuracy([], found.seconds)


@pytest.mark.parametrize("rows", [1, 100, 128, 129, 5000])
def test_waste_is_what_a_count_of_tiles_says(rows: int) -> None:
    shape = Product(3, rows, 700, 64)
    tiles = sum(1 for _ in range(3) for _ in range(0, rows, 128) for _ in range(0, 700, 256))
    slots = 0
    while slots < tiles:
        slots += 132
    assert TILES.waste([shape]) * 3 * rows * 700 == slots * 128 * 256
