"""Rules against loops and torch's own counter: convolutions, attention, planted faults, the registry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rules import (
    CASES,
    FORWARD,
    VARLEN,
    B,
    H,
    K,
    Q,
    counted,
    elements,
    ends_k,
    ends_q,
    kp,
    kv,
    macs,
    meta,
    qp,
    qv,
    torchs,
    vp,
    vv,
)
from torch import Tensor

from symflops.tracing import Counter, DuplicateRule, Einsum, Elements, UnpricedOperator, forget, free, resolve, rule
from symflops.tracing.rules import attention

aten = torch.ops.aten


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
