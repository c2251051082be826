"""The stand-in for torch's FlopCounterMode, against the original where that one is right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import FlopCounter, UnpricedOperator
from symflops.tracing.models import Built, build, token_inputs

SMALL = {"model_type": "gpt2", "n_embd": 24, "n_layer": 3, "n_head": 4, "vocab_size": 37}


def small(attention: Any) -> Built:
    return build(SMALL, attention, "meta" if attention == "eager" else "fake")


def counted(built: Built, counter: Any) -> Any:
    """The same code for both counters: only the class differs."""
    inputs = token_inputs(built, 2, 7)
    with built.scope(), counter as mode:
        built.module(**inputs).logits.sum().backward()
    return mode


def test_totals_agree_with_torchs_counter_and_forward_every_module_does() -> None:
    ours, theirs = (counted(small("eager"), kind(display=False)) for kind in (FlopCounter, FlopCounterMode))
    assert ours.get_total_flops() == theirs.get_total_flops() > 0
    ours, theirs = (forward(small("eager"), kind(display=False)) for kind in (FlopCounter, FlopCounterMode))
    expected = theirs.get_flop_counts()
    assert ours.get_flop_counts() == expected and len(expected) > 10


def forward(built: Built, counter: Any) -> Any:
    inputs = token_inputs(built, 2, 7)
    with torch.no_grad(), built.scope(), counter as mode:
        built.module(**inputs)
    return mode


def test_it_counts_what_torchs_counter_misses() -> None:
    built = small("sdpa")
    ours, theirs = (counted(built, kind(display=False)) for kind in (FlopCounter, FlopCounterMode))
    # Per layer 2 sequences, 4 heads of 6, 7 x 7 pairs: two matmuls forward and five backward, 2 FLOPs for each pair.
    assert ours.get_total_flops() - theirs.get_total_flops() == 3 * 2 * 4 * 6 * 49 * (2 + 5) * 2


def test_the_table_is_printed_when_the_block_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with FlopCounter(depth=1):
        nn.Linear(3, 5)(torch.ones(2, 3))
    shown = capsys.readouterr().out
    assert "Linear" in shown and "aten.addmm" in shown and "100.00%" in shown


def test_a_users_formula_is_asked_as_torch_asks_it() -> None:
    def formula(a: Any, b: Any, out_shape: Any = None, **_: Any) -> int:
        return 1000 * a[0] * b[1] + out_shape[0]

    totals = []
    for kind in (FlopCounter, FlopCounterMode):
        with kind(display=False, custom_mapping={torch.ops.aten.mm: formula}) as counter:
            torch.ones(2, 3) @ torch.ones(3, 4)
        totals.append(counter.get_total_flops())
    assert totals == [8002, 8002]


def test_what_torch_counts_as_nothing_in_silence_is_an_error() -> None:
    with FlopCounterMode(display=False) as theirs:
        torch.fft.fft(torch.ones(8))
    assert theirs.get_total_flops() == 0
    with pytest.raises(UnpricedOperator, match="_fft"), FlopCounter(display=False):
        torch.fft.fft(torch.ones(8))


def test_mods_is_accepted_with_a_warning_and_a_block_starts_at_zero() -> None:
    with pytest.warns(UserWarning, match="not needed"):
        counter = FlopCounter(nn.Linear(1, 1), display=False)
    for _ in range(2):
        with counter:
            torch.ones(2, 3) @ torch.ones(3, 4)
        assert counter.get_total_flops() == 48
