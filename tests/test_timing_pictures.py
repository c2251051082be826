"""What the pictures of a record show is what its samples say, worked out here by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from symflops.errors import SymflopsError
from symflops.timing.records import Record
from symflops.timing.roof import Roof
from symflops.timing.samples import COPY, LAYER, MODEL, OPTIMIZER, Phase, Sample

pytest.importorskip("matplotlib")
from symflops.pictures import save
from symflops.timing_pictures import KINDS, draw_timings

Points = tuple[Any, Any]


def sample(operation: str, phase: Phase, flops: int, moved: int, seconds: float) -> Sample:
    """Three runs whose median, unlike their mean, is ``seconds``."""
    return Sample(operation, "mm", phase, {"n": 1}, flops, moved, (seconds, seconds / 2, 4 * seconds))


COPIED = sample(COPY, "forward", 0, 8000, 2e-3)
STEPPED = sample(OPTIMIZER, "forward", 0, 100, 2e-3)
TINY = Record(
    "A device",
    {},
    "2026-01-31T10:00:00+00:00",
    "bf16",
    (),
    (
        sample("Feedforward/up", "forward", 4000, 40, 1e-3),
        sample("Feedforward/up", "backward", 8000, 50, 4e-3),
        sample("Attention: Mask/core", "forward", 600, 20, 1e-3),
        sample("Attention: Mask/core", "backward", 1500, 30, 3e-3),
        sample(LAYER, "forward", 9000, 60, 6e-3),
        sample(MODEL, "backward", 30000, 100, 1e-2),
        COPIED,
        STEPPED,
    ),
)
REACHED: dict[str, Points] = {
    "matmul forward": ([100], [4e6]),
    "matmul backward": ([160], [2e6]),
    "attention forward": ([30], [6e5]),
    "attention backward": ([50], [5e5]),
    "layer or whole model": ([150, 300], [1.5e6, 3e6]),
}
"""FLOPs over bytes, and FLOPs over the median run."""
MEASURED = [1e-3, 4e-3, 1e-3, 3e-3]
"""Of kernels: what predicts those does not predict modules."""
SHEET = Roof(8e6, 5e6)


def times(*factors: float) -> Callable[[Sample], float | None]:
    """Predictions so many times what was measured, for the samples with FLOPs in their order; none for others."""
    by = dict(zip((each.key for each in TINY.samples), factors, strict=False))
    return lambda sample: by[sample.key] * sample.median if sample.key in by else None


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label().partition(":")[0]: line for line in axes.get_lines()}


def points(line: Any) -> Points:
    return [float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def refused(*given: Any) -> str:
    with pytest.raises(SymflopsError) as found:
        draw_timings(*given)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_each_kind_of_sample_stands_where_it_was_timed() -> None:
    [axes] = draw_timings(TINY).axes
    drawn = {name: line for name, line in lines(axes).items() if name != "best of this record"}
    assert drawn.keys() == REACHED.keys()
    for name, (across, up) in REACHED.items():
        assert points(drawn[name]) == (pytest.approx(across), pytest.approx(up))
    assert len({(line.get_color(), line.get_marker()) for line in drawn.values()}) == len(drawn) == len(KINDS)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_the_roofs_are_those_of_the_record_and_of_the_data_sheet() -> None:
    """The best matmul does 4e6 FLOP/s, the copy moves 4e6 bytes a second: they meet at 1, the sheet's at 1.6."""
    axes = draw_timings(TINY, SHEET).axes[0]
    measured, sheet = lines(axes)["best of this record"], lines(axes)["data sheet"]
    assert points(measured) == (pytest.approx([0.5, 1, 600]), pytest.approx([2e6, 4e6, 4e6]))
    assert points(sheet) == (pytest.approx([0.5, 1.6, 600]), pytest.approx([2.5e6, 8e6, 8e6]))
    assert (measured.get_linestyle(), sheet.get_linestyle()) == ("-", "--")
    assert legend(axes)[:2] == ["best of this record: 4 MFLOP/s, 4 MB/s", "data sheet: 8 MFLOP/s, 5 MB/s"]
    assert "data sheet" not in lines(draw_timings(TINY).axes[0])


def test_predictions_stand_beside_what_was_measured() -> None:
    """Off by 0, 2, 4 and 8 %: half of the sum of 2 and 4 is the median. The other is off by half, always."""
    off = (1.0, 0.98, 1.04, 0.92, 1.2, 1.5)
    axes = draw_timings(TINY, SHEET, {"calibrated": times(*off), "halved": times(*[0.5] * 6)}).axes[1]
    across, up = points(lines(axes)["calibrated"])
    assert across == pytest.approx(MEASURED)
    assert up == pytest.approx([1e-3, 3.92e-3, 1.04e-3, 2.76e-3])
    assert points(lines(axes)["halved"]) == (pytest.approx(MEASURED), pytest.approx([at / 2 for at in MEASURED]))
    said = ["calibrated: median error 3%", "halved: median error 50%", "as measured", "within ±10%"]
    assert legend(axes) == said
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log") and axes.get_xlim() == axes.get_ylim()


def test_the_band_is_a_tenth_to_either_side_of_the_diagonal() -> None:
    axes: Any = draw_timings(TINY, None, {"calibrated": times(*[1.0] * 6)}).axes[1]
    across, up = points(lines(axes)["as measured"])
    assert across == up == [pytest.approx(1e-3 / 1.5), pytest.approx(6e-3)]
    [band] = axes.collections
    corners = {(round(float(x / across[1]), 9), round(float(y / x), 9)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(round(x / across[1], 9), share) for x in across for share in (0.9, 1.1)}


def test_many_series_are_told_apart() -> None:
    many = {f"law {number}": times(*[1 + number / 100] * 6) for number in range(12)}
    drawn = lines(draw_timings(TINY, None, many).axes[1])
    assert len({(drawn[name].get_color(), drawn[name].get_marker()) for name in many}) == 12


def test_a_legend_names_only_what_is_drawn() -> None:
    [axes] = draw_timings(replace(TINY, samples=(*TINY.samples[:1], COPIED))).axes
    assert legend(axes) == ["best of this record: 4 MFLOP/s, 4 MB/s", "matmul forward"]


def test_the_title_says_what_was_timed_and_when() -> None:
    figure = draw_timings(replace(TINY, device="A $device$ of $1"))
    assert figure.get_suptitle() == "Timed on A $device$ of $1, bf16, 2026-01-31"
    assert figure.get_supxlabel() == "medians; under the roofline those with FLOPs: 6 of 8 in the record"


@pytest.mark.parametrize("factor", [1.1, 2.5, 0.1, 1e-3, 1e-12])
@pytest.mark.parametrize("count", [1, 6])
def test_nothing_is_written_over_the_points_or_out_of_the_picture(count: int, factor: float) -> None:
    """Names hold what would be a wrong formula, were it read as one."""
    named = {name: times(*[factor] * 6) for name in ("calibrated", "data-sheet roofline", r"$\x$")}
    record = replace(TINY, device=r"A device with a long name, $\x$, " * 3, samples=TINY.samples[:count])
    figure: Any = draw_timings(record, SHEET, named)
    figure.draw_without_rendering()
    for axes in figure.axes:
        box, below = axes.get_window_extent(), axes.get_legend().get_window_extent()
        assert below.y1 < box.y0 and not below.overlaps(axes.xaxis.label.get_window_extent())
        assert figure.bbox.x0 <= below.x0 and below.x1 <= figure.bbox.x1 and below.y0 >= figure.bbox.y0
        for axis, low, high in ((axes.xaxis, box.x0, box.x1), (axes.yaxis, box.y0, box.y1)):
            boxes = [text.get_window_extent() for text in axis.get_ticklabels() if text.get_text()]
            middles = [(each.x0 + each.x1, each.y0 + each.y1)[axis is axes.yaxis] / 2 for each in boxes]
            assert sum(low - 1 <= at <= high + 1 for at in middles) > 1
            assert not any(one.overlaps(two) for one, two in pairwise(boxes))


@pytest.mark.parametrize("kept", [(), (COPIED, STEPPED)], ids=["no samples", "none with FLOPs"])
def test_a_record_without_flops_is_refused(kept: tuple[Sample, ...]) -> None:
    said = refused(replace(TINY, samples=kept), SHEET, {"calibrated": lambda _: 1.0})
    assert said.startswith(f"none of the {len(kept)} samples of A device has FLOPs and bytes")


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("inf"), float("nan")])
def test_what_no_log_axis_has_is_refused(wrong: float) -> None:
    given = {"right": times(*[1.0] * 6), "wrong": times(1.0, 1.0, wrong, 1.0, 1.0, 1.0)}
    assert f"wrong predicts {wrong * 1e-3:g} seconds for Attention: Mask/core, mm" in refused(TINY, None, given)
    assert f"a data sheet of {wrong:g} FLOP/s" in refused(TINY, Roof(wrong, 1e6))
    assert "cannot be drawn" in refused(TINY, Roof(1e6, wrong))


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    figure = draw_timings(TINY, SHEET, {"calibrated": times(*[1.0] * 6)})
    save(figure, tmp_path / "timed.png")
    save(figure, tmp_path / "timed.svg")
    assert (tmp_path / "timed.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "calibrated: median error 0%" in (tmp_path / "timed.svg").read_text(encoding="utf-8")
