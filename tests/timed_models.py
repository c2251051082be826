"""Small models whose operations are timed."""

from __future__ import annotations

from symflops.architectures import Architecture, architecture
from symflops.timing.tasks import Task, named, tasks
from symflops.tracing.timing.places import place

SMALL = {
    "gpt2": {"d_model": 32, "n_head": 4, "n_vocab": 50},
    "llama3-8b": {"d_model": 64, "n_head": 4, "n_kv_head": 2, "d_ff": 96, "n_vocab": 50},
    "mixtral-8x7b": {"d_model": 64, "n_head": 4, "n_kv_head": 2, "d_ff": 96, "n_vocab": 50},
    "gemma2-2b": {"d_model": 64, "n_head": 4, "n_kv_head": 2, "d_ff": 96, "n_vocab": 50},
}
ARGUMENTS = ["--seq", "8", "--repeat", "2", "--set", "d_model=32", "--set", "n_head=4", "--set", "n_vocab=50"]
CPU = place("cpu", "fp32")


def small(name: str, attention: str = "flash") -> Architecture:
    return architecture(name, attention).with_sizes(**SMALL[name])  # type: ignore[arg-type]


def only(model: Architecture, name: str, n_batch: int = 1, n_seq: int = 8) -> Task:
    [found] = named(tasks(model, n_batch, n_seq), [name])
    return found
