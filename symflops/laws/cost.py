"""Someone's cost function as laws see it: what it is called with, and what it claims to count.

>>> from symflops import architecture
>>> def six_n(case: Case) -> int:
...     return 6 * case.model.params("non_embedding")
>>> cost = Cost("6N", six_n, Claims("flops", phase="training", per="token", counts=frozenset({"qkv"})))
>>> case = Case(architecture("gpt2"), n_seq=1024)
>>> cost.of(case), cost.of(case.with_sizes(n_layer=24)) - cost.of(case)
(510336000, 510326784)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

from symflops.architectures import Architecture
from symflops.conventions import Convention, Price
from symflops.derivation import READING_ORDER
from symflops.errors import SymflopsError

Quantity = Literal["params", "flops", "cache_bytes", "saved_bytes"]
Pairs = Literal["dense", "exact", "half", "none"]
Recompute = Literal["none", "selective", "full"]
ROLES = (*READING_ORDER, "patch", "class", "bias", "softcap", "head")
"""Every role that an operation of a family has: those of a table, then those of images, biases of scores, and heads."""
MATMULS = frozenset(
    {
        "qkv", "scores", "mix", "project", "feedforward", "router", "logits",
        "patch", "head", "convolution", "scan", "state space",
    }
)  # fmt: skip
"""The roles of operations that hold a matmul."""
MULTIPLIED = Convention(
    name="matmuls",
    title="multiply-accumulates, of lookups too where they are counted",
    citation="symflops: what is claimed where no convention is named; training is three forward passes",
    domain="any network",
    prices=(Price("mac", 2), Price("one_hot_mac", 2)),
    backward="twice",
)
"""The price list of claims that name no convention."""


class CostError(SymflopsError):
    """A cost function that is called as it cannot be, or returns no number."""


@dataclass(frozen=True)
class Case:
    """One configuration that a cost is asked of: a model with its sizes, a batch, and the length of its sequences."""

    model: Architecture
    n_batch: int = 1
    n_seq: int = 1

    def with_sizes(self, **sizes: int) -> Case:
        """The same with other sizes, also of ``n_batch`` and ``n_seq``."""
        own = {name: sizes.pop(name) for name in ("n_batch", "n_seq") if name in sizes}
        return replace(self, model=_resized(self.model, sizes) if sizes else self.model, **own)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Every size by its name in the notation."""
        return {**self.model.sizes, "n_batch": self.n_batch, "n_seq": self.n_seq}

    def __str__(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"{self.model.family.name}({sizes})"


def _resized(model: Architecture, sizes: Mapping[str, int]) -> Architecture:
    """The model at other sizes, kept with the model: laws ask for the same sizes again and again."""
    kept = vars(model).setdefault("resized", {})
    key = tuple(sorted(sizes.items()))
    if key not in kept:
        kept[key] = model.with_sizes(**sizes)
    found: Architecture = kept[key]
    return found


@dataclass(frozen=True)
class Claims:
    """What a cost function says that it counts; a law is asked of it only if it claims as much.

    ``phase`` is forward, backward or training; ``per`` what the number is for; ``pairs`` which pairs of tokens
    attention pays for; ``unit`` FLOPs or multiply-accumulates; ``counts`` the roles of operations that it pays for, by
    default all that hold a matmul. ``families`` are the model_types that it is for. ``recompute`` is what the backward
    pass computes again, at the forward pass's price: nothing, the attention's core (scores, softmax and mix:
    Korthikanti et al. 2022, arXiv:2205.05198, section 5), or all layers. ``convention`` is the price list, which the
    other words change: its pairs, its unit, and what it leaves out.

    Raises `CostError` for a role that is none, and for recomputation without a backward pass.
    """

    quantity: Quantity = "flops"
    phase: Literal["forward", "backward", "training"] = "training"
    per: Literal["token", "sequence", "batch"] = "token"
    pairs: Pairs = "dense"
    unit: Literal["FLOP", "MAC"] = "FLOP"
    counts: frozenset[str] = MATMULS
    families: tuple[str, ...] = ("gpt2", "llama")
    recompute: Recompute = "none"
    convention: Convention = MULTIPLIED

    def __post_init__(self) -> None:
        strangers = sorted(self.counts - set(ROLES))
        if strangers:
            raise CostError(f"no operation has the role {strangers[0]!r}; roles are {', '.join(ROLES)}")
        if self.recompute != "none" and self.phase == "forward":
            raise CostError(
                f"recompute={self.recompute} is work of the backward pass; claim training or backward, not forward"
            )


@dataclass(frozen=True)
class Cost:
    """A cost function with its name, how it is called with a `Case`, and what it claims."""

    name: str
    call: Callable[[Case], Any] = field(repr=False)
    claims: Claims = Claims()

    def of(self, case: Case) -> int | Fraction:
        """The cost of a case as an exact number.

        Raises `CostError` where the function raises, or returns no finite number.
        """
        try:
            found = self.call(case)
        except CostError:
            raise
        except Exception as error:
            raise CostError(f"{self.name} of {case} raises {type(error).__name__}: {error}") from error
        return exact(self.name, found)


def exact(name: str, number: Any) -> int | Fraction:
    """A number as an integer or fraction: a float for what it is in binary.

    >>> exact("f", 0.5), exact("f", 3.0)
    (Fraction(1, 2), 3)
    """
    try:
        fraction = Fraction(int(number)) if hasattr(number, "is_Integer") and number.is_Integer else Fraction(number)
    except (TypeError, ValueError, OverflowError):
        raise CostError(f"{name} returns {number!r}, which is no finite number") from None
    return int(fraction) if fraction.denominator == 1 else fraction
