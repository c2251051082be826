"""Closed forms from unmodified code: run it on symbolic sizes, make its layers a symbol, and certify what was found.

Where code turns a symbol into a number, the dependence on it is recovered from runs at several values; where that
finds nothing, the trace is refused with the line of the code: never a wrong formula.

>>> found = trace("hf:llama", certify=2)
>>> found.dimensions["d_head"], found.certificate.equal
('head_dim', True)
>>> from symflops.notation import n_seq
>>> found.C_forward.coeff(n_seq, 2)
4*d_head*n_batch*n_head*n_layer
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import Expr, expand
from sympy.logic.boolalg import Boolean
from torch import nn

from symflops.architectures.names import Meanings
from symflops.measures import params, params_without
from symflops.notation import n_active, n_batch, n_expert, n_key, n_past, n_query, n_routed, n_seq, symbol
from symflops.tracing.building import one_sequence_per_row
from symflops.tracing.certificate import Certificate, Claims, Concrete, NotCertified, certified, measured
from symflops.tracing.inputs import inputs, loss
from symflops.tracing.lift import lift_merged
from symflops.tracing.merging import Merged, macs
from symflops.tracing.phases import phase as phase_of
from symflops.tracing.recovery import Family, Model, NotSymbolic, Recovered, Stage, family
from symflops.tracing.sampling import Domain, multiples
from symflops.tracing.shown import Shown
from symflops.tracing.symbolic import Loss, Traced
from symflops.tracing.targets import UNCHANGED, Choice, Factory, Inputs, Kernels, Target, resolve


@dataclass(frozen=True)
class Trace(Shown):
    """What a model's code costs, in symbols, and where that holds.

    ``params`` are all distinct parameters, ``N`` those without token and position tables and logits; ``C_forward``
    and ``C_backward`` are FLOPs of a batch as executed (convention torch), ``saved_bytes`` those of the tensors kept
    for the backward pass, ``bytes_read`` and ``bytes_written`` what the operators of the forward pass move, all at 4
    bytes for each element. ``dimensions`` says what each size is in the config's fields, ``recovered`` which sizes
    were numbers in every run. All hold in the ``domain``, for sizes of at least 2; ``saved_bytes`` also needs
    ``saved_domain``: where the code would take another way, such as copying heads only where there are fewer for keys
    than for queries. ``notes`` are what else a reader has to know.
    ``meanings`` says what fields of the ``config`` are in the notation.
    """

    target: str
    network: Expr
    merged: Merged
    params: Expr
    N: Expr
    C_forward: Expr
    C_backward: Expr
    saved_bytes: Expr
    bytes_read: Expr | None
    bytes_written: Expr | None
    dimensions: Mapping[str, str]
    recovered: tuple[Recovered, ...]
    domain: tuple[Boolean, ...]
    saved_domain: tuple[Boolean, ...]
    notes: tuple[str, ...]
    certificate: Certificate
    meanings: Meanings = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def operations(self) -> Iterator[tuple[str, str, Expr]]:
        """Forward FLOPs of every contraction: module path, operator, closed form."""
        for each, times in self.merged.records.items():
            if each.phase == "forward" and times != 0:
                yield each.module, each.operator, expand(2 * times * macs(each))


def _silent(what: str, done: int, of: int) -> None:
    """No progress shown."""


def trace(
    target: str | Factory | Target,
    sizes: Choice = None,
    inputs: Inputs = inputs,
    *,
    attention: Any = "eager",
    experts: str | None = None,
    phase: str = "training",
    certify: int = 8,
    overrides: Meanings = UNCHANGED,
    stage: Stage = _silent,
) -> Trace:
    """Trace ``hf:LlamaForCausalLM``, ``hf:llama``, a config.json, ``path/to/model.py:factory``, or a function.

    A function ``factory(n_layer=…, d_model=…)`` returns the module. ``sizes`` says which of its parameters vary, by
    name, or what they mean, as in ``{"width": "d_model", "hidden": 4 * d_model}``; by default all whose names tell.
    ``inputs(module, sizes)`` makes the arguments of one call, by default from the signature.

    ``attention`` is eager or sdpa, ``experts`` how a mixture runs (eager, batched_mm, grouped_mm; None is the class's
    default); ``phase`` is training (forward and backward over whole sequences), checkpointed (the same, in training
    mode, with transformers' layers recomputed), prefill (forward, filling a cache) or decode (``n_query`` tokens after
    a cache, ``n_key`` in all). ``certify`` is the number of random sizes to compare
    with the concrete module; ``overrides`` says what fields of the config mean in the notation where that is not what
    the tables say. Raises `ConfigError` for a target that is none or has no such kernels, `UnknownName` for an override
    of no field or another phase, `NotSymbolic` where no formula was found, `NotCertified` where the module contradicts
    the formula.
    """
    chosen, kernels = phase_of(phase), Kernels(attention, experts)
    meant = chosen.of(resolve(target, overrides, sizes, inputs))
    meant.accept(kernels)
    module = Concrete(meant, kernels, chosen)
    found = family(_model(module), stage)
    claims = _claims(meant, found)
    certificate = certified(claims, module, certify, lambda done: stage("certifying", done, certify))
    shown, notes = _readable(found.merged, meant)
    network = lift_merged(shown)
    if expand(params(network) - shown.params) != 0:
        raise NotCertified(f"the network read from {meant.name} lacks parameters of its module: {params(network)}")
    return Trace(
        target=meant.name,
        network=network,
        merged=shown,
        N=params_without(network),
        **measured(shown) | dict.fromkeys(certificate.refuted),
        dimensions=meant.dimensions,
        recovered=found.recovered,
        domain=_in_keys(claims.domain),
        saved_domain=_in_keys(found.generic),
        notes=(*found.notes, *notes, *(f"{form} has no formula: {why}" for form, why in certificate.refuted.items())),
        certificate=certificate,
        meanings=meant.meanings,
        config=meant.defaults,
    )


def _claims(target: Target, found: Family) -> Claims:
    """The forms, in the domain that the code asks for; of sizes that it loses, only where values of them were drawn."""
    lost = {symbol(name) for name in target.sizes if name not in found.symbolic}
    narrowed = [each for each in target.conditions if each.free_symbols & lost]
    domain = tuple(dict.fromkeys((*found.conditions, *narrowed)))
    moved = dict.fromkeys(("saved_bytes", "bytes_read", "bytes_written"), found.generic)
    forms = {name: form for name, form in measured(found.merged).items() if form is not None}
    return Claims(forms, domain, tuple(dict.fromkeys((*domain, *target.conditions))), moved)


def _in_keys(domain: Domain) -> Domain:
    return tuple(each.subs({n_past: n_key - n_query}) for each in domain)


def _readable(found: Merged, target: Target) -> tuple[Merged, tuple[str, ...]]:
    """Forms in the sizes that readers ask for: keys instead of what is in the cache, and each expert's share."""
    cached = {n_past: n_key - n_query} if "n_past" in target.sizes else {}
    if not any(n_routed in getattr(form, "free_symbols", ()) for form in measured(found).values()):
        return found.at(cached) if cached else found, ()
    choices = n_active * n_batch * (n_query if cached else n_seq)
    if not {"n_active", "n_expert"} <= set(target.sizes):
        return found.at(cached), ("routing depends on data: n_routed tokens reach each expert",)
    share = choices / n_expert
    said = f"routing depends on data: each expert is given {share} tokens; sums over experts do not depend on it"
    return found.at({**cached, n_routed: share}), (said,)


def _model(module: Concrete) -> Model:
    """A target as something to run on symbols and on numbers."""
    target = module.target

    def build(sizes: Mapping[str, Any]) -> tuple[nn.Module, object, Loss]:
        made = module.phase.prepare(target.build(sizes, module.kernels))
        return made, target.inputs(made, sizes), loss

    def symbolic(numbers: Mapping[str, int], hints: Mapping[str, int]) -> Traced:
        with one_sequence_per_row():
            return module.phase.symbolic(build, hints, numbers, multiples(target.conditions))

    return Model(symbolic, module.run, target.sizes, target.structural, target.conditions)


__all__ = ["Certificate", "NotCertified", "NotSymbolic", "Trace", "trace"]
