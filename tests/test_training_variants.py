"""Ways to train, as the counter and the trace see them: checkpointed, frozen in part, with adapters.

The model is in `variants.py`. Closed forms are derived here by hand, one term for each product that has to run, and
compared with the trace's, with torch's own counter and with hooks of our own on what autograd saves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
import variants
from sympy import Expr, expand
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from symflops.notation import d_ff, d_model, n_batch, n_layer, n_seq, n_vocab, r_lora, symbol
from symflops.tracing import fields
from symflops.tracing import trace as tracing
from symflops.tracing.merging import merged, merged_family
from symflops.tracing.recorder import record
from symflops.tracing.records import Run, Stored
from symflops.tracing.symbolic import symbolic_run

SIZES = {"n_layer": 3, "d_model": 6, "d_ff": 10, "n_vocab": 11, "n_batch": 2, "n_seq": 5, "r_lora": 3}
T = n_batch * n_seq
PRODUCT = 2 * T * d_model * d_ff
"""FLOPs of one of the two linear layers of a layer, forward: and of either of its gradients."""
LOGITS = 2 * T * d_model * n_vocab
THIN = 2 * T * r_lora
"""FLOPs of one side of an adapter, for each element of width."""
STREAM, HIDDEN, INDICES = 4 * T * d_model, 4 * T * d_ff, 8 * T
"""Bytes of the residual stream, of the hidden activations (both sides of a relu are one tensor), and of the tokens."""


@dataclass(frozen=True)
class Hand:
    """What a variant costs, derived by hand: FLOPs in each pass, bytes kept when the forward pass ends."""

    backward: Expr
    saved: Expr
    forward: Expr = n_layer * 2 * PRODUCT + LOGITS
    recompute: Expr = 0 * n_layer


FULL = Hand(
    backward=2 * (n_layer * 2 * PRODUCT + LOGITS),  # each product has two gradients
    saved=n_layer * (STREAM + HIDDEN) + STREAM + INDICES,  # each product's input, and the embedding's rows
)
BY_HAND: dict[str, Hand] = {
    "plain": FULL,
    # All layers once more, and of each only its input is kept.
    "reentrant": Hand(FULL.backward, n_layer * STREAM + STREAM + INDICES, recompute=n_layer * 2 * PRODUCT),
    "whole": Hand(FULL.backward, n_layer * STREAM + STREAM + INDICES, recompute=n_layer * 2 * PRODUCT),
    # Early stop leaves out what comes after the last tensor that backward wants, which is the input of `down`.
    "early": Hand(FULL.backward, n_layer * STREAM + STREAM + INDICES, recompute=n_layer * PRODUCT),
    # The first `up` has no gradient towards the embedding, and no rows are kept.
    "embedding_frozen": Hand(FULL.backward - PRODUCT, FULL.saved - INDICES),
    # The first layer passes gradients on to the embedding and has none of its own: it keeps the relu's result alone.
    "first_frozen": Hand(FULL.backward - 2 * PRODUCT, FULL.saved - STREAM),
    # Nothing of the first layer runs backward, and of the second no gradient towards it.
    "bottom_frozen": Hand(FULL.backward - 4 * PRODUCT - PRODUCT, FULL.saved - INDICES - STREAM - HIDDEN),
    # The gradient of the head's weight, from its input.
    "head_alone": Hand(LOGITS, STREAM),
    # Forward r * (d_in + d_out) more for each of two products. Backward the frozen ones pass gradients on, but for the
    # first; adapters have both gradients, but the first none towards its input. Kept: inputs, and what is between the
    # thin products; the frozen head keeps nothing.
    "adapted": Hand(
        forward=FULL.forward + n_layer * 2 * THIN * (d_model + d_ff),
        backward=(n_layer * 2 - 1) * PRODUCT + LOGITS + n_layer * 2 * 2 * THIN * (d_model + d_ff) - THIN * d_model,
        saved=n_layer * (STREAM + HIDDEN + 2 * 4 * T * r_lora),
    ),
}


def at(form: Expr, **sizes: int) -> int:
    return int(form.subs({symbol(name): size for name, size in {**SIZES, **sizes}.items()}))


def made(name: str, **sizes: int) -> tuple[nn.Module, Tensor]:
    """A variant at the small sizes, and its tokens."""
    size = {**SIZES, **sizes}
    shape = [size[each] for each in ("n_layer", "d_model", "d_ff", "n_vocab")]
    model = getattr(variants, name)(*shape, *([size["r_lora"]] if name == "adapted" else []))
    return model, torch.zeros(size["n_batch"], size["n_seq"], dtype=torch.long)


def saved_by_hand(run: Callable[[], object], parameters: Iterator[Tensor]) -> list[int]:
    """Bytes of each distinct storage that autograd is given while a forward pass runs, parameters left out."""
    own = {each.untyped_storage().data_ptr() for each in parameters}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    assert output is not None
    return sorted(each.untyped_storage().nbytes() for place, each in kept.items() if place not in own and place)


def saved_bytes(run: Run) -> list[int]:
    """The recorder's tensors, without empty ones, which checkpointing passes about."""
    sizes = [each.element_size * prod(each.shape) for each in run.saved for _ in range(each.times)]
    return sorted(int(size) for size in sizes if size)


# --- the recorder on real and fake tensors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("scope", [nullcontext, FakeTensorMode])
def test_every_pass_costs_what_the_hand_count_says(name: str, scope: Callable[[], Any]) -> None:
    with scope():
        model, ids = made(name)
        found = merged(record(model, ids))
    hand = BY_HAND[name]
    expected = {"forward": hand.forward, "backward": hand.backward, "recompute": hand.recompute}
    assert {phase: found.flops(phase) for phase in expected} == {phase: at(form) for phase, form in expected.items()}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_hand_counts_are_torchs_totals(name: str) -> None:
    model, ids = made(name)
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    hand = BY_HAND[name]
    assert counter.get_total_flops() == at(hand.forward + hand.backward + hand.recompute)


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_kept_for_backward_is_what_hooks_see(name: str) -> None:
    model, ids = made(name)
    seen = saved_by_hand(lambda: model(ids).sum(), model.parameters())
    assert sum(seen) == at(BY_HAND[name].saved)
    assert saved_bytes(record(model, ids)) == seen


def test_recomputed_products_are_those_of_the_forward_pass_one_by_one() -> None:
    def products(run: Run, phase: str) -> dict[Any, int]:
        return {(x.module, x.spec, x.sizes): x.times for x in run.records if x.phase == phase}

    for name, left_out in (("reentrant", set()), ("whole", set()), ("early", {"h.0.down", "h.1.down", "h.2.down"})):
        run = record(*made(name))
        once, again = products(run, "forward"), products(run, "recompute")
        assert again == {key: times for key, times in once.items() if key[0] not in {"head", *left_out}}


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_HAND)
def test_the_traced_closed_forms_are_those_derived_by_hand(name: str) -> None:
    found = tracing.trace(f"{Path(variants.__file__)}:{name}", certify=2)
    hand = BY_HAND[name]
    assert expand(found.C_forward - hand.forward) == 0
    assert expand(found.C_backward - hand.backward - hand.recompute) == 0
    assert found.certificate.points == 2
    assert expand(found.saved_bytes - hand.saved) == 0


def test_a_frozen_bottom_is_affine_from_two_layers_on() -> None:
    """With one layer, which is frozen, the head has no gradient towards it: the form holds from two on."""
    hints = {name: fields.HINTS[name] for name in ("d_model", "d_ff", "n_vocab", "n_batch", "n_seq")}

    def run(layers: int) -> Run:
        def build(size: Any) -> Any:
            shape = [size[name] for name in ("d_model", "d_ff", "n_vocab")]
            ids = torch.zeros(size["n_batch"], size["n_seq"], dtype=torch.long)
            return variants.bottom_frozen(layers, *shape), ids, torch.Tensor.sum

        return symbolic_run(build, hints).run

    found = merged_family([({"n_layer": layers}, run(layers)) for layers in (2, 3, 4, 5)])
    hand = BY_HAND["bottom_frozen"]
    assert expand(found.flops("backward") - hand.backward) == 0 == expand(found.saved_bytes - hand.saved)
    for layers, holds in ((1, False), (2, True), (6, True)):
        seen = merged(record(*made("bottom_frozen", n_layer=layers)))
        assert (seen.flops("backward") == at(hand.backward, n_layer=layers)) is holds


def test_an_adapter_adds_its_rank_times_both_widths_for_each_token() -> None:
    base = nn.Linear(6, 10, bias=False)
    x = torch.randn(7, 6, requires_grad=True)
    alone, both = (merged(record(module, x)) for module in (base, variants.LoRALinear(nn.Linear(6, 10, bias=False), 3)))
    assert both.flops("forward") - alone.flops("forward") == 7 * 2 * 3 * (6 + 10)
    # The frozen weight has no gradient: one product instead of two, and two for each thin one.
    assert both.flops("backward") == alone.flops("backward") // 2 + 7 * 2 * 2 * 3 * (6 + 10)


# --- planted faults ---------------------------------------------------------------------------------------------------


@contextmanager
def unfrozen(model: nn.Module) -> Iterator[nn.Module]:
    model.requires_grad_(True)
    yield model


def test_a_parameter_that_was_not_frozen_is_seen() -> None:
    model, ids = made("head_alone")
    with unfrozen(model):
        assert merged(record(model, ids)).flops("backward") == at(FULL.backward) != at(BY_HAND["head_alone"].backward)


def test_a_recorder_that_forgets_a_tensor_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = made("plain")
    run = record(model, ids)
    seen = saved_by_hand(lambda: model(ids).sum(), model.parameters())
    less: tuple[Stored, ...] = run.saved[1:]
    assert saved_bytes(Run(run.records, run.parameters, less)) != seen == saved_bytes(run)
