"""The model that a record is of: how often it runs each operation, and the closed forms of their FLOPs.

>>> from symflops.architectures import architecture
>>> gpt2 = subject(architecture("gpt2", "flash"))
>>> gpt2.runs["Feedforward/up"], gpt2.forms["Feedforward/up", "forward"]
(12, 2*d_ff*d_model*n_batch*n_seq)
>>> gpt2.forms["Attention: Mask/core", "forward"]
2*d_model*n_batch*n_seq*(n_seq + 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr

from symflops.architectures import Architecture
from symflops.timing.samples import PHASES, Phase
from symflops.timing.tasks import tasks


@dataclass(frozen=True)
class Subject:
    """``runs`` by operation, ``forms`` the FLOPs of one run by operation and phase, ``params`` of the whole model."""

    name: str
    runs: Mapping[str, int]
    forms: Mapping[tuple[str, Phase], Expr]
    params: int


def subject(model: Architecture) -> Subject:
    """What is known of a model before anything is timed."""
    every = tasks(model, 1, 2)
    forms = {(task.path, phase): task.form(phase) for task in every for phase in PHASES if task.has(phase)}
    return Subject(model.name, {task.path: task.runs for task in every}, forms, model.params())
