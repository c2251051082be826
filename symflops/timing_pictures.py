"""Pictures of a record of timings: its samples under the roofline, and predicted times against measured ones.

A sample stands in both where its closed form has FLOPs and bytes; one that only moves has no place under a roofline.

>>> from symflops.timing.records import Record
>>> from symflops.timing.samples import Sample
>>> sample = Sample("up", "mm", "forward", {"n_seq": 1024}, 6 * 10**9, 6 * 10**6, (1e-5, 1e-5))
>>> record = Record("H100", {}, "2026-01-31", "bf16", (), (sample,))
>>> figure = draw_timings(record, predicted={"doubled": lambda sample: 2 * sample.median})
>>> [axes.get_xlabel() for axes in figure.axes]
['FLOP for each byte', 'measured seconds']
>>> [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
['doubled: median error 100%', 'as measured', 'within ±10%']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import inf, isfinite, log10
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING

from symflops.errors import SymflopsError
from symflops.pictures import need_matplotlib
from symflops.timing.laws import ceilings
from symflops.timing.predicting import accuracy
from symflops.timing.records import Record
from symflops.timing.roof import Roof
from symflops.timing.rows import Predict
from symflops.timing.samples import WHOLE, Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Predicted = Mapping[str, Predict]
"""Seconds of a sample, by the name of what predicts them."""
MODULES = "layer or whole model"


@dataclass(frozen=True)
class Style:
    """Colour and marker of points, and the colour ``inside`` the marker: open ones hide nothing that lies below."""

    colour: str
    marker: str
    inside: str


# Colours of Okabe and Ito, which colour-blind readers tell apart; markers tell them apart in grey.
KINDS: Mapping[str, Style] = MappingProxyType(
    {
        "matmul forward": Style("#0072B2", "o", "#0072B2"),
        "matmul backward": Style("#0072B2", "s", "none"),
        "attention forward": Style("#D55E00", "^", "#D55E00"),
        "attention backward": Style("#D55E00", "v", "none"),
        MODULES: Style("#000000", "D", "none"),
    }
)
"""How each kind of sample is drawn: forward is filled, backward open."""
BAND = 0.1
"""Predictions that are off by no more than this share lie in the grey band."""
_WIDTH, _HEIGHT, _TITLE, _WRAP = 5.6, 5.8, 48, 64
_GREY, _PALE = "#595959", "#D4D4D4"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "^", "s", "v", "D")
_LABELLED = (
    (0.5, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)),
    (1.0, (1.0, 2.0, 3.0, 5.0, 7.0)),
    (2.5, (1.0, 2.0, 5.0)),
    (inf, (1.0,)),
)
"""Axes of fewer decades than this are labelled at these multiples of each."""


@dataclass(frozen=True)
class Series:
    """Seconds of kernels that were ``measured`` and predicted, and the median of |predicted / measured - 1|."""

    measured: tuple[float, ...]
    seconds: tuple[float, ...]
    error: float


def draw_timings(record: Record, sheet: Roof | None = None, predicted: Predicted = MappingProxyType({})) -> Figure:
    """A figure of FLOP/s reached under the best of the record and a data sheet's, and of seconds predicted.

    Raises `SymflopsError` for a record without a sample that has FLOPs and bytes, for rates or predictions that are not
    above 0 and finite, and without matplotlib.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    shown, roofs = _drawn(record), _roofs(record, sheet)
    series = {name: each for name, by in predicted.items() if (each := _series(record.kernels, name, by)) is not None}
    panels = 2 if series else 1
    figure = Figure(figsize=(_WIDTH * panels, _HEIGHT), layout="constrained")
    left, *right = figure.subplots(1, panels, squeeze=False, gridspec_kw={"wspace": 0.08})[0]
    _roofline(left, shown, roofs)
    for axes in right:
        _errors(axes, series)
    _titled(figure, record, len(shown), _TITLE * panels)
    return figure


def kind(sample: Sample) -> str:
    """What a sample is drawn as: a matmul or an attention core, with its phase, or a module with all its kernels.

    >>> kind(Sample("Attention: Mask/core", "flash", "backward", {}, 1, 1, (1e-5,)))
    'attention backward'
    """
    if sample.operation in WHOLE:
        return MODULES
    return f"{'attention' if sample.is_core else 'matmul'} {sample.phase}"


def _titled(figure: Figure, record: Record, shown: int, width: int) -> None:
    """What was timed and when above, and below how many of the samples are drawn."""
    title = f"Timed on {record.device}, {record.dtype}, {record.date.partition('T')[0]}"
    figure.suptitle(fill(title, width), x=0.01, ha="left", fontweight="bold", parse_math=False)
    said = f"medians; under the roofline those with FLOPs: {shown} of {len(record.samples)} in the record"
    figure.supxlabel(said, fontsize="small", color=_GREY)


def _drawn(record: Record) -> tuple[Sample, ...]:
    shown = tuple(each for each in record.samples if each.flops and each.bytes)
    if not shown:
        given = f"none of the {len(record.samples)} samples of {record.device} has FLOPs and bytes"
        raise SymflopsError(f"{given}; a picture of timings needs one that has: time a matmul or an attention core")
    return shown


def _roofs(record: Record, sheet: Roof | None) -> dict[str, Roof]:
    """The roofs by how their lines are dashed."""
    if sheet is None:
        return {"solid": ceilings(record)}
    if not all(isfinite(rate) and rate > 0 for rate in (sheet.peak, sheet.bandwidth)):
        given = f"a data sheet of {sheet.peak:g} FLOP/s and {sheet.bandwidth:g} bytes/s"
        raise SymflopsError(f"{given} cannot be drawn; give a Roof of two rates above 0 and finite, or none")
    return {"solid": ceilings(record), "dashed": sheet}


def _series(samples: Sequence[Sample], name: str, by: Predict) -> Series | None:
    """What is predicted of the samples that there is a figure for; nothing where there is none."""
    known = [(sample, seconds) for sample in samples if (seconds := by(sample)) is not None]
    for sample, seconds in known:
        if not (isfinite(seconds) and seconds > 0):
            given = f"{name} predicts {seconds:g} seconds for {sample.operation}, {sample.kernel}, {sample.phase}"
            raise SymflopsError(f"{given}; a prediction is above 0 and finite: leave {name} out, or mend it")
    if not known:
        return None
    measured, seconds_of = zip(*((sample.median, seconds) for sample, seconds in known), strict=True)
    return Series(measured, seconds_of, accuracy(samples, by).median)


def _roofline(axes: Axes, samples: Sequence[Sample], roofs: Mapping[str, Roof]) -> None:
    """The FLOP/s that each sample reached at its intensity, under each roof."""
    ridges = [roof.peak / roof.bandwidth for roof in roofs.values()]
    across = [*ridges, *(each.intensity for each in samples)]
    low, high = min(across) / 2, max(across) * 2
    for (dashes, roof), ridge in zip(roofs.items(), ridges, strict=True):
        axes.plot([low, ridge, high], [roof.bandwidth * low, roof.peak, roof.peak], color="#000000",
                  linestyle=dashes, linewidth=1.5, label=_named(dashes, roof), zorder=1)  # fmt: skip
    for name, style in KINDS.items():
        some = [each for each in samples if kind(each) == name]
        if some:
            _points(axes, ([each.intensity for each in some], [_rate(each) for each in some]), style, name)
    rates = [*(roof.peak for roof in roofs.values()), *map(_rate, samples)]
    axes.set(xlabel="FLOP for each byte", ylabel="FLOP/s reached")
    _logarithmic(axes, (low, high), (min(rates) / 2, max(rates) * 1.4), ("", ""))
    _legend(axes, 2)


def _rate(of: Sample) -> float:
    return of.flops / of.median


def _named(dashes: str, roof: Roof) -> str:
    """What a roof is of, and its rates to three digits."""
    from matplotlib.ticker import EngFormatter

    peak, bandwidth = (float(f"{float(rate):.3g}") for rate in (roof.peak, roof.bandwidth))
    of = "best of this record" if dashes == "solid" else "data sheet"
    return f"{of}: {EngFormatter('FLOP/s')(peak)}, {EngFormatter('B/s')(bandwidth)}"


def _errors(axes: Axes, series: Mapping[str, Series]) -> None:
    """Predicted seconds over measured ones, beside the diagonal on which both are the same."""
    every = [at for each in series.values() for at in (*each.measured, *each.seconds)]
    ends = (min(every) / 1.5, max(every) * 1.5)
    low, high = ([share * at for at in ends] for share in (1 - BAND, 1 + BAND))
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), strict=False)
    for (name, each), (colour, marker) in zip(series.items(), styles, strict=False):
        label = fill(f"{name}: median error {100 * each.error:.3g}%", _WRAP)
        _points(axes, (each.measured, each.seconds), Style(colour, marker, "none"), label)
    axes.plot(ends, ends, color=_GREY, linewidth=1, label="as measured", zorder=1)
    axes.fill_between(ends, low, high, color=_PALE, linewidth=0, label=f"within ±{BAND:.0%}", zorder=0)
    axes.set(xlabel="measured seconds", ylabel="predicted seconds")
    _logarithmic(axes, ends, ends, ("s", "s"))
    _legend(axes, 1)


def _points(axes: Axes, at: tuple[Sequence[float], Sequence[float]], style: Style, label: str) -> None:
    axes.plot(*at, linestyle="none", marker=style.marker, markersize=6, color=style.colour,
              markerfacecolor=style.inside, markeredgewidth=1.3, label=label)  # fmt: skip


def _logarithmic(axes: Axes, across: tuple[float, float], up: tuple[float, float], units: tuple[str, str]) -> None:
    """Log axes from end to end, labelled at each decade, or more often where there are few."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log", xlim=across, ylim=up)
    for axis, (low, high), unit in zip((axes.xaxis, axes.yaxis), (across, up), units, strict=True):
        often = next(digits for decades, digits in _LABELLED if log10(high / low) < decades)
        axis.set_major_locator(LogLocator(subs=often))
        axis.set_major_formatter(EngFormatter(unit))
        axis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")


def _legend(axes: Axes, columns: int) -> None:
    """The legend below the axes, where it covers no points."""
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=columns, frameon=False, fontsize="small"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name with a dollar is no formula
