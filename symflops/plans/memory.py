"""What a training holds on each device: parameters, gradients, the optimiser's states, activations, the loss.

>>> from symflops.architectures import architecture
>>> from symflops.training.hardware import device
>>> from symflops.training.precision import precision
>>> gpt2 = Holding(architecture("gpt2-xl", "flash"), precision("mixed-bf16"), batch=8, device=device("a100"))
>>> found = held(gpt2)
>>> [f"{name}: {found.result(name)}" for name in ("parameters", "gradients", "optimizer", "activations", "total")]
['parameters: 3.115 GB', 'gradients: 3.115 GB', 'optimizer: 18.69 GB', 'activations: 20.23 GB', 'total: 46.80 GB']
>>> found.binding, found.holds
('memory: 46.80 GB of 80 GB, 58.5 %; the largest batch is 20', True)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sympy import Add, Expr, S, Symbol, expand

from symflops.architectures import Architecture
from symflops.arithmetic import fraction
from symflops.derivation import Section
from symflops.documents import Table
from symflops.errors import UnknownName
from symflops.notation import n_batch, n_device
from symflops.plans.plan import Plan
from symflops.plans.quantities import Quantity, number
from symflops.steps import Step
from symflops.training.activations import by_operation
from symflops.training.activations import kept as kept_by
from symflops.training.checkpoints import NONE, Scheme, memory
from symflops.training.hardware import Device
from symflops.training.loss import cross_entropy
from symflops.training.loss import kept as kept_by_loss
from symflops.training.optimizers import Optimizer
from symflops.training.optimizers_known import OPTIMIZERS
from symflops.training.parallelism.layouts import SHARDINGS
from symflops.training.precision import Precision
from symflops.training.state import ModelState, model_state

_ROWS = 12


@dataclass(frozen=True)
class Holding:
    """What is held: a ``model`` in a ``precision`` under an ``optimizer``, ``batch`` sequences of ``seq`` tokens on
    each of ``count`` devices that share by ``sharding``, and what is recomputed.
    """

    model: Architecture
    precision: Precision
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    batch: int = 1
    seq: int | None = None
    recompute: Scheme = NONE
    device: Device | None = None
    count: int = 1
    sharding: str = "zero3"


def held(asked: Holding) -> Plan:
    """The plan of a device's memory, in closed form and bytes, without the allocator's and the kernels' own.

    Raises `UnknownName` for an unknown sharding, `SizeError` for lengths that the model has not.
    """
    forms = _forms(asked)
    rows = tuple(Quantity(name, name, number(_at(asked, form)), "bytes", form) for name, form in forms.items())
    total = Quantity("total", "total", sum(each.value for each in rows), "bytes", _total(forms))
    return Plan(
        "memory",
        f"Memory of training {asked.model.name}",
        tuple(_inputs(asked)),
        (*rows, total, *_fits(asked, forms)),
        _binding(asked, forms, Fraction(total.value)),
        tuple(Step(name, form, _WHY[name]) for name, form in forms.items() if form != 0),
        _chosen(asked),
        (_table(asked),),
        tuple(_notes(asked)),
        tuple(_sources(asked)),
        asked.device is None or total.value <= asked.device.needs("memory"),
        tuple(forms),
        _room(asked),
    )


_WHY = {
    "parameters": "as the precision keeps them, shared as the sharding says",
    "gradients": "of what is trained",
    "optimizer": "its states, and main parameters",
    "activations": "what the operations keep for the backward pass",
    "loss": "of the softmax over the vocabulary, and the targets",
}


def _room(asked: Holding) -> Quantity | None:
    if asked.device is None:
        return None
    return Quantity("memory", f"memory of {asked.device.name}", number(asked.device.needs("memory")), "bytes")


def _forms(asked: Holding) -> dict[str, Expr]:
    state = model_state(asked.model, asked.optimizer, asked.precision)
    parts = {part: _share(asked, state, part) for part in ("parameters", "gradients", "optimizer")}
    activations = Add(*memory(asked.model.network, asked.recompute, activation_bytes(asked.precision)).values())
    loss = expand(Add(*(each.bytes for each in kept_by_loss(cross_entropy(asked.model.network))), S.Zero))
    return {**parts, "activations": activations, "loss": loss}


def _share(asked: Holding, state: ModelState, part: str) -> Expr:
    whole = state.bytes_of(part)
    return whole / n_device if part in shared_parts(asked.sharding) and asked.count > 1 else whole


def shared_parts(name: str) -> frozenset[str]:
    """The parts of which each device keeps its own share. Raises `UnknownName` for another sharding."""
    if name not in SHARDINGS:
        raise UnknownName("sharding", name, SHARDINGS)
    return SHARDINGS[name].shared


def activation_bytes(scheme: Precision) -> Expr:
    """Bytes of an activation: as autocast's copies of weights, else as the parameters.

    >>> from symflops.training.precision import precision
    >>> activation_bytes(precision("amp-bf16")), activation_bytes(precision("fp32"))
    (2, 4)
    """
    copies = [each for each in scheme.held if each.of == "cast"]
    return (copies or list(scheme.held))[0].form.bytes_of(S.One)


def _total(forms: Mapping[str, Expr]) -> Expr:
    return expand(Add(*forms.values()))


def _at(asked: Holding, form: Expr, batch: int | None = None) -> Fraction:
    sizes = {"n_batch": asked.batch if batch is None else batch, "n_device": asked.count}
    found = asked.model.at(form, n_seq=asked.model.length(asked.seq), **sizes)
    return fraction(found)


def _largest(asked: Holding, forms: Mapping[str, Expr]) -> int:
    """The largest batch that fits a device: memory is linear in it."""
    assert asked.device is not None
    one, two = (_at(asked, _total(forms), batch) for batch in (1, 2))
    room = Fraction(asked.device.needs("memory")) - (2 * one - two)
    return max(0, int(room // (two - one)))


def _fits(asked: Holding, forms: Mapping[str, Expr]) -> Iterator[Quantity]:
    if asked.device is not None:
        fixed = _total(forms).subs(n_batch, 0)
        form = (Symbol("memory") - fixed) / ((_total(forms) - fixed) / n_batch)
        largest = _largest(asked, forms)
        yield Quantity("largest_batch", "largest batch of a device", largest, "sequences", expand(form, deep=False))


def _binding(asked: Holding, forms: Mapping[str, Expr], total: Fraction) -> str:
    if asked.device is None:
        return "none: no device is named"
    room = Fraction(asked.device.needs("memory"))
    shown, of = (Quantity("", "", number(each), "bytes") for each in (total, room))
    if total <= room:
        share = f"{float(total / room):.1%}".replace("%", " %")
        return f"memory: {shown} of {of}, {share}; the largest batch is {_largest(asked, forms)}"
    return f"memory: {shown} of {of} do not fit; the largest batch is {_largest(asked, forms)}"


def _inputs(asked: Holding) -> Iterator[Quantity]:
    yield Quantity("batch", "sequences on each device", asked.batch, "sequences")
    yield Quantity("seq", "tokens of a sequence", asked.model.length(asked.seq), "tokens")
    yield Quantity("count", "devices", asked.count, "devices")


def _chosen(asked: Holding) -> dict[str, str | int]:
    device = {} if asked.device is None else {"device": asked.device.name}
    return {
        "model": asked.model.name, "precision": asked.precision.name, "optimizer": asked.optimizer.name,
        "sharding": asked.sharding, "recompute": asked.recompute.name, "attention": asked.model.attention, **device,
    }  # fmt: skip


def _table(asked: Holding) -> Section:
    """The operations that keep most."""
    network = asked.recompute.recomputed(asked.model.network)
    parts = by_operation(kept_by(network, activation_bytes(asked.precision)))
    sized = sorted(((path, form, _at(asked, form)) for path, form in parts), key=lambda each: -each[2])[:_ROWS]
    rows = tuple((path, form, str(Quantity("", "", number(size), "bytes"))) for path, form, size in sized)
    return Section("Activations, the operations that keep most", (Table("", ("operation", "kept", "bytes"), rows),))


def _notes(asked: Holding) -> Iterator[str]:
    yield (
        "activations are those of kernels that run one operation each; code that runs an operation step by step keeps "
        "more (symflops trace prints what code keeps)"
    )
    if cross_entropy(asked.model.network) != 0:
        yield "the gradient of the logits is as large as the loss, for a moment at the start of the backward pass"
    yield from beyond(asked.model, asked.seq)
    yield from asked.model.notes


def beyond(model: Architecture, seq: int | None) -> Iterator[str]:
    """A note on sequences that are longer than a model's context."""
    length = model.length(seq)
    if length > model.sizes.get("n_ctx", length):
        yield f"{length:,} tokens are beyond the context of {model.sizes['n_ctx']:,} positions"


def _sources(asked: Holding) -> Iterator[str]:
    yield asked.optimizer.citation
    yield asked.precision.citation
    if asked.device is not None:
        yield asked.device.source
