"""What serving takes: weights, cache, the largest batch, prefill and a step of decoding, and what binds each.

>>> from symflops.architectures import architecture
>>> from symflops.training.hardware import device
>>> asked = Serving(architecture("llama3-8b"), device("h100"), prompt=7168, new=1024)
>>> found = inference(asked)
>>> [f"{name}: {found.result(name)}" for name in ("weights", "cache_per_sequence", "largest_batch")]
['weights: 16.06 GB', 'cache_per_sequence: 1.074 GB', 'largest_batch: 59 sequences']
>>> found.binding
'decoding: memory bandwidth at a batch of 59; prefill: compute'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sympy import Add, Expr, Integer, Symbol, expand

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.conventions import TORCH
from symflops.derivation import Section
from symflops.measures import flops, params
from symflops.networks import uses
from symflops.notation import n_batch, n_past, n_query
from symflops.operations import Lookup
from symflops.plans.plan import Plan
from symflops.plans.quantities import Quantity, number
from symflops.plans.relations import PlanError
from symflops.serving import cache_bytes
from symflops.steps import Step
from symflops.training.formats_known import number_format
from symflops.training.hardware import Device
from symflops.training.roofline import Row, roofline, table


@dataclass(frozen=True)
class Serving:
    """What is served: ``prompt`` tokens of each sequence and ``new`` ones, ``batch`` sequences (None: as many as fit),
    on ``count`` devices that share weights, cache and work evenly and send nothing; ``form`` of operands, ``weights``
    and ``cache`` by the names of formats.
    """

    model: Architecture
    device: Device
    prompt: int = 1024
    new: int = 256
    batch: int | None = None
    count: int = 1
    form: str = "bf16"
    weights: str = "bf16"
    cache: str = "bf16"


@dataclass(frozen=True)
class Forms:
    """The closed forms that a plan follows, in bytes and FLOPs: of all sequences of a batch."""

    weights: Expr
    read: Expr
    cache: Expr
    step: Expr
    prefill: Expr


def inference(asked: Serving) -> Plan:
    """The plan of serving a model.

    A step of decoding reads the weights that it multiplies by, of experts those of one token, and the cache, once. The
    bounds are those of a roofline, which no kernel beats. Raises `PlanError` where the weights, or one sequence, do not
    fit, `NoDecoding` for a model that does not decode.
    """
    forms = _forms(asked)
    largest = _largest(asked, forms)
    batch = largest if asked.batch is None else asked.batch
    if batch > largest:
        raise PlanError(f"{batch} sequences do not fit: {largest} do; give a smaller --batch or a larger --count")
    rows = _rows(asked, batch)
    prefill, decode = _prefill(asked, forms, batch), _decode(asked, forms, batch)
    return Plan(
        "inference",
        f"Serving {asked.model.name}",
        tuple(_inputs(asked)),
        (*_held(asked, forms, largest), *prefill.shown(), *decode.shown(), *_turn(asked, forms)),
        f"decoding: {decode.bound} at a batch of {batch}; prefill: {prefill.bound}",
        tuple(_steps(forms)),
        {"model": asked.model.name, "device": asked.device.name, "dtype": asked.form, "weights": asked.weights,
         "cache": asked.cache},
        (Section("A step, each operation as a kernel of its own", (table(rows, asked.count),)),),
        tuple(asked.model.notes),
        (asked.device.source, asked.model.source),
        rows=rows,
    )  # fmt: skip


def _forms(asked: Serving) -> Forms:
    step = asked.model.step.subs(n_query, 1)
    weight, cached = (number_format(each).bytes for each in (asked.weights, asked.cache))
    read = Add(*(use.runs * parameter.count for use in uses(step) if not isinstance(use.operation, Lookup)
                 for parameter in use.operation.parameters))  # fmt: skip
    return Forms(
        expand(params(asked.model.network) * weight),
        expand(read * weight),
        cache_bytes(step, cached),
        flops(step, TORCH).expr,
        flops(asked.model.of_length(asked.prompt), TORCH).expr,
    )


def _at(asked: Serving, form: Expr, batch: int, tokens: int) -> Fraction:
    """A form of a step at so many tokens in the cache, its own among them, or of a prefill of so many."""
    lengths = {"n_past": max(tokens - 1, 1), "n_seq": tokens} if form.has(n_past) else {"n_seq": tokens}
    found = asked.model.at(form, n_batch=batch, **lengths)
    return fraction(found)


def _largest(asked: Serving, forms: Forms) -> int:
    memory = Fraction(asked.device.needs("memory")) * asked.count
    weights = _at(asked, forms.weights, 1, 1)
    if weights > memory:
        devices = -(-weights // Fraction(asked.device.needs("memory")))
        raise PlanError(
            f"the weights are {float(weights / 10**9):.4g} GB and {asked.count} x {asked.device.name} hold "
            f"{float(memory / 10**9):.4g} GB; give --count {devices} or narrower --weights"
        )
    each = _at(asked, forms.cache, 1, asked.prompt + asked.new)
    found = (memory - weights) // each if each else 10**9
    if not found:
        raise PlanError(
            f"beside the weights there is no room for the cache of one sequence, {float(each / 10**9):.4g} GB; give a "
            "larger --count or fewer tokens"
        )
    return int(found)


def _inputs(asked: Serving) -> Iterator[Quantity]:
    yield Quantity("prompt", "tokens of a prompt", asked.prompt, "tokens")
    yield Quantity("new", "tokens that are made", asked.new, "tokens")
    yield Quantity("count", "devices", asked.count, "devices")


def _held(asked: Serving, forms: Forms, largest: int) -> Iterator[Quantity]:
    whole = asked.prompt + asked.new
    each = number(_at(asked, forms.cache, 1, whole))
    yield Quantity("weights", "weights", number(_at(asked, forms.weights, 1, 1)), "bytes", forms.weights)
    yield Quantity("cache_per_sequence", f"cache of {whole} tokens", each, "bytes", forms.cache.subs(n_batch, 1))
    room = Symbol("memory") * Symbol("n_device") - forms.weights
    yield Quantity("largest_batch", "largest batch", largest, "sequences", room / forms.cache.subs(n_batch, 1))


@dataclass(frozen=True)
class _Phase:
    """FLOPs and bytes of a phase, and the least seconds of both."""

    name: str
    label: str
    flops: Fraction
    bytes: Fraction
    seconds: tuple[Fraction, Fraction]
    forms: tuple[Expr, Expr]
    rate: Fraction

    @property
    def bound(self) -> str:
        computing, moving = self.seconds
        return "compute" if computing >= moving else "memory bandwidth"

    def shown(self) -> Iterator[Quantity]:
        work, moved = self.forms
        least = max(self.seconds)
        yield Quantity(f"{self.name}_flops", f"{self.label}: FLOPs", number(self.flops), "FLOP", work)
        yield Quantity(f"{self.name}_bytes", f"{self.label}: bytes", number(self.bytes), "bytes", moved)
        intensity = number(self.flops / self.bytes)
        yield Quantity(f"{self.name}_intensity", f"{self.label}: intensity", intensity, "FLOP/byte", work / moved)
        yield Quantity(f"{self.name}_seconds", f"{self.label}: least time", number(least), "s", note=self.bound)
        speed = number(self.rate / least)
        yield Quantity(f"{self.name}_tokens_per_second", f"{self.label}: at most", speed, "tokens/s")


def _phase(
    asked: Serving, name: str, label: str, work: tuple[Expr, Expr], batch: int, tokens: int, made: int
) -> _Phase:
    computed, moved = (_at(asked, form, batch, tokens) for form in work)
    peak, bandwidth = (asked.count * Fraction(each) for each in (
        asked.device.peak(asked.form), asked.device.needs("bandwidth")
    ))  # fmt: skip
    return _Phase(name, label, computed, moved, (computed / peak, moved / bandwidth), work, Fraction(made))


def _prefill(asked: Serving, forms: Forms, batch: int) -> _Phase:
    written = forms.cache.subs(n_past, Symbol("n_seq", positive=True, integer=True) - 1)
    work = (forms.prefill, forms.read + written)
    return _phase(asked, "prefill", "prefill", work, batch, asked.prompt, batch * asked.prompt)


def _decode(asked: Serving, forms: Forms, batch: int) -> _Phase:
    work = (forms.step, forms.read + forms.cache)
    return _phase(asked, "decode", "last step of decoding", work, batch, asked.prompt + asked.new, batch)


def _turn(asked: Serving, forms: Forms) -> Iterator[Quantity]:
    """The batch from which on a step computes longer than it reads, where there is one."""
    whole = asked.prompt + asked.new
    each, cached = (_at(asked, form, 1, whole) for form in (forms.step, forms.cache))
    machine = Fraction(asked.device.peak(asked.form)) / Fraction(asked.device.needs("bandwidth"))
    left = each / machine - cached
    if left > 0:
        batch = number(_at(asked, forms.read, 1, whole) / left)
        form = forms.read / (forms.step / n_batch * Symbol("bandwidth") / Symbol("peak") - forms.cache / n_batch)
        yield Quantity("turning_batch", "decoding is bound by compute from a batch of", batch, "sequences", form)


def _steps(forms: Forms) -> Iterator[Step]:
    yield Step("weights", forms.weights, "bytes of all parameters")
    yield Step("read", forms.read, "bytes of the weights that a step multiplies by")
    yield Step("cache", forms.cache, "bytes of keys and values, or states")
    yield Step("step", forms.step, "FLOPs of one token of each sequence")
    yield Step("prefill", forms.prefill, "FLOPs of the prompts")


def _rows(asked: Serving, batch: int) -> tuple[Row, ...]:
    """The operations of a step, each against the roofline."""
    network = asked.model.step.subs(n_query, Integer(1))
    return roofline(asked.model, asked.device, asked.form, network, n_batch=batch, n_past=asked.prompt + asked.new - 1,
                    n_seq=asked.prompt + asked.new)  # fmt: skip


__all__ = ["Serving", "inference"]
