"""What a sweep may compute: named closed forms of an architecture, as data.

A measure is a line of `MEASURES`. Its form is in the sizes of the notation and the symbols of plans and devices; a
sweep finds out which of them it needs.

>>> from symflops.architectures import architecture
>>> MEASURES["C_forward_per_token"].form(Setting(architecture("gpt2")))
4*d_ff*d_model*n_layer + 8*d_model**2*n_layer + 4*d_model*n_layer*n_seq + 2*d_model*n_vocab
>>> MEASURES["days"].unit
'days'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType

from sympy import Add, Expr, Integer, Rational, expand

from symflops.architectures import Architecture
from symflops.architectures.runs import Run
from symflops.conventions import TORCH, Convention
from symflops.errors import NoDecoding
from symflops.measures import Phase, active_params, flops, params, params_without
from symflops.notation import n_batch, n_device, n_seq
from symflops.plans.quantities import C_TOKEN, DAYS, MFU, PEAK, C
from symflops.plans.train import TIME, WORK
from symflops.serving import cache_bytes
from symflops.sweeping import layouts
from symflops.sweeping.figures import FIGURES
from symflops.training.checkpoints import NONE, Scheme, memory
from symflops.training.formats_known import number_format


@dataclass(frozen=True)
class Setting:
    """What a form is of: a model, how work is priced, the format of elements, and what is computed again.

    ``seq`` is the length of sequences where the network is another at each length, else None.
    """

    model: Architecture
    convention: Convention = TORCH
    form: str = "bf16"
    recompute: Scheme = NONE
    seq: int | None = None

    @cached_property
    def network(self) -> Expr:
        """The operations of whole sequences."""
        return self.model.network if self.seq is None else self.model.of_length(self.seq)

    @property
    def element_bytes(self) -> Expr:
        """Bytes of an element."""
        return Rational(number_format(self.form).bytes)

    def flops(self, phase: Phase) -> Expr:
        """The work of a batch of sequences."""
        return flops(self.network, self.convention, phase).expr

    def per_token(self, phase: Phase) -> Expr:
        """The work of one token."""
        return expand(self.flops(phase) / (n_batch * n_seq))


@dataclass(frozen=True)
class Measure:
    """A closed form with its name, unit and meaning, and the conditions that its points have to meet."""

    name: str
    unit: str
    meaning: str
    form: Callable[[Setting], Expr]
    needs: Callable[[Setting], Iterable[tuple[str, Expr, str]]] = lambda it: ()


def _cache(setting: Setting) -> Expr:
    try:
        step = setting.model.at_run(Run(Integer(1), n_seq, setting.model.attention))
    except NoDecoding:
        return Integer(0)
    return cache_bytes(step, setting.element_bytes)


def _saved(setting: Setting) -> Expr:
    return Add(*memory(setting.network, setting.recompute, setting.element_bytes).values())


def _priced(form: Expr, setting: Setting) -> Expr:
    """A form in the FLOPs of one token in training, at this setting's."""
    return form.xreplace({C_TOKEN: setting.per_token("training")})


def _of_layouts(name: str, meaning: str, form: Callable[[Expr], Expr]) -> Measure:
    """A measure of one of n_data*n_tensor devices, where the layout divides the model."""
    return Measure(name, "bytes", meaning, lambda it: form(it.network), lambda it: layouts.conditions(it.network))


_OF_LAYOUTS = (
    _of_layouts("device_bytes", "all that a device of n_data*n_tensor holds, states shared", layouts.held),
    _of_layouts("device_state_bytes", "of these, parameters, gradients and optimiser states", layouts.states),
    _of_layouts("device_sent_bytes", "what it sends in a step", layouts.sent),
)
_DAYS = TIME.form(DAYS).xreplace({C: WORK.form(C)})
_MADE = (
    Measure("params", "parameters", "all parameters, each once", lambda it: params(it.model.network)),
    Measure("N", "parameters", "without embeddings, Kaplan's N", lambda it: params_without(it.model.network)),
    Measure("active", "parameters", "parameters that serve one token", lambda it: active_params(it.model.network)),
    Measure("weight_bytes", "bytes", "all parameters, an element each",
            lambda it: it.element_bytes * params(it.model.network)),
    Measure("C_forward", "FLOP", "forward pass of a batch", lambda it: it.flops("forward")),
    Measure("C_backward", "FLOP", "backward pass of a batch", lambda it: it.flops("backward")),
    Measure("C_training", "FLOP", "both passes of a batch", lambda it: it.flops("training")),
    Measure("C_forward_per_token", "FLOP", "forward pass, for one token", lambda it: it.per_token("forward")),
    Measure("C_training_per_token", "FLOP", "both passes, for one token", lambda it: it.per_token("training")),
    Measure("C_run", "FLOP", "a whole training, of n_token tokens", partial(_priced, WORK.form(C))),
    Measure("cache_bytes", "bytes", "what decoding keeps of a batch of n_seq tokens", _cache),
    Measure("saved_bytes", "bytes", "activations that the forward pass of a batch keeps", _saved),
    Measure("days", "days", "a whole training on n_device devices at an MFU", partial(_priced, _DAYS)),
    Measure("device_hours", "hours", "days of all devices", partial(_priced, 24 * n_device * _DAYS)),
    Measure("tokens_per_second", "tokens/s", "trained on n_device devices at an MFU",
            partial(_priced, n_device * PEAK * MFU / C_TOKEN)),
    *_OF_LAYOUTS,
    Measure("energy", "Wh", "devices at their power limit for a whole training",
            partial(_priced, FIGURES["power"].symbol * 24 * n_device * _DAYS)),
)  # fmt: skip


def _of_device(name: str) -> Measure:
    figure = FIGURES[name]
    return Measure(name, figure.unit, figure.meaning, lambda it: figure.symbol)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {each.name: each for each in (*_MADE, *(_of_device(name) for name in FIGURES))}
)
"""Every measure by its name."""
