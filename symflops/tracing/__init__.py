"""Everything that runs torch: pricing rules per operator, and a counter that checks formulas against real modules."""

from symflops.tracing.counter import (
    AlreadyCounting,
    Counter,
    NothingCounted,
    against_flop_counter,
    forward,
    forward_backward,
)
from symflops.tracing.counts import Count, Entry
from symflops.tracing.flop_counter import FlopCounter
from symflops.tracing.rules import (
    DuplicateRule,
    Einsum,
    Elements,
    UnpricedOperator,
    forget,
    free,
    price,
    resolve,
    rule,
)

__all__ = [
    "AlreadyCounting",
    "Count",
    "Counter",
    "DuplicateRule",
    "Einsum",
    "Elements",
    "Entry",
    "FlopCounter",
    "NothingCounted",
    "UnpricedOperator",
    "against_flop_counter",
    "forget",
    "forward",
    "forward_backward",
    "free",
    "price",
    "resolve",
    "rule",
]
