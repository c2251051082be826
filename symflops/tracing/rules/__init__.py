"""Pricing rules per operator. Importing this package enters all of them into the registry."""

from symflops.tracing.rules import attention, contractions, convolution, declared, fused
from symflops.tracing.rules.registry import (
    RULES,
    DuplicateRule,
    Pricing,
    UnpricedOperator,
    forget,
    free,
    price,
    resolve,
    rule,
)
from symflops.tracing.rules.work import Einsum, Elements, Size, Work, Works, axes

__all__ = [
    "RULES",
    "DuplicateRule",
    "Einsum",
    "Elements",
    "Pricing",
    "Size",
    "UnpricedOperator",
    "Work",
    "Works",
    "attention",
    "axes",
    "contractions",
    "convolution",
    "declared",
    "forget",
    "free",
    "fused",
    "price",
    "resolve",
    "rule",
]
