"""The phases of training and serving that can be asked for, and the lengths of sequences that each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sympy import Expr

from symflops.architectures import Architecture
from symflops.conventions import Convention
from symflops.errors import SizeError, UnknownName

PHASES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "training": frozenset({"--seq"}),
        "prefill": frozenset({"--seq"}),
        "chunk": frozenset({"--past", "--tokens"}),
        "decode": frozenset({"--past"}),
        "verify": frozenset({"--past", "--tokens"}),
        "generation": frozenset({"--seq", "--tokens"}),
    }
)
"""Each phase, and the lengths that it takes."""


@dataclass(frozen=True)
class Asked:
    """Lengths of one phase: tokens of a prompt, tokens cached before, tokens computed, and all of them at its end."""

    phase: str
    seq: int
    past: int | None
    computed: int
    whole: int

    def forward(self, model: Architecture, n_batch: int, chosen: Convention) -> Expr:
        """The exact forward work of a batch."""
        if self.past is not None:
            return model.step_flops(n_batch, self.past, self.computed, chosen).expr
        if self.phase == "generation":
            return model.generation_flops(n_batch, self.seq, self.whole - self.seq, chosen).expr
        return model.flops(n_batch, self.seq, chosen).expr


def asked(model: Architecture, phase: str, given: Mapping[str, int]) -> Asked:
    """The lengths of a phase, of which those that are not given fill the context.

    Raises `UnknownName` for another phase, `SizeError` for a length that it does not have.
    """
    if phase not in PHASES:
        raise UnknownName("phase", phase, PHASES)
    for flag in given:
        if flag not in PHASES[phase]:
            raise SizeError(f"{phase} has no {flag}; it takes {', '.join(sorted(PHASES[phase]))}")
    tokens = given.get("--tokens", 1)
    length = "--past" if "--past" in PHASES[phase] else "--seq"
    context = given.get(length) or model.sizes.get("n_ctx")
    if context is None:
        raise SizeError(f"{model.name} has no context of a fixed length; say how many tokens with {length}")
    rest = max(context - tokens, 1)
    if length == "--past":
        past = given.get("--past", rest)
        return Asked(phase, past, past, tokens, past + tokens)
    if phase == "generation":
        seq = given.get("--seq", rest)
        return Asked(phase, seq, None, seq + tokens - 1, seq + tokens)
    seq = given.get("--seq", context)
    return Asked(phase, seq, None, seq, seq)
