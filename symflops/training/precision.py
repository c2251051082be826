"""Precisions, as data: which values training keeps of a parameter, and in which format.

>>> [(value.name, value.form.name) for value in precision("mixed-bf16").held]
[('parameter', 'bf16'), ('gradient', 'bf16'), ('main parameter', 'fp32')]
>>> precision("mixed-bf61")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown precision 'mixed-bf61'; did you mean 'mixed-bf16' or ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sympy import Add, Expr, Integer, S, expand

from symflops.errors import UnknownName
from symflops.training.formats_known import BF16, E4M3, FP16, FP32, NumberFormat, number_format
from symflops.training.optimizers import Kept
from symflops.training.tensors import Tensor, tensors

Part = Literal["parameters", "gradients", "optimizer"]
OF: Mapping[str, Callable[[Tensor], Expr]] = MappingProxyType(
    {
        "all": lambda tensor: tensor.copies,
        "trained": lambda tensor: tensor.copies if tensor.trained else S.Zero,
        "cast": lambda tensor: tensor.copies + tensor.lent if tensor.trained and tensor.in_matmul else S.Zero,
        "linear": lambda tensor: tensor.copies if tensor.in_hidden_matmul and tensor.is_matrix else S.Zero,
    }
)
"""Of which parameters a value is kept, and how many times: all, those that are trained, those trained ones that matmuls
read and autocast therefore casts, and the matrices of hidden linear layers."""


@dataclass(frozen=True)
class Held:
    """A value that is kept: its name, what it belongs to, its format, and of which parameters; ``model`` is once.

    Of each it is as large as the parameter, or ``count`` numbers.
    """

    name: str
    part: Part
    form: NumberFormat
    of: str = "all"
    count: int = 0

    def kept(self, network: Expr) -> Kept:
        """Elements and bytes for a network."""
        once = self.of == "model"
        elements = Integer(self.count) if once else self._elements(network)
        per: Literal["parameter", "tensor", "model"] = "model" if once else "tensor" if self.count else "parameter"
        return Kept(self.name, self.part, self.form, elements, expand(self.form.bytes_of(elements)), per)

    def _elements(self, network: Expr) -> Expr:
        found = ((OF[self.of](each), each.elements) for each in tensors(network))
        return expand(Add(*(times * (self.count or elements) for times, elements in found)))


@dataclass(frozen=True)
class Precision:
    """What is kept beside the optimiser's states, and the format of its moments; ``citation`` says by whom."""

    name: str
    title: str
    citation: str
    held: tuple[Held, ...]
    moments: NumberFormat = FP32


def _pair(parameters: NumberFormat, gradients: NumberFormat) -> tuple[Held, ...]:
    return Held("parameter", "parameters", parameters), Held("gradient", "gradients", gradients, "trained")


_AUTOCAST = "torch.amp, PyTorch 2.13: weights stay in float32; copies for matmuls are cached until autocast ends"
_MAIN = Held("main parameter", "optimizer", FP32, "trained")
_MEGATRON = "Megatron Core user guide, Distributed Optimizer, table of bytes for each parameter"
_ZERO = "Rajbhandari et al., ZeRO, 2020, arXiv:1910.02054, section 3.1; Micikevicius et al. 2018, arXiv:1710.03740"
_SCALER = (
    Held("scale of the loss", "optimizer", FP32, "model", 1),
    Held("steps without overflow", "optimizer", number_format("int32"), "model", 1),
)
_HISTORY = 1024
_GEMM = 3 + 2
"""Tensors of a linear layer that are scaled: input, weight and output, and the gradients of output and input."""
_FP8 = (
    Held("weight in 8 bits", "parameters", E4M3, "linear"),
    Held("its transpose in 8 bits", "parameters", E4M3, "linear"),
    Held("history of largest values", "parameters", FP32, "linear", _HISTORY * _GEMM),
    Held("scales", "parameters", FP32, "linear", 2 * _GEMM),
)

PRECISIONS: Mapping[str, Precision] = MappingProxyType({each.name: each for each in (
    Precision("fp32", "everything in float32", "PyTorch's default", _pair(FP32, FP32)),
    Precision("tf32", "float32 in memory, matmuls in TensorFloat-32",
              "torch.backends.cuda.matmul.allow_tf32: an operand is rounded as it is read", _pair(FP32, FP32)),
    Precision("amp-fp16", "autocast to float16, with a scaled loss", f"{_AUTOCAST}; torch.amp.GradScaler",
              (*_pair(FP32, FP32), Held("cached copy", "parameters", FP16, "cast"), *_SCALER)),
    Precision("amp-bf16", "autocast to bfloat16", _AUTOCAST,
              (*_pair(FP32, FP32), Held("cached copy", "parameters", BF16, "cast"))),
    Precision("mixed-fp16", "float16 with main parameters in float32", _ZERO, (*_pair(FP16, FP16), _MAIN)),
    Precision("mixed-bf16", "bfloat16 with main parameters in float32", "DeepSpeed, bf16_optimizer.py, with "
              "grad_accum_dtype of bf16; as ZeRO counts", (*_pair(BF16, BF16), _MAIN)),
    Precision("mixed-bf16-fp32-gradients", "bfloat16 with main parameters and gradients in float32", _MEGATRON,
              (*_pair(BF16, FP32), _MAIN)),
    Precision("mixed-fp16-both-gradients", "float16 gradients, and main parameters and gradients in float32",
              _MEGATRON, (*_pair(FP16, FP16), Held("main gradient", "gradients", FP32, "trained"), _MAIN)),
    Precision("bf16", "everything in bfloat16", "torch: a model and its states as .to(torch.bfloat16) makes them",
              _pair(BF16, BF16), BF16),
    Precision("fp8", "matmuls in float8 by Transformer Engine, with main parameters and gradients in float32",
              "Transformer Engine, PyTorch, module/base.py and user guide, FP8 Delayed Scaling: 8-bit weights and "
              "their transposes kept between steps, a history of 1024 largest values of 5 tensors for each matmul; "
              f"{_MEGATRON}", (*_pair(BF16, FP32), *_FP8, _MAIN)),
)})  # fmt: skip
"""Every precision, by name."""


def precision(given: str | Precision) -> Precision:
    """A precision by its name, or itself. Raises `UnknownName`."""
    if isinstance(given, Precision):
        return given
    name = str(given).lower()
    if name not in PRECISIONS:
        raise UnknownName("precision", str(given), PRECISIONS)
    return PRECISIONS[name]
