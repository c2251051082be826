"""What training holds and computes: number formats, optimisers, precisions, model states.

>>> from fractions import Fraction
>>> number_format("bf16").survives(Fraction(1, 10**8)), number_format("fp16").survives(Fraction(1, 10**8))
(True, False)
>>> model_state("llama3-8b", "adamw", "mixed-bf16").per_parameter
16
"""

from symflops.training.formats_known import FORMATS, NumberFormat, number_format
from symflops.training.optimizers import Optimizer, states, step_flops, update_network
from symflops.training.optimizers_known import OPTIMIZERS
from symflops.training.precision import PRECISIONS, Precision
from symflops.training.state import ModelState, model_state

__all__ = [
    "FORMATS", "OPTIMIZERS", "PRECISIONS", "ModelState", "NumberFormat", "Optimizer", "Precision", "model_state",
    "number_format", "states", "step_flops", "update_network",
]  # fmt: skip
