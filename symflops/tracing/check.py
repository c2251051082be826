"""The formula against the real module: parameters tensor by tensor, work operation by operation."""

from __future__ import annotations

import math
import re
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from sympy import Add, factor_terms
from torch.utils.flop_counter import FlopCounterMode

from symflops.architectures import Architecture
from symflops.conventions import TORCH
from symflops.errors import SizeError, SymflopsError
from symflops.evidence import Line, Proof, Report
from symflops.measures import Phase, flops, params
from symflops.networks import uses
from symflops.tracing import pretrained
from symflops.tracing.against import against, runs_fused
from symflops.tracing.costs import ROOT
from symflops.tracing.counter import Counter, against_flop_counter
from symflops.tracing.counts import Count
from symflops.tracing.inputs import inputs, loss
from symflops.tracing.internals.fake_kernels import fake_kernels
from symflops.tracing.models import Built, build, parameters, refusal, refuse_lengths
from symflops.tracing.places import PHASES, closed_forms, label
from symflops.tracing.trace import trace

Stage = Callable[[str, int, int], None]
_IN_GROUPS = frozenset({"aten.convolution_backward"})
_MOST_LAYERS = 10_000
_INDEX = 2**62
_STAGES = ("building the module", "forward and backward", "torch's FlopCounterMode", "comparing")


def check_model(model: Architecture, n_batch: int, n_seq: int, stage: Stage = lambda what, done, of: None) -> Report:
    """Build the real module of an architecture and compare everything; nothing of its size is allocated.

    An architecture with ``attention="flash"`` is compared with SDPA as a CPU runs it, one with ``eager`` with the
    products written out. ``stage`` is told how far the work has come. Raises `SizeError` for what cannot be built.
    """
    _refuse_absurd(model, n_batch, n_seq)
    stage(_STAGES[0], 0, len(_STAGES))
    sdpa = model.attention == "flash"
    built = build(
        dict(model.config), "sdpa" if sdpa else "eager", "fake" if sdpa or "n_expert" in model.sizes else "meta"
    )
    stage(_STAGES[1], 1, len(_STAGES))
    count = counted(built, n_batch, n_seq)
    model = as_it_ran(model, count)
    stage(_STAGES[2], 2, len(_STAGES))
    peer = _flop_counter_total(built, n_batch, n_seq)
    stage(_STAGES[3], 3, len(_STAGES))
    return compare(model, built, count, peer, n_batch, n_seq)


def as_it_ran(model: Architecture, kernels: Iterable[Any]) -> Architecture:
    """The architecture with the core that ran: where torch has no fused kernel for these heads, it takes the plain one.

    So it does for keys of fewer heads than queries, or values of another width, unless the code repeats them.
    """
    return model if runs_fused(kernels) or model.attention != "flash" else replace(model, attention="eager")


def proved(model: Architecture, stage: Stage = lambda what, done, of: None) -> Proof:
    """The formulas of an architecture against closed forms of its code, derived anew, for all sizes at once.

    A config that transformers does not take, or whose code gives no closed form, is not proved; the proof says why.
    """
    refused = refusal(model.config)
    if refused is not None:
        return Proof("", (), refused)
    try:
        target = pretrained.of_config(dict(model.config), inputs)
        found = trace(target, attention="sdpa" if model.attention == "flash" else "eager", certify=0, stage=stage)
    except SymflopsError as error:
        return Proof("", (), str(error))
    lines = against(found, as_it_ran(model, found.merged.records)).lines
    shown = (Line(each.what, str(each.hand), str(each.code), each.module, str(each.residual)) for each in lines)
    apart = [line for line, each in zip(shown, lines, strict=True) if not each.equal]
    return Proof(found.target, tuple(apart), compared=len(lines))


def compare(model: Architecture, built: Built, count: Count, peer: FlopCounterMode, n_batch: int, n_seq: int) -> Report:
    """Set an architecture's formulas against what was counted on a module."""
    left_out, added = against_flop_counter(count, peer), _overcounted(count, peer)
    every = params(model.network)
    forms = [flops(model.of_length(n_seq), TORCH, phase).expr for phase in PHASES]
    forward, backward = (int(model.at(form, n_batch=n_batch, n_seq=n_seq)) for form in forms)
    forward_seen = count.where(phase="forward").flops
    shapes = parameters(built.module)
    return Report(
        name=model.name,
        module=built.source + (f" ({built.why})" if built.why else ""),
        batch=n_batch,
        seq=n_seq,
        params=Line("parameters", model.params(), sum(math.prod(shape) for shape in shapes.values()), form=str(every)),
        tensors=_tensors(model, shapes),
        forward=Line("C_forward", forward, forward_seen, form=str(forms[0])),
        backward=Line("C_backward", backward, count.flops - forward_seen, form=str(forms[1])),
        operations=_operations(model, count, n_batch, n_seq),
        flop_counter=Line(
            "FlopCounterMode", peer.get_total_flops() + sum(left_out.values()) - sum(added.values()), count.flops
        ),
        uncounted=left_out,
        overcounted=added,
    )


def _overcounted(count: Count, peer: FlopCounterMode) -> dict[str, int]:
    """What torch's counter adds to the weight gradient of a convolution in groups: products between the groups."""
    ours, theirs = count.by_operator(), peer.get_flop_counts().get("Global", {})
    grouped = {f"aten.{operator.__name__}": flops for operator, flops in theirs.items()}
    more = {each: grouped[each] - ours[each].flops for each in _IN_GROUPS & grouped.keys() & ours.keys()}
    return {operator: flops for operator, flops in more.items() if flops > 0}


def counted(built: Built, n_batch: int, n_seq: int) -> Count:
    """One forward and one backward pass, counted."""
    with _running(built, n_batch, n_seq) as run, Counter(built.module) as counter:
        run()
    return counter.count


def _flop_counter_total(built: Built, n_batch: int, n_seq: int) -> FlopCounterMode:
    peer: FlopCounterMode = FlopCounterMode(display=False)
    with _running(built, n_batch, n_seq) as run, peer:
        run()
    return peer


@contextmanager
def _running(built: Built, n_batch: int, n_seq: int) -> Iterator[Callable[[], None]]:
    """The scope of a built module, and one forward and backward pass in it."""
    refuse_lengths(built, n_batch, n_seq)
    with fake_kernels(), built.scope():
        with torch.device(built.device):
            given = inputs(built.module, {"n_batch": n_batch, "n_seq": n_seq})
        yield lambda: loss(built.module(**given)).backward()  # type: ignore[no-untyped-call]
        built.module.zero_grad(set_to_none=True)


def _operations(model: Architecture, count: Count, n_batch: int, n_seq: int) -> tuple[Line, ...]:
    """Forward and backward FLOPs of each module's own work, all layers together, whichever side has any."""
    forms, named = closed_forms(model, model.of_length(n_seq))
    seen: dict[tuple[Phase, str], int] = defaultdict(int)
    for path, part in count.by_pattern().items():
        for entry in part:
            seen["forward" if entry.phase == "forward" else "backward", path or ROOT] += entry.flops
    paths = dict.fromkeys([*named, *(path for _, path in seen)])
    lines = []
    for phase, path in ((phase, path) for phase in PHASES for path in paths):
        form = Add(*forms[phase, path])
        value = int(model.at(form, n_batch=n_batch, n_seq=n_seq))
        if value or seen[phase, path]:
            lines.append(
                Line(f"{label(named[path])}, {phase}", value, seen[phase, path], path, str(factor_terms(form)))
            )
    return tuple(lines)


def _tensors(model: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Line, ...]:
    """Each kind of tensor: how many there are and their sizes, in any order of axes, by the name torch gives them.

    A tensor that holds many of the formula's, such as those of all experts, is compared by its elements.
    """
    expected, stacked = _expected(model)
    seen: dict[str, Tally[tuple[int, ...]]] = defaultdict(Tally)
    for name, found in shapes.items():
        path = name if "." in name else f"{ROOT}.{name}"
        seen[re.sub(r"(?<=\.)\d+(?=\.)", "*", path)][tuple(sorted(found))] += 1
    return tuple(
        (_elements if name in stacked else _shapes)(name, expected[name], seen[name])
        for name in sorted({*expected, *seen})
    )


def _expected(model: Architecture) -> tuple[dict[str, Tally[tuple[int, ...]]], set[str]]:
    """The formula's tensors by the names of the code's, and the names of those that hold many."""
    expected: dict[str, Tally[tuple[int, ...]]] = defaultdict(Tally)
    stacked: set[str] = set()
    for use in uses(model.network):
        copies, place = int(model.at(use.copies)), model.family.place(use)
        for parameter in use.operation.parameters if copies else ():
            name = ".".join(place.tensor(parameter.name))
            expected[name][tuple(sorted(int(model.at(size)) for size in parameter.shape))] += copies
            stacked |= {name} if place.stacked else set()
    return expected, stacked


def _shapes(name: str, expected: Tally[tuple[int, ...]], seen: Tally[tuple[int, ...]]) -> Line:
    return Line(name, _described(expected), _described(seen))


def _elements(name: str, expected: Tally[tuple[int, ...]], seen: Tally[tuple[int, ...]]) -> Line:
    """The tensors that the module has, and the elements of all of them."""
    sides = (sum(copies * math.prod(shape) for shape, copies in tally.items()) for tally in (expected, seen))
    formula, module = ((seen.total(), elements) for elements in sides)
    return Line(name, formula, module)


def _described(tally: Tally[tuple[int, ...]]) -> tuple[Any, ...]:
    """``(copies, sizes, copies, sizes, …)``: one pair where all copies have one shape."""
    return tuple(part for shape, copies in sorted(tally.items()) for part in (copies, list(shape)))


def _refuse_absurd(model: Architecture, n_batch: int, n_seq: int) -> None:
    """Sizes that no module can have are refused before one is built; the closed form needs no module."""
    layers, largest = model.sizes["n_layer"], max(model.sizes.values())
    if layers > _MOST_LAYERS:
        raise SizeError(
            f"check builds every layer and n_layer = {layers} is over {_MOST_LAYERS}; use evaluate, which is exact"
        )
    if n_batch * n_seq * max(n_seq, largest) * largest >= _INDEX:
        raise SizeError("a tensor of these sizes is beyond what PyTorch can index; use evaluate, which is exact")
