"""What each of two real processes does: a step of a tiny model by FSDP2 and DDP over gloo, counted, its gradients."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
from parallel_models import GPT2, built, mesh_of, sharded
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from symflops.tracing.collectives import Collectives

RANKS, ROWS, SEQ = 2, 2, 16
HOW = ("fsdp", "ddp")


def tokens(rank: int) -> torch.Tensor:
    """The sequences of one rank, other than those of the other."""
    return (torch.arange(ROWS * SEQ).reshape(ROWS, SEQ) * 7 + 3 * rank) % GPT2.vocab_size


def loss(model: torch.nn.Module, rank: int) -> torch.Tensor:
    """The mean loss of a rank's sequences."""
    found: torch.Tensor = model(input_ids=tokens(rank), labels=tokens(rank), use_cache=False).loss
    return found


def run(rank: int, folder: str) -> None:
    """One rank: of each way its counted collectives and whole gradients, in a file; a wait of a minute is an error."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    place = Path(folder)
    store = distributed.FileStore(str(place / "store"), RANKS)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=60))
    try:
        torch.save({how: _step(rank, how) for how in HOW}, place / f"rank{rank}.pt")
    finally:
        distributed.destroy_process_group()


def _step(rank: int, how: str) -> dict[str, Any]:
    model = built(GPT2)
    parallel = sharded(model, mesh_of(data=RANKS)) if how == "fsdp" else DistributedDataParallel(model)
    with Collectives() as seen:
        loss(parallel, rank).backward()
    gradients = {
        name: each.grad.full_tensor() if isinstance(each.grad, DTensor) else each.grad
        for name, each in model.named_parameters()
    }
    return {"sent": seen.total, "gradients": gradients}
