"""What a model is traced in: a training step, a prefill, or new tokens after a cache.

>>> PHASES["decode"].lengths
mappingproxy({'n_query': 11, 'n_past': 29})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from sympy.logic.boolalg import Boolean
from torch import nn

from symflops.errors import ConfigError, UnknownName
from symflops.notation import n_ctx, n_past, n_query, n_seq
from symflops.tracing.inputs import decoding_inputs
from symflops.tracing.recorder import record, record_forward
from symflops.tracing.records import Run
from symflops.tracing.sampling import distinct
from symflops.tracing.symbolic import Loss, Traced, symbolic_forward, symbolic_run
from symflops.tracing.target import Sizes, Target


@dataclass(frozen=True)
class Phase:
    """How a model is called, and whether gradients are computed.

    ``lengths`` are the sizes that stand for positions, with small values; ``symbolic`` runs on symbols, ``concrete``
    on numbers; ``inputs`` makes the arguments of a call from the module, sizes and the target's own; ``prepare`` makes
    a module ready, which comes in eval mode.
    """

    name: str
    lengths: Mapping[str, int]
    conditions: tuple[Boolean, ...]
    symbolic: Callable[..., Traced]
    concrete: Callable[[nn.Module, object, Loss], Run]
    inputs: Callable[[Any, Sizes, Any], Any]
    prepare: Callable[[nn.Module], nn.Module] = nn.Module.eval

    def of(self, target: Target) -> Target:
        """A target in this phase: its sizes, conditions and inputs are those of the calls."""
        given = target.inputs
        if "n_seq" in self.lengths:
            return replace(target, inputs=lambda module, sizes: self.inputs(module, sizes, given))
        kept = {name: size for name, size in target.sizes.items() if name != "n_seq"}
        conditions = tuple(each for each in target.conditions if n_seq not in each.free_symbols)
        sizes = {**kept, **self.lengths}
        known = set(sizes)
        more = tuple(each for each in self.conditions if {size.name for size in each.free_symbols} <= known)
        apart = [name for name in sizes if not name.startswith("n_layer")]
        return replace(
            target,
            sizes=MappingProxyType(distinct(sizes, apart, (*conditions, *more), target.structural)),
            conditions=(*conditions, *more),
            inputs=lambda module, sizes: self.inputs(module, sizes, given),
        )


def _whole(module: Any, sizes: Sizes, given: Any) -> Any:
    return given(module, sizes)


def _filling(module: Any, sizes: Sizes, given: Any) -> Any:
    """A call that leaves a cache behind, where the model has one."""
    made = given(module, sizes)
    return {**made, "use_cache": True} if isinstance(made, Mapping) and "use_cache" in made else made


def _after_cache(module: Any, sizes: Sizes, given: Any) -> Any:
    return decoding_inputs(module, sizes)


def _checkpointed(module: Any) -> nn.Module:
    """In training mode, every layer computed again in the backward pass, as transformers does it."""
    if not getattr(module, "supports_gradient_checkpointing", False):
        raise ConfigError(f"{type(module).__name__} has no gradient checkpointing to switch on; call it in the code")
    switch = getattr(module, "activation_checkpointing_enable", None)  # so called from some 5.x on
    (switch or module.gradient_checkpointing_enable)()
    trained: nn.Module = module.train()
    return trained


def _symbolic_inference(*given: Any, **named: Any) -> Traced:
    with torch.no_grad():
        return symbolic_forward(*given, **named)


def _inference(module: nn.Module, inputs: object, loss: Loss) -> Run:
    with torch.no_grad():
        return record_forward(module, inputs)


_SEQUENCE = MappingProxyType({"n_seq": 13})
TRAINING = Phase("training", _SEQUENCE, (), symbolic_run, record, _whole)
CHECKPOINTED = replace(TRAINING, name="checkpointed", prepare=_checkpointed)
PREFILL = Phase("prefill", _SEQUENCE, (), _symbolic_inference, _inference, _filling)
DECODE = Phase(
    "decode",
    MappingProxyType({"n_query": 11, "n_past": 29}),
    (n_query + n_past + 2 <= n_ctx,),
    _symbolic_inference,
    _inference,
    _after_cache,
)
PHASES: Mapping[str, Phase] = MappingProxyType({each.name: each for each in (TRAINING, CHECKPOINTED, PREFILL, DECODE)})
"""Forward and backward over whole sequences, without and with recomputed layers; a forward pass that fills a cache; new
tokens after a cache.
"""


def phase(name: str) -> Phase:
    """A phase by name. Raises `UnknownName`."""
    if name not in PHASES:
        raise UnknownName("phase", name, PHASES)
    return PHASES[name]
