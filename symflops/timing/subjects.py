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

from sympy import Add, Expr, factor_terms

from symflops.architectures import Architecture
from symflops.conventions import TORCH
from symflops.measures import priced
from symflops.networks import Use, uses
from symflops.timing.executed import EXECUTED
from symflops.timing.samples import PHASES, Phase
from symflops.timing.tasks import Task, tasks


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
    by_path = {use.path: use for use in uses(model.network)}
    forms = {(task.path, phase): _form(task, by_path, phase) for task in every for phase in PHASES if task.has(phase)}
    return Subject(model.name, {task.path: task.runs for task in every}, forms, model.params())


def _form(task: Task, by_path: Mapping[str, Use], phase: Phase) -> Expr:
    """The FLOPs of one run in symbols: what `Task.flops` is in numbers."""
    under = EXECUTED if task.is_core else TORCH
    of = [by_path[each.path] for each in task.uses]
    return factor_terms(Add(*(priced(use, under, phase) / use.runs for use in of)))
