"""Two real processes over gloo on this machine: counted bytes equal the closed form, gradients those of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

import gloo_ranks
import torch
import torch.multiprocessing
from parallel_models import GPT2, built, expected

from symflops.training.parallelism.layouts import Layout


def test_two_processes_send_what_the_closed_form_says_and_compute_what_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(gloo_ranks.run, (str(tmp_path),), nprocs=gloo_ranks.RANKS)
    whole = built(GPT2)
    for rank in range(gloo_ranks.RANKS):
        (gloo_ranks.loss(whole, rank) / gloo_ranks.RANKS).backward()
    for rank in range(gloo_ranks.RANKS):
        found = torch.load(tmp_path / f"rank{rank}.pt")
        for how in gloo_ranks.HOW:
            form = expected(GPT2, Layout(data=gloo_ranks.RANKS, sharding=how))
            assert _bytes(found[how]["sent"]) == _bytes(form)
            assert how == "ddp" or found[how]["sent"] == form
            for name, parameter in whole.named_parameters():
                torch.testing.assert_close(found[how]["gradients"][name], parameter.grad, rtol=1e-4, atol=1e-6)


def _bytes(sent: dict[tuple[str, int, str], tuple[int, int]]) -> dict[tuple[str, int, str], int]:
    """Bytes alone: DDP sends gradients in as many buckets as it likes."""
    return {key: size for key, (_, size) in sent.items()}
