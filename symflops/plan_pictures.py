"""Pictures of plans: memory by part, FLOPs by operation, and operations under the roofline of a device.

>>> from symflops.architectures import architecture
>>> from symflops.plans.inference import Serving, inference
>>> from symflops.training.hardware import device
>>> figure = draw_plan(inference(Serving(architecture("gpt2"), device("h100"))))
>>> [axes.get_xlabel() for axes in figure.axes]
['FLOPs', 'FLOP for each byte']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symflops.errors import SymflopsError
from symflops.pictures import need_matplotlib
from symflops.plans.plan import Plan
from symflops.plans.quantities import Quantity
from symflops.training.roofline import ROWS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

_WIDTH, _HEIGHT, _BAR = 11.0, 4.2, 1.6
_GREY = "#595959"
_COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7", "#009E73")
_BOUND = {"compute": "#0072B2", "memory": "#D55E00"}


def draw_plan(plan: Plan) -> Figure:
    """A figure of what a plan holds: its parts in bytes, and its operations.

    Raises `SymflopsError` for a plan that has nothing to draw, and without matplotlib.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    if plan.front:
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        _front(figure.subplots(), plan)
    elif plan.rows:
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        left, right = figure.subplots(1, 2)
        _operations(left, plan.rows)
        _roofline(right, plan.rows)
    elif _parts(plan):
        figure = Figure(figsize=(_WIDTH, _BAR + 0.5), layout="constrained")
        _memory(figure.subplots(), plan)
    else:
        raise SymflopsError(f"{plan.title}: pictures are of memory, of layouts, and of a --model on a --device")
    figure.suptitle(plan.title, x=0.01, ha="left", fontweight="bold")
    return figure


def _parts(plan: Plan) -> tuple[Quantity, ...]:
    return tuple(each for each in plan.results if each.name in plan.parts)


def _memory(axes: Axes, plan: Plan) -> None:
    """One bar, part after part, and the memory of the device."""
    start = 0.0
    for part, colour in zip(_parts(plan), _COLOURS, strict=False):
        axes.barh([0], [float(part.value)], left=start, color=colour, label=f"{part.label}: {part}")
        start += float(part.value)
    if plan.room is not None:
        axes.axvline(float(plan.room.value), color="#000000", linewidth=1.2)
        axes.annotate(f"{plan.room}", (float(plan.room.value), 0.42), xytext=(-4, 0), textcoords="offset points",
                      ha="right", va="bottom", fontsize="small", color=_GREY)  # fmt: skip
    axes.set(yticks=[], ylim=(-0.5, 0.7), xlabel="bytes on each device")
    axes.xaxis.set_major_formatter(_units("B"))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.35), ncols=5, frameon=False, fontsize="small")


def _front(axes: Axes, plan: Plan) -> None:
    """The fastest choice for each amount of memory."""
    held, took = ([float(getattr(point, name)) for point in plan.front] for name in ("held", "seconds"))
    axes.step(held, took, where="post", color=_COLOURS[0], linewidth=1.2)
    axes.plot(held, took, "o", color=_COLOURS[0])
    for number, point in enumerate(plan.front, start=1):
        axes.annotate(f"{number}", (float(point.held), float(point.seconds)), xytext=(5, 5), fontsize="small",
                      textcoords="offset points", color=_GREY)  # fmt: skip
    named = "\n".join(f"{number}  {point.label}" for number, point in enumerate(plan.front, start=1))
    axes.text(1.02, 1, named, transform=axes.transAxes, fontsize="x-small", va="top", color=_GREY)
    axes.set(xlabel="memory of the fullest device", ylabel="least time of a step", yscale="log")
    axes.xaxis.set_major_formatter(_units("B"))
    axes.yaxis.set_major_formatter(_units("s"))
    _plain(axes)


def _operations(axes: Axes, rows: tuple[Row, ...]) -> None:
    """The operations with most FLOPs."""
    most = sorted((row for row in rows if row.flops), key=lambda row: row.flops)[-ROWS:]
    axes.barh([row.path for row in most], [float(row.flops) for row in most], color=[_BOUND[row.bound] for row in most])
    axes.set_xlabel("FLOPs")
    axes.xaxis.set_major_formatter(_units(""))
    _plain(axes)


def _roofline(axes: Axes, rows: tuple[Row, ...]) -> None:
    """What each operation can reach at its intensity, under what memory and the peak allow."""
    shown = [row for row in rows if row.flops]
    peak = float(shown[0].flops / shown[0].compute_seconds)
    bandwidth = float(shown[0].bytes / shown[0].memory_seconds)
    low, high = (edge(float(row.intensity) for row in shown) for edge in (min, max))
    ends = [min(low, peak / bandwidth) / 2, peak / bandwidth, max(high, peak / bandwidth) * 2]
    axes.plot(ends, [min(peak, bandwidth * each) for each in ends], color="#000000", linewidth=1.5)
    for bound, colour in _BOUND.items():
        some = [row for row in shown if row.bound == bound]
        reach: Callable[[Row], float] = lambda row: float(row.flops / row.seconds)  # noqa: E731
        axes.plot([float(row.intensity) for row in some], [reach(row) for row in some], "o", color=colour,
                  label=f"bound by {bound}")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="FLOP for each byte", ylabel="FLOP/s at most")
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    _plain(axes)


def _units(unit: str) -> Formatter:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(unit)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")


__all__ = ["draw_plan"]
