"""Pricing rules against loops that multiply one pair of numbers at a time, known shapes, and torch's own counter."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import Counter, DuplicateRule, Einsum, Elements, UnpricedOperator, forget, free, resolve, rule
from symflops.tracing.rules import RULES, attention, axes

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


# --- convolutions -----------------------------------------------------------------------------------------------------


def naive_convolution(x: Tensor, w: Tensor, stride: int, padding: int, dilation: int, groups: int, grad: Any) -> Any:
    """Output, both gradients and the number of products of each, all from the definition."""
    dims = x.dim() - 2
    padded = torch.nn.functional.pad(x, [padding] * 2 * dims)
    spatial = [(n - dilation * (t - 1) - 1) // stride + 1 for n, t in zip(padded.shape[2:], w.shape[2:], strict=True)]
    out = torch.zeros(x.shape[0], w.shape[0], *spatial)
    dx, dw, steps = torch.zeros_like(padded), torch.zeros_like(w), 0
    per_group = w.shape[0] // groups
    for n, f, c in itertools.product(range(x.shape[0]), range(w.shape[0]), range(w.shape[1])):
        channel = (f // per_group) * w.shape[1] + c
        for place in itertools.product(*map(range, spatial)):
            for tap in itertools.product(*map(range, w.shape[2:])):
                here = (n, channel, *(p * stride + t * dilation for p, t in zip(place, tap, strict=True)))
                out[n, f, *place] += padded[here] * w[f, c, *tap]
                dx[here] += grad(out)[n, f, *place] * w[f, c, *tap]
                dw[f, c, *tap] += grad(out)[n, f, *place] * padded[here]
                steps += 1
    inner = (slice(None), slice(None), *(slice(padding, padding + n) for n in x.shape[2:]))
    return out, dx[inner], dw, steps


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 3),
    st.sampled_from(
        [(1, 2, 3), (2, 2, 4), (4, 4, 4), (2, 4, 2)]
    ),  # groups, channels in and out: the third is depthwise
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(1, 2),
)
def test_convolution_and_its_backward_against_loops(
    dims: int, channels: tuple[int, int, int], tap: int, stride: int, padding: int, dilation: int
) -> None:
    groups, c_in, c_out = channels
    x = torch.randn(1, c_in, *([4] + [3] * (dims - 1)), requires_grad=True)
    w = torch.randn(c_out, c_in // groups, *([tap] * dims), requires_grad=True)
    run = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[dims]
    out, dx, dw, steps = naive_convolution(x.detach(), w.detach(), stride, padding, dilation, groups, torch.ones_like)
    with Counter(torch.nn.Identity()) as counter:
        result = run(x, w, None, stride, padding, dilation, groups)
        torch.autograd.backward(result.sum())
    for found, expected in ((result, out), (x.grad, dx), (w.grad, dw)):
        torch.testing.assert_close(found.detach(), expected)  # type: ignore[union-attr]
    phases = counter.count.by_phase()
    assert (phases["forward"].macs, phases["backward"].macs) == (steps, 2 * steps)
    assert torchs(lambda: run(x, w, None, stride, padding, dilation, groups)) == 2 * steps


@pytest.mark.parametrize("x_needs, w_needs", [(True, True), (True, False), (False, True), (False, False)])
def test_convolution_backward_computes_only_what_is_asked_for(x_needs: bool, w_needs: bool) -> None:
    x = torch.randn(1, 6, 9, requires_grad=x_needs)
    w = torch.randn(6, 1, 4, requires_grad=w_needs)
    bias = torch.randn(6, requires_grad=True)
    with Counter(torch.nn.Identity()) as counter:
        torch.autograd.backward(torch.conv1d(x, w, bias, groups=6).sum())
    assert counter.count.where(phase="backward").macs == 6 * 6 * 4 * (x_needs + w_needs)


def test_transposed_convolution_is_the_gradient_of_a_plain_one() -> None:
    x, w = torch.randn(2, 4, 5, requires_grad=True), torch.randn(4, 3, 2, requires_grad=True)
    with Counter(torch.nn.Identity()) as counter:
        torch.autograd.backward(torch.conv_transpose1d(x, w, None, 2, 0, 0, 2).sum())  # 2 groups: 4 → 6 channels
    steps = 2 * 4 * 3 * 5 * 2  # each input number meets every tap of its group's filters
    assert {name: part.macs for name, part in counter.count.by_phase().items()} == {
        "forward": steps,
        "backward": 2 * steps,
    }


# --- attention --------------------------------------------------------------------------------------------------------


def test_flash_attention_agrees_with_torchs_counter_where_that_has_a_formula() -> None:
    head, keys = (meta(2, 4, n, 16, dtype=torch.bfloat16).requires_grad_() for n in (8, 24))
    run = lambda: aten._scaled_dot_product_flash_attention(head, keys, keys)  # noqa: E731
    assert 2 * counted(run) == torchs(run) == 2 * 2 * 2 * 4 * 8 * 24 * 16


def test_math_attention_decomposes_into_products() -> None:
    run = lambda: aten._scaled_dot_product_attention_math(meta(2, 4, 8, 16), meta(2, 4, 24, 16), meta(2, 4, 24, 32))  # noqa: E731
    with torch.inference_mode():
        assert counted(run) == 2 * 4 * 8 * 24 * (16 + 32)


def test_packed_sequences_without_values_are_refused_by_name() -> None:
    with pytest.raises(attention.UnknownLengths, match=r"'cum_seq_k'.*pad to one length"):
        attention.flash_attention(None, qv, kv, vv, ends_q, ends_k.to("meta"))


def test_dense_flash_layout_puts_positions_first_and_packed_cudnn_reads_lengths() -> None:
    assert macs(attention.flash_attention(None, qp, kp, vp, None, None)) == FORWARD
    assert macs(attention.cudnn_attention(None, qv, kv, vv, None, ends_q, ends_k)) == VARLEN
    assert macs(attention.efficient_attention(None, qv[None], kv[None], vv[None], None, ends_q, ends_k)) == VARLEN
    assert elements(attention.flash_attention(None, qp, kp, vp)) == B * H * Q * K


# --- planted faults: the oracles above must see them ------------------------------------------------------------------

FAULTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "contracted axis twice": ("aten::mm", lambda out, x, y: Einsum("m k, k n -> m n", {"m": 2, "k": 3, "n": 3})),
    "queries for keys": (
        "aten::_scaled_dot_product_flash_attention",
        lambda out, q, k, v, *_: attention.heads_first(q, q, v).forward(),
    ),
    "kv heads for heads": (
        "aten::_scaled_dot_product_flash_attention",
        lambda out, q, k, v, *_: attention.heads_first(k, k, v).forward(),
    ),
    "groups ignored": (
        "aten::convolution",
        lambda out, x, w, *_: Einsum("n o i", {"n": x.shape[0], "o": out.numel(), "i": x.shape[1] * 4}),
    ),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_faulty_rule_is_caught(fault: str) -> None:
    name, wrong = FAULTS[fault]
    result, args, expected = CASES[name]
    assert macs(wrong(result, *args)) != expected


# --- the registry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator, kind",
    [
        (aten.view.default, "free"),
        (aten.t_.default, "free"),
        (aten.empty.memory_format, "free"),
        (aten.zeros_like.default, "fill"),
        (aten.clone.default, "copy"),
        (aten.view_copy.default, "copy"),
        (aten.gelu_.default, "element"),
        (aten._foreach_add_.List, "element"),
        (aten.addmm_.default, "contraction"),
        (aten.mm.out, "contraction"),
        (aten.amax.default, "reduction"),
        (aten._softmax.default, "reduction"),
        (aten.embedding.default, "lookup"),
        (aten.matmul.default, "decomposed"),
    ],
)
def test_operators_are_sorted_by_what_torch_declares(operator: Any, kind: str) -> None:
    pricing = resolve(operator)
    assert pricing.kind == kind and pricing.reason


def test_registering_twice_is_refused_and_foreign_objects_too() -> None:
    free("testns::barrier", "moves nothing")
    with pytest.raises(DuplicateRule, match="'testns::barrier' has a rule already"):
        rule("testns::barrier")(lambda result: Elements(0))
    forget("testns::barrier")
    with pytest.raises(TypeError, match="not an operator"):
        free(math.prod, "not torch's")


def test_an_unknown_aten_operator_is_an_error() -> None:
    with pytest.raises(UnpricedOperator, match=r"aten::_fft_r2c.*module 'mix'.*symflops.tracing.rule"):
        resolve(aten._fft_r2c.default, "mix")
