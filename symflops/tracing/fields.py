"""How sizes of configs are varied: which drive loops, small values to run at, and relations to keep."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sympy import Eq, Expr, Mod
from sympy.logic.boolalg import Boolean

from symflops import notation as n


def is_structural(name: str) -> bool:
    """Whether a size drives loops in code, and so must be a plain integer, never a symbolic one.

    >>> is_structural("n_layer_decoder"), is_structural("n_head")
    (True, False)
    """
    return name.startswith("n_layer") or name in {"n_expert", "n_active", "n_expert_group", "n_active_group"}


HINTS: Mapping[str, int] = MappingProxyType(
    {
        "n_layer": 2, "n_layer_decoder": 3, "n_layer_dense": 1, "n_layer_vision": 3, "n_layer_audio": 3,
        "d_model": 120, "n_head": 10, "n_kv_head": 5, "d_head": 16, "d_ff": 88, "d_ff_decoder": 72, "n_vocab": 101,
        "n_ctx": 64, "n_window": 40, "d_rope": 12, "d_nope": 18, "d_value": 14, "r_q": 20, "r_kv": 26, "n_type": 2,
        "n_bucket": 28, "n_expert": 8, "n_active": 3, "n_shared": 9, "n_expert_group": 2, "n_active_group": 1,
        "d_expert": 56, "d_shared": 104, "n_state": 7, "d_conv": 4, "d_inner": 80, "r_dt": 9, "n_ssm_group": 2,
        "n_chunk": 13, "d_patch": 15, "n_side": 11, "n_channel": 19, "d_project": 34, "n_mel": 27, "n_source": 17,
        "d_model_vision": 52, "n_head_vision": 14, "n_kv_head_vision": 7, "d_head_vision": 18, "d_ff_vision": 68,
        "d_model_audio": 60, "n_head_audio": 33, "n_kv_head_audio": 11, "d_head_audio": 22, "d_ff_audio": 76,
        "n_batch": 23, "n_seq": 13, "n_target": 21, "n_routed": 31, "r_lora": 14,
    }
)  # fmt: skip
"""Small sizes at which every family runs: distinct, or moved apart by `sampling`, divisible where code wants it.

A head is 16 wide so that a quarter of it is even; an expert's width is a multiple of 8, as grouped products ask for.
"""


def hint(name: str) -> int:
    """The small size that stands for a symbol; one for a kind of layer."""
    return HINTS.get(name, 1)


def divisible(whole: Expr, part: Expr | int) -> Boolean:
    """The condition that a size is a multiple of another."""
    return Eq(Mod(whole, part), 0)


CONDITIONS: tuple[Boolean, ...] = (
    divisible(n.n_head, n.n_kv_head),
    divisible(n.n_head, n.n_ssm_group),
    # A scan pads to whole chunks.
    divisible(n.n_seq, n.n_chunk),
    divisible(n.symbol("n_head_vision"), n.symbol("n_kv_head_vision")),
    # Rotary halves of a quarter of a head.
    divisible(n.d_head, 8),
    divisible(n.d_rope, 2),
    n.d_rope <= n.d_head,
    # Half of the buckets look back, half ahead, and half of each are exact.
    divisible(n.n_bucket, 4),
    # Rows of 16 bytes, as grouped products ask for.
    *(divisible(width, 8) for width in (n.d_model, n.d_ff, n.d_expert)),
    divisible(n.n_expert, n.n_expert_group),
    2 * n.n_expert_group <= n.n_expert,
    n.n_active_group <= n.n_expert_group,
    n.n_active <= n.n_expert,
    n.n_active * n.n_expert_group <= n.n_active_group * n.n_expert,
    n.n_layer_dense + 1 <= n.n_layer,
    # RoBERTa and OPT keep two rows for themselves.
    n.n_seq + 2 <= n.n_ctx,
    n.n_target + 2 <= n.n_ctx,
)
"""Where models of most families exist: conditions to vary sizes under. Narrower than a formula's own domain."""
