"""Pictures of work: FLOPs for one token against the length of a sequence, by what they are for.

matplotlib is imported when something is drawn and not before; without it a `SymflopsError` says how to install it.

>>> writable("work.pdf")
Traceback (most recent call last):
symflops.errors.SymflopsError: cannot draw into work.pdf; a picture is a .png or .svg
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sympy import Add, Expr, ceiling

from symflops.conventions import TORCH, Convention, convention
from symflops.errors import SizeError, SymflopsError
from symflops.evaluate import compiled
from symflops.notation import n_seq
from symflops.questions.answers import Answer, shown
from symflops.questions.attention import attention_overtakes
from symflops.questions.subjects import Given, Subject, groups, subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
"""What a picture's file may end in."""
ALL = "all together"
_POINTS = 200
_WIDTH, _HEIGHT, _MARGIN, _DPI = 11.0, 3.6, 1.2, 150
_GREY = "#595959"
_CORE, _LEAST, _LONGEST = "scores and mix", 16, 40
# Colours of Okabe and Ito, Color Universal Design, 2008, which colour-blind readers tell apart; dashes tell them apart
# in grey.
STYLES: Mapping[str, tuple[str, str, float]] = MappingProxyType(
    {
        _CORE: ("#D55E00", "solid", 2.4),
        "feed-forward": ("#0072B2", "solid", 2.4),
        "experts": ("#0072B2", "dashed", 2.4),
        "queries, keys, values": ("#009E73", "solid", 1.5),
        "projection": ("#E69F00", "solid", 1.5),
        "logits": ("#CC79A7", "dashed", 1.5),
        "embedding": ("#56B4E9", "dotted", 1.5),
        "router": ("#56B4E9", "dashed", 1.5),
        "norms and the rest": ("#56B4E9", "dashdot", 1.5),
        ALL: ("#000000", "dotted", 1.5),
    }
)
"""Colour, dashes and width of the line of each group."""
_OTHER = ("#000000", "dashdot", 1.5)
_REMARK: Mapping[str, Any] = {"textcoords": "offset points", "fontsize": "small", "va": "top", "color": _GREY}


@dataclass(frozen=True)
class Panel:
    """What is drawn of one model: work for one token by group in n_seq alone, and where attention overtakes."""

    name: str
    lines: Mapping[str, Expr]
    overtakes: Answer
    context: int | None
    reach: int


def panel(of: Subject, chosen: Convention, batch: int) -> Panel:
    """The lines of one model, up to its context, or beyond where attention overtakes further out.

    Raises `SizeError` for a network without sizes.
    """
    lines = {name: of.at(form, n_batch=batch) for name, form in groups(of, chosen).items()}
    still_open = {each.name for form in lines.values() for each in form.free_symbols} - {n_seq.name}
    if still_open:
        raise SizeError(f"{of.name}: a picture needs numbers for {', '.join(sorted(still_open))}")
    overtakes, context = attention_overtakes(of, chosen).feedforward, of.length(None)
    reach = max(context or 1, int(ceiling((overtakes.value or 0) * 3 / 2)), 32)
    return Panel(of.name, {**lines, ALL: Add(*lines.values())}, overtakes, context, reach)


def draw_work(models: Sequence[Given], under: str | Convention = TORCH, batch: int = 1) -> Figure:
    """A figure with a row for each model: forward work for one token against n_seq, on linear and on log axes.

    Groups of operations by what they are for, all together, and the length at which the core of attention costs as
    much as the feed-forward. Raises `SymflopsError` without matplotlib, `SizeError` for a network without sizes.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    chosen = convention(under)
    panels = [panel(subject(each), chosen, batch) for each in models]
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(panels) + _MARGIN), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False)
    for each, (linear, logarithmic) in zip(panels, axes, strict=True):
        _draw(linear, each, range(1, each.reach + 1, max(1, each.reach // _POINTS)))
        _draw(logarithmic, each, _geometric(_LEAST, each.reach))
        logarithmic.set(xscale="log", yscale="log")
        _frame(linear, each, (0, each.reach), (0, 1.2), "linear axes")
        _frame(logarithmic, each, (_LEAST, each.reach), (None, 4), "log axes")
    _label(figure, chain.from_iterable(axes), chosen, batch)
    return figure


def _geometric(first: int, last: int) -> list[int]:
    """Lengths in equal ratios, each once."""
    steps = (first * (last / first) ** (step / _POINTS) for step in range(_POINTS + 1))
    return sorted({*map(int, steps), first, last})


def _draw(axes: Axes, of: Panel, lengths: Iterable[int]) -> None:
    places = list(lengths)
    for name, form in of.lines.items():
        work = compiled(form, (n_seq.name,))
        colour, dashes, width = STYLES.get(name, _OTHER)
        axes.plot(
            places, [float(work(at)) for at in places], color=colour, linestyle=dashes, linewidth=width, label=name
        )


def _frame(axes: Axes, of: Panel, across: tuple[int, int], up: tuple[float | None, float], kind: str) -> None:
    """Limits with room for remarks, titles, the model's context, and where attention overtakes."""
    axes.set(xlim=across, ylim=(up[0], up[1] * axes.get_ylim()[1]))
    name = of.name if len(of.name) <= _LONGEST else f"…{of.name[-_LONGEST:]}"
    axes.set_title(name, loc="left", fontweight="bold", parse_math=False)
    axes.set_title(kind, loc="right", fontsize="small", color=_GREY)
    if of.context is not None:
        _upright(axes, float(of.context), f"context {of.context:,}", 1)
    if of.overtakes.value is None:
        note = "overtakes from the first token on" if of.overtakes.first else "never overtakes"
        axes.annotate(note, (1, 1), xytext=(-4, -2), ha="right", **_REMARK, xycoords="axes fraction")
        return
    at = of.overtakes.value
    height = float(compiled(of.lines[_CORE], (n_seq.name,))(int(ceiling(at))))
    axes.plot([float(at)], [height], marker="o", markersize=6, color="#000000", linestyle="none")
    _upright(axes, float(at), f"overtakes at {shown(at)}", 0)


def _upright(axes: Axes, at: float, said: str, row: int) -> None:
    """A length as a thin upright line, with what it is beside its top; ``row`` keeps two of them apart."""
    axes.axvline(at, color=_GREY, linewidth=0.8, linestyle="dotted" if row else "solid", zorder=1)
    place = axes.transAxes.inverted().transform(axes.transData.transform((at, 1)))[0]
    side, ha = (4, "left") if place < 0.35 else (-4, "right")
    text = axes.annotate(
        said, (at, 1), xytext=(side, -2 - 12 * row), ha=ha, **_REMARK, xycoords=("data", "axes fraction")
    )
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})


def _label(figure: Figure, axes: Iterable[Axes], chosen: Convention, batch: int) -> None:
    from matplotlib.ticker import EngFormatter

    every = list(axes)
    for each in every:
        each.yaxis.set_major_formatter(EngFormatter(chosen.unit))
        each.xaxis.set_major_formatter(EngFormatter(sep=""))
        each.spines[["top", "right"]].set_visible(False)
    for left in every[::2]:
        left.set_ylabel(f"{chosen.unit}s for one token")
    for below in every[-2:]:
        below.set_xlabel("n_seq, tokens in a sequence")
    shown_as = {str(line.get_label()): line for each in every for line in each.get_lines()}
    named = {label: line for label, line in shown_as.items() if not label.startswith("_")}
    ncols = len(named) if len(named) < 7 else -(-len(named) // 2)
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=ncols, frameon=False)
    sequences = "1 sequence" if batch == 1 else f"{batch:,} sequences"
    said = f"Forward pass of {sequences}; convention {chosen.name}: {chosen.title}; "
    also = ", experts and router with it" if "experts" in named else ""
    figure.supxlabel(f"{said}dot: scores and mix cost as much as the feed-forward{also}", fontsize="small", color=_GREY)


def save(figure: Figure, path: str | Path) -> None:
    """The figure as a file, whole or not at all: it is written beside its place and then renamed.

    Raises `SymflopsError` for a file that cannot be written.
    """
    place = writable(path)
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            figure.savefig(file, format=place.suffix[1:].lower(), dpi=_DPI, metadata=_metadata(place))
        beside.replace(place)
    except OSError as error:
        raise SymflopsError(f"cannot draw into {place}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


def _metadata(place: Path) -> dict[str, Any]:
    return {"Date": None} if place.suffix.lower() == ".svg" else {}


def writable(path: str | Path) -> Path:
    """A place that a picture can be written to.

    Raises `SymflopsError` for another suffix than .png and .svg, a folder that is not there, or without matplotlib.
    """
    place = Path(path)
    if place.suffix.lower() not in SUFFIXES:
        raise SymflopsError(f"cannot draw into {place}; a picture is a .png or .svg")
    if not place.parent.is_dir() or place.is_dir():
        why = "it is a folder" if place.is_dir() else f"there is no folder {place.parent}"
        raise SymflopsError(f"cannot draw into {place}: {why}")
    need_matplotlib()
    return place


def need_matplotlib() -> None:
    """Raises `SymflopsError` without matplotlib, with how to install it."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise SymflopsError(
            f"a picture needs matplotlib ({error}); install it with: pip install 'symflops[plot]'"
        ) from None
