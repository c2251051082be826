"""Pricing rules against loops that multiply one pair of numbers at a time, known shapes, and torch's own counter."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import Counter, Einsum, Elements
from symflops.tracing.rules import RULES, axes

aten = torch.ops.aten
B, H, G, Q, K, D, V = 2, 6, 3, 5, 7, 11, 13  # batch, heads, kv heads, queries, keys, head sizes


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


def macs(works: Any) -> int:
    found = works if isinstance(works, tuple) else (works,)
    return sum(work.macs for work in found if isinstance(work, Einsum))


def elements(works: Any) -> int:
    found = works if isinstance(works, tuple) else (works,)
    return sum(work.count for work in found if isinstance(work, Elements))


def counted(run: Callable[[], Any]) -> int:
    """Multiply-accumulates of everything that a function dispatches."""
    with Counter(torch.nn.Identity()) as counter:
        run()
    return counter.count.macs


def torchs(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as peer:
        run()
    return int(peer.get_total_flops())


# --- matrix products, and every rule once -----------------------------------------------------------------------------

q, k, v = meta(B, H, Q, D), meta(B, G, K, D), meta(B, G, K, V)
qp, kp, vp = (x.transpose(1, 2) for x in (q, k, v))
ends_q, ends_k = torch.tensor([0, 2, 6]), torch.tensor([0, 3, 4])  # lengths 2, 4 and 3, 1: 6 + 4 pairs
qv, kv, vv = meta(6, H, D), meta(4, G, D), meta(4, G, V)
FORWARD, BACKWARD = B * H * Q * K * (D + V), B * H * Q * K * (3 * D + 2 * V)
VARLEN, VARLEN_BACKWARD = H * 10 * (D + V), H * 10 * (3 * D + 2 * V)
a, b, x3, y3, vec = meta(2, 3), meta(3, 5), meta(7, 2, 3), meta(7, 3, 5), meta(3)
img, dep, up = meta(2, 6, 9), meta(6, 1, 4), meta(6, 5, 4)  # conv1d: out length 6; depthwise; transposed
g = meta(B, H, Q, V)
none4 = (None, None, None, None)

CASES: dict[str, tuple[Any, tuple[Any, ...], int]] = {
    **{f"aten::{name}": (meta(2, 5), (a, b), 30) for name in ("mm", "_int_mm", "_scaled_mm", "_scaled_mm_v2")},
    "aten::bmm": (meta(7, 2, 5), (x3, y3), 210),
    "aten::_foreach_mm": ([], ([a, a], [b, b]), 60),
    **{f"aten::{name}": (meta(2, 5), (meta(5), a, b), 30) for name in ("addmm", "_addmm_activation")},
    "aten::baddbmm": (meta(7, 2, 5), (meta(5), x3, y3), 210),
    "aten::addbmm": (meta(2, 5), (meta(2, 5), x3, y3), 210),
    "aten::mv": (meta(2), (a, vec), 6),
    "aten::addmv": (meta(2), (meta(2), a, vec), 6),
    "aten::dot": (meta(), (vec, vec), 3),
    "aten::vdot": (meta(), (vec, vec), 3),
    "aten::addr": (meta(3, 2), (meta(3, 2), vec, meta(2)), 6),
    "aten::linear": (meta(7, 2, 5), (x3, meta(5, 3)), 210),
    "aten::mkldnn_linear": (meta(5), (vec, meta(5, 3), meta(5)), 15),
    "aten::linear_backward": (None, (x3, meta(7, 2, 5), meta(5, 3), (True, True, True)), 420),
    **{
        f"aten::{name}": (meta(2, 5), (a, meta(5, 3)), 30)
        for name in ("_weight_int8pack_mm", "_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu")
    },
    "aten::_grouped_mm": (meta(7, 2, 5), (x3, y3), 210),
    "aten::_scaled_grouped_mm": (meta(2, 5), (a, y3), 30),
    "aten::_scaled_grouped_mm_v2": (meta(7, 2, 5), (x3, b), 30),
    "transformers::grouped_mm_fallback": (meta(7, 2, 5), (a, b), 30),
    "transformers::grouped_mm_fallback_backward": (None, (a, y3, None, meta(2, 5)), 60),
    **{
        f"aten::{name}": (meta(2, 6, 6), (img, dep, meta(6), [1], [0], [1], False, [0], 6), 2 * 6 * 6 * 4)
        for name in ("convolution", "_convolution", "convolution_overrideable")
    },
    **{
        f"aten::{name}": (meta(2, 6, 6), (img, dep, None), 2 * 6 * 6 * 4)
        for name in ("mkldnn_convolution", "conv_depthwise3d", "_conv_depthwise2d", "cudnn_convolution")
    },
    "aten::cudnn_convolution_transpose": (meta(2, 5, 12), (img, up), 2 * 6 * 5 * 9 * 4),
    "aten::convolution_backward": (
        None,
        (meta(2, 6, 6), img, dep, [6], [1], [0], [1], False, [0], 6, [True, True, True]),
        2 * 2 * 6 * 6 * 4,
    ),
    "aten::convolution_backward_overrideable": (
        None,
        (meta(2, 6, 6), img, dep, [1], [0], [1], False, [0], 6, [True, True, False]),
        2 * 2 * 6 * 6 * 4,
    ),
    **{
        name: (None, (q, k, v), FORWARD)
        for name in RULES
        if name.startswith(("aten::_scaled_dot_product", "higher_order")) and not name.endswith("backward")
    },
    **{
        name: (None, (g, q, k, v), BACKWARD)
        for name in RULES
        if name.startswith("aten::_scaled_dot_product") and name.endswith("backward")
    },
    "aten::mkldnn_rnn_layer": (None, (meta(7, 2, 3), meta(20, 3), meta(20, 5)), 14 * 20 * 8),
    "aten::mkldnn_rnn_layer_backward": (None, (meta(7, 2, 3), meta(20, 3), meta(20, 5)), 2 * 14 * 20 * 8),
    "aten::_native_multi_head_attention": (
        None,
        (meta(2, 5, 8), meta(2, 5, 8), meta(2, 5, 8), 8, 4),
        10 * 8 * (32 + 10),
    ),
    "aten::_transformer_encoder_layer_fwd": (
        None,
        (meta(2, 5, 8), 8, 4, *[None] * 11, meta(16, 8), meta(16), meta(8, 16), meta(8)),
        10 * 8 * (32 + 10) + 2 * 10 * 8 * 16,
    ),
    "higher_order::flex_attention_backward": (None, (q, k, v, g), BACKWARD),
    "aten::_flash_attention_forward": (None, (qv, kv, vv, ends_q, ends_k, 4, 3), VARLEN),
    "aten::_flash_attention_backward": (None, (qv, qv, kv, vv, qv, qv, ends_q, ends_k), VARLEN_BACKWARD),
    "aten::_efficient_attention_forward": (None, (qp, kp, vp, None, None, None), FORWARD),
    "aten::_efficient_attention_backward": (None, (g, qp, kp, vp, None, g, None, None), BACKWARD),
    "aten::_cudnn_attention_forward": (None, (q, k, v, None, None, None), FORWARD),
    "aten::_cudnn_attention_backward": (None, (g, q, k, v, *none4, None, None, None), BACKWARD),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_rule_gives_the_hand_known_work(name: str) -> None:
    result, args, expected = CASES[name]
    works = RULES[name].works
    assert works is not None
    found = works(result, *args)
    assert macs(found) == expected
    for work in found if isinstance(found, tuple) else (found,):
        if isinstance(work, Einsum):
            assert set(axes(work.spec)) == set(work.sizes), work


def test_no_contraction_rule_is_without_a_case() -> None:
    assert {name for name, pricing in RULES.items() if pricing.kind == "contraction"} == set(CASES)


def test_every_rule_names_an_operator_that_exists_and_reads_its_arguments_where_the_schema_puts_them() -> None:
    unknown = []
    for name, pricing in RULES.items():
        namespace, _, operator = name.partition("::")
        if namespace != "aten" or not hasattr(aten, operator):
            unknown += [name] if namespace == "aten" else []
            continue
        packet = getattr(aten, operator)
        schema = [argument.name for argument in getattr(packet, packet.overloads()[0])._schema.arguments]
        taken = [p for p in inspect.signature(pricing.works or (lambda result: None)).parameters][1:]
        if pricing.kind == "contraction" and "query" in taken:
            assert all(schema.index(p) == i for i, p in enumerate(taken) if p in ("query", "key", "value")), name
            assert all(schema.index(p) == i for i, p in enumerate(taken) if p.startswith("cu")), name
    assert not unknown, unknown


def naive_matmul(left: Tensor, right: Tensor) -> tuple[Tensor, int]:
    out, steps = torch.zeros(left.shape[0], right.shape[1]), 0
    for i, j, c in itertools.product(range(left.shape[0]), range(right.shape[1]), range(left.shape[1])):
        out[i, j] += left[i, c] * right[c, j]
        steps += 1
    return out, steps


sizes = st.integers(2, 4)  # torch.einsum turns axes of length 1 into an elementwise product


@settings(max_examples=25, deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_products_against_loops(batch: int, m: int, c: int, n: int) -> None:
    left, right = torch.randn(batch, m, c), torch.randn(batch, c, n)
    loops = [naive_matmul(x, y) for x, y in zip(left, right, strict=True)]
    torch.testing.assert_close(torch.stack([out for out, _ in loops]), left @ right)
    steps = sum(step for _, step in loops)
    assert counted(lambda: torch.bmm(left, right)) == steps
    assert counted(lambda: torch.einsum("bmc,bcn->bmn", left, right)) == steps
    assert counted(lambda: left[0] @ right[0]) == loops[0][1]
    assert torchs(lambda: torch.bmm(left, right)) == 2 * steps


@pytest.mark.parametrize("left, right", [((8, 16), (3, 16, 8)), ((3, 8, 16), (16, 24)), ((8, 24), (24, 16))])
def test_grouped_product_and_its_backward(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """Real groups of unequal size against one plain product per group."""
    ends = torch.tensor([8, 8, 24] if left == (8, 24) or right == (16, 24) else [2, 2, 8], dtype=torch.int32)
    x = torch.randn(left, dtype=torch.bfloat16, requires_grad=True)
    y = torch.randn(right, dtype=torch.bfloat16, requires_grad=True)
    free_axis = {2: left[0] * left[1] * right[-1], 3: left[-1] * left[-2] * right[-1]}[len(left)]
    with Counter(torch.nn.Identity()) as counter:
        out = torch._grouped_mm(x, y, offs=ends)
        torch.autograd.backward(out, torch.randn(out.shape, dtype=out.dtype))  # the kernel refuses expanded gradients
    phases = counter.count.by_phase()
    assert phases["forward"].macs == free_axis
    assert phases["backward"].macs == 2 * free_axis
