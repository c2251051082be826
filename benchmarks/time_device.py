"""Kernels timed on a device, in one call: calibrate on one grid, judge the laws, and predict other shapes.

    python benchmarks/time_device.py --device cuda --dtype bf16 --grid gpu --out benchmarks/records
    python benchmarks/time_device.py --device cpu --dtype fp32 --grid cpu --out benchmarks/records

Writes ``NAME-DTYPE-grid.json`` and ``NAME-DTYPE-other.json``, records that `symflops.timing` reads, after each
operation, and at the end ``NAME-DTYPE.json`` and ``.png``, what they say: laws, fits, how far predictions are off
beside PyTorch's RuntimeEstimator and the rooflines, and what a layer and a step take. ``--judge`` reads the records
that are there and only says it again. Shapes that do not fit in memory are named in the notes and left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from symflops.architectures import Architecture, architecture
from symflops.cli.progress import stages
from symflops.errors import SymflopsError
from symflops.pictures import save
from symflops.timing.accuracy import summary
from symflops.timing.calibrating import calibrate
from symflops.timing.records import Record
from symflops.timing.rows import predictions, sheet
from symflops.timing_pictures import draw_timings
from symflops.tracing.timing.peers import asked
from symflops.tracing.timing.places import Place, place
from symflops.tracing.timing.points import Also, Often, Point, keys, nothing, part, timed
from symflops.tracing.timing.whole import updated, whole


@dataclass(frozen=True)
class Shape:
    """A model at sizes, and the batches and lengths that it reads; ``also`` is what else is timed."""

    model: str
    sizes: Mapping[str, int]
    n_batch: Sequence[int]
    n_seq: Sequence[int]
    also: Also = nothing
    operations: tuple[str, ...] = ()

    @property
    def points(self) -> list[Point]:
        """Each batch and length."""
        model: Architecture = architecture(self.model, "flash")
        changed = model.with_sizes(**self.sizes) if self.sizes else model
        return [Point(changed, *at, self.operations, self.also) for at in product(self.n_batch, self.n_seq)]


def _gpt2(width: int, words: int = 8192) -> dict[str, int]:
    return {"d_model": width, "n_head": width // 64, "d_ff": 4 * width, "n_vocab": words, "n_ctx": 8192}


def _llama(width: int, words: int = 8192) -> dict[str, int]:
    heads = {"n_head": width // 64, "n_kv_head": width // 256}
    return {"d_model": width, **heads, "d_head": 64, "d_ff": 7 * width // 2, "n_vocab": words}


def _updates(*widths: int) -> list[Shape]:
    """Models of which only the optimiser's step is asked for, and what moves least."""
    return [Shape("gpt2", _gpt2(width, 4096), [1], [16], updated, ("norm_final",)) for width in widths]


_TINY = {"n_vocab": 512, "n_head": 2}
GRIDS: Mapping[str, tuple[Sequence[Shape], Sequence[Shape]]] = {
    "gpu": (
        [
            *(Shape("gpt2", _gpt2(width), [1], [256, 1024, 4096]) for width in (512, 1024, 2048, 4096)),
            Shape("gpt2", _gpt2(1024), [4], [512, 1024, 2048, 4096, 8192]),
            Shape("gpt2", _gpt2(1024, 65536), [1], [1024, 4096], nothing, ("token", "logits")),
            *_updates(512, 1024, 1536, 2048),
            *(Shape("llama3-8b", _llama(width), [1], [256, 1024, 4096]) for width in (1024, 2048)),
        ],
        [
            Shape("gpt2", {}, [8], [1024], whole),
            Shape("gpt2-xl", {}, [2], [1024], whole),
            Shape("llama3.2-1b", {}, [1], [4096], whole),
            Shape("llama3-8b", {}, [1], [2048]),
            Shape("gpt2", {"d_model": 1600, "n_head": 25}, [3], [777]),
        ],
    ),
    "cpu": (
        [
            *(Shape("gpt2", _gpt2(width, 4096), [1], [64, 128, 256, 512, 1024]) for width in (256, 512, 1024)),
            Shape("gpt2", _gpt2(512, 4096), [4], [128, 512]),
            Shape("gpt2", _gpt2(256), [1], [2048, 4096], nothing, ("core",)),
            Shape("gpt2", _gpt2(512, 32768), [1], [64, 256], nothing, ("token", "logits")),
            *(Shape("llama3-8b", _llama(width, 4096), [1], [64, 256, 1024]) for width in (256, 512)),
            *_updates(128, 256, 512, 1024),
        ],
        [
            Shape("gpt2", {}, [1], [256], whole),
            Shape("gpt2", _gpt2(640, 10000), [2], [384]),
            Shape("llama3-8b", {**_llama(768, 8192), "n_layer": 6}, [1], [320], whole),
        ],
    ),
    "tiny": (
        [Shape("gpt2", {**_TINY, "d_model": width}, [1], [32, 64, 128, 256]) for width in (128, 256)],
        [Shape("gpt2", {**_TINY, "d_model": 192, "n_layer": 2}, [2], [96], whole)],
    ),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="fp32")
    options.add_argument("--grid", default="cpu", choices=sorted(GRIDS))
    options.add_argument("--repeat", type=int, default=3, help="runs of each kernel in a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--judge", action="store_true", help="time nothing: judge the records that are in --out")
    given = options.parse_args()
    try:
        where = place(given.device, given.dtype)
        name = f"{re.sub(r'[^a-z0-9]+', '-', where.name.lower()).strip('-')}-{given.dtype}"
        files = [given.out / f"{name}-{part}.json" for part in ("grid", "other")]
        if not given.judge:
            measure(GRIDS[given.grid], where, Often(given.repeat, given.rounds), files)
        text = judged(*map(Record.read, files), given.out / name)
    except SymflopsError as error:
        print(f"time_device: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def measure(parts: Sequence[Sequence[Shape]], where: Place, often: Often, files: Sequence[Path]) -> None:
    """One run of all shapes, so that what calibrates and what judges drift together; a record of each part."""
    points = [[point for shape in shapes for point in shape.points] for shapes in parts]
    wanted = [(file, keys(of)) for file, of in zip(files, points, strict=True)]

    def keep(record: Record) -> None:
        for file, own in wanted:
            part(record, own).write(file)

    with stages() as stage:
        timed([each for of in points for each in of], where, often, keep, stage, asked)


def judged(grid: Record, other: Record, name: Path) -> str:
    """What the records say, written beside them."""
    text = json.dumps(summary(grid, other), indent=1) + "\n"
    name.with_suffix(".json").write_text(text, encoding="utf-8")
    save(draw_timings(other, sheet(other), predictions(other, calibrate(grid))), name.with_suffix(".png"))
    return text


if __name__ == "__main__":
    sys.exit(main())
