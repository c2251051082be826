"""What training holds and computes: number formats, optimisers, precisions, model states.

>>> from fractions import Fraction
>>> number_format("bf16").survives(Fraction(1, 10**8)), number_format("fp16").survives(Fraction(1, 10**8))
(True, False)
"""

from symflops.training.formats_known import FORMATS, NumberFormat, number_format

__all__ = ["FORMATS", "NumberFormat", "number_format"]
