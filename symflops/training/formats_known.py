"""The number formats by the names that people give them.

>>> number_format("bfloat16") is number_format("torch.bfloat16") is number_format("BF16")
True
>>> number_format("fp8-e4m3").largest, number_format("mxfp8-e5m2").block
(Fraction(448, 1), 32)
>>> number_format("bf61")
Traceback (most recent call last):
symflops.errors.UnknownName: unknown number format 'bf61'; did you mean 'bf16' or ...
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

from symflops.errors import UnknownName
from symflops.training.formats import FloatFormat, IntegerFormat
from symflops.training.formats_blocks import BlockFormat

NumberFormat: TypeAlias = FloatFormat | IntegerFormat | BlockFormat
_IEEE = "IEEE 754-2019, section 3.6"
_FP8 = "Micikevicius et al., FP8 Formats for Deep Learning, 2022, arXiv:2209.05433, table 1"
_FNUZ = "Noune et al., 8-bit Numerical Formats for Deep Neural Networks, 2022, arXiv:2206.02915"
_MX = "OCP Microscaling Formats (MX) Specification 1.0, 2023, sections 5 and 6"
_NVFP4 = "NVIDIA, Pretraining Large Language Models with NVFP4, 2025, arXiv:2509.25149, section 2"

FP64 = FloatFormat("fp64", "float64", 11, 52, aliases=("float64", "double", "f64", "e11m52"), citation=_IEEE)
FP32 = FloatFormat(
    "fp32", "float32", 8, 23, aliases=("float32", "float", "single", "f32", "e8m23"), citation=_IEEE
)  # fmt: skip
TF32 = FloatFormat(
    "tf32", "TensorFloat-32", 8, 10, container=32, aliases=("tensorfloat32", "e8m10"),
    citation="NVIDIA A100 whitepaper, 2020: matmuls of float32 in memory, read with 10 bits of mantissa",
)  # fmt: skip
FP16 = FloatFormat("fp16", "float16", 5, 10, aliases=("float16", "half", "f16", "e5m10"), citation=_IEEE)
BF16 = FloatFormat(
    "bf16", "bfloat16", 8, 7, aliases=("bfloat16", "brainfloat16", "e8m7"),
    citation="Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019, arXiv:1905.12322",
)  # fmt: skip
E4M3 = FloatFormat(
    "fp8-e4m3", "float8 E4M3", 4, 3, "fn",
    aliases=("e4m3", "e4m3fn", "fp8", "float8", "fp8-e4m3fn", "float8-e4m3", "float8-e4m3fn"), citation=_FP8,
)  # fmt: skip
E5M2 = FloatFormat("fp8-e5m2", "float8 E5M2", 5, 2, aliases=("e5m2", "float8-e5m2"), citation=_FP8)
E4M3_FNUZ = FloatFormat(
    "fp8-e4m3fnuz", "float8 E4M3 fnuz", 4, 3, "fnuz", aliases=("e4m3fnuz", "float8-e4m3fnuz"), citation=_FNUZ
)
E5M2_FNUZ = FloatFormat(
    "fp8-e5m2fnuz", "float8 E5M2 fnuz", 5, 2, "fnuz", aliases=("e5m2fnuz", "float8-e5m2fnuz"), citation=_FNUZ
)
E8M0 = FloatFormat(
    "e8m0", "float8 E8M0", 8, 0, "scale", sign=0, aliases=("ue8m0", "e8m0fnu", "float8-e8m0fnu", "fp8-e8m0"),
    citation=_MX,
)  # fmt: skip
E2M3 = FloatFormat("fp6-e2m3", "float6 E2M3", 2, 3, "none", aliases=("e2m3", "float6-e2m3", "float6-e2m3fn"),
                   citation=_MX)  # fmt: skip
E3M2 = FloatFormat("fp6-e3m2", "float6 E3M2", 3, 2, "none", aliases=("e3m2", "fp6", "float6-e3m2", "float6-e3m2fn"),
                   citation=_MX)  # fmt: skip
E2M1 = FloatFormat("fp4-e2m1", "float4 E2M1", 2, 1, "none", citation=_MX, aliases=(
    "e2m1", "fp4", "float4", "float4-e2m1", "float4-e2m1fn", "float4-e2m1fn-x2"))  # fmt: skip
_INTEGERS = tuple(
    IntegerFormat(f"{prefix}int{width}", f"{prefix}int{width}", width, sign, aliases=names)
    for width, prefix, sign, names in (
        (64, "", 1, ("long", "i64")), (32, "", 1, ("int", "i32")), (16, "", 1, ("short", "i16")), (8, "", 1, ("i8",)),
        (8, "u", 0, ("byte", "u8")), (4, "", 1, ("i4",)), (4, "u", 0, ("u4",)),
    )
)  # fmt: skip
BOOL = IntegerFormat("bool", "bool", 1, 0, container=8, citation="a byte of memory in torch and numpy")
_SIXTY_FOURTHS = IntegerFormat("int8/64", "int8 in 64ths", 8, unit=Fraction(1, 64), citation=_MX)
MXFP8 = BlockFormat("mxfp8-e4m3", "MXFP8 E4M3", E4M3, E8M0, 32, aliases=("mxfp8",), citation=_MX)
MXFP8_E5M2 = BlockFormat("mxfp8-e5m2", "MXFP8 E5M2", E5M2, E8M0, 32, citation=_MX)
MXFP6 = BlockFormat("mxfp6-e2m3", "MXFP6 E2M3", E2M3, E8M0, 32, citation=_MX)
MXFP6_E3M2 = BlockFormat("mxfp6-e3m2", "MXFP6 E3M2", E3M2, E8M0, 32, aliases=("mxfp6",), citation=_MX)
MXFP4 = BlockFormat("mxfp4", "MXFP4", E2M1, E8M0, 32, aliases=("mxfp4-e2m1",), citation=_MX)
MXINT8 = BlockFormat("mxint8", "MXINT8", _SIXTY_FOURTHS, E8M0, 32, citation=_MX)
NVFP4 = BlockFormat("nvfp4", "NVFP4", E2M1, E4M3, 16, FP32, citation=_NVFP4)

FORMATS: tuple[NumberFormat, ...] = (
    FP64, FP32, TF32, FP16, BF16, E4M3, E5M2, E4M3_FNUZ, E5M2_FNUZ, E8M0, E2M3, E3M2, E2M1,
    MXFP8, MXFP8_E5M2, MXFP6, MXFP6_E3M2, MXFP4, MXINT8, NVFP4, *_INTEGERS, BOOL,
)  # fmt: skip
"""Every format: floats, blocks, integers."""


def _plain(name: str) -> str:
    return name.strip().lower().removeprefix("torch.").translate({ord(each): None for each in "-_ "})


_BY_NAME: Mapping[str, NumberFormat] = MappingProxyType(
    {_plain(name): each for each in FORMATS for name in (each.name, *each.aliases)}
)


def number_format(given: object) -> NumberFormat:
    """The format of a name as people write it, of ``torch.bfloat16`` or another dtype, or the format itself.

    Raises `UnknownName`.
    """
    if isinstance(given, FloatFormat | IntegerFormat | BlockFormat):
        return given
    found = _BY_NAME.get(_plain(str(given)))
    if found is None:
        names = [each.name for each in FORMATS]
        raise UnknownName("number format", str(given), names)
    return found
