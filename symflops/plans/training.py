"""What is asked of a training: what is given, and exactly as much as follows from it left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sympy import Expr, expand

from symflops.architectures import Architecture
from symflops.conventions import TORCH, Convention
from symflops.measures import flops
from symflops.notation import n_batch, n_seq
from symflops.render.readable import readable
from symflops.training.checkpoints import NONE, Scheme
from symflops.training.hardware import Device
from symflops.training.optimizers import Optimizer
from symflops.training.optimizers_known import OPTIMIZERS
from symflops.training.precision import PRECISIONS, Precision


@dataclass(frozen=True)
class TimedStep:
    """A training step of ``batch`` sequences of ``seq`` tokens on one device, as a record of timings predicts it.

    ``device``, ``dtype`` and ``date`` are the record's, ``attention`` is how its cores were timed; ``seconds`` by part:
    forward, backward and, where it is predicted, optimizer; ``notes`` say what the record does not settle.
    """

    device: str
    dtype: str
    date: str
    attention: str
    batch: int
    seq: int
    seconds: Mapping[str, Fraction]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Training:
    """What is asked of a training; exactly as much as follows from the rest is None.

    ``model``, or ``params`` where there is no architecture and a token takes 6 FLOPs for each; ``tokens`` in all, of
    sequences of ``seq``; ``budget`` in FLOPs; ``device``, ``count`` of them, ``mfu`` in (0, 1], ``days``; ``form`` of
    the matmuls' operands; ``peak`` in FLOP/s instead of the device's; ``recompute``; ``price`` of a device hour;
    ``optimizer`` and ``precision`` make the model state, which all devices share; the MFU follows from
    a ``step`` that is predicted, which `plans.calibrated` makes.
    """

    model: Architecture | None = None
    params: Fraction | None = None
    tokens: Fraction | None = None
    budget: Fraction | None = None
    device: Device | None = None
    count: int | None = None
    mfu: Fraction | None = None
    days: Fraction | None = None
    seq: int | None = None
    form: str = "bf16"
    peak: Fraction | None = None
    recompute: Scheme = NONE
    price: Fraction | None = None
    convention: Convention = TORCH
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    precision: Precision = PRECISIONS["mixed-bf16"]
    step: TimedStep | None = None


def closed_form(network: Expr, chosen: Convention) -> Expr:
    """The training FLOPs of one token, in the model's sizes.

    >>> from symflops.architectures import architecture
    >>> closed_form(architecture("gpt2").network, TORCH)
    6*d_model*(2*n_layer*(d_ff + 2*d_model + n_seq) + n_vocab)
    """
    return readable(expand(flops(network, chosen, "training").expr / (n_batch * n_seq)))
